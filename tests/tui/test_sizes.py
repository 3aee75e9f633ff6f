"""A terminal is resized at will: the main screens fit whatever it is, and come back."""

from __future__ import annotations

import asyncio

from rich.cells import cell_len

from tests.tui import snapshots
from tui.app.app import TombolaApp
from tui.app.screens.compare import CompareScreen
from tui.app.screens.help import Help
from tui.app.screens.new import NewScreen
from tui.app.screens.query import QueryScreen
from tui.app.screens.run import RunScreen
from tui.app.screens.runs import RunsScreen
from tui.app.screens.settings import SettingsScreen
from tui.app.widgets.panel import Panel

SIZES = ((20, 5), (300, 80), (1, 1), (110, 30), (40, 60), (80, 24))

SCREENS = (
    (RunsScreen, ()),
    (Help, ("question_mark",)),
    (RunScreen, ("escape", "enter")),
    (CompareScreen, ("escape", "home", "space", "space", "c")),
    (QueryScreen, ("escape", "Q")),
    (NewScreen, ("escape", "n")),
    (SettingsScreen, ("ctrl+e",)),
)
"""Screens, and the keys that lead to each from the one before."""


def test_every_screen_takes_every_size(tmp_path):
    async def go(app: TombolaApp) -> None:
        async with app.run_test(size=SIZES[-1]) as pilot:
            await snapshots.until(pilot, lambda: {"4", "gpu", "sparsity,"} <= set(snapshots.text_of(app).split()))
            for kind, keys in SCREENS:
                await pilot.press(*keys)
                await snapshots.until(pilot, lambda kind=kind: isinstance(app.screen, kind) and app.screen.is_mounted)
                if kind is QueryScreen:
                    await pilot.press("ctrl+r")
                before = await snapshots.settled(app, pilot, still=1.0)
                for size in SIZES:
                    await pilot.resize_terminal(*size)
                    await pilot.pause()
                    lines = [strip.text for strip in app.screen._compositor.render_strips()]
                    assert (len(lines), {cell_len(line) for line in lines}) == (size[1], {size[0]}), kind
                    assert not any("this panel failed" in panel.text for panel in app.screen.query(Panel)), size
                if kind not in (NewScreen, SettingsScreen):  # their lists scroll to the cursor
                    assert await snapshots.settled(app, pilot, before) == before, "it looks as it did"

    with snapshots.pinned(tmp_path) as db:
        asyncio.run(go(TombolaApp(db, db.with_suffix(".files"))))
