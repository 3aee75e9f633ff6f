"""A store in long use: one real run copied many times, with as many epochs as asked; and a run that seems live."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from pathlib import Path

from store.connection import connect
from store.liveness import this_process
from tests.bench.commands import own_store, tombola
from tests.program import TINY

COPIED = (
    *("attempts", "searches", "rounds", "trainings", "members", "epochs", "layers", "overlaps", "tickets", "arms"),
    *("evaluations", "checks", "log"),
)
"""Tables whose rows belong to a run, those that others refer to first."""

APART = 1_000_000
"""Between the numbers of a row and of its copy: above any number in the one run."""


def real_run(folder: Path) -> str:
    """A small run of the demo, trained for real, in the folder's store; gives its id."""
    told = subprocess.run(
        [tombola(), "run", "digits-demo", "--device", "cpu", "--detach", "--name", "bench", *TINY],
        env=own_store(folder), cwd=folder, check=True, capture_output=True, text=True,
    )  # fmt: skip
    run = told.stdout.strip()
    subprocess.run([tombola(), "wait", run], env=own_store(folder), cwd=folder, check=True, capture_output=True)
    return run


def crowd(db: Path, run: str, runs: int, epochs: int) -> None:
    """Copies of a run, the only one in its store, until there are `runs`, and epochs until there are `epochs`."""
    conn = connect(db)
    conn.execute("PRAGMA foreign_keys = OFF")  # rows come table by table
    conn.execute("BEGIN IMMEDIATE")
    for number in range(1, runs):
        _copy(conn, run, f"bench-{number:04}", number * APART)
    trainings = conn.execute("SELECT count(*) FROM trainings").fetchone()[0]
    each = -(-(epochs - conn.execute("SELECT count(*) FROM epochs").fetchone()[0]) // trainings)
    conn.execute(
        "WITH RECURSIVE more(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM more WHERE i < ?)"
        " INSERT INTO epochs (training, epoch, step, lr, train_loss, train_accuracy, validation_loss,"
        " validation_accuracy, seconds) SELECT e.training, e.epoch + i, e.step + 9 * i, e.lr, e.train_loss / (1 + i),"
        " e.train_accuracy, e.validation_loss, e.validation_accuracy, e.seconds FROM epochs AS e, more"
        " WHERE e.epoch = 1",
        (max(each, 0),),
    )
    conn.execute("COMMIT")
    conn.execute("ANALYZE")
    conn.close()


def _copy(conn: sqlite3.Connection, run: str, copy: str, shift: int) -> None:
    columns = [row[1] for row in conn.execute("PRAGMA table_info(runs)")]
    values = ", ".join("?2" if column == "id" else column for column in columns)
    conn.execute(f"INSERT INTO runs ({', '.join(columns)}) SELECT {values} FROM runs WHERE id = ?1", (run, copy))
    for table in COPIED:
        refers = {row[3]: row[2] for row in conn.execute(f"PRAGMA foreign_key_list({table})")}
        columns = [row[1] for row in conn.execute(f"PRAGMA table_info({table})")]
        shifted = {column for column, other in refers.items() if other != "runs"} | ({"id"} & set(columns))
        values = ", ".join(
            f"{c} + {shift}" if c in shifted else "?1" if refers.get(c) == "runs" else f'"{c}"' for c in columns
        )
        names = ", ".join(f'"{column}"' for column in columns)
        # The run itself has the numbers below the first copy's.
        own = " WHERE rowid < ?2" if "id" in columns else _members_of_the_run(table)
        conn.execute(f"INSERT INTO {table} ({names}) SELECT {values} FROM {table}{own}", (copy, APART))


def _members_of_the_run(table: str) -> str:
    return " WHERE round < ?2" if table in ("members", "layers", "overlaps") else ""


class Live:
    """A run that reads running, by this process, whose two newest members gain an epoch at each `step`."""

    def __init__(self, db: Path, run: str) -> None:
        self.conn, self.run = connect(db), run
        process = this_process()
        self.conn.execute("UPDATE runs SET state = 'running', ended = NULL, started = created WHERE id = ?", (run,))
        self.conn.execute(
            "UPDATE attempts SET ended = NULL, outcome = NULL, seconds = NULL, host = ?, boot_id = ?, pid = ?,"
            " pid_started = ?, doing = 'colt seed 0 round 2 members 0, 1' WHERE run = ?",
            (*(process[key] for key in ("host", "boot_id", "pid", "pid_started")), run),
        )
        [self.round] = self.conn.execute(
            "SELECT x.id FROM rounds AS x JOIN searches AS s ON s.id = x.search WHERE s.run = ? AND s.name = 'colt'"
            " AND x.seed = 0 ORDER BY x.round DESC LIMIT 1",
            (run,),
        ).fetchone()
        self.conn.execute("UPDATE rounds SET step = 'train' WHERE id = ?", (self.round,))
        rows = self.conn.execute("SELECT training FROM members WHERE round = ? ORDER BY member", (self.round,))
        self.trainings = [row[0] for row in rows]
        self.conn.executemany(
            "UPDATE trainings SET state = 'running', epochs = 5000, ended = NULL WHERE id = ?",
            [(training,) for training in self.trainings],
        )
        self.epoch = 1000  # beyond what is there

    def step(self) -> None:
        """An epoch of each member, in one transaction, with the heartbeat, as the engine writes them."""
        self.epoch += 1
        part = self.epoch - 1000
        self.conn.execute("BEGIN IMMEDIATE")
        for member, training in enumerate(self.trainings):
            loss = 2.0 / (1 + 0.1 * part) + 0.1 * member
            accuracy = 1 - 0.8 / (1 + 0.1 * part) - 0.02 * member
            self.conn.execute(
                "INSERT INTO epochs (training, epoch, step, lr, train_loss, train_accuracy, validation_loss,"
                " validation_accuracy, seconds) VALUES (?, ?, ?, 0.1, ?, ?, ?, ?, 1.0)",
                (training, part + 1, 19 * (part + 1), loss, accuracy, loss * 1.1, accuracy * 0.97),
            )
        self.conn.execute(
            "UPDATE attempts SET heartbeat = strftime('%Y-%m-%dT%H:%M:%fZ', 'now'), images_done = images_done + 100,"
            " seconds_left = ? WHERE run = ?",
            (max(3600.0 - part, 1.0), self.run),
        )
        self.conn.execute("COMMIT")

    def close(self) -> None:
        """Take back what was added."""
        self.conn.executemany("DELETE FROM epochs WHERE epoch > 1 AND training = ?", [(t,) for t in self.trainings])
        self.conn.close()


def paced(db: Path, run: str, seconds: float, until: float) -> None:
    """A live run with a step each `seconds`, to a moment of the monotonic clock; for a thread of its own."""
    live = Live(db, run)
    due = time.monotonic()
    while due < until:
        live.step()
        due += seconds
        time.sleep(max(0.0, due - time.monotonic()))
    live.close()
