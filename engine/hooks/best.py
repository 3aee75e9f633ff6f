"""The network of a training's best epoch on validation, beside the one that it ends with (PrAC's authors hold their
sparse networks against it, arXiv 2106.03225)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from engine.hooks import Acting, Hook
from engine.networks import State

if TYPE_CHECKING:
    from engine.training import Course, Score

BEST = "best."
"""What the names of its tensors begin with."""


@dataclass(frozen=True)
class Best(Hook):
    """The result observes "best.NAME": the network of the epoch that got most validation images right, of equal ones
    the first. Only epochs that the recipe validates after are looked at. It changes no bit of the training."""

    method: ClassVar[str] = "best"

    def act(self, course: Course) -> Acting:
        return _Keeping(course)


class _Keeping(Acting):
    def __init__(self, course: Course) -> None:
        super().__init__()
        self.course = course
        self.correct = -1
        self.best: State = {}

    def validated(self, score: Score) -> None:
        if score.correct > self.correct:
            self.correct, self.best = score.correct, self.course.rig.snapshot(0)

    def observed(self) -> State:
        return {f"{BEST}{name}": tensor for name, tensor in self.best.items()}

    def state(self) -> State:
        return self.observed() | {"correct": torch.tensor(self.correct)}

    def restore(self, state: State) -> None:
        best = {name.removeprefix(BEST): tensor for name, tensor in state.items() if name.startswith(BEST)}
        [job] = self.course.jobs
        if best and {n: t.shape for n, t in best.items()} != {n: t.shape for n, t in job.start.items()}:
            raise ValueError("best weights of another network")
        self.correct, self.best = int(state["correct"]), best
