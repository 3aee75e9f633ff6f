"""What may happen inside a training beside its steps: one file a hook.

A hook is settings, part of what names the training. In a training it becomes an `Acting`, which may watch samples, take
the place of a step, move the mask, leave traces (figures by step), or end the training. A training with hooks is done
on a rig of its own, not in a stack.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from engine.networks import State

if TYPE_CHECKING:
    from engine.training import Course, Score


@dataclass(frozen=True)
class Trace:
    """A figure of one step of a training: of which kind, and of which layer, "" where it is of all."""

    step: int
    kind: str
    value: float
    layer: str = ""


@dataclass(frozen=True)
class Hook(ABC):
    """What to do, as plain settings."""

    method: ClassVar[str]
    watches: ClassVar[bool] = False
    """Whether it needs to know of each training sample whether it was classified correctly (`Rig.watched`)."""

    @property
    def masks(self) -> tuple[str, ...]:
        """Weights whose mask it moves: they are held under one from the first step on."""
        return ()

    def ingredients(self) -> dict[str, Any]:
        """All that decides what it does, as JSON can hold it."""
        return {"method": self.method} | asdict(self)

    @abstractmethod
    def act(self, course: Course) -> Acting:
        """Begin with a training that is about to take its first step, or to go on."""


class Acting:
    """A hook at work in one training: what it does not override it leaves as it is."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        """Left since the last epoch's end."""

    def instead_of_step(self, size: int) -> bool:
        """Take the place of the next step, of `size` samples; False to let it be done."""
        return False

    def epoch_ends(self, epoch: int) -> bool:
        """Look at the weights at an epoch's end; True to end the training here."""
        return False

    def look(self, epoch: int) -> None:
        """Look at the weights at an epoch's end, the last one's too."""

    def validated(self, score: Score) -> None:
        """Look at the weights that have just been validated."""

    def mask_moves(self, when: str) -> None:
        """Look at the weights right "before" another hook moves the mask, or right "after"."""

    def observed(self) -> State:
        """Tensors that come with the result."""
        return {}

    def state(self) -> State:
        """What it needs to go on after an interruption, as tensors."""
        return {}

    def restore(self, state: State) -> None:
        """Go on from what `state` gave, its tensors those of the begin in name, dtype and shape where these hold any.

        Raises:
            ValueError: what was gathered since is not of this training.
        """
