"""What searches share, and how one of their trainings may end early."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from presets.schema.data import Corruption
from presets.schema.parts import Part
from presets.schema.recipe import RecipeChange

Scope = Literal["global", "kind", "layer"]
"""What one magnitude threshold is for."""


class Search(Part):
    """What every search shares."""

    @property
    def members(self) -> int:
        """Trainings that a round's ticket is the overlap of."""
        return 1


class Finding(Search):
    """What every search that finds tickets on this experiment's network shares."""

    recipe: RecipeChange = Field(
        default_factory=RecipeChange, description="Keys of the recipe that differ in this search and for its tickets."
    )
    data: Corruption = Field(
        default_factory=Corruption, description="How the data is corrupted for this search, not for its tickets."
    )
    spare_first: bool = Field(False, description="Whether the first layer is never pruned.")


class Stop(Part):
    """End a training once the mask that pruning now would give no longer moves (arXiv 1909.11957, 2106.03225).

    d is the share of the remaining weights in which that mask differs from the last epoch's.
    """

    epsilon: float = Field(0.07, gt=0.0, le=1.0, description="It ends when the largest of the last d is below this.")
    window: int = Field(5, ge=1, le=1000, description="Epochs whose d is looked at.")
    armed: bool = Field(True, description="Only once d has been above epsilon and warmup is over.")


def clean_start(data: Corruption, rewind: str) -> None:
    """Corrupted data may find a mask, but not the weights that the ticket starts from.

    Raises:
        ValueError: the data is corrupted, and weights go back to a step that was trained on it.
    """
    corrupted = data.model_copy(update={"subset": None}) != Corruption()
    if corrupted and not rewind.startswith("0 "):
        words = "data is corrupted while masks are found, but with rewind above 0 the ticket's start would be, too"
        raise ValueError(f"{words}: leave rewind at 0")
