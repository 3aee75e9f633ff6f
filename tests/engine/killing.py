"""Engines that are killed, by SIGKILL, at random instants or at planted points, and what is held against them.

The product knows nothing of it: a launcher puts a count around every rename, flush, removal and commit of the engine's
process, and it kills itself at the count it was given.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from store.editing import set_state
from store.files import object_path, run_folder, sha256_of
from tests.engine.running import FORKS, SECONDS, Bench, _fork

PLANTED = """
import functools, itertools, os, signal, sqlite3, sys
from engine import workers
from engine.__main__ import main
workers.LEAST_SECONDS, workers.SHARE, workers.CAUTIOUS = 0.05, 0.5, 1e12
fatal, engine, count = int(sys.argv.pop()), os.getpid(), itertools.count(1)
def point():
    if os.getpid() == engine and next(count) == fatal:
        os.kill(engine, signal.SIGKILL)
def around(act):
    def planted(*given, **named):
        point()
        done = act(*given, **named)
        point()
        return done
    return planted
for name in ("replace", "fsync", "unlink"):
    setattr(os, name, around(getattr(os, name)))
class Planted(sqlite3.Connection):
    def execute(self, sql, *given):
        act = super().execute
        return (around(act) if sql == "COMMIT" else act)(sql, *given)
sqlite3.connect = functools.partial(sqlite3.connect, factory=Planted)
sys.exit(main())
"""
"""An engine that makes checkpoints all the time, and dies at the point that its last argument counts; at none for 0."""

SMALL = {
    "title": "killed",
    "seeds": [0],
    "afresh": True,
    "keep": "rounds",
    "network": {"name": "conv3", "width": 0.1},
    "recipe": {"epochs": 4, "batch": 64, "lr": 0.1},
}
TICKETS = {"arms": {"dense": {}, "ticket": {"ticket": "each"}}}
IMP = {"method": "imp", "rate": {"conv": 0.4}, "rounds": 4, "rewind": "5 steps"}
KINDS = {
    "imp": SMALL | TICKETS | {"seeds": [0, 1], "searches": {"imp": IMP}},
    "colt": SMALL | TICKETS | {"searches": {"colt": {"method": "colt", "rounds": 4, "split": "random", "segments": 3}}},
    "prac": SMALL | TICKETS | {"searches": {"prac": {"method": "prac", "rate": {"conv": 0.4}, "rounds": 4}}},
    "moving": SMALL
    | TICKETS
    | {
        "flow": 1,
        "searches": {
            "set": {"method": "set", "sparsity": [0.5, 0.8], "every": 6},
            "gmp": {"method": "gmp", "sparsity": [0.5, 0.8], "begin": "3 steps", "end": 1, "every": 5},
        },
    },
    "checks": SMALL
    | {
        "searches": {"imp": IMP | {"rounds": 2}},
        "arms": {"ticket": {"ticket": "each"}, "shuffled": {"ticket": "each", "mask": "shuffled"}},
        "checks": {
            "mask": {"this": {"arm": "ticket"}, "that": {"arm": "shuffled"}, "at": 0.4},
            "stability": {"method": "stability", "steps": [0, "10 steps"], "points": 4, "at": [0.4]},
            "successive": {"method": "successive", "points": 3},
        },
    },
}
"""Experiments of every sort of search, with what each sets aside: points to go back to, sets, moving masks, checks."""

KEPT = (
    "SELECT u.role, u.sha256, t.key, r.round FROM file_uses u LEFT JOIN trainings t ON t.id = u.training"
    " LEFT JOIN tickets k ON k.id = u.ticket LEFT JOIN rounds r ON r.id = k.round WHERE u.run = :run"
    " ORDER BY 1, 2, 3, 4"
)
SETTLED = {"rounds": (3, "done"), "trainings": (2, "done")}
"""Which column of which value says that a row of this table will not change any more; of other tables every row is so,
but those of epochs and traces, which go when a training is begun afresh, and come again."""

Rows = dict[str, set[tuple]]


@dataclass
class Killed:
    """How a run that was killed again and again came to its end."""

    run: str
    planted: int = 0
    """Kills at planted points."""
    random: int = 0
    """Kills at random instants."""
    seen: int = 0
    """Rows that a reader saw before a kill."""
    lost: list[tuple] = field(default_factory=list)
    """Those of them that were gone or changed afterwards: at once, or at the end."""

    @property
    def kills(self) -> int:
        return self.planted + self.random


def outcome(bench: Bench, run: str) -> dict[str, list[tuple]]:
    """All that must be equal to that of a run never interrupted: rows, and the hashes of the files it keeps."""
    return bench.science(run) | {"files": bench.rows(KEPT, run)}


def faults(bench: Bench, run: str) -> list[str]:
    """What a finished run has left wrong: files that are not what their names say, or that nobody needs."""
    found = [f"{sha} is damaged" for _, sha, *_ in bench.rows(KEPT, run) if _hash(bench, sha) != sha]
    found += [f"{path} is left" for path in run_folder(bench.files, run).rglob("*") if path.is_file()]
    found += [f"{path} is left" for path in (bench.files / "objects").rglob(".*")]
    found += [f"row of {row}" for row in bench.rows("SELECT path FROM checkpoints", run)]
    found += [str(row) for row in bench.rows("PRAGMA foreign_key_check", run)]
    return found + [row[0] for row in bench.rows("PRAGMA integrity_check", run) if row != ("ok",)]


def _hash(bench: Bench, sha256: str) -> str:
    path = object_path(bench.files, sha256)
    return sha256_of(path) if path.exists() else ""


def to_the_end(bench: Bench, run: str, draw: random.Random, kills: int, points: int = 60) -> Killed:
    """Kill a run so often, every second time at one of an engine's first `points` planted points; then let it end."""
    killed = Killed(run)
    seen: Rows = {}
    while killed.kills < kills:
        planted = killed.planted <= killed.random
        died, before, after = attempt(bench, run, draw.randint(1, points) if planted else 0, draw.uniform(0.1, 2.5))
        if not died:
            break
        killed.planted += planted
        killed.random += not planted
        killed.lost += [(table, *row) for table in before for row in before[table] - after[table] if _lasts(table)]
        for table, rows in after.items():
            seen.setdefault(table, set()).update(rows)
        set_state(bench.conn, run, "running")
    if bench.state(run) != "finished":
        set_state(bench.conn, run, "running")
        assert not attempt(bench, run)[0]
    final = _settled(bench, run)
    killed.seen = sum(map(len, seen.values()))
    killed.lost += [(table, *row) for table, rows in seen.items() for row in rows - final[table]]
    return killed


def attempt(bench: Bench, run: str, point: int = 0, seconds: float = 0.0) -> tuple[bool, Rows, Rows]:
    """An engine, killed at a planted point or, where that is 0, after so many seconds, or never. Whether it was killed;
    the rows that a reader saw last before that, and the rows that were there after."""
    with TemporaryDirectory() as folder:
        streams = tuple(Path(folder) / name for name in ("in", "out", "err"))
        streams[0].touch()
        argv = ["-c", *bench.running(run), str(point)]
        process = FORKS.Process(target=_fork, args=(PLANTED, argv, streams, Path.cwd(), dict(os.environ)))
        process.start()
        began, before = time.monotonic(), _settled(bench, run)
        until = began + (seconds if seconds and not point else SECONDS)
        while process.exitcode is None and time.monotonic() < until:
            process.join(min(0.1, max(0.0, until - time.monotonic())))
            if process.exitcode is None:
                before = _settled(bench, run)
        process.kill()
        process.join()
        words = streams[1].read_text() + streams[2].read_text()
    assert process.exitcode in (0, -signal.SIGKILL), words
    assert seconds or point or process.exitcode == 0, "it did not come to its end in time"
    return process.exitcode != 0, before, _settled(bench, run)


def _settled(bench: Bench, run: str) -> Rows:
    """Rows that will not change any more, by table."""
    rows: Rows = {}
    bench.conn.execute("BEGIN")  # all as of one moment
    for table, found in outcome(bench, run).items():
        column, value = SETTLED.get(table, (None, None))
        rows[table] = {row for row in found if column is None or row[column] == value}
    bench.conn.execute("COMMIT")
    return rows


def _lasts(table: str) -> bool:
    """Whether its rows, once seen, stay from moment to moment, and not only in the end."""
    return table not in ("epochs", "traces")


def told(bench: Bench, run: str, words: str) -> bool:
    """Whether the run's log has a line with these words."""
    return any(words in row[0] for row in bench.rows("SELECT message FROM log WHERE run = :run", run))


def killed_when(bench: Bench, run: str, sql: str) -> None:
    """An engine, killed as soon as a query has rows."""
    with TemporaryDirectory() as folder:
        streams = tuple(Path(folder) / name for name in ("in", "out", "err"))
        streams[0].touch()
        argv = ["-c", *bench.running(run), "0"]
        process = FORKS.Process(target=_fork, args=(PLANTED, argv, streams, Path.cwd(), dict(os.environ)))
        process.start()
        until = time.monotonic() + SECONDS
        try:
            while not bench.rows(sql, run):
                assert process.exitcode is None, streams[2].read_text()
                assert time.monotonic() < until, "nothing came"
                time.sleep(0.01)
        finally:
            process.kill()
            process.join()
    set_state(bench.conn, run, "running")
