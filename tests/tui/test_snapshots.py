"""Every screen at three sizes, as the text files in tests/tui/snapshots have it.

`python -m tests.tui.snapshots` (`make snapshots`) draws them anew; what has changed is then read in git's diff.
"""

from __future__ import annotations

import asyncio
import difflib

import pytest

from tests.tui import snapshots
from tui.app.app import TombolaApp


@pytest.mark.parametrize("size", snapshots.SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_screens_look_as_they_did(size, tmp_path):
    folder = snapshots.FOLDER / f"{size[0]}x{size[1]}"
    accepted = {path.stem: path.read_text() for path in folder.glob("*.txt")}
    drawn: dict[str, str] = {}

    async def go(app: TombolaApp) -> None:
        async with app.run_test(size=size) as pilot:
            async for name in snapshots.walk(app, pilot):
                patience = 2.0 if all(drawn[one] == accepted.get(one) for one in drawn) else 0.5
                drawn[name] = await snapshots.settled(app, pilot, accepted.get(name), patience)

    with snapshots.pinned(tmp_path) as db:
        asyncio.run(go(TombolaApp(db, db.with_suffix(".files"))))
    assert drawn.keys() == accepted.keys()
    changed = [name for name in drawn if drawn[name] != accepted[name]]
    if changed:
        lines = [line for name in changed for line in _difference(name, accepted[name], drawn[name])]
        pytest.fail("\n".join([*lines, "", "if that is as it should be: python -m tests.tui.snapshots"]), pytrace=False)


def _difference(name: str, before: str, now: str) -> list[str]:
    texts = (before.splitlines(), now.splitlines())
    return list(difflib.unified_diff(*texts, f"{name}.txt, accepted", f"{name}.txt, drawn", lineterm="", n=1))


def test_snapshots_are_as_wide_and_high_as_their_terminal():
    for width, height in snapshots.SIZES:
        for path in (snapshots.FOLDER / f"{width}x{height}").glob("*.txt"):
            lines = path.read_text().splitlines()
            assert len(lines) == height, path
            assert max(map(len, lines)) <= width, path
