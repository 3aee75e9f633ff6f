"""Worker processes that train, and the pipes to them. The parent never trains: it stores, answers and keeps time.

Workers are forked before the parent opens the store for writing or computes on more than one thread (OpenMP's threads
do not survive a fork), so they share the data set and the imported libraries. Tiny networks train fastest on several
workers of one thread each; others on one worker with all threads. Requests and reports cross pipes by value.
"""

from __future__ import annotations

import io
import multiprocessing as mp
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any

import torch

from engine.training import Checkpoint, Epoch, NotFinite, Result, Stopped, Trainer, Training

Report = Epoch | Result | Checkpoint | Exception
"""What a worker says of its training: an epoch has ended; or it is done, stopped or failed, and the worker is free."""


@dataclass(frozen=True)
class Ready:
    """A worker's first word: where it has the images."""

    place: str


class WorkerDied(Exception):
    """A worker process ended by itself."""


class TrainingFailed(Exception):
    """A training raised an error; the text holds the worker's traceback when it is a fault of the program."""


@dataclass
class _Worker:
    process: Any
    pipe: Connection
    key: str | None = None


class Pool:
    """`count` forked workers with `threads` threads each, all training on `make_trainer()`'s data set.

    Trainings are handed out in the order given; `reports` yields what workers say.
    """

    def __init__(self, make_trainer: Callable[[], Trainer], count: int, threads: int) -> None:
        context = mp.get_context("fork")
        self.places: list[str] = []
        """Where the workers have the images, as far as they have said."""
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
        return sum(worker.key is None for worker in self._workers)

    @property
    def busy(self) -> list[str]:
        """Keys of the trainings under way."""
        return [worker.key for worker in self._workers if worker.key is not None]

    def submit(self, job: Training, resume: Checkpoint | None = None) -> None:
        """Give the training to a free worker."""
        worker = next(worker for worker in self._workers if worker.key is None)
        worker.key = job.key
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
                report = _receive(worker.pipe)
            except (EOFError, OSError):  # also in the middle of a message
                worker.process.join(5)
                code = worker.process.exitcode
                why = f"by signal {-code}" if code is not None and code < 0 else f"with exit code {code}"
                hint = "; signal 9 is often the system's answer to a lack of memory" if code == -signal.SIGKILL else ""
                raise WorkerDied(f"a training process ended {why}{hint}") from None
            if isinstance(report, Ready):
                self.places.append(report.place)
                continue
            key = worker.key
            assert key is not None
            if not isinstance(report, Epoch):
                worker.key = None
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
    """A worker's life: receive a training, do it, report, until the parent is gone."""
    for other in others:  # else a parent's end stays open in us, and no worker sees the parent die
        other.close()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):  # a whole group may be told; the parent decides
        signal.signal(number, signal.SIG_IGN)
    torch.set_num_threads(threads)
    trainer = make_trainer()
    with suppress(OSError):
        _send(pipe, Ready(trainer.batches.place))

    def should_stop() -> bool:
        return bool(stop.value) or os.getppid() != parent

    while True:
        try:
            job, resume = _receive(pipe)
        except (EOFError, OSError):
            return
        report: Report
        try:
            report = trainer.train(job, lambda epoch: _send(pipe, epoch), should_stop, resume)
        except Stopped as stopped:
            report = stopped.checkpoint
        except NotFinite as error:
            report = error
        except Exception:
            report = TrainingFailed(traceback.format_exc())
        try:
            _send(pipe, report)
        except OSError:
            return


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
