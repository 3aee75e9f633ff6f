"""What is lost to 200 kills of running searches, and what checkpoints cost those that are never killed."""

from __future__ import annotations

import multiprocessing as mp
import random
import tempfile
import threading
import time
from collections.abc import Iterator
from multiprocessing.connection import Connection
from pathlib import Path

from engine import tensors, workers
from engine.data import load
from engine.networks import initialise
from engine.training import Trainer, Training
from presets.schema import Data, Network, Recipe
from tests.bench.measuring import Figure
from tests.engine.killing import KINDS, faults, outcome, to_the_end
from tests.engine.running import Bench

EACH = 8
"""Kills of one run, before it is left to end: more of them than it takes to go through its rounds."""

SECONDS = 2.2 * workers.LEAST_SECONDS
"""How long a training goes on whose checkpoints are counted: time for two."""


def measure(kills: int) -> Iterator[Figure]:
    for number, kind in enumerate(KINDS):
        part = kills // len(KINDS) + (number < kills % len(KINDS))
        if part:
            yield _killed(kind, part)
    for width in (0.25, 2.0):
        yield _cost(width)


def _killed(kind: str, kills: int) -> Figure:
    draw = random.Random(f"kill {kind}")
    done = survived = planted = seen = lost = 0
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(Path(folder))
        whole = bench.create(KINDS[kind])
        bench.finish(whole)
        while done < kills:
            killed = to_the_end(bench, bench.create(KINDS[kind]), draw, min(EACH, kills - done))
            wrong = faults(bench, killed.run)
            wrong += [] if outcome(bench, killed.run) == outcome(bench, whole) else ["ended otherwise"]
            notes += wrong
            done, planted, seen, lost = (
                total + more
                for total, more in zip(
                    (done, planted, seen, lost),
                    (killed.kills, killed.planted, killed.seen, len(killed.lost)),
                    strict=True,
                )
            )
            survived += 0 if wrong else killed.kills
        bench.conn.close()
    note = f"of {done}, {planted} of them at planted points {'; '.join(notes)}".strip()
    beside = {"rows lost": float(lost), "rows seen": float(seen)}
    return Figure("kill", f"{kind}: survived", "kills", (float(survived),), note=note, least=done, beside=beside)


def _cost(width: float) -> Figure:
    """Per cent of the time that checkpoints take of a training: copied, sent, written and flushed."""
    data, network = load(Data()), Network(name="conv3", width=width)
    start = initialise(network, data.shape, 10, 0)
    job = Training(network, Recipe(lr=0.1, epochs=10_000, batch=64), data.all(), 0, start, {})
    written: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = mp.Pipe()
        writer = threading.Thread(target=_write, args=(ours, Path(folder), written))
        writer.start()
        saving = workers._Saving(lambda: written[-1] if written else 0.0)
        trainer = Trainer(data)
        course = trainer.course([job])
        sending, count, began = 0.0, 0, time.monotonic()
        while time.monotonic() - began < SECONDS:
            if course.settled and saving.due(course):
                at = time.monotonic()
                saving.send(theirs, course)
                sending, count = sending + time.monotonic() - at, count + 1
            course.advance()
        whole = time.monotonic() - began
        theirs.close()
        writer.join()
    size = sum(tensor.numel() for tensor in start.values())
    share = 100 * (sending + sum(written)) / whole
    each = {"checkpoints": float(count), "ms each": 1000 * (sending + sum(written)) / max(count, 1)}
    return Figure("kill", f"checkpoints of {size:,} weights", "%", (share,), most=2.0, beside=each)


def _write(pipe: Connection, folder: Path, written: list[float]) -> None:
    """Take checkpoints and write them, as the parent of a worker does."""
    try:
        while True:
            _, checkpoint = workers._receive(pipe)
            began = time.monotonic()
            if checkpoint.finite:
                tensors.write(folder / "checkpoint.safetensors", tensors.encode(checkpoint.tensors))
            written.append(time.monotonic() - began)
    except EOFError:
        return
