"""Draws tui/app/picture.svg, the README's picture of the app: the demo while it trains. `make picture` runs it."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from presets.loading import load
from store.connection import connect
from store.editing import request
from store.live import Live
from tui import launch
from tui.app.app import TombolaApp
from tui.app.screens.run import RunScreen

PICTURE = Path(__file__).parents[2] / "tui" / "app" / "picture.svg"
SIZE = (150, 46)
DONE = 0.8  # late enough for every panel to have something to show, and still live


def main() -> int:
    with TemporaryDirectory() as folder:
        db = Path(folder) / "tombola.db"
        experiment = load("digits-demo")
        cost = launch.plan(experiment)
        run = launch.start(db, Path(folder) / "files", experiment, "digits-demo", "digits-demo", "auto", cost)
        live = Live(db)
        while (seen := live.runs()[0]).fraction < DONE and seen.state == "running":
            time.sleep(0.5)
        PICTURE.write_text(lean(asyncio.run(drawn(TombolaApp(db, Path(folder) / "files")))))
        conn = connect(db)
        request(conn, run, "stop")
        conn.close()
        while not launch.gone(run):
            time.sleep(0.2)
    print(f"{PICTURE}: {PICTURE.stat().st_size // 1024} kB", file=sys.stderr)
    return 0


async def drawn(app: TombolaApp) -> str:
    """The screen of the newest run, as SVG."""
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause(1.0)
        await pilot.press("enter")
        while not isinstance(app.screen, RunScreen):
            await pilot.pause(0.1)
        await pilot.pause(2.0)
        return app.export_screenshot(title="tombola")


def lean(svg: str) -> str:
    """In the reader's own fixed-width font, so that no page loads one from elsewhere, and without a frame a line."""
    svg = re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.S)
    svg = re.sub(r'<clipPath id="[^"]*-line-\d+">.*?</clipPath>\s*', "", svg, flags=re.S)
    svg = re.sub(r' clip-path="url\(#[^"]*-line-\d+\)"', "", svg)
    return svg.replace("Fira Code", "ui-monospace, DejaVu Sans Mono, Menlo, Consolas")


if __name__ == "__main__":
    sys.exit(main())
