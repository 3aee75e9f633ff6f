"""An experiment as a form: every setting it has, with its value, what it means, what it may be, and its default.

All of it is read from the schema, so that a form needs nothing of its own.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from presets.schema import Experiment, RecipeChange

MANY = 12
"""Choices beyond which the rest are counted, not named."""


@dataclass(frozen=True)
class Setting:
    """One line of the form. Values are written as an override takes them; "" stands for one that is left out."""

    key: str
    """With dots, such as "recipe.lr"."""
    value: str
    meaning: str
    allowed: str
    default: str
    """"" where there is none, or where leaving it out is the default."""


def settings(experiment: Experiment) -> list[Setting]:
    """Every setting, in the order of the schema; tables of searches, arms and checks one after another."""
    return list(_settings(experiment, ()))


def _settings(model: BaseModel, place: tuple[str, ...]) -> Iterator[Setting]:
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        here = (*place, name)
        if isinstance(model, RecipeChange) and name not in model.model_fields_set:
            yield Setting(".".join(here), "", field.description or "", _allowed(type(model), name), "")
        elif isinstance(value, BaseModel):
            yield from _settings(value, here)
        elif isinstance(value, dict) and value and all(isinstance(inner, BaseModel) for inner in value.values()):
            for key, inner in value.items():
                yield from _settings(inner, (*here, key))
        elif name not in ("method", "published"):  # with another method, other settings would be there
            written = text(model.model_dump(mode="json", include={name}).get(name))
            allowed = _allowed(type(model), name)
            yield Setting(".".join(here), written, field.description or "", allowed, _default(field))


def text(value: Any) -> str:
    """A plain value in TOML, as the right side of an override; "" for None."""
    if value is None:
        return ""
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{key} = {text(inner)}" for key, inner in value.items() if inner is not None) + " }"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(text, value))}]"
    # A JSON string is a TOML string, but for an escape that TOML asks for.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ""
    value = field.get_default(call_default_factory=True, validated_data={})
    return text(value.model_dump(mode="json") if isinstance(value, BaseModel) else value)


@lru_cache
def _schema(model: type[BaseModel]) -> dict[str, Any]:
    return model.model_json_schema()


def _allowed(model: type[BaseModel], name: str) -> str:
    schema = _schema(model)
    return _words(schema["properties"][name], schema.get("$defs", {}))


def _words(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """What a JSON schema lets a value be, in words."""
    if "words" in schema:
        return str(schema["words"])
    if "$ref" in schema:
        return _words(known[schema["$ref"].rpartition("/")[2]], known)
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            found = [_words(one, known) for one in schema[several] if one.get("type") != "null"]
            left_out = ", or left out" if any(one.get("type") == "null" for one in schema[several]) else ""
            return " or ".join(dict.fromkeys(found)) + left_out
    if "const" in schema:
        return text(schema["const"])
    if "enum" in schema:
        choices = [str(one) for one in schema["enum"]]
        more = f" and {len(choices) - MANY} more" if len(choices) > MANY else ""
        return f"one of {', '.join(choices[:MANY])}{more}"
    kind = schema.get("type")
    if kind in ("number", "integer"):
        return ("a whole number" if kind == "integer" else "a number") + _bounds(schema)
    if kind == "array":
        items = schema.get("items") or {}
        return f"a list of {_words(items, known).removeprefix('a ').removeprefix('one of ')}"
    if kind == "object":
        return _table(schema, known)
    return {"boolean": "true or false", "string": "text"}.get(str(kind), "any value")


def _bounds(schema: Mapping[str, Any]) -> str:
    names = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    found = [f"{words} {schema[name]}" for name, words in names.items() if name in schema]
    return f" {' and '.join(found)}" if found else ""


def _table(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    keys = schema.get("propertyNames", {}).get("enum") or list(schema.get("properties", {}))
    inner = schema.get("additionalProperties")
    of = f" of {_words(inner, known)}" if isinstance(inner, Mapping) else ""
    return f"a table {{ {', '.join(keys)} }}{of}" if keys else f"a table{of}"
