"""Where two networks answer differently: not errors, but samples whose likeliest class is another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from engine.measurements import Measured, OnData, Parts
from engine.networks import State

if TYPE_CHECKING:
    from engine.training import Trainer


@dataclass(frozen=True)
class Disagreement(OnData):
    """Both in eval mode on the view's training samples, without augmentation (PrAC, arXiv 2106.03225, section 3.2).

    Tensor "different": bool, of the view's samples in their order.
    """

    method: ClassVar[str] = "disagreement"

    def parts(self, trainer: Trainer, states: Sequence[State]) -> Parts:
        data = trainer.sets[self.view.data]
        answers = []
        with self.rig(trainer) as rig:
            for state in states:
                with rig.turn():
                    rig.begin(0, state, {}, data.targets(self.view))
                    answers.append(rig.classes(self.view.samples).cpu())
                yield
        different = torch.ne(*answers)
        return Measured({}, {"different": different}, images_forward=2 * len(self.view.samples))
