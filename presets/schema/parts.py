"""What tables of a preset are made of: their base class, and the values that several of them hold."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

Kind = Literal["conv", "linear", "head"]
"""Layer kinds that can be pruned: convolutions, hidden linear layers, the classifier."""

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,39}$")]
"""What a search, arm or check is called: letters, digits, - and _."""

Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]


def _length(value: Any) -> Any:
    """Accept 3 (epochs) and "500 steps" or "3 epochs", and give back the one spelling that is stored."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = f"{value} epochs"
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d{1,9})\s*(epoch|step)s?\s*", value)):
        return f"{int(match[1])} {match[2]}s"
    raise ValueError('a length is a count of epochs, or text such as "500 steps"')


Length = Annotated[
    str, BeforeValidator(_length), WithJsonSchema({"words": 'a count of epochs, or text such as "500 steps"'})
]
"""A stretch of training: a number of epochs, or "N steps". Those of a recipe are steps of a training on all the data:
of one that sees less, as a segment or a subset, they are in proportion."""


def steps_of(length: str, steps_per_epoch: int) -> int:
    """Optimizer steps in a `Length`, where an epoch has `steps_per_epoch` of them."""
    count, unit = length.split()
    return int(count) * (steps_per_epoch if unit == "epochs" else 1)


def _range(value: Any) -> Any:
    """Accept 7 and "0-999", and give back the one spelling that is stored."""
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        value = f"{value}-{value}"
    if isinstance(value, str) and (match := re.fullmatch(r"\s*(\d{1,9})\s*-\s*(\d{1,9})\s*", value)):
        first, last = int(match[1]), int(match[2])
        if first <= last:
            return f"{first}-{last}"
    raise ValueError('samples are numbers from 0, or ranges such as "0-999" (the last one included)')


Range = Annotated[
    str, BeforeValidator(_range), WithJsonSchema({"words": 'a sample\'s number, or a range such as "0-999"'})
]
"""Samples from the first to the last, both included: "0-999"."""


def each_once(values: tuple[Any, ...]) -> tuple[Any, ...]:
    """Refuse a list that holds a value twice."""
    if len(set(values)) != len(values):
        raise ValueError("each once")
    return values


Names = Annotated[tuple[Name, ...], Field(min_length=1), AfterValidator(each_once)]
"""Searches, each once."""


class Part(BaseModel):
    """Base of every table in a preset: unknown keys are refused, values never change after checking."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
