"""Gradient flow: how much a step has to gain, through training and across updates of the mask (Evci et al., arXiv
2010.03533, section 3; google-research/rigl, rigl_tf2/train.py)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.draws import permutation
from engine.hooks import Acting, Hook, Trace
from engine.schedules import batch_sizes
from presets.schema import Experiment

if TYPE_CHECKING:
    from engine.rig import Rig
    from engine.training import Course

FLOW = "gradient flow"
SAMPLE = 1000
"""Training images that it is taken on, or all where there are fewer: as many as the authors take."""


@dataclass(frozen=True)
class Flow(Hook):
    """Leaves "gradient flow" before the first step and after every `every`-th epoch, and "gradient flow before" and
    "gradient flow after" where another hook moves the mask: ‖∇L‖² as `squared` has it, on a fixed sample of the
    training images. It changes no bit of the training, and its images are not counted among those of the training.
    """

    every: int
    method: ClassVar[str] = "gradient-flow"

    def act(self, course: Course) -> Acting:
        return _Watching(self, course)


def watching(experiment: Experiment) -> tuple[Hook, ...]:
    """What watches every training of an experiment."""
    return (Flow(experiment.flow),) if experiment.flow else ()


class _Watching(Acting):
    def __init__(self, settings: Flow, course: Course) -> None:
        super().__init__()
        self.every, self.course = settings.every, course
        [job] = course.jobs
        self.first = job.start_step
        self.samples = job.view.samples[permutation(len(job.view.samples), job.seed, "flow")[:SAMPLE]]

    def instead_of_step(self, size: int) -> bool:
        if self.course.step == self.first:
            self._note(FLOW)
        return False

    def look(self, epoch: int) -> None:
        if epoch % self.every == 0:
            self._note(FLOW)

    def mask_moves(self, when: str) -> None:
        self._note(f"{FLOW} {when}")

    def _note(self, kind: str) -> None:
        value = float(squared(self.course.rig, self.samples))
        self.traces.append(Trace(self.course.step, kind, value if math.isfinite(value) else math.nan))


def squared(rig: Rig, samples: Tensor) -> Tensor:
    """float64: ‖∇L‖² over all parameters but pruned weights, L the mean loss over `samples` without weight decay.

    Images are as they are. Norm layers take the statistics of each batch, as in training, and keep their own.
    """
    totals = [torch.zeros_like(parameter) for parameter in rig.parameters]
    with rig.statistics_kept():
        for batch in samples.split(batch_sizes(len(samples), rig.recipe.batch)):
            logits, wanted = rig.answers(batch)
            loss = F.cross_entropy(logits, wanted, reduction="sum") / len(samples)
            torch._foreach_add_(totals, torch.autograd.grad(loss, rig.parameters))
    return torch.stack([gradient.double().square().sum() for gradient in rig.living(totals)]).sum()
