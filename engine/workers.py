"""Worker processes that train, and the pipes to them. The parent never trains: it stores, answers and keeps time.

Workers are forked before the parent opens the store for writing or computes on more than one thread (OpenMP's threads
do not survive a fork), so they share the data set and the imported libraries. On a CPU tiny networks train fastest on
several workers of one thread each, others on one worker with all threads; on a card one worker has several trainings
take turns, each on a stream of its own. Requests and reports cross pipes by value.
"""

from __future__ import annotations

import io
import multiprocessing as mp
import os
import pickle
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from engine.training import PATIENCE, Checkpoint, Course, Epoch, NotFinite, Result, Trainer, Training


class NoRoom(Exception):
    """A training did not fit on the device beside those that were there; it has to be done again, from where it was."""


Report = Epoch | Result | Checkpoint | Exception
"""What a worker says of a training: an epoch has ended; or it is done, stopped or failed, and there is room again."""


class WorkerDied(Exception):
    """A worker process ended by itself."""


class TrainingFailed(Exception):
    """A training raised an error; the text holds the worker's traceback when it is a fault of the program."""


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    keys: list[str] = field(default_factory=list)


class Pool:
    """`count` forked workers with `threads` threads each, all training on `make_trainer()`'s data set.

    A worker has at most `together` trainings take turns. Trainings are handed out in the order given; `reports` yields
    what workers say of them, and `notes` collects what they have to say of themselves.
    """

    def __init__(self, make_trainer: Callable[[], Trainer], count: int, threads: int, together: int = 1) -> None:
        context = mp.get_context("fork")
        self.together = together
        self.notes: list[str] = []
        self._noted: set[str] = set()
        self._stop = context.Value("b", 0, lock=False)
        self._workers: list[_Worker] = []
        for _ in range(count):
            ours, theirs = context.Pipe()
            process = context.Process(
                target=_serve,
                args=(theirs, [w.pipe for w in self._workers] + [ours], make_trainer, threads, self._stop, os.getpid()),
            )
            process.start()
            theirs.close()
            self._workers.append(_Worker(process, ours))

    @property
    def free(self) -> int:
        """How many more trainings can be under way."""
        return sum(max(0, self.together - len(worker.keys)) for worker in self._workers)

    @property
    def busy(self) -> list[str]:
        """Keys of the trainings under way."""
        return [key for worker in self._workers for key in worker.keys]

    def submit(self, job: Training, resume: Checkpoint | None = None) -> None:
        """Give the training to the worker that has the fewest."""
        worker = min(self._workers, key=lambda worker: len(worker.keys))
        worker.keys.append(job.key)
        with suppress(OSError):  # a worker that is gone is found at the next look for reports
            _send(worker.pipe, (job, resume))

    def reports(self, timeout: float) -> Iterator[tuple[str, Report]]:
        """(key of the training, report) for all that came within `timeout` seconds.

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
            if not isinstance(report, Epoch):
                worker.keys.remove(key)
            if isinstance(report, NoRoom):
                if not worker.keys:
                    report = TrainingFailed("the device has not even room for this training alone: free some of it")
                elif len(worker.keys) < self.together:  # else it was given before there were fewer
                    self.together = (len(worker.keys) + 1) // 2
            yield key, report

    def stop(self) -> None:
        """Ask every training under way to stop between two steps; each then reports a checkpoint."""
        self._stop.value = 1

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
    parent: int,
) -> None:
    """A worker's life: receive trainings, do them, report, until the parent is gone."""
    for other in others:  # else a parent's end stays open in us, and no worker sees the parent die
        other.close()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a whole group may be told; the parent decides
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(threads)
    try:
        _take_turns(pipe, make_trainer(), lambda: bool(stop.value) or os.getppid() != parent)
    except (EOFError, OSError):  # the parent has gone
        return


def _take_turns(pipe: Connection, trainer: Trainer, should_stop: Callable[[], bool]) -> None:
    """Have all trainings that were given take turns, a step each, and report on them."""
    _send(pipe, (None, trainer.batches.place))
    courses: dict[str, Course] = {}
    while True:
        while not courses or pipe.poll():
            job, resume = _receive(pipe)
            course = _tried(lambda: trainer.course(job, resume))  # noqa: B023  called at once
            if isinstance(course, Course):
                courses[job.key] = course
                if course.rig.plain_because:
                    _send(pipe, (None, course.rig.plain_because))
            else:
                _send(pipe, (job.key, course))
            del course  # else an ended one would keep its rig
        for key, course in list(courses.items()):
            report = course.checkpoint() if course.settled and should_stop() else _tried(course.advance)
            if report is None:
                continue
            if not isinstance(report, Epoch):
                del courses[key]
                if isinstance(report, NoRoom):
                    del course
                    trainer.give_room()
                else:
                    trainer.end(course)
            _send(pipe, (key, report))
        if courses and all(course.waiting for course in courses.values()):
            time.sleep(PATIENCE)


def _tried(act: Callable[[], Any]) -> Any:
    """What `act` gives, or the report that it failed."""
    try:
        return act()
    except NotFinite as error:
        return error
    except torch.OutOfMemoryError:
        return NoRoom()
    except Exception:
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
