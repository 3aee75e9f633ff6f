"""One engine a run: a lock on the run's folder says so from the first moment, the store once the engine is ready.

The lock is this process's own: it ends with it, and no worker keeps it when the engine is killed. It holds on one
machine; where a file system cannot lock a folder, and between machines, the store alone decides.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


class Taken(Exception):
    """Another engine has the folder."""


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
