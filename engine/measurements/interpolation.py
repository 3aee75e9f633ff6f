"""The error along the straight line between two networks, and the barrier on it (Frankle et al., arXiv 1912.05671)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from engine.measurements import Measured, OnData, Parts
from engine.networks import State

if TYPE_CHECKING:
    from engine.training import Trainer


@dataclass(frozen=True)
class Interpolation(OnData):
    """Errors of (1 − α) W_1 + α W_2 at evenly spaced α from 0 to 1, on the test split or on the view's training images.

    Running statistics of norm layers do not lie on a line: at every point, ends included, they are recomputed on
    training images. Figures: "alpha" and "error" (fractions), lists of equal length.
    """

    points: int = 30
    error: str = "test"
    method: ClassVar[str] = "interpolation"

    def ingredients(self) -> dict[str, Any]:
        return super().ingredients() | {"points": self.points, "error": self.error}

    def parts(self, trainer: Trainer, states: Sequence[State]) -> Parts:
        first, second = states
        data = trainer.sets[self.view.data]
        samples = self.view.samples if self.error == "train" else data.held_out(self.view, "test")
        seen = self.statistics()
        alphas = [point / (self.points - 1) for point in range(self.points)]
        errors = []
        with self.rig(trainer) as rig:
            with rig.turn():
                rig.begin(0, first, {}, data.targets(self.view))
            for alpha in alphas:
                with rig.turn():
                    rig.load(0, between(first, second, alpha))
                    rig.renew_statistics(seen)
                    correct = float(rig.evaluate([samples])[0, 0])
                errors.append(1.0 - correct / len(samples))
                yield
        forward = self.points * (len(samples) + (len(seen) if rig.normed else 0))
        return Measured({"alpha": alphas, "error": errors}, images_forward=forward)


def between(first: State, second: State, alpha: float) -> dict[str, Tensor]:
    """(1 − α) of the first state and α of the second; whole numbers, which only count batches, as in the first."""
    return {
        name: torch.lerp(tensor, second[name], alpha) if tensor.is_floating_point() else tensor
        for name, tensor in first.items()
    }


def barrier(errors: Sequence[float]) -> float:
    """The highest error on the line less the mean of its ends: sup over α of E(α) − (E(0) + E(1)) / 2 (section 2)."""
    return max(errors) - (errors[0] + errors[-1]) / 2
