"""Where two networks answer differently: not errors, but samples whose likeliest class is another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from engine.data import View
from engine.measurements import Measured, Measurement, Parts
from engine.networks import State
from presets.schema import Network, Recipe

if TYPE_CHECKING:
    from engine.training import Trainer


@dataclass(frozen=True)
class Disagreement(Measurement):
    """Both in eval mode on the view's training samples, without augmentation (PrAC, arXiv 2106.03225, section 3.2).

    Tensor "different": bool, of the view's samples in their order.
    """

    network: Network
    recipe: Recipe
    view: View
    method: ClassVar[str] = "disagreement"

    def ingredients(self) -> dict[str, Any]:
        return {
            "network": self.network.model_dump(mode="json", exclude_defaults=True),
            "precision": self.recipe.precision,
            "data": self.view.data,
            "view": self.view.digest,
        }

    def parts(self, trainer: Trainer, states: Sequence[State]) -> Parts:
        data = trainer.sets[self.view.data]
        answers = []
        with trainer.borrowed(self.network, self.view) as rig:
            with rig.turn():
                rig.set_up(self.recipe, (), set())
            for state in states:
                with rig.turn():
                    rig.begin(0, state, {}, data.targets(self.view))
                    answers.append(rig.classes(self.view.samples).cpu())
                yield
        different = torch.ne(*answers)
        return Measured({}, {"different": different}, images_forward=2 * len(self.view.samples))
