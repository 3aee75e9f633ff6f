"""Searches that find tickets of all their sparsities in one go: before, after or while they train."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from presets.schema.data import Corruption
from presets.schema.parts import Kind, Length
from presets.schema.searches.finding import Finding, Scope, Stop, clean_start


class AtOnce(Finding):
    """What every search shares that finds tickets of all its sparsities in one go."""

    sparsity: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = Field(
        min_length=1, max_length=100, description="Prunable sparsities, in rising order: a ticket for each."
    )
    layers: tuple[Kind, ...] = Field(
        ("conv", "linear", "head"), min_length=1, description="Layer kinds that are pruned."
    )

    @model_validator(mode="after")
    def _rising(self) -> AtOnce:
        if list(self.sparsity) != sorted(set(self.sparsity)):
            raise ValueError("sparsity: each once, in rising order")
        return self


class OneShot(AtOnce):
    """Train once, prune once (one-shot magnitude pruning, OMP), one ticket for each sparsity."""

    method: Literal["one-shot"]
    rewind: Length = Field("0 epochs", description="Where weights go back to; 0 is the initialisation (k of W_k).")
    stop: Stop | None = Field(None, description="End the training early, when the mask of the last sparsity rests.")
    scope: Scope = Field("global", description="One magnitude threshold for all kinds, per layer kind, or per layer.")

    @model_validator(mode="after")
    def _starts_clean(self) -> OneShot:
        clean_start(self.data, self.rewind)
        return self


class Snip(AtOnce):
    """Keep the weights of largest |w · gradient| at initialisation (Lee et al., arXiv 1810.02340)."""

    method: Literal["snip"]
    images: int = Field(10, ge=1, le=100_000, description="Training images of each class that gradients are taken on.")


class Grasp(AtOnce):
    """Remove the weights whose removal keeps the gradient's flow best: largest -w · (H g) (Wang et al., arXiv
    2002.07376)."""

    method: Literal["grasp"]
    images: int = Field(10, ge=1, le=100_000, description="Training images of each class that gradients are taken on.")


Ratios = Literal["uniform", "erk", "smart-ratio"]
"""How many weights each layer keeps: the same share; by its shape (Evci et al., arXiv 1911.11134); or by its depth (Su
et al., arXiv 2009.11094)."""


class RandomTickets(AtOnce):
    """Positions at random in every layer, its count by a rule that looks at no data."""

    method: Literal["random"]
    ratios: Ratios = Field("uniform", description="How many weights each layer keeps.")

    @model_validator(mode="after")
    def _looks_at_no_data(self) -> RandomTickets:
        if self.data != Corruption():
            raise ValueError("data is not read: random tickets look at none")
        return self


class Hybrid(AtOnce):
    """Each layer's largest weights after training, its count by a rule that looks at no data; the schedule begins anew
    with the trained weights (Su et al., arXiv 2009.11094, section 5)."""

    method: Literal["hybrid"]
    ratios: Ratios = Field("smart-ratio", description="How many weights each layer keeps.")
    stop: Stop | None = Field(None, description="End the training early, when the mask of the last sparsity rests.")


class Regrowing(AtOnce):
    """What set and rigl share: a training for each sparsity, from a random mask that moves at constant counts."""

    ratios: Literal["uniform", "erk"] = Field("uniform", description="How many weights each layer keeps.")
    every: int = Field(100, ge=1, le=1_000_000, description="Steps from one update of the mask to the next (ΔT).")
    alpha: float = Field(
        0.3, gt=0.0, le=1.0, description="Share of each layer's weights that the first update replaces; a half cosine."
    )
    until: float = Field(0.75, gt=0.0, le=1.0, description="Share of training after which the mask rests (T_end).")
    start: Literal["init", "sparse-neuron", "sparse-layer"] = Field(
        "init",
        description="Weights to train from: the initialisation, or that scaled to the first mask, by neuron or layer.",
    )

    @model_validator(mode="after")
    def _trains_what_is_evaluated(self) -> Regrowing:
        _clean_training(self)
        return self


def _clean_training(search: Regrowing | Gmp) -> None:
    """A ticket of a mask that moves is evaluated by the very training that found it."""
    if search.data != Corruption():
        raise ValueError("data is not read: the training that finds a ticket is the one that is evaluated")


class Set(Regrowing):
    """Sparse evolutionary training: the smallest weights go, others grow at random (Mocanu et al., arXiv 1707.04780, as
    in arXiv 1911.11134)."""

    method: Literal["set"]


class Rigl(Regrowing):
    """RigL: the smallest weights go, those of largest gradient grow (Evci et al., arXiv 1911.11134)."""

    method: Literal["rigl"]


class Gmp(AtOnce):
    """Gradual magnitude pruning while training, a training for each sparsity (Zhu & Gupta, arXiv 1710.01878)."""

    method: Literal["gmp"]
    begin: Length = Field(description="Where pruning begins (t0).")
    end: Length = Field(description="Where the sparsity is reached (t1), before the end of training.")
    every: int = Field(100, ge=1, le=1_000_000, description="Steps from one pruning to the next.")
    scope: Scope = Field("layer", description="One magnitude threshold for all kinds, per layer kind, or per layer.")

    @model_validator(mode="after")
    def _trains_what_is_evaluated(self) -> Gmp:
        _clean_training(self)
        return self
