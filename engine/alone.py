"""One engine a run: a lock on the run's folder says so from the first moment, the store once the engine is ready.

The lock is this process's own: it ends with it, and no worker keeps it when the engine is killed. It holds on one
machine; where a file system cannot lock a folder, and between machines, the store alone decides, by the newest row of
`attempts`.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from store.connection import connect, transaction
from store.editing import set_state
from store.liveness import newest_attempt, state_of


class Taken(Exception):
    """Another engine has the folder."""


class Owned(Exception):
    """The run belongs to another engine."""


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """A block in which no other process of this machine is in such a block for `folder`, which is made if need be.

    Raises:
        Taken: one is.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    held = [os.open(folder, os.O_RDONLY)]

    def let_go() -> None:
        while held:
            os.close(held.pop())

    os.register_at_fork(after_in_child=let_go)
    try:
        try:
            fcntl.flock(held[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Taken from None
        except OSError:  # this file system has no such locks
            pass
        yield
    finally:
        let_go()


def unowned(newest: Mapping[str, Any], store: Path, before: int) -> None:
    """Refuse a run whose newest attempt is at work, or is not the one that was the newest `before`.

    Raises:
        Owned: says who does it.
    """
    sent_for = {"state": "running", "started": ""}
    process = f"process {newest['pid']} on {newest['host']}"
    if not newest["ended"] and state_of(sent_for, newest, store) == "running":
        raise Owned(f"{newest['run']} is being trained by {process}")
    if newest["id"] != before:
        raise Owned(f"{newest['run']} was taken up by {process} meanwhile")


def waits(state: str, newest: Mapping[str, Any] | None) -> bool:
    """Whether a run, with its newest attempt, waits for an engine that was sent for."""
    return state == "running" and (newest is None or bool(newest["ended"]))


def set_out(db: Path, run: str, before: int) -> None:
    """Have a run wait for this engine, unless it waits already; `before`: id of the newest attempt so far, or 0.

    Raises:
        Owned: another engine has taken it up since.
    """
    with closing(connect(db)) as conn, transaction(conn):
        newest = newest_attempt(conn, run)
        if newest:
            unowned(newest, db, before)
        row = conn.execute("SELECT state FROM runs WHERE id = ?", (run,)).fetchone()
        if row is None or not waits(row["state"], newest):
            set_state(conn, run, "running")
