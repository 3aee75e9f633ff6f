"""A copy of the finished run, for tests that do things to it; and keys that follow as soon as the app is idle."""

from __future__ import annotations

import asyncio
import shutil
import time

import pytest
import textual.app
from textual._wait import wait_for_idle
from textual.pilot import Pilot

from store.connection import connect
from tests.program import FinishedRun, Tombola

_press = Pilot.press


async def _soon_idle(_: float = 0.0) -> None:
    """Textual's `wait_for_idle` in steps of 4 ms."""
    deadline = time.monotonic() + 1
    while time.monotonic() < deadline:
        worked = time.process_time()
        await asyncio.sleep(0.004)
        if time.process_time() - worked < 0.0002:
            return


async def _press_and_settle(pilot: Pilot, *keys: str) -> None:
    await _press(pilot, *keys)
    await wait_for_idle(0)


# Textual waits twice after each key until the process has been idle for 20 ms, which was most of what tests of the app
# took: here it is so after the last of the keys that are pressed at once, and once.
textual.app.wait_for_idle = _soon_idle  # type: ignore[attr-defined]
Pilot.press = _press_and_settle  # type: ignore[method-assign]


@pytest.fixture
def copy(finished_run: FinishedRun, tombola: Tombola) -> Tombola:
    """A program whose store and files are copies of the finished run's, to do things to."""
    shutil.copytree(finished_run.tombola.db.parent, tombola.db.parent)
    conn = connect(tombola.db)
    conn.execute("UPDATE runs SET files = ?", (str(tombola.files),))
    conn.close()
    return tombola
