"""The demo as a person sees it: how long it takes, when the first figure shows, how much memory it needs."""

from __future__ import annotations

import os
import pty
import select
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.bench.commands import own_store, tombola
from tests.bench.measuring import Figure

MOST_SECONDS, MOST_FIRST, MOST_MEMORY = 120.0, 5.0, 1000.0
SAMPLE = 0.25  # seconds between two looks at the memory; adding up a process's pages takes milliseconds


@dataclass
class Seen:
    """One demo: seconds to its end and to the first figure shown, and the most megabytes of the engine."""

    seconds: float
    first: float
    memory: float


def measure(trials: int) -> Iterator[Figure]:
    seen = [one_demo() for _ in range(trials)]
    yield Figure("demo", "to the end", "s", tuple(demo.seconds for demo in seen), MOST_SECONDS)
    yield Figure("demo", "to the first figure shown", "s", tuple(demo.first for demo in seen), MOST_FIRST)
    yield Figure("demo", "memory of the engine, most", "MB", tuple(demo.memory for demo in seen), MOST_MEMORY)


def one_demo() -> Seen:
    """Run the demo in a pseudo-terminal and an empty store, watching it from outside.

    Raises:
        RuntimeError: the demo failed; the text is the end of what it printed.
    """
    with TemporaryDirectory() as name:
        folder = Path(name)
        master, slave = pty.openpty()
        began = time.perf_counter()
        demo = subprocess.Popen(
            [tombola(), "demo"], stdin=subprocess.DEVNULL, stdout=slave, stderr=slave, env=own_store(folder), cwd=folder
        )
        os.close(slave)
        printed, first, memory, sampled = b"", 0.0, 0.0, began
        while True:
            if select.select([master], [], [], 0.05)[0]:
                try:
                    part = os.read(master, 1 << 16)
                except OSError:  # Linux says so when the last writer has gone
                    break
                if not part:
                    break
                printed += part
                if not first and shows_a_figure(folder / "bench.db"):
                    first = time.perf_counter() - began
            if time.perf_counter() - sampled > SAMPLE:
                sampled = time.perf_counter()
                memory = max(memory, engine_memory(folder / "bench.db"))
        seconds = time.perf_counter() - began
        os.close(master)
        if demo.wait() != 0:
            raise RuntimeError(f"the demo failed: {printed[-2000:].decode(errors='replace')}")
        return Seen(seconds, first, memory)


def shows_a_figure(db: Path) -> bool:
    """Whether an epoch is in the store: what is printed from then on shows it."""
    return bool(ask(db, "SELECT 1 FROM epochs LIMIT 1"))


def engine_memory(db: Path) -> float:
    """Megabytes that engine and workers hold now; of a page that several share, each counts its part."""
    total = 0.0
    for (pid,) in ask(db, "SELECT pid FROM attempts WHERE ended IS NULL"):
        try:
            engine = psutil.Process(pid)
            for process in (engine, *engine.children(recursive=True)):
                info = process.memory_full_info()
                total += getattr(info, "pss", info.rss) / 1e6
        except psutil.Error:  # it ended between the question and the look
            continue
    return total


def ask(db: Path, sql: str) -> list[tuple]:
    """Rows of a store that may not exist yet."""
    if not db.exists():
        return []
    try:
        conn = sqlite3.connect(f"file:{db}?mode=ro", uri=True, timeout=1)
        try:
            return conn.execute(sql).fetchall()
        finally:
            conn.close()
    except sqlite3.OperationalError:
        return []
