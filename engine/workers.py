"""Worker processes that train, and the pipes to them. The parent never trains: it stores, answers and keeps time.

Workers are forked before the parent opens the store for writing or computes on more than one thread (OpenMP's threads
do not survive a fork), so they share the data set and the imported libraries. On a CPU tiny networks train fastest on
several workers of one thread each, others on one worker with all threads; on a card one worker has several trainings
take turns, each on a stream of its own. Requests and reports cross pipes by value.
"""

from __future__ import annotations

import io
import math
import multiprocessing as mp
import os
import pickle
import queue
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from copy import copy
from dataclasses import dataclass, field
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from engine.heap import keep_freed
from engine.measurements import Errand, Measured, Measurement
from engine.networks import State
from engine.training import PATIENCE, Checkpoint, Course, Epoch, Result, Trainer, Training, Unfit

LEAST_SECONDS = 30.0
"""Between two checkpoints of a training, at least: nobody minds to compute so much again."""

SHARE = 0.01
"""Of a worker's time that checkpoints may take, their writing by the parent included. Half of what was allowed to them,
since a disk is not equally fast at all times."""

CAUTIOUS = 50e6
"""Bytes a second that a checkpoint is expected to take before one was made: a slow disk's."""


class NoRoom(Exception):
    """A training did not fit on the device; it has to be done again, from where it was.

    `at_once` were there or meant to be, itself included: 1 where it was alone, 0 where there is more room now.
    """

    def __init__(self, at_once: int) -> None:
        super().__init__("no room on the device")
        self.at_once = at_once


Report = Epoch | Result | Measured | Checkpoint | Exception
"""What a worker says: an epoch has ended; or a job is done, stopped or failed, and there is room again."""


class WorkerDied(Exception):
    """A worker process ended by itself."""


class Broken(Exception):
    """What a training needs has failed it: memory of this machine, or the device. The text says which, in one line."""


class TrainingFailed(Exception):
    """A training raised an error; the text holds the worker's traceback when it is a fault of the program."""


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    keys: list[str] = field(default_factory=list)


class Pool:
    """`count` forked workers with `threads` threads each, all training on `make_trainer()`'s data set.

    A worker has at most `together` trainings under way, those that are alike in stacks of up to `stack`. Trainings are
    handed out in the order given; `reports` yields what workers say of them, and `notes` collects what they have to say
    of themselves.
    """

    def __init__(
        self, make_trainer: Callable[[], Trainer], count: int, threads: int, together: int = 1, stack: int = 1
    ) -> None:
        context = mp.get_context("fork")
        self.together, self.stack = together, stack
        self.notes: list[str] = []
        self._noted: set[str] = set()
        self._stop = context.Value("b", 0, lock=False)
        self._writing = context.Value("d", 0.0, lock=False)
        self._workers: list[_Worker] = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve,
                args=(
                    *(theirs, [w.pipe for w in self._workers] + [ours], make_trainer, threads),
                    *(self._stop, self._writing, os.getpid()),
                ),
            )
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))

    @property
    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid for worker in self._workers]

    @property
    def free(self) -> int:
        """How many more trainings can be under way."""
        return sum(max(0, self.together - len(worker.keys)) for worker in self._workers)

    @property
    def busy(self) -> list[str]:
        """Keys of the trainings under way."""
        return [key for worker in self._workers for key in worker.keys]

    @property
    def most(self) -> int:
        """How many alike trainings would begin as one stack now, at least 1."""
        room = max(self.together - len(worker.keys) for worker in self._workers)
        return max(1, min(self.stack, room))

    def submit(self, jobs: Sequence[Training], resume: Checkpoint | None = None) -> None:
        """Give trainings that are alike, or one, to the worker that has the fewest."""
        worker = min(self._workers, key=lambda worker: len(worker.keys))
        worker.keys += [job.key for job in jobs]
        with suppress(OSError):  # a worker that is gone is found at the next look for reports
            _send(worker.pipe, (jobs, resume))

    def measure(self, job: Measurement, states: Sequence[State]) -> None:
        """Give a measurement of these states to the worker that has least to do."""
        worker = min(self._workers, key=lambda worker: len(worker.keys))
        worker.keys.append(job.key)
        alone = copy(job)  # with its key: what it is of has been done
        object.__setattr__(alone, "of", ())
        with suppress(OSError):
            _send(worker.pipe, (alone, states))

    def reports(self, timeout: float) -> Iterator[tuple[str, Report]]:
        """(key of the training or measurement, report) for all that came within `timeout` seconds.

        Raises:
            WorkerDied: a worker ended without being asked to.
        """
        by_pipe = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(by_pipe), timeout):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                key, report = _receive(worker.pipe)
            except (EOFError, OSError):  # also in the middle of a message
                worker.process.join(5)
                code = worker.process.exitcode
                why = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
                hint = "; signal 9 is often the system's answer to a lack of memory" if code == -signal.SIGKILL else ""
                raise WorkerDied(f"a training process ended {why}{hint}") from None
            if key is None:
                if report not in self._noted:  # workers of one run say the same
                    self._noted.add(report)
                    self.notes.append(report)
                continue
            if not (isinstance(report, Epoch) or (isinstance(report, Checkpoint) and report.goes_on)):
                worker.keys.remove(key)
            if isinstance(report, NoRoom) and report.at_once:  # once for all of a stack, which say the same
                self.together = min(self.together, max(1, (report.at_once + 1) // 2))
            yield key, report

    def stop(self) -> None:
        """Ask every training under way to stop between two steps; each then reports a checkpoint."""
        self._stop.value = 1

    def wrote(self, seconds: float) -> None:
        """Let workers know how long it took to write a checkpoint: the longer, the seldomer they make one."""
        self._writing.value = seconds

    def close(self) -> None:
        """End the workers, whatever they do."""
        for worker in self._workers:
            worker.pipe.close()
            worker.process.kill()
        for worker in self._workers:
            worker.process.join()


def _serve(
    pipe: Connection,
    others: list[Connection],
    make_trainer: Callable[[], Trainer],
    threads: int,
    stop: Any,
    writing: Any,
    parent: int,
) -> None:
    """A worker's life: receive trainings, do them, report, until the parent is gone."""
    for other in others:  # else a parent's end stays open in us, and no worker sees the parent die
        other.close()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a whole group may be told; the parent decides
        signal.signal(number, signal.SIG_IGN)
    keep_freed()
    torch.set_num_threads(threads)
    try:
        saving = _Saving(lambda: writing.value)
        _take_turns(pipe, make_trainer(), lambda: bool(stop.value) or os.getppid() != parent, saving)
    except OSError:  # the parent has gone
        return


class _Saving:
    """When a worker's trainings are due for a checkpoint, so that it stays within its `SHARE` of the time however many
    trainings take turns. `writing` tells how many seconds the parent took to write the last one."""

    def __init__(self, writing: Callable[[], float]) -> None:
        self._writing = writing
        self._last, self._seconds, self._files = -math.inf, 0.0, 0

    def due(self, course: Course) -> bool:
        now = time.monotonic()
        if now - course.kept < LEAST_SECONDS:
            return False
        if self._files:
            return now - self._last >= self._cost / SHARE
        weights = sum(t.numel() * t.element_size() for job in course.jobs for t in job.start.values())
        return now - course.kept >= 2 * weights / CAUTIOUS / SHARE  # weights and momentum

    @property
    def _cost(self) -> float:
        return self._seconds + self._files * self._writing()

    def send(self, pipe: Connection, course: Course) -> None:
        """Make checkpoints of a course, which goes on, and hand them to the parent."""
        began = time.monotonic()
        checkpoints = course.checkpoints()
        for job, checkpoint in zip(course.jobs, checkpoints, strict=True):
            checkpoint.goes_on = True
            _send(pipe, (job.key, checkpoint))
        course.kept = self._last = time.monotonic()
        self._seconds, self._files = self._last - began, len(checkpoints)


def _take_turns(pipe: Connection, trainer: Trainer, should_stop: Callable[[], bool], saving: _Saving) -> None:
    """Have all trainings that were given take turns, a step each, and report on them."""
    _send(pipe, (None, trainer.batches.place))
    given: queue.SimpleQueue[Any] = queue.SimpleQueue()
    # Read at all times: the parent may be writing a training while we write a result, each longer than a pipe is.
    threading.Thread(target=_read, args=(pipe, given), daemon=True).start()
    courses: list[Course | Errand] = []
    while True:
        while not courses or not given.empty():
            if (work := given.get()) is None:
                return
            if isinstance(work[0], Measurement):
                courses.append(Errand(trainer, *work))
                continue
            begun = _tried(partial(trainer.course, *work))
            if isinstance(begun, Course):
                courses.append(begun)
                if begun.rig.plain_because:
                    _send(pipe, (None, begun.rig.plain_because))
            else:
                _refuse(pipe, trainer, work[0], begun, courses)
            del begun  # else an ended one would keep its rig
        for place in range(len(courses) - 1, -1, -1):
            _turn(pipe, trainer, courses, place, should_stop, saving)
        if courses and all(course.waiting for course in courses):
            time.sleep(PATIENCE)


def _read(pipe: Connection, given: queue.SimpleQueue[Any]) -> None:
    """Pass on what the parent sends, and that it is gone."""
    with suppress(EOFError, OSError):
        while True:
            given.put(_receive(pipe))
    given.put(None)


def _turn(
    pipe: Connection,
    trainer: Trainer,
    courses: list[Course | Errand],
    place: int,
    should_stop: Callable[[], bool],
    saving: _Saving,
) -> None:
    """A turn of one course; it leaves the list when it is over."""
    course = courses[place]
    if course.settled and should_stop():
        said: Any = list(enumerate(course.checkpoints()))
        course.over = True
    else:
        if course.settled and isinstance(course, Course) and saving.due(course):
            saving.send(pipe, course)
        said = _tried(course.advance)
    jobs = course.jobs
    if isinstance(said, Exception):
        if isinstance(course, Errand):
            course.close()
        del courses[place], course  # with its rig
        _refuse(pipe, trainer, jobs, said, courses)
        return
    if course.over:
        del courses[place]
        if isinstance(course, Errand):
            course.close()
        else:
            trainer.end(course)
    for member, report in said:
        _send(pipe, (jobs[member].key, report))


def _refuse(
    pipe: Connection,
    trainer: Trainer,
    jobs: Sequence[Training | Measurement],
    why: Exception,
    courses: list[Course | Errand],
) -> None:
    """Say of trainings or a measurement that they cannot be done, or not beside what is there."""
    if isinstance(why, torch.OutOfMemoryError):
        at_once = len(jobs) + sum(len(course.jobs) for course in courses)
        idle = bool(trainer.idle)
        # After a spoilt capture torch may fail once more here; then that is what we have to say.
        failed = _tried(trainer.give_room)
        why = failed or NoRoom(0 if idle and at_once == 1 else at_once)
    for job in jobs:
        _send(pipe, (job.key, why))


def _tried(act: Callable[[], Any]) -> Any:
    """What `act` gives, or why it failed."""
    try:
        return act()
    except torch.OutOfMemoryError:
        return torch.OutOfMemoryError()  # a new one: the other's frames hold what did not fit
    except Unfit as error:
        return Unfit(str(error))
    except torch.AcceleratorError as error:
        words = str(error).strip().splitlines()[0]
        return Broken(f"the device failed ({words}); the run can go on once it works again, or on another")
    except Exception as error:
        if isinstance(error, MemoryError) or "can't allocate memory" in str(error):  # so torch says it
            return Broken("this machine has no memory left for it; the run can go on once there is some")
        return TrainingFailed(traceback.format_exc())


class _Pickler(pickle.Pickler):
    """Sends tensors as arrays, by value: torch's own pickling would share memory through open files."""

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            return torch.from_numpy, (value.contiguous().numpy(),)
        return NotImplemented


def _send(pipe: Connection, value: Any) -> None:
    buffer = io.BytesIO()
    _Pickler(buffer, protocol=5).dump(value)
    pipe.send_bytes(buffer.getbuffer())


def _receive(pipe: Connection) -> Any:
    return pickle.loads(pipe.recv_bytes())
