"""How much each weight matters before training, by gradients on a few images: SNIP and GraSP.

The images are the same number of each class. Batch norm takes the statistics of the batch, as in training.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.data import Dataset, View
from engine.draws import permutation
from engine.measurements import Measured, OnData, Parts
from engine.networks import State
from engine.schedules import batch_sizes

if TYPE_CHECKING:
    from engine.rig import Rig
    from engine.training import Trainer


@dataclass(frozen=True)
class Saliency(OnData):
    """A score for every weight of the layers `names`, larger where it is to be kept; in `tensors`, float32.

    rule "snip": |w · g| with g the gradient of the mean loss (Lee et al., arXiv 1810.02340, eq. 6). rule "grasp":
    w · (H g), so that the weights that go first are those whose removal lets the gradient's norm grow most, or shrink
    least (Wang et al., arXiv 2002.07376, eq. 8: −w · (H g), the largest removed).
    """

    names: tuple[str, ...]
    images: int
    rule: str
    method: ClassVar[str] = "saliency"

    def ingredients(self) -> dict[str, Any]:
        own = {"batch": self.recipe.batch, "names": list(self.names), "images": self.images, "rule": self.rule}
        return super().ingredients() | own

    def parts(self, trainer: Trainer, states: Sequence[State]) -> Parts:
        data = trainer.sets[self.view.data]
        samples = even(data, self.view, self.images, self.seed)
        with self.rig(trainer) as rig:
            with rig.turn():
                rig.begin(0, states[0], {}, data.targets(self.view))
                weights = rig.named(self.names)
                gradients = [torch.zeros_like(weight) for weight in weights]
                products = [torch.zeros_like(weight) for weight in weights]
            batches = samples.split(batch_sizes(len(samples), self.recipe.batch))
            for batch in batches:
                with rig.turn():
                    _add(gradients, torch.autograd.grad(self._loss(rig, batch, len(samples)), weights))
                yield
            for batch in batches if self.rule == "grasp" else ():
                with rig.turn():
                    own = torch.autograd.grad(self._loss(rig, batch, len(samples)), weights, create_graph=True)
                    along = torch.stack([(g * whole).sum() for g, whole in zip(own, gradients, strict=True)]).sum()
                    _add(products, torch.autograd.grad(along, weights))
                yield
            with rig.turn():
                if self.rule == "snip":
                    scores = [(weight * gradient).abs() for weight, gradient in zip(weights, gradients, strict=True)]
                else:
                    scores = [weight * product for weight, product in zip(weights, products, strict=True)]
                kept = {name: score.detach().cpu() for name, score in zip(self.names, scores, strict=True)}
        passes = 1 if self.rule == "snip" else 2
        return Measured({}, kept, images=passes * len(samples))

    @staticmethod
    def _loss(rig: Rig, batch: Tensor, images: int) -> Tensor:
        """The batch's share of the mean loss over all `images`."""
        logits, wanted = rig.answers(batch)
        return F.cross_entropy(logits, wanted, reduction="sum") / images


def _add(totals: list[Tensor], parts: Sequence[Tensor]) -> None:
    for total, part in zip(totals, parts, strict=True):
        total += part


def even(data: Dataset, view: View, images: int, seed: int) -> Tensor:
    """int64: `images` training samples of every class of the view, or all that it has, drawn by seed and mixed."""
    labels = data.labels[view.samples]
    chosen = []
    for label in view.classes:
        own = view.samples[labels == label]
        chosen.append(own[permutation(len(own), seed, "saliency", label)[:images]])
    samples = torch.cat(chosen)
    return samples[permutation(len(samples), seed, "saliency")]
