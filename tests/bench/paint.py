"""How long the app takes from start to its first picture, and until it stands still, in a pseudo-terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.bench.commands import own_store, tombola
from tests.bench.measuring import Figure, in_turn
from tests.bench.startup import fill

MOST = 0.4  # seconds
COLUMNS, ROWS = 120, 40
DRAWN = 0.1  # seconds without output after which a drawing has ended: its parts follow within 0.02
STILL = 0.5  # seconds without output after which nothing more is coming
PATIENCE = 5.0  # seconds from the start after which something ticks and nothing will stand still
LETTERS = 60  # fewer than this are a blank screen being set up, not a picture
ESCAPES = re.compile(rb"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|P[^\x1b]*\x1b\\|.)")


def measure(trials: int) -> Iterator[Figure]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        fill(folder / "bench.db", folder / "files")
        painted: list[tuple[float, float]] = []

        def trial() -> float:
            painted.append(first_paint(folder))
            return painted[-1][0]

        first = in_turn({"app": trial}, trials)["app"]
        still = tuple(second for _, second in painted[-trials:])
        yield Figure("paint", f"first paint, {COLUMNS} × {ROWS}", "s", first, most=MOST)
        yield Figure("paint", "no more changes", "s", still)


def first_paint(folder: Path) -> tuple[float, float]:
    """Seconds until the last byte of the first drawing that shows words, and of the last one before it stands still."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    began = time.perf_counter()
    app = subprocess.Popen(
        [tombola()], stdin=slave, stdout=slave, stderr=slave, env=own_store(folder), cwd=folder, start_new_session=True
    )
    os.close(slave)
    output, last, first = b"", began, 0.0
    try:
        while time.perf_counter() - began < 30:
            if select.select([master], [], [], 0.02)[0]:
                output += os.read(master, 1 << 16)
                last = time.perf_counter()
            quiet = time.perf_counter() - last
            if not first and quiet >= DRAWN and len(re.findall(rb"[A-Za-z]", ESCAPES.sub(b"", output))) >= LETTERS:
                first = last
            if first and (quiet >= STILL or last - began > PATIENCE):
                return first - began, last - began
        raise RuntimeError("the app drew nothing for 30 seconds")
    finally:
        os.killpg(app.pid, signal.SIGKILL)
        app.wait()
        os.close(master)
