"""Draws the snapshots of the app anew; with `--store` after new runs of the engine. `make snapshots` draws them."""

from __future__ import annotations

import asyncio
import json
import lzma
import os
import re
import signal
import sqlite3
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from presets.loading import load
from store.connection import connect, connect_readonly
from store.editing import note
from tests.tui import snapshots
from tui import launch
from tui.app.app import TombolaApp
from tui.app.screens.run import GALLERY

SMALL = (
    *("recipe.epochs=3", "recipe.warmup=0", "network.width=0.125", "searches.colt.rounds=3", "searches.imp.rounds=3"),
    *("searches.colt.rate=0.4", "searches.imp.rate=0.4"),
)
LONG = ("recipe.epochs=100000",)
PRAC = (
    *("recipe.epochs=6", "recipe.milestones=[3, 5]", "recipe.validate_every=1", "arms.ticket.at=[0.3, 0.657]"),
    *(f"searches.{name}.rounds=3" for name in ("imp", "fast", "unstopped", "random", "training", "pruning")),
    *(f"checks.{name}.at=0.657" for name in ("saved", "saved-unstopped", "chosen", "needs-pruning", "needs-training")),
)
RUNS = (
    ("digits-demo", "cut-off", LONG, [0]),  # its engine is killed: it is lost
    ("prac-resnet20-cifar10-smoke", "prac", PRAC, [0, 1]),
    ("digits-demo", "half-lr", (*SMALL, "recipe.lr=0.05"), [0, 1, 2]),
    ("digits-demo", "demo", SMALL, [0, 1, 2]),
)
"""What is run: preset, name, changes, seeds; the newest, which is the first of the list, comes last."""


def main(arguments: list[str]) -> int:
    if arguments not in ([], ["--store"]):
        print("usage: python -m tests.tui.snapshots [--store]", file=sys.stderr)
        return 2
    with TemporaryDirectory() as folder:
        if arguments:
            freeze(Path(folder))
        for width, height in snapshots.SIZES:
            home = Path(folder) / f"{width}x{height}"
            home.mkdir()
            with snapshots.pinned(home) as db:
                asyncio.run(draw(db, (width, height)))
    return 0


async def draw(db: Path, size: tuple[int, int]) -> None:
    """Write the files of one size, in place of those that are there."""
    folder = snapshots.FOLDER / f"{size[0]}x{size[1]}"
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.txt"):
        old.unlink()
    app = TombolaApp(db, db.with_suffix(".files"))
    async with app.run_test(size=size) as pilot:
        async for name in snapshots.walk(app, pilot):
            (folder / f"{name}.txt").write_text(await snapshots.settled(app, pilot))


def freeze(folder: Path) -> None:
    """Run the engine, and keep its store and two of its answers."""
    db, files = folder / "tombola.db", folder / "files"
    answers = {}
    for preset, name, changes, seeds in RUNS:
        experiment = load(preset, changes, seeds)
        run = launch.start(db, files, experiment, preset, name, "cpu", launch.plan(experiment, "cpu"))
        print(run, file=sys.stderr)
        if changes == LONG:
            kill(db, run)
        while not launch.gone(run):
            time.sleep(0.2)
        if name == "prac":
            answers["samples"] = launch.samples(db, None, run, *snapshots.LANE, None, GALLERY)
    answers["plan"] = launch.plan(load("digits-demo"), "cpu")
    snapshots.ASKED.write_text(json.dumps(answers, indent=1) + "\n")
    snapshots.STORE.write_bytes(lzma.compress(dumped(db, folder).encode(), preset=9))
    print(f"{snapshots.STORE}: {snapshots.STORE.stat().st_size // 1000} kB", file=sys.stderr)


def kill(db: Path, run: str) -> None:
    """End an engine as nobody should, after its first epochs."""
    while True:
        time.sleep(0.2)
        conn = connect_readonly(db)
        epochs = conn.execute("SELECT count(*) FROM epochs").fetchone()[0]
        attempt = conn.execute("SELECT pid FROM attempts WHERE run = ?", (run,)).fetchone()
        conn.close()
        if epochs >= 12:
            os.kill(attempt[0], signal.SIGKILL)
            return


def dumped(db: Path, folder: Path) -> str:
    """The store as SQL, without what tells of this machine: its name, paths, processes and processor."""
    conn = connect(db)
    (newest,) = conn.execute("SELECT id FROM runs ORDER BY created DESC LIMIT 1").fetchone()
    note(conn, newest, "small enough to look at: three rounds of three epochs")
    conn.execute("UPDATE runs SET files = '/home/ada/files'")
    conn.execute("UPDATE attempts SET host = 'box', boot_id = 'boot', pid = 4242, pid_started = 1")
    versions = "'$.executable', '/home/ada/venv/bin/python', '$.platform', 'Linux', '$.processor', 'x86_64'"
    conn.execute(f"UPDATE attempts SET versions = json_set(versions, {versions})")
    version, application = (conn.execute(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id"))
    conn.close()
    plain = sqlite3.connect(db)
    lines = [*plain.iterdump(), f"PRAGMA user_version = {version};", f"PRAGMA application_id = {application};"]
    plain.close()
    text = shorter("\n".join(lines) + "\n")
    assert not re.search(re.escape(str(folder)) + "|" + re.escape(str(Path.home())) + "/", text)
    return text


def shorter(text: str) -> str:
    """Figures with six decimals: the others look like noise to a compressor, and nobody sees them."""
    return re.sub(r"(?<=,)-?\d+\.\d{7,}(?=[,)])", lambda found: f"{float(found[0]):.6f}", text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
