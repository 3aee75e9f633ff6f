"""One training: network, view of the data, start, mask and recipe in; weights and figures out.

`Training` is the request, complete in itself, so that it can be sent to a worker, and named by its content, so that
equal trainings are done once. A `Course` does it on a rig, one step at a time, and can be left between any two steps,
giving what it needs to go on in the same bits. A `Trainer` keeps the rigs; several courses may take turns.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from engine.data import Dataset, View
from engine.data.batches import Batches
from engine.draws import permutation
from engine.masks import Mask
from engine.networks import State
from engine.rig import AHEAD, Rig, load, snapshot
from engine.schedules import batch_sizes, lr_at, steps_per_epoch
from engine.tensors import digest
from presets.schema import Network, Recipe

PATIENCE = 0.0002  # seconds between two looks at a device that is behind; a step takes longer


@dataclass(frozen=True)
class Training:
    """What to train. `start_step` and `end_step` count optimizer steps of this view's recipe: a training that starts
    late goes on with the schedule and the data order from there; one with an `end_step` stops there (to find W_k)."""

    network: Network
    recipe: Recipe
    view: View
    seed: int
    start: State
    mask: Mask
    start_step: int = 0
    end_step: int | None = None

    @cached_property
    def key(self) -> str:
        """32 hex digits, equal for equal trainings: every ingredient that can change a bit of the result is in it."""
        ingredients = {
            # Without what is left at its default: a setting that comes later must not rename what was trained before.
            "network": self.network.model_dump(mode="json", exclude_defaults=True),
            "recipe": self.recipe.model_dump(mode="json", exclude_defaults=True),
            "view": self.view.digest,
            "data": self.view.data,
            "seed": self.seed,
            "start": digest(self.start),
            "mask": digest(self.pruned),
            "steps": [self.start_step, self.end_step],
        }
        return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]

    @cached_property
    def pruned(self) -> Mask:
        """The mask's layers that lack a weight: a full mask is no mask, whatever could have been pruned."""
        return {name: keep for name, keep in self.mask.items() if not keep.all()}

    @property
    def last_step(self) -> int:
        """The step at which it ends."""
        if self.end_step is not None:
            return self.end_step
        return self.recipe.epochs * steps_per_epoch(len(self.view.samples), self.recipe.batch)

    @property
    def images(self) -> int:
        """Training images it sees, forward and backward, to within a batch."""
        samples = len(self.view.samples)
        return (self.last_step - self.start_step) * samples // steps_per_epoch(samples, self.recipe.batch)


@dataclass(frozen=True)
class Score:
    """Figures over one held-out split: images classified correctly, images in all, mean cross-entropy."""

    correct: int
    count: int
    loss: float

    @property
    def accuracy(self) -> float:
        return self.correct / self.count


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch: training loss and accuracy over the augmented batches as they came, before each update."""

    epoch: int
    step: int
    lr: float
    train_loss: float
    train_accuracy: float
    validation: Score
    seconds: float


@dataclass(frozen=True)
class Result:
    """A finished training. `images` were seen forward and backward, `images_forward` forward only."""

    state: State
    epoch_used: int
    validation: Score
    test: Score
    images: int
    images_forward: int
    seconds: float
    """From its begin to its end, others beside it or not."""


@dataclass
class Checkpoint:
    """A training interrupted between two steps: tensors by name, and plain figures that JSON can hold."""

    tensors: dict[str, Tensor]
    figures: dict[str, Any] = field(default_factory=dict)


class Stopped(Exception):
    """Raised between two steps when the training was asked to stop; holds the checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__("stopped on request")
        self.checkpoint = checkpoint


class NotFinite(Exception):
    """The loss of an epoch was not a finite number."""


class Trainer:
    """Trains on one data set and device; keeps its rigs between trainings.

    `compiled`: whether networks are compiled for the device first, which takes some ten seconds for each shape.
    """

    def __init__(self, data: Dataset, device: str = "cpu", compiled: bool = False) -> None:
        self.data, self.compiled = data, compiled
        self.device = torch.device(device)
        self.batches = Batches(data, self.device)
        self._rigs: list[tuple[tuple[Network, int], Rig]] = []
        """Those that no course has, with what they are for."""

    def course(self, job: Training, resume: Checkpoint | None = None) -> Course:
        """Begin the training, from the beginning or from where it was interrupted, and be ready for its first step.

        Raises:
            torch.OutOfMemoryError: the device has too little room beside what is on it.
        """
        kind = (job.network, len(job.view.classes))
        try:
            return self._begin(kind, job, resume)
        except torch.OutOfMemoryError:
            if not self._rigs:
                raise
        self._rigs.clear()  # the graphs of networks that nobody trains now hold memory too
        self.give_room()
        return self._begin(kind, job, resume)

    def _begin(self, kind: tuple[Network, int], job: Training, resume: Checkpoint | None) -> Course:
        index = next((i for i, (held, _) in enumerate(self._rigs) if held == kind), None)
        rig = self._rigs.pop(index)[1] if index is not None else Rig(self.data, self.batches, *kind, self.compiled)
        with rig.turn():
            return Course(self.data, rig, job, resume)

    def end(self, course: Course) -> None:
        """The course is over: its rig is free for another."""
        self._rigs.append(((course.job.network, len(course.job.view.classes)), course.rig))

    def give_room(self) -> None:
        """Return to the device what no rig holds any more."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()

    def train(
        self,
        job: Training,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
        should_stop: Callable[[], bool] = lambda: False,
        resume: Checkpoint | None = None,
    ) -> Result:
        """Do the training, from the beginning or from where it was interrupted.

        After every step the pruned weights are 0, momentum and weight decay notwithstanding.

        Raises:
            Stopped: `should_stop` said so between two steps.
            NotFinite: an epoch's training loss was not finite.
        """
        course = self.course(job, resume)
        while True:
            if course.settled and should_stop():
                self.end(course)
                raise Stopped(course.checkpoint())
            report = course.advance()
            if isinstance(report, Result):
                self.end(course)
                return report
            if report is not None:
                on_epoch(report)
            elif course.waiting:
                time.sleep(PATIENCE)


class Course:
    """A training under way on a rig: what changes from step to step, and how."""

    def __init__(self, data: Dataset, rig: Rig, job: Training, resume: Checkpoint | None) -> None:
        self.rig, self.job = rig, job
        self.sizes = batch_sizes(len(job.view.samples), job.recipe.batch)
        self.held_out = {split: data.held_out(job.view, split) for split in ("validation", "test")}
        if rig.static:
            self.held_out = {split: samples.to(rig.device) for split, samples in self.held_out.items()}
        # W_k is the weights at step k, whatever their accuracy: there nothing is chosen.
        self.chooses = job.recipe.weights == "best" and job.end_step is None
        self.step, self.seen, self.images, self.forward = job.start_step, 0, 0, 0
        self.lr = 0.0
        self.used: tuple[int, Score] | None = None
        self.best_state: State = {}
        rig.set_up(job.recipe, tuple(job.pruned), set(self.sizes))
        self.began, self.seconds_before = time.monotonic(), 0.0
        rig.begin(job.start, job.pruned, data.targets(job.view))
        if resume:
            self._restore(resume)
        self.epoch_began = self.began
        self.settled = True
        """Whether it is between two steps, so that a checkpoint can be made."""
        self.waiting = False
        """Whether nothing was asked of the device in the last turn: the host is ahead of it."""
        self._queued: deque[torch.cuda.Event] = deque()
        self._turns = self._go()

    def advance(self) -> Epoch | Result | None:
        """Take a turn: a step, or figures that are due.

        Raises:
            NotFinite: an epoch's training loss was not finite.
        """
        with self.rig.turn():
            return next(self._turns)

    def _go(self) -> Iterator[Epoch | Result | None]:
        while self.step < self.job.last_step:
            yield from self._epoch()
        self.settled = False
        if self.best_state:
            load(self.rig.module, self.best_state)
        if self.used is None:  # no step was asked for: W_0 itself
            self.used = 0, (yield from self._score("validation"))
        test = yield from self._score("test")
        yield Result(snapshot(self.rig.module), *self.used, test, self.images, self.forward, self._seconds())

    def _epoch(self) -> Iterator[Epoch | None]:
        """The steps that are left in this epoch, at most to the training's last one, and its figures."""
        job, per_epoch = self.job, len(self.sizes)
        epoch, first = divmod(self.step, per_epoch)
        last = min(per_epoch, first + job.last_step - self.step)
        order = permutation(len(job.view.samples), job.seed, "order", job.view.digest, epoch)
        rates = [lr_at(job.recipe, epoch * per_epoch + step, per_epoch) for step in range(per_epoch)]
        self.rig.begin_epoch(job.view.samples[order], job.seed, epoch, rates, sum(self.sizes[:first]), first)
        for place in range(first, last):
            size = self.sizes[place]
            self.rig.step(size)
            self.lr = rates[place]
            self.seen += size
            self.images += size
            self.step += 1
            self.settled = place + 1 < last
            yield None
            yield from self._room()
        yield (yield from self._figures(epoch + 1))

    def _room(self) -> Iterator[None]:
        """Wait where the device is far behind."""
        if self.rig.stream is None:
            return
        self._queued.append(self.rig.mark())
        if len(self._queued) > AHEAD:
            yield from self._passed(self._queued.popleft())

    def _passed(self, event: torch.cuda.Event) -> Iterator[None]:
        self.waiting = True
        while not event.query():
            yield None
        self.waiting = False

    def _figures(self, number: int) -> Generator[None, None, Epoch]:
        """Validate, and keep the weights if they are to be used."""
        validation = yield from self._score("validation")
        loss_sum, correct = yield from self._fetched(torch.stack([self.rig.loss_sum, self.rig.correct.double()]))
        mean_loss = loss_sum / self.seen
        if not math.isfinite(mean_loss):
            raise NotFinite(f"the training loss is not finite in epoch {number}: lower the learning rate")
        if not self.chooses or self.used is None or validation.correct > self.used[1].correct:
            self.used = number, validation
            if self.chooses:
                self.best_state = snapshot(self.rig.module)
        now = time.monotonic()
        row = Epoch(number, self.step, self.lr, mean_loss, correct / self.seen, validation, now - self.epoch_began)
        self.epoch_began = now
        self.rig.reset_counts()
        self.seen = 0
        self.settled = True
        return row

    def _score(self, split: str) -> Generator[None, None, Score]:
        samples = self.held_out[split]
        correct, loss = yield from self._fetched(self.rig.evaluate(samples))
        self.forward += len(samples)
        return Score(int(correct), len(samples), loss / len(samples))

    def _fetched(self, figures: Tensor) -> Generator[None, None, list[float]]:
        """`figures` (float64) once the device has come to them."""
        if self.rig.stream is None:
            return figures.tolist()
        here = torch.empty(figures.shape, dtype=figures.dtype, pin_memory=True)
        here.copy_(figures, non_blocking=True)
        yield from self._passed(self.rig.mark())
        return here.tolist()

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.began

    def checkpoint(self) -> Checkpoint:
        """All that a new process needs to go on in the same bits; only between two steps."""
        rig = self.rig
        with rig.turn():
            tensors = {f"state.{name}": tensor for name, tensor in snapshot(rig.module).items()}
            tensors |= {f"optimizer.{name}": t.cpu().clone() for name, t in rig.optimizer.state().items()}
            tensors |= {f"best.{name}": tensor for name, tensor in self.best_state.items()}
            tensors |= {"loss_sum": rig.loss_sum.cpu().clone(), "correct": rig.correct.cpu().clone()}
        figures: dict[str, Any] = {name: getattr(self, name) for name in ("step", "seen", "images", "forward")}
        figures["seconds"] = self._seconds()
        figures["used"] = [self.used[0], *vars(self.used[1]).values()] if self.used else None
        return Checkpoint(tensors, figures)

    def _restore(self, saved: Checkpoint) -> None:
        def part(prefix: str) -> State:
            return {k.removeprefix(prefix): v for k, v in saved.tensors.items() if k.startswith(prefix)}

        load(self.rig.module, part("state."))
        self.rig.optimizer.load(part("optimizer."))
        self.best_state = part("best.")
        self.rig.loss_sum.copy_(saved.tensors["loss_sum"])
        self.rig.correct.copy_(saved.tensors["correct"])
        self.step, self.seen, self.images, self.forward = (
            saved.figures[name] for name in ("step", "seen", "images", "forward")
        )
        self.seconds_before = saved.figures["seconds"]
        if saved.figures["used"]:
            epoch, *score = saved.figures["used"]
            self.used = epoch, Score(*score)
