"""Figures taken of weights, without training them: one file a kind.

A measurement names the weights that it is taken of: as they are, or by the training that ends with them, which is then
done if it was not. It is itself named by its content, so that its figures are kept and taken once. Some go over data:
they run on a worker, part by part, and are simply begun again where they were interrupted.
"""

from __future__ import annotations

import hashlib
import json
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from engine.networks import State
from engine.tensors import digest
from engine.training import Checkpoint, Training

if TYPE_CHECKING:
    from engine.training import Trainer


@dataclass(frozen=True)
class Measured:
    """What a measurement came to: figures that JSON can hold, and tensors where it gives any; images that it took,
    forward and backward, or forward only; and seconds."""

    figures: dict[str, Any]
    tensors: State = field(default_factory=dict)
    images: int = 0
    images_forward: int = 0
    seconds: float = 0.0


Parts = Generator[None, None, Measured]
"""A measurement as it goes: it can be left between any two parts."""


@dataclass(frozen=True)
class Measurement(ABC):
    """What to measure: of which weights, for which seed."""

    seed: int
    of: tuple[Training | State, ...]
    method: ClassVar[str]

    @cached_property
    def key(self) -> str:
        """32 hex digits, equal for equal measurements."""
        of = [one.key if isinstance(one, Training) else digest(one) for one in self.of]
        ingredients = {"method": self.method, "seed": self.seed, "of": of} | self.ingredients()
        return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]

    @abstractmethod
    def ingredients(self) -> dict[str, Any]:
        """What else decides its figures, as JSON can hold it."""

    @abstractmethod
    def parts(self, trainer: Trainer, states: Sequence[State]) -> Parts:
        """Take it, of these states: one for each of `of`."""


class Errand:
    """A measurement under way on a worker, in turn with the courses of trainings."""

    settled, waiting = True, False

    def __init__(self, trainer: Trainer, job: Measurement, states: Sequence[State]) -> None:
        self.jobs = [job]
        self.over = False
        self._parts = job.parts(trainer, states)
        self._began = time.monotonic()

    def advance(self) -> Sequence[tuple[int, Measured]]:
        """Take the next part; at the end, what it came to."""
        try:
            next(self._parts)
        except StopIteration as done:
            self.over = True
            return [(0, replace(done.value, seconds=time.monotonic() - self._began))]
        return ()

    def checkpoints(self) -> list[Checkpoint]:
        """An empty one: it begins anew."""
        return [Checkpoint({})]

    def close(self) -> None:
        """Give back what it borrowed."""
        self._parts.close()
