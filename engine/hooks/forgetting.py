"""How often a training forgets each sample: correct in one epoch, wrong in the next (Toneva et al., arXiv 1812.05159,
as PrAC uses it, arXiv 2106.03225)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from engine.hooks import Acting, Hook
from engine.networks import State

if TYPE_CHECKING:
    from engine.training import Course

NEVER = torch.iinfo(torch.int32).max
"""Forgetting events of a sample that was never classified correctly: it counts as forgotten without end."""


@dataclass(frozen=True)
class Forgetting(Hook):
    """Each sample is judged as training sees it: augmented, in train mode, before the update of its batch.

    The result observes "forgotten": int32, of the view's samples in their order, `NEVER` where none was ever right.
    """

    method: ClassVar[str] = "forgetting"
    watches: ClassVar[bool] = True

    def act(self, course: Course) -> Acting:
        return _Counting(course)


class _Counting(Acting):
    def __init__(self, course: Course) -> None:
        super().__init__()
        self.course = course
        course.rig.watched.zero_()

    def observed(self) -> State:
        [job] = self.course.jobs
        _, learned, forgotten = self.course.rig.watched.cpu()[:, job.view.samples]
        return {"forgotten": torch.where(learned > 0, forgotten, NEVER).to(torch.int32)}

    def state(self) -> State:
        return {"watched": self.course.rig.watched.cpu().clone()}

    def restore(self, state: State) -> None:
        self.course.rig.watched.copy_(state["watched"])
