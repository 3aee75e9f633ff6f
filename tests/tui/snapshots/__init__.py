"""The app's screens as text files, drawn from a store that never changes: a frozen copy of real runs.

`store.sql.xz` is that store, `asked.json` what the engine answered about it, and a folder for each size of terminal
holds a file for each screen. `python -m tests.tui.snapshots` draws the files anew; its `--store` runs the engine anew
first, after which every file is another.
"""

from __future__ import annotations

import json
import lzma
import os
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from textual.pilot import Pilot
from textual.widgets import Input

from store.connection import connect
from tui import hardware, launch
from tui.app.app import TombolaApp
from tui.app.screens import new, runs
from tui.app.screens.compare import CompareScreen
from tui.app.screens.help import Help
from tui.app.screens.new import NewScreen
from tui.app.screens.query import QueryScreen
from tui.app.screens.run import RunScreen
from tui.app.screens.settings import SettingsScreen

FOLDER = Path(__file__).parent
STORE, ASKED = FOLDER / "store.sql.xz", FOLDER / "asked.json"

SIZES = ((80, 24), (120, 40), (200, 60))

GRID = 120
"""Columns from which a run and a comparison are a grid of panels."""

LANE = ("fast", 0)
"""The search and seed of the prac run whose hardest samples are shown."""

MACHINE = hardware.Machine(
    cores=16,
    use=35,
    used=41.5,
    total=128.0,
    load=5.5,
    cards=(
        hardware.Card("0", "NVIDIA H100 80GB HBM3", 95, 61.2, 79.6, 640, 700, 68, (hardware.User(7, "ada", "demo"),)),
        hardware.Card("1", "NVIDIA H100 80GB HBM3", 0, 0.5, 79.6, 70, 700, 31),
    ),
)
"""What the app is told of the machine under it: every machine would draw another foot."""


class StillWatcher(hardware.Watcher):
    """Tells of the same machine, once."""

    def start(self) -> None:
        self._tell(MACHINE)

    def stop(self) -> None:
        pass


def restore(db: Path) -> None:
    """Write the frozen store to `db`, with the schema of today."""
    conn = sqlite3.connect(db)
    conn.executescript(lzma.decompress(STORE.read_bytes()).decode())
    conn.close()
    connect(db).close()


def _planned(*_: object, **__: object) -> dict[str, Any]:
    return json.loads(ASKED.read_text())["plan"]


def _samples(_db: Path, _files: Path | None, run: str, search: str, seed: int, number: int, _: int) -> dict[str, Any]:
    answer = json.loads(ASKED.read_text())["samples"]
    assert (search, seed, number) == (answer["search"], answer["seed"], answer["round"]), run
    return answer


@contextmanager
def pinned(home: Path) -> Iterator[Path]:
    """The restored store, in a process where clock, home and machine are always the same; gives back its path."""
    db = home / "tombola.db"
    restore(db)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOMBOLA", "XDG_", "NO_COLOR"))}
    with (
        patch.dict(os.environ, kept | {"HOME": str(home), "TZ": "UTC"}, clear=True),
        patch.object(hardware, "Watcher", StillWatcher),
        patch.object(new, "plan", _planned),
        patch.object(launch, "samples", _samples),
    ):
        time.tzset()
        try:
            yield db
        finally:
            os.environ.pop("TZ")
    time.tzset()


def text_of(app: TombolaApp) -> str:
    """The screen as a file holds it: without blanks at the ends of lines, and without how long a query took."""
    lines = [strip.text.rstrip() for strip in app.screen._compositor.render_strips()]
    return re.sub(r"in \d+ ms", "in … ms", "\n".join(lines)) + "\n"


async def walk(app: TombolaApp, pilot: Pilot[None]) -> AsyncIterator[str]:
    """Go from screen to screen; gives back the name of the file of each as soon as the keys to it are pressed."""

    async def at(kind: type, *keys: str) -> None:
        await pilot.press(*keys)
        await until(pilot, lambda: isinstance(app.screen, kind) and app.screen.is_mounted)

    grid = app.size.width >= GRID
    yield "runs"
    await pilot.press("slash", *"method:prac")
    yield "runs-filtered"
    await pilot.press("escape", "home")
    await at(Help, "question_mark")
    yield "help"
    await at(RunScreen, "escape", "enter")
    if grid:
        yield "run"
    for number in (1, 2, 3, 4, 5, 6, 7, 0):
        await pilot.press(str(number))
        yield f"run-{number}"
    await at(runs.RunsScreen, *["escape"] * (1 + grid))
    await at(RunScreen, "end", "k", "enter")
    await pilot.press("8")
    for lane in ("imp seed 0", "imp seed 1"):
        await until(pilot, lambda lane=lane: f"· {lane}" in text_of(app))
        await pilot.press("j")
    await until(pilot, lambda: "· {} seed {}".format(*LANE) in text_of(app))
    yield "run-8"
    await pilot.press("9")
    yield "run-9"
    await at(runs.RunsScreen, *["escape"] * (1 + grid))
    await at(RunScreen, "end", "enter", "6")
    yield "run-lost"
    await at(runs.RunsScreen, *["escape"] * (1 + grid))
    await at(CompareScreen, "home", "space", "space", "c")
    if grid:
        yield "compare"
    for number in (1, 2, 3):
        await pilot.press(str(number))
        yield f"compare-{number}"
    await at(runs.RunsScreen, *["escape"] * (1 + grid))
    await at(QueryScreen, "escape", "home", "Q")
    await pilot.press("ctrl+r")
    yield "query"
    await at(runs.RunsScreen, "escape")
    await at(NewScreen, "n")
    await pilot.press("slash", *"digits-demo")
    await until(pilot, lambda: app.screen.query_one("#name", Input).value == "digits-demo")
    yield "new"
    await at(SettingsScreen, "ctrl+e")
    yield "settings"


async def until(pilot: Pilot[None], condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, text_of(pilot.app)  # type: ignore[arg-type]
        await pilot.pause(0.05)


async def settled(
    app: TombolaApp, pilot: Pilot[None], wanted: str | None = None, still: float = 1.0, most: float = 10.0
) -> str:
    """The screen, once it is as `wanted`, or has been the same for `still` seconds."""
    deadline = time.monotonic() + most
    seen, since = text_of(app), time.monotonic()
    while seen != wanted and time.monotonic() < min(since + still, deadline):
        await pilot.pause(0.05)
        now = text_of(app)
        if now != seen:
            seen, since = now, time.monotonic()
    return seen
