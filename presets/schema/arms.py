"""What is trained and evaluated: the dense network, and tickets as found or with one ingredient changed."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from presets.schema.parts import Fraction, Length, Name, Names, Part
from presets.schema.recipe import RecipeChange

FRESH = ("init", "reinit", "sparse-neuron", "sparse-layer")
"""Starts that no training has touched: their schedule is whole."""

INGREDIENTS = ("start", "weights", "mask", "network", "recipe", "begin")
"""What an arm may have otherwise than the ticket that it trains."""


class Arm(Part):
    """A network to train on all the data and evaluate: dense, or a ticket with one ingredient changed."""

    ticket: Literal["each"] | Name | Names | None = Field(
        None, description='Searches whose tickets are trained: "each", one name, a list; left out: the dense network.'
    )
    start: Literal["ticket", "init", "reinit", "trained", "sparse-neuron", "sparse-layer"] = Field(
        "ticket",
        description="Weights to start from: the ticket's own (rewound), the initialisation, a fresh one, or those that"
        " its mask was found on, after training; or the initialisation scaled to the mask, by neuron or by layer.",
    )
    weights: Literal["own", "shuffled"] = Field(
        "own", description="Starting weights as they are, or the kept ones of each layer in another order."
    )
    mask: Literal["found", "shuffled", "random", "uniform", "erk", "smart-ratio", "full"] = Field(
        "found",
        description="Mask: the ticket's; shuffled within each layer; at random over all layers; at random with counts"
        " by a rule (uniform, erk, smart-ratio); or none at all.",
    )
    network: Literal["own", "small"] = Field(
        "own", description="The network itself, or a narrower dense one of as many weights as the ticket keeps."
    )
    recipe: RecipeChange = Field(
        default_factory=RecipeChange, description="Keys of the recipe that differ from the search's."
    )
    begin: Length | None = Field(
        None, description="Where the schedule begins; left out: where the ticket's does, 0 for fresh weights."
    )
    at: tuple[Fraction, ...] | None = Field(
        None, min_length=1, description="Only the tickets nearest to these prunable sparsities; left out: every one."
    )

    @property
    def changes(self) -> tuple[str, ...]:
        """The ingredients that it has otherwise than the ticket itself; none for a dense arm of the plain recipe."""
        own = {key: getattr(self, key) != field.default for key, field in Arm.model_fields.items()}
        own["recipe"] = bool(self.recipe.model_fields_set)
        return tuple(key for key in INGREDIENTS if own[key])

    @model_validator(mode="after")
    def _fits_together(self) -> Arm:
        if self.ticket is None:
            if self.at is not None or self.changes not in ((), ("recipe",)):
                raise ValueError("start, weights, mask, network, begin and at are read with a ticket only")
        elif self.network == "small" and (self.start, self.weights, self.mask) != ("ticket", "own", "found"):
            raise ValueError('network = "small" is dense and starts afresh: leave start, weights and mask out')
        elif self.weights == "shuffled" and self.mask == "full":
            raise ValueError('weights = "shuffled" moves kept weights within each layer: mask = "full" keeps all')
        return self
