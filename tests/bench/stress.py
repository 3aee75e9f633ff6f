"""One store under load: four engines that train tiny runs one after another, and eight readers, for a minute.

Every run is of one experiment, so all have to end with the same rows: what a run lacks was lost. An engine's wait is
its longest `Recorder.flush`, with all that it writes; a reader's is its longest question.
"""

from __future__ import annotations

import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from store.errors import StoreError
from store.live import Live
from store.reading import Reader
from tests.bench.measuring import Figure
from tests.engine.running import SPEC, Bench, python

SECONDS, SMALL_SECONDS = 60.0, 6.0
ENGINES, READERS = 4, 8

TINY = SPEC | {
    "seeds": [0],
    "recipe": {"epochs": 2, "batch": 256, "lr": 0.1},
    "searches": {"colt": {"method": "colt", "rounds": 2}},
    "arms": {"dense": {}, "ticket": {"ticket": "each"}},
    "checks": {},
}

ENGINE = """
import json, sys, time
from engine.recording import Recorder
from engine.__main__ import main
longest, changes, behind = 0.0, 0, 0
flush = Recorder.flush
def timed(self, insist=False):
    global longest, changes, behind
    began = time.perf_counter()
    flush(self, insist)
    longest = max(longest, time.perf_counter() - began)
    changes, behind = self.writer.conn.total_changes, behind + bool(self.behind)
Recorder.flush = timed
code = main()
print(json.dumps([code, longest, changes, behind]))
"""
"""An engine that prints its exit code, longest flush, changed rows, and how often it found the store locked."""

READER = """
import json, sys; from pathlib import Path; from tests.bench.stress import look
print(json.dumps(look(Path(sys.argv[1]), float(sys.argv[2]), sys.argv[3] == "live")))
"""

QUESTIONS = (
    "SELECT * FROM accuracy_by_sparsity",
    "SELECT * FROM cost_by_round",
    "SELECT * FROM overlap_by_round",
    "SELECT run, count(*) FROM log GROUP BY run",
    "SELECT count(*) FROM epochs",
)


def measure(_: int, small: bool = False) -> Iterator[Figure]:
    with TemporaryDirectory() as folder:
        found = stress(Path(folder), SMALL_SECONDS if small else SECONDS)
    for case, unit in (
        *(("rows written", "1/s"), ("runs finished", "runs"), ("questions answered", "1/s")),
        *(("longest write", "s"), ("longest question", "s")),
    ):
        yield Figure("stress", case, unit, (found[case],))
    for case in ("lock errors", "rows lost"):
        yield Figure("stress", case, "", (found[case],), most=0)


def stress(folder: Path, seconds: float) -> dict[str, float]:
    """What came of `seconds` (and of the runs that were under way then), by the names of the cases."""
    bench = Bench(folder)
    python("pass")  # what every engine is forked from has imported it by then
    began = time.monotonic()
    until = began + seconds
    with ThreadPoolExecutor(ENGINES + READERS) as pool:
        engines = [pool.submit(_train, folder, until) for _ in range(ENGINES)]
        readers = [pool.submit(_read, bench.db, seconds, number % 2 == 0) for number in range(READERS)]
        trained = list(chain.from_iterable(engine.result() for engine in engines))
        took = time.monotonic() - began
        looked = [reader.result() for reader in readers]
    return {
        "rows written": sum(rows for _, _, rows, _ in trained) / took,
        "runs finished": float(len(trained)),
        "questions answered": sum(count for count, _, _ in looked) / seconds,
        "longest write": max(longest for _, longest, _, _ in trained),
        "longest question": max(longest for _, longest, _ in looked),
        "lock errors": float(sum(behind for *_, behind in trained) + sum(errors for _, _, errors in looked)),
        "rows lost": float(_lost(bench, [run for run, *_ in trained])),
    }


def _train(folder: Path, until: float) -> list[tuple[str, float, int, int]]:
    """Runs one after another, at least one: id, longest flush, changed rows, and how often the store was locked."""
    bench = Bench(folder)  # a connection of this thread
    done: list[tuple[str, float, int, int]] = []
    while not done or time.monotonic() < until:
        run = bench.create(TINY)
        ended = python(ENGINE, *bench.running(run))
        if ended.returncode or ended.stderr:
            raise RuntimeError(ended.stdout + ended.stderr)
        code, longest, changes, behind = json.loads(ended.stdout.splitlines()[-1])
        if code:
            raise RuntimeError(ended.stdout)
        done.append((run, longest, changes, behind))
    return done


def _read(db: Path, seconds: float, live: bool) -> tuple[int, float, int]:
    ended = python(READER, db, str(seconds), "live" if live else "queries")
    if ended.returncode:
        raise RuntimeError(ended.stderr)
    count, longest, errors = json.loads(ended.stdout)
    return count, longest, errors


def look(db: Path, seconds: float, live: bool) -> tuple[int, float, int]:
    """Ask a store again and again, as the app does or with SQL: questions answered, the longest, errors."""
    count, longest, errors, until = 0, 0.0, 0, time.monotonic() + seconds
    app, reader = Live(db), Reader(db)
    while time.monotonic() < until:
        began = time.perf_counter()
        try:
            if live:
                for run in app.runs()[:4]:
                    app.view(run.id)
            else:
                for _ in reader.query(QUESTIONS[count % len(QUESTIONS)])[1]:
                    pass
            count += 1
        except (StoreError, sqlite3.Error) as error:
            print(error, file=sys.stderr)
            errors += 1
        longest = max(longest, time.perf_counter() - began)
    return count, longest, errors


def _lost(bench: Bench, runs: list[str]) -> int:
    """Rows that a run lacks of those that any has, and rows that differ."""
    wholes: list[dict[str, list[Any]]] = [bench.science(run) for run in runs]
    told = "SELECT message FROM log WHERE run = :run AND message NOT LIKE '%the store%' ORDER BY 1"
    for run, whole in zip(runs, wholes, strict=True):
        whole["log"] = bench.rows(told, run)
        whole["ended"] = bench.rows("SELECT state, count(*) FROM runs WHERE id = :run", run)
    lost = 0
    for table in wholes[0]:
        every = set().union(*(set(whole[table]) for whole in wholes))
        lost += sum(len(every - set(whole[table])) for whole in wholes)
    with closing(sqlite3.connect(bench.db)) as conn:
        [(verdict,)] = conn.execute("PRAGMA integrity_check")
    return lost + (verdict != "ok")
