"""Text that others wrote, at its worst, on every screen: it shows as text, none of it acts, columns stay aligned.

The rows are put into a copy of the frozen store of real runs.
"""

from __future__ import annotations

import asyncio
import json
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import DataTable, Input, TextArea

from store.connection import connect
from tests.tui import snapshots
from tui.app.app import TombolaApp
from tui.app.screens.compare import CompareScreen
from tui.app.screens.new import NewScreen
from tui.app.screens.query import QueryScreen
from tui.app.screens.run import KINDS, RunScreen
from tui.app.screens.runs import RunsScreen
from tui.app.widgets.panel import Panel

MARKUP = "[red]R[/] [@click=app.leave]quit[/] [/] [b"
CONTROL = "a\x1b[31mb\x1b]0;t\x07c\x00\x9b2J\x7f\r\n\td"
RIGHT_TO_LEFT = "שלום \u202eevil\u202c \u2067العربية\u2069"
WIDE = "世界🧪試験 e\u0301\u0301 👩\u200d🔬 ⚠\ufe0f"
LONG = "長" * 5_000 + "x" * 5_000
PILED = "z" + "\u0301" * 10_000
ALL = (MARKUP, CONTROL, RIGHT_TO_LEFT, WIDE, LONG, PILED)

TEXTS = {
    "runs": ("name", "preset", "title", "paper", "expect", "note", "message", "device"),
    "attempts": ("host", "device", "device_name", "doing", "last_words"),
    "searches": ("name",),
    "arms": ("name",),
    "layers": ("layer",),
    "overlaps": ("layer",),
    "members": ("segment",),
    "samples": ("reason",),
    "traces": ("kind", "layer"),
    "alerts": ("kind", "message", "subject"),
    "log": ("message",),
    "checks": ("name", "part", "method", "question", "sentence", "unit", "x", "y"),
    "points": ("series",),
}
"""Columns of words. Which text one gets goes by the row, so that unique names stay so and columns have all of them."""


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[Path]:
    with snapshots.pinned(tmp_path) as db:
        conn = connect(db)
        conn.create_function("hostile", 2, lambda value, row: (ALL[hash(row) % len(ALL)] + str(value))[:10_500])
        for table, columns in TEXTS.items():
            (key,) = conn.execute(f"SELECT count(*) FROM pragma_table_info('{table}') WHERE name = 'id'").fetchone()
            row = "id" if key and table != "runs" else "length(created || id) + instr('mlvphu', substr(name, 1, 1))"
            row = row if key else f"length({columns[0]})"
            for column in columns:
                conn.execute(f"UPDATE {table} SET {column} = hostile({column}, {row})")
        published = {"p": {"label": MARKUP + WIDE, "source": LONG, "sparsity": [0.0, 0.4], "accuracy": [0.9, 0.8]}}
        conn.execute("UPDATE runs SET spec = json_set(spec, '$.published', json(?))", (json.dumps(published),))
        for number, text in enumerate(ALL):
            conn.execute(
                "INSERT INTO runs (id, name, preset, title, paper, expect, spec, note, state, message, keep, files,"
                " created, started) SELECT ?, ?, ?, ?, ?, ?, spec, ?, 'failed', ?, keep, files, ?, started"
                " FROM runs LIMIT 1",
                (f"evil-{number}", *[text] * 7, f"2099-01-01T00:00:0{number}.000000Z"),
            )
        conn.close()
        presets = tmp_path / ".config" / "tombola" / "presets"
        presets.mkdir(parents=True)
        for number, text in enumerate(ALL):
            words = json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's escapes are those of JSON
            (presets / f"mine-{number}.toml").write_text(f'extends = "digits-imp"\ntitle = {words}\nexpect = {words}\n')
        yield db


def check(app: TombolaApp) -> None:
    """Every line is as wide as the screen, and no cell holds what a terminal would obey or what markup made."""
    for strip in app.screen._compositor.render_strips():
        assert cell_len(strip.text) == app.size.width, strip.text
        kinds = {unicodedata.category(character) for character in strip.text}
        assert not kinds & {"Cc", "Cs", "Zl", "Zp"}, repr(strip.text)
        assert not set(strip.text) & set("\u202e\u202c\u2067\u2069"), repr(strip.text)
        for segment in strip:
            assert "app.leave" not in str(segment.style.meta if segment.style else "")
    assert not any("this panel failed" in panel.text for panel in app.screen.query(Panel))
    assert "the preview failed" not in shown(app)


def shown(app: TombolaApp) -> str:
    return snapshots.text_of(app)


def place(line: str, words: str) -> int:
    """The cell in which these words begin."""
    return cell_len(line[: line.index(words)])


async def until(app: TombolaApp, pilot: Pilot[None], words: str) -> None:
    await snapshots.until(pilot, lambda: words in shown(app))
    check(app)


@pytest.mark.parametrize("size", [(80, 24), (200, 60)], ids=["80x24", "200x60"])
def test_any_text_shows_as_text_everywhere(hostile, size):
    app = TombolaApp(hostile, hostile.with_suffix(".files"))

    async def go() -> None:
        async with app.run_test(size=size) as pilot:
            await until(app, pilot, "10 runs")
            await runs(app, pilot)
            for keys in ((), ("end",), ("end", "k"), ("end", "k", "k", "k")):
                await pilot.press("home", *keys, "enter")
                await run(app, pilot)
            await compare(app, pilot)
            await query(app, pilot)
            await new(app, pilot)

    asyncio.run(go())


async def runs(app: TombolaApp, pilot: Pilot[None]) -> None:
    for _ in range(10):
        await pilot.press("j")
        await pilot.pause(0.05)
        check(app)
    lines = shown(app).splitlines()
    head = next(line for line in lines if "round  sparsity" in line)
    for line in lines:
        if "failed" in line[:14]:
            assert place(line, "–") == place(head, "round") + 4
    for words in ("slash", *"[red]", "escape", "slash", "世", "escape", "slash", *"title:שלום", "enter"):
        await pilot.press(words)
        check(app)
    assert isinstance(app.screen, RunsScreen)
    await pilot.press("escape", "escape")


async def run(app: TombolaApp, pilot: Pilot[None]) -> None:
    await snapshots.until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen._scene is not None)
    check(app)
    for number in KINDS:
        await pilot.press(str(number))
        check(app)
        for key in ("j", "pageup", "pagedown", "v", "V", "a", "l", "h"):
            await pilot.press(key)
        await pilot.pause(0.05)
        check(app)
    await pilot.press("d", "s", "escape", "escape", "escape")
    while isinstance(app.screen, RunScreen):
        await pilot.press("escape")


async def compare(app: TombolaApp, pilot: Pilot[None]) -> None:
    await pilot.press("end", "space", "k", "space", "k", "space", "k", "space", "home", "space", "space", "c")
    await snapshots.until(pilot, lambda: isinstance(app.screen, CompareScreen) and app.screen._scene is not None)
    check(app)
    for number in "123":
        await pilot.press(number, "pagedown", "a", "x", "j")
        await pilot.pause(0.05)
        check(app)
    while isinstance(app.screen, CompareScreen):
        await pilot.press("escape")
    await pilot.press("escape", "home", "c")
    await pilot.pause(0.2)
    check(app)
    await pilot.press("escape")


async def query(app: TombolaApp, pilot: Pilot[None]) -> None:
    await pilot.press("Q")
    await snapshots.until(pilot, lambda: isinstance(app.screen, QueryScreen) and app.screen.is_mounted)
    app.screen.query_one("#sql", TextArea).text = f"SELECT id AS '{MARKUP}', title, note, 1 AS n FROM runs"
    await pilot.press("ctrl+r")
    await snapshots.until(pilot, lambda: app.screen.query_one(DataTable).row_count == 10)
    check(app)
    assert "[red]R[/]" in shown(app)
    app.screen.query_one("#sql", TextArea).text = f"SELECT {MARKUP}"
    await pilot.press("ctrl+r")
    await pilot.pause(0.2)
    check(app)
    await pilot.press("escape")


async def new(app: TombolaApp, pilot: Pilot[None]) -> None:
    await pilot.press("n")
    await snapshots.until(pilot, lambda: isinstance(app.screen, NewScreen) and app.screen.is_mounted)
    await pilot.press("slash", *"mine")
    for _ in ALL:
        await pilot.press("down")
        check(app)
    for name in ("seeds", "name", "sets", "device"):
        app.screen.query_one(f"#{name}", Input).value = MARKUP + WIDE
        await pilot.pause(0.02)
        check(app)
    await pilot.press("escape", "escape")
    await pilot.press("home", "N")
    await pilot.pause(0.2)
    check(app)
    await pilot.press("ctrl+e")
    await pilot.pause(0.2)
    check(app)
