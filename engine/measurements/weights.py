"""How alike the weights of two networks are: overlap of the largest, and the angle between them. Nothing is trained or
evaluated, so no data is looked at."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from engine.masks import Mask
from engine.measurements import Measured, Measurement, Parts
from engine.networks import State
from engine.tensors import digest

if TYPE_CHECKING:
    from engine.training import Trainer


@dataclass(frozen=True)
class Correlation(Measurement):
    """R_p between every two of the networks (Liu et al., arXiv 2102.11068, section 3), which `names` name.

    Figures, by "a/b": "both", weights among the top of both; "top", the size of a top; "expected", what both would be
    by chance; and "remaining", 1 where only weights that the mask keeps are counted, as for every pair with a network
    that was trained under it (`masked`), 0 where all of the mask's layers are.
    """

    names: tuple[str, ...]
    masked: tuple[bool, ...]
    mask: Mask
    share: float
    method: ClassVar[str] = "correlation"

    def ingredients(self) -> dict[str, Any]:
        masked = list(self.masked)
        return {"names": list(self.names), "masked": masked, "mask": digest(self.mask), "share": self.share}

    def parts(self, trainer: Trainer, states: Sequence[State]) -> Parts:
        figures: dict[str, Any] = {}
        everything = {name: torch.ones_like(keep) for name, keep in self.mask.items()}
        for a, b in combinations(range(len(states)), 2):
            remaining = self.masked[a] or self.masked[b]
            pair = overlap(states[a], states[b], self.mask if remaining else everything, self.share)
            figures[f"{self.names[a]}/{self.names[b]}"] = pair | {"remaining": int(remaining)}
            yield
        return Measured(figures)


def overlap(first: State, second: State, mask: Mask, share: float) -> dict[str, float]:
    """How many of the largest weights by size are the same ones: in every layer the top `share`, rounded, of those that
    the mask keeps. R_p is both / top, by chance expected / top."""
    both, top, expected = 0, 0, 0.0
    for name, keep in mask.items():
        remaining = int(keep.sum())
        count = round(share * remaining)
        if count:
            a, b = (_largest(state[name][keep], count) for state in (first, second))
            both += int((a & b).sum())
            top += count
            expected += count * count / remaining
    return {"both": both, "top": top, "expected": expected}


def _largest(weights: Tensor, count: int) -> Tensor:
    """bool: the `count` of largest size; of equal ones the first."""
    chosen = torch.zeros(len(weights), dtype=torch.bool)
    chosen[weights.abs().sort(descending=True, stable=True).indices[:count]] = True
    return chosen


@dataclass(frozen=True)
class Angle(Measurement):
    """The angular distance 2 ∠(a ⊙ m, b ⊙ m) / π of two networks under a mask (Maene et al., arXiv 2106.06955): 0 where
    they point the same way, 1 where they are unrelated. Figure "distance", none where no weight is left."""

    mask: Mask
    method: ClassVar[str] = "angle"

    def ingredients(self) -> dict[str, Any]:
        return {"mask": digest(self.mask)}

    def parts(self, trainer: Trainer, states: Sequence[State]) -> Parts:
        yield from ()
        first, second = states
        turned = distance(first, second, self.mask)
        return Measured({"distance": None if math.isnan(turned) else turned})


def distance(first: State, second: State, mask: Mask) -> float:
    """2 ∠ / π in float64, from half the chord, which is exact for small angles where a cosine is not."""
    a, b = (list(_kept(state, mask)) for state in (first, second))
    norm_a, norm_b = (math.sqrt(sum(float(part @ part) for part in parts)) for parts in (a, b))
    if not norm_a or not norm_b:
        return math.nan
    chord = sum(float((x / norm_a - y / norm_b).square().sum()) for x, y in zip(a, b, strict=True))
    return 2 * 2 * math.asin(min(1.0, math.sqrt(chord) / 2)) / math.pi


def _kept(state: Mapping[str, Tensor], mask: Mask) -> Iterator[Tensor]:
    for name, keep in mask.items():
        yield state[name][keep].double()
