"""The trainings and measurements of a run: asked for, queued, done once, remembered.

Equal trainings have equal keys, and what another run has done is taken from there (`reuse`). Trained weights that a
search still needs wait as files until its round has ended, so an interrupted round goes on from its finished members,
and an interrupted training from its newest checkpoint (`aside`).
"""

from __future__ import annotations

import heapq
import json
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from engine import earlier, tensors
from engine.aside import Aside
from engine.measurements import Measured, Measurement, Observed
from engine.networks import State
from engine.outbox import printed
from engine.recording import Recorder
from engine.reuse import Elsewhere, joined, parted, result_of
from engine.training import Checkpoint, Epoch, NotFinite, Result, Score, Training, Unfit
from engine.workers import Broken, NoRoom, Pool, Report, TrainingFailed
from store.errors import Unusable
from store.naming import phrase


class Failed(Exception):
    """The run cannot go on; the text is the reason in one line."""


@dataclass
class _Wanted:
    job: Training
    about: Mapping[str, Any]
    keep: bool
    answers: list[Callable[[Result], None]] = field(default_factory=list)
    images: int = 0
    carried: int = 0


@dataclass
class _Measuring:
    """`states` by place in `job.of`: files of trained weights are read when a worker takes it up."""

    job: Measurement
    about: Mapping[str, Any]
    answers: list[Callable[[Measured], None]] = field(default_factory=list)
    ready: set[int] = field(default_factory=set)


class Trainings:
    """What was asked for and is not done, in the order of seeds and then of asking; what is done, by key.

    `elsewhere` is what other runs have done, None where everything is to be trained here. With `hold` the trained
    weights of every training stay aside until the run is finished: a check will look at them. `guessing`: how many
    validation images a training may get right by guessing, None where it is expected to do no better.
    """

    def __init__(
        self,
        pool: Pool,
        record: Recorder,
        folder: Path,
        seeds: tuple[int, ...],
        keep: str,
        elsewhere: Elsewhere | None = None,
        hold: bool = False,
        guessing: Callable[[Training], int | None] = lambda job: None,
    ) -> None:
        self._pool, self._record, self._seeds, self._keep = pool, record, seeds, keep
        self._aside = Aside(record, folder)
        self._guessing = guessing
        self._elsewhere, self._hold = elsewhere, hold
        self._wanted: dict[str, _Wanted] = {}
        self._queue: list[tuple[int, int, str]] = []
        self._asked = 0
        self._unsought: deque[str] = deque()
        self.carried = 0
        """Images of checkpoints that this attempt went on from and of trainings it took: done, but not by it."""
        self._done = {row["key"]: result_of(row, {}, row["seconds"]) for row in earlier.trainings(record)}
        self._given = set(self._done)
        self._told = False
        self._measuring: dict[str, _Measuring] = {}
        self._ready: deque[str] = deque()
        self._measured = earlier.measured(record)

    @property
    def open(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._wanted or self._measuring)

    @property
    def done(self) -> int:
        """How many trainings are done."""
        return len(self._done)

    @property
    def images(self) -> int:
        """Training images seen so far in this run, those of trainings under way included."""
        return sum(r.images for r in self._done.values()) + sum(w.images for w in self._wanted.values())

    @property
    def doing(self) -> str:
        """The trainings under way, in words."""
        return " · ".join(phrase((self._wanted.get(key) or self._measuring[key]).about) for key in self._pool.busy)

    def want(self, job: Training, about: Mapping[str, Any], then: Callable[[Result], None], keep: bool) -> None:
        """Have a training done and its result given to `then`: at once if it was done before.

        `keep`: the trained weights are needed, not the figures alone. `about` says in plain values what it is for.
        """
        if job.key in self._wanted:
            wanted = self._wanted[job.key]
            wanted.keep |= keep
            wanted.answers.append(then)
            return
        if job.key in self._done:
            result = self._done[job.key]
            if not keep:
                then(result)
                return
            ended = self._ended(job, about)
            if ended is not None:
                state, observed = parted(ended)
                then(replace(result, state=state, observed=observed))
                return
            del self._done[job.key]
            if not self._told:
                self._told = True
                words = "its weights were not kept, so it is trained again, as others may be (keep = all keeps them)"
                self._record.log("info", f"{phrase(about)}: {words}")
            if job.key in self._given:  # it will be done after all, and by this attempt
                self._given.remove(job.key)
                self.carried -= result.images
        self._wanted[job.key] = _Wanted(job, about, keep, [then])
        self._record.requested(job, about)
        self._enqueue(job.key)
        self._unsought.append(job.key)

    def measure(self, job: Measurement, about: Mapping[str, Any], then: Callable[[Measured], None]) -> None:
        """Have a measurement taken, after the trainings that it is of; at once if its figures are known."""
        if job.key in self._measured:
            then(self._measured[job.key])
            return
        if job.key in self._measuring:
            self._measuring[job.key].answers.append(then)
            return
        wanted = self._measuring[job.key] = _Measuring(job, about, [then])

        def trained(place: int, _: Result | None) -> None:
            wanted.ready.add(place)
            if len(wanted.ready) == len(job.of):
                self._ready.append(job.key)

        for place, one in enumerate(job.of):
            if isinstance(one, Training | Observed):
                job_of = one if isinstance(one, Training) else one.training
                self.want(job_of, about, partial(trained, place), keep=True)
            else:
                trained(place, None)

    def _enqueue(self, key: str) -> None:
        heapq.heappush(self._queue, (self._seeds.index(self._wanted[key].job.seed), self._asked, key))
        self._asked += 1

    def take_from_elsewhere(self) -> bool:
        """Take one of the trainings asked for since from a run that has done it; whether there was one to take.

        One at a time, since a big network's files take a while and the run has to show that it lives.
        """
        while self._elsewhere and self._unsought:
            key = self._unsought.popleft()
            wanted = self._wanted[key]
            weights = wanted.keep or self._hold or self._keep == "all"
            try:
                taken = None if self._record.behind else self._elsewhere.find(key, weights)
            except Unusable:  # then it is trained here
                taken = None
            if taken:
                self._queue = [entry for entry in self._queue if entry[2] != key]
                heapq.heapify(self._queue)
                self._record.taken(key, taken)
                self._given.add(key)
                self.carried += taken.result.images
                self._settle(key, taken.result)
                return True
        return False

    def hand_out(self) -> None:
        """Give queued work to free workers: measurements first, since others wait for them; alike trainings as stacks,
        interrupted ones alone, with what they left."""
        while self._ready and self._pool.free:
            job, about = (wanted := self._measuring[self._ready.popleft()]).job, wanted.about
            self._pool.measure(job, [self._state(one, about) for one in job.of])
        while self._queue and self._pool.free:
            first = heapq.heappop(self._queue)[2]
            if checkpoint := self._checkpoint(first):
                self._wanted[first].images = self._wanted[first].carried = checkpoint.figures["images"]
                self.carried += checkpoint.figures["images"]
            keys = [first] if checkpoint else [first, *self._like(first, self._pool.most - 1)]
            for key in keys:
                self._record.started(key, afresh=checkpoint is None)
            self._pool.submit([self._wanted[key].job for key in keys], checkpoint)

    def _checkpoint(self, key: str) -> Checkpoint | None:
        """What a training goes on from that was interrupted; whether it fits, only the training itself can tell."""
        words = phrase(self._wanted[key].about)
        while saved := self._aside.newest(key, words):
            with suppress(LookupError, TypeError, ValueError):
                figures = json.loads(saved[1]["figures"])
                return Checkpoint(saved[0], figures | {"images": int(figures["images"])})
            self._aside.unfit(key, words, "it says nothing of its training")
        return None

    def _state(self, of: Training | Observed | State, about: Mapping[str, Any]) -> State:
        """The weights that a measurement is of; its trainings are done, and were to keep theirs.

        Raises:
            Failed: the file has been damaged since.
        """
        if not isinstance(of, Training | Observed):
            return of
        held = self._aside.end((of if isinstance(of, Training) else of.training).key, phrase(about))
        if held is None:
            raise Failed(f"{phrase(about)}: trained weights were damaged while it ran: a resumed run trains them again")
        state, observed = parted(held[0])
        return state if isinstance(of, Training) else of.among(observed)

    def _ended(self, job: Training, about: Mapping[str, Any]) -> State | None:
        """What a finished training of this run ended with, out of the file set aside or the one that is kept."""
        words = phrase(about)
        if held := self._aside.end(job.key, words):
            if _fits(job, held[0]):
                return held[0]
            self._aside.unfit_end(job.key, words)
        state = earlier.kept_weights(self._record, job.key)
        if state is None or not _fits(job, state):
            return None
        self._aside.keep_end(job.key, tensors.encode(state))
        return state

    def _like(self, first: str, most: int) -> list[str]:
        """Queued trainings that can be stacked with this one, in their order, taken off the queue: so many that the
        whole stack is of 2, 4 or 8, since each size costs its own preparation."""
        likeness = self._wanted[first].job.likeness
        found = []
        for entry in sorted(self._queue)[: 8 * most]:
            job = self._wanted[entry[2]].job
            if job.likeness == likeness and self._aside.step(job.key) is None:
                found.append(entry)
        count = min(most, len(found)) + 1
        del found[(1 << (count.bit_length() - 1)) - 1 :]
        for entry in found:
            self._queue.remove(entry)
        if found:
            heapq.heapify(self._queue)
        return [entry[2] for entry in found]

    def take(self, key: str, report: Report) -> None:
        """Keep what a worker reports, and answer those who wait for a result.

        Raises:
            Failed: the training failed.
        """
        if key in self._measuring:
            return self._take_measured(key, report)
        wanted = self._wanted[key]
        if isinstance(report, Epoch):
            job = wanted.job
            wanted.images = job.images * (report.step - job.start_step) // max(1, job.last_step - job.start_step)
            self._record.epoch(key, report)
        elif isinstance(report, Checkpoint):
            self._keep_checkpoint(key, report)
        elif isinstance(report, Result):
            self._record.done(key, report)
            self._settle(key, report)
        elif isinstance(report, NoRoom):
            if report.at_once == 1:
                words = "the device has no room even for this training alone: free some of its memory, or take another"
                raise Failed(f"{phrase(wanted.about)}: {words}")
            self._again(key)
            self._record.fewer_together(self._pool.together)
            words = f"no room for {phrase(wanted.about)} beside the others"
            self._record.log("warning", f"{words}: from here on at most {self._pool.together} at once")
        elif isinstance(report, Unfit):
            self._aside.unfit(key, phrase(wanted.about), str(report))
            self._again(key)
        elif isinstance(report, NotFinite):
            step = self._aside.step(key)
            last = "it has no checkpoint" if step is None else f"its last good checkpoint is of step {step}"
            words = f"{phrase(wanted.about)}: {report}; {last}"
            self._record.alert("not finite", words, phrase(wanted.about), _place(wanted.about))
            raise Failed(words)
        else:
            raise self._failed(wanted.about, report)
        return None

    def _again(self, key: str) -> None:
        """It could not begin: once more, from what it then has to go on from."""
        wanted = self._wanted[key]
        self.carried -= wanted.carried
        wanted.images = wanted.carried = 0
        self._enqueue(key)

    def _keep_checkpoint(self, key: str, checkpoint: Checkpoint) -> None:
        """Where the disk does not take it, the training goes on, and the checkpoint before stays the newest."""
        began = time.monotonic()
        if checkpoint.finite:  # else the one before is the last that is good
            content = tensors.encode(checkpoint.tensors, {"figures": json.dumps(checkpoint.figures)})
            try:
                self._aside.keep(key, checkpoint.figures["step"], content)
            except OSError as error:
                words = f"a checkpoint of {phrase(self._wanted[key].about)} cannot be written"
                self._record.log("warning", f"{words}: {error.strerror}: {error.filename}")
        self._pool.wrote(time.monotonic() - began)

    def _take_measured(self, key: str, report: Report) -> None:
        """As `take`, of a measurement: one that was stopped is begun anew by the next attempt."""
        wanted = self._measuring[key]
        if isinstance(report, Measured):
            del self._measuring[key]
            self._record.measured(wanted.job, wanted.about, report)
            if report.figures:
                self._measured[key] = report
            for then in wanted.answers:
                then(report)
        elif isinstance(report, NoRoom):
            if report.at_once == 1:
                raise Failed(f"{phrase(wanted.about)}: the device has no room for this measurement: free its memory")
            self._ready.append(key)
        elif not isinstance(report, Checkpoint):
            raise self._failed(wanted.about, report)

    @staticmethod
    def _failed(about: Mapping[str, Any], report: Report) -> Failed:
        """A fault of the program, or of what it runs on, in one line."""
        if isinstance(report, Broken):
            return Failed(f"{phrase(about)}: {report}")
        printed(str(report))
        text = str(report).strip().splitlines()[-1] if isinstance(report, TrainingFailed) else repr(report)
        return Failed(f"{phrase(about)}: {text} (the traceback is in the run's engine.log)")

    def _settle(self, key: str, result: Result) -> None:
        """A training is done: keep what is needed of its weights, and answer those who wait for it."""
        wanted = self._wanted.pop(key)
        self._judge(wanted, result.validation)
        if wanted.keep or self._hold:
            self._aside.keep_end(key, tensors.encode(joined(result)))
        if self._keep == "all" or (self._keep == "rounds" and wanted.keep):
            self._record.file(tensors.encode(joined(result)), "trained", key)
        self._done[key] = Result({}, *_figures(result))
        self._aside.over(key)
        for then in wanted.answers:
            then(result)

    def _judge(self, wanted: _Wanted, score: Score) -> None:
        """Tell of the first training of a search or arm that does no better than guessing."""
        most = self._guessing(wanted.job)
        if most is None or score.correct > most:
            return
        about = wanted.about
        got = f"{phrase(about)} got {score.correct} of {score.count} validation images right"
        words = f"{got}, and guessing gets up to {most} (999 times in 1,000); told once for {_subject(about)}"
        self._record.alert("chance", words, _subject(about))

    def forget_weights(self, keys: list[str]) -> None:
        """The round of these trainings has ended: their weights go once its rows are written, unless they are held."""
        if not self._hold:
            self._aside.forget(keys)

    def forget_all_weights(self) -> None:
        """The run is finished: what weights it had aside goes."""
        self._aside.clear()


def _fits(job: Training, held: State) -> bool:
    """Whether weights are of a training's network, by name and shape."""
    shapes = {name: tensor.shape for name, tensor in parted(held)[0].items()}
    return shapes == {name: tensor.shape for name, tensor in job.start.items()}


def _place(about: Mapping[str, Any]) -> tuple[str, int, int] | None:
    """Search, seed and round of a training, where it is of one."""
    if not about.get("search") or about.get("round") is None:
        return None
    return about["search"], about["seed"], about["round"]


def _subject(about: Mapping[str, Any]) -> str:
    """What a training is part of, whatever the seed and round."""
    search, arm = about.get("search"), about.get("arm")
    if arm:
        return f"arm {arm}" + (f" of {search}" if search else "")
    return f"check {about['check']}" if about["what"] == "check" else f"{search}"


def _figures(result: Result) -> tuple[Any, ...]:
    return (
        result.epoch_used,
        result.validation,
        result.test,
        result.images,
        result.images_forward,
        result.seconds,
    )
