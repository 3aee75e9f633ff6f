"""One training: network, view of the data, start, mask and recipe in; weights and figures out.

`Training` is the request, complete in itself, so that it can be sent to a worker, and named by its content, so that
equal trainings are done once. A `Course` does it on a rig, or several in a stack, one step at a time, and can be left
between any two steps, giving what it needs to go on in the same bits. A `Trainer` keeps the rigs; courses take turns.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from engine.data import Dataset, View
from engine.data.batches import Batches
from engine.draws import permutation
from engine.hooks import Hook, Trace
from engine.masks import Mask
from engine.networks import State
from engine.rig import AHEAD, Rig
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
    copy: int = 0
    """Which copy it is of a training that is otherwise equal: each has its own data order and augmentation."""
    hooks: tuple[Hook, ...] = ()

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
        ingredients |= {"copy": self.copy} if self.copy else {}
        ingredients |= {"hooks": [hook.ingredients() for hook in self.hooks]} if self.hooks else {}
        return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]

    @cached_property
    def pruned(self) -> Mask:
        """The mask's layers that lack a weight: a full mask is no mask, whatever could have been pruned."""
        return {name: keep for name, keep in self.mask.items() if not keep.all()}

    @property
    def weights(self) -> int:
        """Weights of conv, linear and norm layers that its mask keeps."""
        count = sum(tensor.numel() for name, tensor in self.start.items() if name.endswith(".weight"))
        return count - sum(int(torch.count_nonzero(~keep)) for keep in self.pruned.values())

    @property
    def draws(self) -> tuple[str | int, ...]:
        """The key of all that is drawn while it trains."""
        return (self.seed, "copy", self.copy) if self.copy else (self.seed,)

    @property
    def likeness(self) -> tuple[Any, ...]:
        """Equal for trainings that can be stacked: of one network and recipe, and step for step alike."""
        if self.hooks:
            return (self.key,)
        classes, samples = len(self.view.classes), len(self.view.samples)
        return self.network, self.view.data, classes, self.recipe, samples, self.start_step, self.end_step

    @property
    def last_step(self) -> int:
        """The step at which it ends."""
        if self.end_step is not None:
            return self.end_step
        return self.recipe.epochs * steps_per_epoch(len(self.view.samples), self.recipe.batch)

    @property
    def images(self) -> int:
        """Training images it sees, forward and backward, to within a batch, unless a hook ends it before."""
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
    validation: Score | None
    """None in an epoch that the recipe does not validate after."""
    seconds: float
    traces: tuple[Trace, ...] = ()
    """What its hooks left in this epoch."""


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
    observed: State = field(default_factory=dict)
    """What its hooks give back."""


@dataclass
class Checkpoint:
    """A training interrupted between two steps: tensors by name, and plain figures that JSON can hold."""

    tensors: dict[str, Tensor]
    figures: dict[str, Any] = field(default_factory=dict)
    goes_on: bool = False
    """Whether the training was not interrupted for it."""

    @property
    def finite(self) -> bool:
        """Whether a training that goes on from here may come to something: no weight and no loss is infinite or NaN."""
        return all(bool(tensor.isfinite().all()) for tensor in self.tensors.values() if tensor.is_floating_point())


class Stopped(Exception):
    """Raised between two steps when the training was asked to stop; holds the checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__("stopped on request")
        self.checkpoint = checkpoint


class NotFinite(Exception):
    """The loss of an epoch was not a finite number."""


class Unfit(Exception):
    """A checkpoint is not of this training, or of one as another version does it; the text says by what."""


Kind = tuple[Batches, Network, int, int]
"""What a rig is for: batches of which images, the network, its classes, and members of a stack."""


class Trainer:
    """Trains on one device, on a data set and corrupted forms of it; keeps its rigs between trainings.

    `compiled`: whether networks are compiled for the device first, which takes some ten seconds for each shape.
    """

    def __init__(
        self, data: Dataset, device: str = "cpu", compiled: bool = False, corrupted: Iterable[Dataset] = ()
    ) -> None:
        self.compiled = compiled
        self.device = torch.device(device)
        self.batches = Batches(data, self.device)
        self.sets = {one.identity: one for one in (data, *corrupted)}
        """By identity, as views name them."""
        self._batches = {data.identity: self.batches}
        for identity, one in self.sets.items():
            if one.images is data.images:  # only labels or samples differ
                self._batches[identity] = self.batches
        self.idle: list[tuple[Kind, Rig]] = []
        """Those that no course has, with what they are for."""

    def course(self, jobs: Sequence[Training], resume: Checkpoint | None = None) -> Course:
        """Begin trainings that can be stacked, or one, maybe from where it was interrupted; ready for the first step.

        Raises:
            torch.OutOfMemoryError: the device has too little room beside what is on it.
            Unfit: it cannot go on from there.
        """
        kind = self._kind(jobs[0].network, jobs[0].view, len(jobs))
        try:
            return self._begin(kind, jobs, resume)
        except torch.OutOfMemoryError:
            if not self.idle:
                raise
        self.give_room()
        return self._begin(kind, jobs, resume)

    def _begin(self, kind: Kind, jobs: Sequence[Training], resume: Checkpoint | None) -> Course:
        rig = self._rig(kind, jobs[0].view)
        with rig.turn():
            return Course(self.sets[jobs[0].view.data], rig, jobs, resume)

    def _kind(self, network: Network, view: View, members: int) -> Kind:
        if view.data not in self._batches:
            self._batches[view.data] = Batches(self.sets[view.data], self.device)
        return self._batches[view.data], network, len(view.classes), members

    def _rig(self, kind: Kind, view: View) -> Rig:
        """One of this kind that is idle, or a new one."""
        index = next((i for i, (held, _) in enumerate(self.idle) if held == kind), None)
        if index is not None:
            return self.idle.pop(index)[1]
        return Rig(self.sets[view.data], *kind, self.compiled)

    def end(self, course: Course) -> None:
        """The course is over: its rig is free for another."""
        job = course.jobs[0]
        self.idle.append((self._kind(job.network, job.view, len(course.jobs)), course.rig))

    @contextmanager
    def borrowed(self, network: Network, view: View) -> Iterator[Rig]:
        """A rig of one network for the classes of `view`, to measure with, in turns of its own. One that fails, as
        where there is no room on the device, is given up."""
        kind = self._kind(network, view, 1)
        rig = self._rig(kind, view)
        try:
            yield rig
        except GeneratorExit:  # a measurement that is left in its middle
            self.idle.append((kind, rig))
            raise
        self.idle.append((kind, rig))

    def give_room(self) -> None:
        """Return to the device what no course needs: rigs that are idle hold the memory of their graphs too."""
        self.idle.clear()
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
        course = self.course([job], resume)
        while True:
            if course.settled and should_stop():
                self.end(course)
                raise Stopped(course.checkpoints()[0])
            for _, report in course.advance():
                if isinstance(report, Epoch):
                    on_epoch(report)
                    continue
                self.end(course)
                if isinstance(report, Result):
                    return report
                raise report
            if course.waiting:
                time.sleep(PATIENCE)


Said = Sequence[tuple[int, Epoch | Result | NotFinite]]
"""Reports on members of a course, by their place in it."""


class Course:
    """Trainings under way on a rig, step by step together: what changes from step to step, and how."""

    def __init__(self, data: Dataset, rig: Rig, jobs: Sequence[Training], resume: Checkpoint | None) -> None:
        self.rig, self.jobs = rig, jobs
        first = jobs[0]
        assert all(job.likeness == first.likeness for job in jobs)
        self.sizes = batch_sizes(len(first.view.samples), first.recipe.batch)
        self.held_out = {split: [data.held_out(job.view, split) for job in jobs] for split in ("validation", "test")}
        if rig.static:
            self.held_out = {split: [rows.to(rig.device) for rows in held] for split, held in self.held_out.items()}
        # W_k is the weights at step k, whatever their accuracy: there nothing is chosen.
        self.chooses = first.recipe.weights == "best" and first.end_step is None
        self.step, self.last_step = first.start_step, first.last_step
        self.seen, self.images, self.forward = 0, 0, [0] * len(jobs)
        self.lr = 0.0
        self.used: list[tuple[int, Score] | None] = [None] * len(jobs)
        self.best_states: list[State] = [{} for _ in jobs]
        names = dict.fromkeys(name for job in jobs for name in job.pruned)
        names |= dict.fromkeys(name for hook in first.hooks for name in hook.masks)
        watch = any(hook.watches for hook in first.hooks)
        rig.set_up(first.recipe, tuple(names), set(self.sizes), watch)
        self.began, self.seconds_before = time.monotonic(), 0.0
        self.kept = self.began
        """When its newest checkpoint was made, at first its begin."""
        for member, job in enumerate(jobs):
            rig.begin(member, job.start, job.pruned, data.targets(job.view))
        self.acting = [hook.act(self) for hook in first.hooks]
        if resume:
            self._restore(resume)
        self.epoch_began = self.began
        self.settled = True
        """Whether it is between two steps, so that checkpoints can be made."""
        self.waiting = False
        """Whether nothing was asked of the device in the last turn: the host is ahead of it."""
        self.over = False
        self._queued: deque[torch.cuda.Event] = deque()
        self._turns = self._go()

    def advance(self) -> Said:
        """Take a turn: a step of every member, or figures that are due. One whose loss is not finite ends all."""
        with self.rig.turn():
            return next(self._turns)

    def _go(self) -> Iterator[Said]:
        while self.step < self.last_step:
            yield from self._epoch()
        self.settled = False
        for member, state in enumerate(self.best_states):
            if state:
                self.rig.load(member, state)
        if None in self.used:  # no step was asked for: W_0 itself
            self.used = [(0, score) for score in (yield from self._scores("validation"))]
        tests = yield from self._scores("test")
        self.over = True
        seconds = self.seconds_before + time.monotonic() - self.began
        yield [
            (member, Result(self.rig.snapshot(member), *used, test, self.images, forward, seconds, self._observed()))
            for member, (used, test, forward) in enumerate(zip(self.used, tests, self.forward, strict=True))
            if used
        ]

    def _observed(self) -> State:
        return {name: tensor for acting in self.acting for name, tensor in acting.observed().items()}

    def _epoch(self) -> Iterator[Said]:
        """The steps that are left in this epoch, at most to the last one, and its figures."""
        recipe, per_epoch = self.jobs[0].recipe, len(self.sizes)
        epoch, first = divmod(self.step, per_epoch)
        last = min(per_epoch, first + self.last_step - self.step)
        orders = [
            job.view.samples[permutation(len(job.view.samples), *job.draws, "order", job.view.digest, epoch)]
            for job in self.jobs
        ]
        rates = [lr_at(recipe, epoch * per_epoch + step, per_epoch) for step in range(per_epoch)]
        draws = [job.draws for job in self.jobs]
        self.rig.begin_epoch(orders, draws, epoch, rates, sum(self.sizes[:first]), first)
        for place in range(first, last):
            size = self.sizes[place]
            if not any(acting.instead_of_step(size) for acting in self.acting):
                self.rig.step(size)
            self.lr = rates[place]
            self.seen += size
            self.images += size
            self.step += 1
            self.settled = place + 1 < last
            yield ()
            yield from self._room()
        for acting in self.acting:
            acting.look(epoch + 1)
        if sum(acting.epoch_ends(epoch + 1) for acting in self.acting):  # all, since each keeps its own account
            self.last_step = self.step  # so that this epoch is validated as the last
        yield (yield from self._figures(epoch + 1))

    def mask_moves(self, when: str) -> None:
        """A hook says that it is about to move the mask ("before"), or has done so ("after")."""
        for acting in self.acting:
            acting.mask_moves(when)

    def _room(self) -> Iterator[Said]:
        """Wait where the device is far behind."""
        if self.rig.stream is None:
            return
        self._queued.append(self.rig.mark())
        if len(self._queued) > AHEAD:
            yield from self._passed(self._queued.popleft())

    def _passed(self, event: torch.cuda.Event) -> Iterator[Said]:
        self.waiting = True
        while not event.query():
            yield ()
        self.waiting = False

    def _figures(self, number: int) -> Generator[Said, None, Said]:
        """Validate where the recipe asks for it, and keep the weights if they are to be used."""
        scores: Sequence[Score | None] = [None] * len(self.jobs)
        if number % self.jobs[0].recipe.validate_every == 0 or self.step == self.last_step:
            scores = yield from self._scores("validation")
        trained = yield from self._fetched(torch.stack([self.rig.loss_sum, self.rig.correct.double()], 1))
        now = time.monotonic()
        said: list[tuple[int, Epoch | NotFinite]] = []
        for member, (score, (loss_sum, correct)) in enumerate(zip(scores, trained, strict=True)):
            loss = loss_sum / self.seen
            if not math.isfinite(loss):
                self.over = True
                words = f"the training loss is not finite in epoch {number}, by step {self.step}"
                words += ": lower the learning rate"
                return [(member, NotFinite(words))]
            used = self.used[member]
            if score and (not self.chooses or used is None or score.correct > used[1].correct):
                self.used[member] = number, score
                if self.chooses:
                    self.best_states[member] = self.rig.snapshot(member)
            if score:
                for acting in self.acting:
                    acting.validated(score)
            traces = tuple(trace for acting in self.acting for trace in acting.traces)
            row = Epoch(number, self.step, self.lr, loss, correct / self.seen, score, now - self.epoch_began, traces)
            said.append((member, row))
        for acting in self.acting:
            acting.traces.clear()
        self.epoch_began = now
        self.rig.reset_counts()
        self.seen = 0
        self.settled = True
        return said

    def _scores(self, split: str) -> Generator[Said, None, list[Score]]:
        held = self.held_out[split]
        figures = yield from self._fetched(self.rig.evaluate(held).T)
        self.forward = [seen + len(rows) for seen, rows in zip(self.forward, held, strict=True)]
        return [
            Score(int(correct), len(rows), loss / len(rows))
            for rows, (correct, loss) in zip(held, figures, strict=True)
        ]

    def _fetched(self, figures: Tensor) -> Generator[Said, None, list[list[float]]]:
        """`figures` (float64) once the device has come to them."""
        if self.rig.stream is None:
            return figures.tolist()
        here = torch.empty(figures.shape, dtype=figures.dtype, pin_memory=True)
        here.copy_(figures, non_blocking=True)
        yield from self._passed(self.rig.mark())
        return here.tolist()

    def checkpoints(self) -> list[Checkpoint]:
        """All that a new process needs to go on with each member; only between two steps."""
        return [self._checkpoint(member) for member in range(len(self.jobs))]

    def _checkpoint(self, member: int) -> Checkpoint:
        rig, used = self.rig, self.used[member]
        with rig.turn():
            tensors = {f"state.{name}": tensor for name, tensor in rig.snapshot(member).items()}
            tensors |= {f"optimizer.{name}": t.cpu().clone() for name, t in rig.optimizer_state(member).items()}
            tensors |= {f"best.{name}": tensor for name, tensor in self.best_states[member].items()}
            tensors |= {"loss_sum": rig.loss_sum[member].cpu().clone(), "correct": rig.correct[member].cpu().clone()}
            for number, acting in enumerate(self.acting):
                tensors |= {f"hook{number}.{name}": tensor for name, tensor in acting.state().items()}
        figures: dict[str, Any] = {name: getattr(self, name) for name in ("step", "seen", "images")}
        figures["forward"] = self.forward[member]
        figures["last_step"] = self.last_step
        figures["traces"] = [vars(trace) for acting in self.acting for trace in acting.traces]
        figures["seconds"] = self.seconds_before + time.monotonic() - self.began
        figures["used"] = [used[0], *vars(used[1]).values()] if used else None
        return Checkpoint(tensors, figures)

    def _restore(self, saved: Checkpoint) -> None:
        """Go on from a checkpoint, alone.

        Raises:
            Unfit: it cannot.
        """
        assert len(self.jobs) == 1
        _hold_against(saved.tensors, self._checkpoint(0).tensors)
        try:
            self._take_up(saved)
        except (LookupError, TypeError, ValueError) as error:
            raise Unfit(f"its figures are not those of a training ({error!r})") from error

    def _take_up(self, saved: Checkpoint) -> None:
        def part(prefix: str) -> State:
            return {k.removeprefix(prefix): v for k, v in saved.tensors.items() if k.startswith(prefix)}

        self.rig.load(0, part("state."))
        self.rig.optimizer.load(part("optimizer."))
        self.best_states = [part("best.")]
        self.rig.loss_sum[0] = saved.tensors["loss_sum"]
        self.rig.correct[0] = saved.tensors["correct"]
        self.step, self.seen, self.images = (int(saved.figures[name]) for name in ("step", "seen", "images"))
        self.forward = [int(saved.figures["forward"])]
        self.last_step = saved.figures.get("last_step", self.last_step)
        if not self.jobs[0].start_step <= self.step <= self.last_step:
            raise ValueError(f"step {self.step}")
        for number, acting in enumerate(self.acting):
            acting.restore(part(f"hook{number}."))
        if self.acting:
            self.acting[0].traces += [Trace(**trace) for trace in saved.figures["traces"]]
        self.seconds_before = float(saved.figures["seconds"])
        if saved.figures["used"]:
            epoch, *score = saved.figures["used"]
            self.used = [(epoch, Score(*score))]


def _hold_against(saved: State, own: State) -> None:
    """Compare the tensors of a checkpoint with those that the training begins with.

    Names, dtypes and shapes are to be equal, but for the best weights so far, which come with the first epoch's end,
    and for what hooks gather: what is empty at the begin grows, and more may come.

    Raises:
        Unfit: they differ.
    """
    best = {f"best.{name.removeprefix('state.')}": t for name, t in own.items() if name.startswith("state.")}
    if any(name.startswith("best.") for name in saved):
        own = own | best
    if missing := own.keys() - saved.keys():
        raise Unfit(f"it has no {min(missing)}")
    for name, tensor in saved.items():
        if name not in own:
            if not name.startswith("hook"):
                raise Unfit(f"it has {name}")
            continue
        expected = own[name]
        if tensor.dtype != expected.dtype or (expected.numel() and tensor.shape != expected.shape):
            kinds = (f"{one.dtype} of {list(one.shape)}".removeprefix("torch.") for one in (tensor, expected))
            raise Unfit("its {} is {}, not {}".format(name, *kinds))
