"""The trainings of a run: asked for, queued, done once, remembered.

Equal trainings have equal keys. Trained weights that a search still needs wait as files until its round has ended, so
an interrupted round goes on from its finished members; a training interrupted on request goes on from its checkpoint.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from engine import tensors
from engine.recording import Recorder
from engine.training import Checkpoint, Epoch, NotFinite, Result, Score, Training
from engine.workers import NoRoom, Pool, Report, TrainingFailed


class Failed(Exception):
    """The run cannot go on; the text is the reason in one line."""


@dataclass
class _Wanted:
    job: Training
    about: Mapping[str, Any]
    keep: bool
    answers: list[Callable[[Result], None]] = field(default_factory=list)
    images: int = 0


class Trainings:
    """What was asked for and is not done, in the order of seeds and then of asking; what is done, by key."""

    def __init__(self, pool: Pool, record: Recorder, folder: Path, seeds: tuple[int, ...], keep: str) -> None:
        self._pool, self._record, self._folder, self._seeds, self._keep = pool, record, folder, seeds, keep
        self._wanted: dict[str, _Wanted] = {}
        self._queue: list[tuple[int, int, str]] = []
        self._asked = 0
        self.carried = 0
        """Images in checkpoints that this attempt went on from: done, but not by it."""
        self._done = {row["key"]: _without_weights(row) for row in record.done_before()}

    @property
    def open(self) -> bool:
        """Whether anything is left to do."""
        return bool(self._wanted)

    @property
    def images(self) -> int:
        """Training images seen so far in this run, those of trainings under way included."""
        return sum(r.images for r in self._done.values()) + sum(w.images for w in self._wanted.values())

    @property
    def doing(self) -> str:
        """The trainings under way, in words."""
        return " · ".join(phrase(self._wanted[key].about) for key in self._pool.busy)

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
            weights = self._weights(job.key)
            if not keep:
                then(result)
                return
            if weights.exists():
                then(Result(tensors.read(weights)[0], *_figures(result)))
                return
            del self._done[job.key]
        self._wanted[job.key] = _Wanted(job, about, keep, [then])
        self._record.requested(job, about)
        self._enqueue(job.key)

    def _enqueue(self, key: str) -> None:
        heapq.heappush(self._queue, (self._seeds.index(self._wanted[key].job.seed), self._asked, key))
        self._asked += 1

    def hand_out(self) -> None:
        """Give queued trainings to free workers, with their checkpoints where they were interrupted."""
        while self._queue and self._pool.free:
            key = heapq.heappop(self._queue)[2]
            checkpoint = None
            if self._live(key).exists():
                held, metadata = tensors.read(self._live(key))
                checkpoint = Checkpoint(held, json.loads(metadata["figures"]))
                self._wanted[key].images = checkpoint.figures["images"]
                self.carried += checkpoint.figures["images"]
            self._record.started(key, afresh=checkpoint is None)
            self._pool.submit(self._wanted[key].job, checkpoint)

    def take(self, key: str, report: Report) -> None:
        """Keep what a worker reports, and answer those who wait for a result.

        Raises:
            Failed: the training failed.
        """
        wanted = self._wanted[key]
        if isinstance(report, Epoch):
            job = wanted.job
            wanted.images = job.images * (report.step - job.start_step) // max(1, job.last_step - job.start_step)
            self._record.epoch(key, report)
        elif isinstance(report, Checkpoint):
            metadata = {"figures": json.dumps(report.figures)}
            tensors.write(self._live(key), tensors.encode(report.tensors, metadata))
        elif isinstance(report, Result):
            if wanted.keep:
                tensors.write(self._weights(key), tensors.encode(report.state))
            if self._keep == "all" or (self._keep == "rounds" and wanted.keep):
                self._record.file(tensors.encode(report.state), "trained", key)
            self._record.done(key, report)
            self._done[key] = Result({}, *_figures(report))
            del self._wanted[key]
            self._live(key).unlink(missing_ok=True)
            for then in wanted.answers:
                then(report)
        elif isinstance(report, NoRoom):
            self._enqueue(key)
            self._record.fewer_together(self._pool.together)
            words = f"no room for {phrase(wanted.about)} beside the others"
            self._record.log("warning", f"{words}: from here on at most {self._pool.together} at once")
        elif isinstance(report, NotFinite):
            raise Failed(f"{phrase(wanted.about)}: {report}")
        else:
            print(report, flush=True)  # into the run's engine.log
            text = str(report).strip().splitlines()[-1] if isinstance(report, TrainingFailed) else repr(report)
            raise Failed(f"{phrase(wanted.about)}: {text} (the traceback is in the run's engine.log)")

    def forget_weights(self, keys: list[str]) -> None:
        """The round of these trainings has ended: their weights go once its rows are written."""
        for key in keys:
            self._record.after_flush(partial(self._weights(key).unlink, missing_ok=True))

    def _weights(self, key: str) -> Path:
        return self._folder / "trained" / f"{key}.safetensors"

    def _live(self, key: str) -> Path:
        return self._folder / "live" / f"{key}.safetensors"


def phrase(about: Mapping[str, Any]) -> str:
    """What a training is for, in a few words."""
    where = f"{about['search']} " if about.get("search") else ""
    number = f" round {about['round']}" if about.get("round") is not None else ""
    part = {"member": f" member {about.get('member')}", "point": " rewind point"}.get(
        about["what"], f" {about.get('arm')}"
    )
    return f"{where}seed {about['seed']}{number}{part}"


def _figures(result: Result) -> tuple[Any, ...]:
    return (
        result.epoch_used,
        result.validation,
        result.test,
        result.images,
        result.images_forward,
        result.seconds,
    )


def _without_weights(row: Mapping[str, Any]) -> Result:
    validation, test = (
        Score(*(row[f"{split}_{name}"] for name in ("correct", "count", "loss"))) for split in ("validation", "test")
    )
    return Result({}, row["epoch_used"], validation, test, row["images"], row["images_forward"], row["seconds"])
