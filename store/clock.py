"""What time it is for all who share a store: on a file system that several machines mount, the file server's time.

Their own clocks differ by seconds to hours, and who judged another machine's sign of life by them would call a living
engine lost, or a dead one running. The server stamps every file that is made on it, by one clock.
"""

from __future__ import annotations

import functools
import os
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from store.mounts import shared_file_system

ASKED_EVERY = 10.0
"""Seconds for which an answer of the file server is carried on: a clock gains or loses milliseconds in that time."""


def present(store: Path | None) -> datetime:
    """The present moment where `store` lies; by the clock of this machine where only that can know, or without one."""
    return datetime.now(UTC) if store is None else _clock(store).present()


@functools.cache
def _clock(store: Path) -> _Clock:
    return _Clock(store.parent, shared=shared_file_system(store) is not None)


class _Clock:
    """Of one folder."""

    def __init__(self, folder: Path, shared: bool) -> None:
        self._folder, self._shared = folder, shared
        self._answer: datetime | None = None
        self._asked = 0.0

    def present(self) -> datetime:
        if not self._shared:
            return datetime.now(UTC)
        passed = _elapsed() - self._asked
        if self._answer is None or passed > ASKED_EVERY:
            self._answer, self._asked, passed = stamped(self._folder), _elapsed(), 0.0
        # Where nothing can be made in the folder, the clock of this machine is all there is.
        return datetime.now(UTC) if self._answer is None else self._answer + timedelta(seconds=passed)


def stamped(folder: Path) -> datetime | None:
    """When a file made in `folder` just now was made, by whoever keeps the folder; None where none can be made."""
    try:
        handle, path = tempfile.mkstemp(prefix=".clock-", dir=folder)
        try:
            moment = os.fstat(handle).st_mtime
        finally:
            os.close(handle)
            os.unlink(path)
    except OSError:
        return None
    return datetime.fromtimestamp(moment, UTC)


def _elapsed() -> float:
    """Seconds by a clock that nobody sets and that goes on while the machine is suspended."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
