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
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

from torch import Tensor

from engine.data import View
from engine.draws import permutation
from engine.networks import State
from engine.tensors import digest
from engine.training import Checkpoint, Training
from presets.schema import Network, Recipe

if TYPE_CHECKING:
    from engine.rig import Rig
    from engine.training import Trainer

STATISTICS = 5000
"""Training images that norm statistics are recomputed on, or all where there are fewer: their mean over batches of a
thousand moves the error by less than an image."""


@dataclass(frozen=True)
class Measured:
    """What a measurement came to: figures that JSON can hold, and tensors where it gives any; images that it took,
    forward and backward, or forward only; and seconds."""

    figures: dict[str, Any]
    tensors: State = field(default_factory=dict)
    images: int = 0
    images_forward: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Observed:
    """The network that a hook of a training gives back: its tensors' names begin with `prefix` there."""

    training: Training
    prefix: str

    @property
    def key(self) -> str:
        return f"{self.training.key} {self.prefix}"

    def among(self, observed: State) -> State:
        """It, out of all that the training's hooks observed."""
        return {name.removeprefix(self.prefix): t for name, t in observed.items() if name.startswith(self.prefix)}


Parts = Generator[None, None, Measured]
"""A measurement as it goes: it can be left between any two parts."""


@dataclass(frozen=True)
class Measurement(ABC):
    """What to measure: of which weights, for which seed."""

    seed: int
    of: tuple[Training | Observed | State, ...]
    method: ClassVar[str]

    @cached_property
    def key(self) -> str:
        """32 hex digits, equal for equal measurements."""
        of = [one.key if isinstance(one, Training | Observed) else digest(one) for one in self.of]
        ingredients = {"method": self.method, "seed": self.seed, "of": of} | self.ingredients()
        return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]

    @abstractmethod
    def ingredients(self) -> dict[str, Any]:
        """What else decides its figures, as JSON can hold it."""

    @abstractmethod
    def parts(self, trainer: Trainer, states: Sequence[State]) -> Parts:
        """Take it, of these states: one for each of `of`."""


@dataclass(frozen=True)
class OnData(Measurement):
    """What takes networks over data: one architecture, in the precision of a recipe, on a view."""

    network: Network
    recipe: Recipe
    view: View

    def ingredients(self) -> dict[str, Any]:
        return {
            "network": self.network.model_dump(mode="json", exclude_defaults=True),
            "precision": self.recipe.precision,
            "data": self.view.data,
            "view": self.view.digest,
        }

    @contextmanager
    def rig(self, trainer: Trainer) -> Iterator[Rig]:
        """A rig for it, set up and given back at the end; what is asked of it belongs into turns of its own."""
        with trainer.borrowed(self.network, self.view) as rig:
            with rig.turn():
                rig.set_up(self.recipe, (), set())
            yield rig

    def statistics(self) -> Tensor:
        """int64: the training images that running statistics of norm layers are recomputed on."""
        return self.view.samples[permutation(len(self.view.samples), self.seed, "statistics")[:STATISTICS]]


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
