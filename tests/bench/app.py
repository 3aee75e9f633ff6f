"""What the app costs over a slow line: bytes and processor time at rest and live, keys to the screen, memory."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import signal
import statistics
import struct
import subprocess
import termios
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from tests.bench.commands import own_store, tombola
from tests.bench.crowd import crowd, paced, real_run
from tests.bench.measuring import Figure

COLUMNS, ROWS = 120, 40
SETTLE = 6.0  # seconds after which a screen has all its parts
REST, LIVE = 20.0, 30.0  # seconds that are watched
MOST_AT_REST, MOST_LIVE = 50.0, 6000.0  # bytes a second
MOST_CPU = 5.0  # per cent of a core
MOST_MEDIAN, MOST_WORST = 25.0, 80.0  # milliseconds from key to screen
MOST_MEMORY = 150.0  # megabytes
RUNS, EPOCHS = 200, 1_000_000
KEYS = 200  # that are pressed for each figure
PAUSE = 0.06  # seconds between two keys, as from a person who holds one down
BURST = 0.003  # seconds without output that end what a key has drawn


class Terminal:
    """The app in a pseudo-terminal, and what comes out of it."""

    def __init__(self, folder: Path) -> None:
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        self.app = subprocess.Popen(
            [tombola()],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=own_store(folder),
            cwd=folder,
            start_new_session=True,
        )
        os.close(slave)
        self.process = psutil.Process(self.app.pid)

    def read(self, seconds: float) -> int:
        """Bytes that come within so long."""
        count, until = 0, time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                count += len(os.read(self.master, 1 << 16))
        return count

    def key(self, keys: str) -> float:
        """Milliseconds from a key to the end of what it draws at once; 1000 where nothing comes."""
        self.read(0.0)
        while select.select([self.master], [], [], 0)[0]:
            os.read(self.master, 1 << 16)
        began = time.perf_counter()
        os.write(self.master, keys.encode())
        last = began + 1.0
        if select.select([self.master], [], [], 1.0)[0]:
            while select.select([self.master], [], [], BURST)[0]:
                os.read(self.master, 1 << 16)
                last = time.perf_counter()
        return 1000 * (last - began)

    def keys(self, several: Sequence[str], count: int) -> tuple[float, ...]:
        """The milliseconds of `count` keys in turn, with pauses in which what follows is taken up."""
        taken = []
        for number in range(count):
            taken.append(self.key(several[number % len(several)]))
            self.read(PAUSE)
        return tuple(taken)

    def cpu(self) -> float:
        """Seconds of processor time so far."""
        times = self.process.cpu_times()
        return times.user + times.system

    def memory(self) -> float:
        """Megabytes resident now."""
        return self.process.memory_info().rss / 1e6

    def close(self) -> None:
        os.killpg(self.app.pid, signal.SIGKILL)
        self.app.wait()
        os.close(self.master)


def measure(trials: int, small: bool = False) -> Iterator[Figure]:
    """`trials` of the figures over time; keys are pressed once over."""
    settle, rest, live = (2.0, 1.0, 3.0) if small else (SETTLE, REST, LIVE)
    with TemporaryDirectory() as name:
        folder = Path(name)
        run = real_run(folder)
        for case, keys in (("list of runs", ""), ("a run", "\r")):
            found = [at_rest(folder, keys, settle, rest) for _ in range(trials)]
            yield Figure("app", f"nothing changes: {case}", "B/s", tuple(found), most=MOST_AT_REST)
        yield from while_live(folder, run, trials, settle, live)
    with TemporaryDirectory() as name:
        folder = Path(name)
        run = real_run(folder)
        crowd(folder / "bench.db", run, *((3, 300) if small else (RUNS, EPOCHS)))
        yield from keys_to_screen(folder, settle, 10 if small else KEYS)


def at_rest(folder: Path, keys: str, settle: float, seconds: float) -> float:
    """Bytes a second while nothing changes."""
    terminal = Terminal(folder)
    try:
        terminal.read(settle / 2)
        if keys:
            terminal.key(keys)
        terminal.read(settle)
        return terminal.read(seconds) / seconds
    finally:
        terminal.close()


def while_live(folder: Path, run: str, trials: int, settle: float, seconds: float) -> Iterator[Figure]:
    """The screen of a run whose two members gain an epoch each second."""
    found, cpu, memory = [], [], []
    for _ in range(trials):
        terminal = Terminal(folder)
        until = time.monotonic() + 2 * settle + seconds + 2
        writer = threading.Thread(target=paced, args=(folder / "bench.db", run, 1.0, until))
        try:
            terminal.read(settle)
            terminal.key("\r")
            writer.start()
            terminal.read(settle)
            before = terminal.cpu()
            found.append(terminal.read(seconds) / seconds)
            cpu.append(100 * (terminal.cpu() - before) / seconds)
            memory.append(terminal.memory())
        finally:
            writer.join()
            terminal.close()
    yield Figure("app", "a live run, two members", "B/s", tuple(found), most=MOST_LIVE)
    yield Figure("app", "processor, of one core", "%", tuple(cpu), most=MOST_CPU)
    yield Figure("app", "memory", "MB", tuple(memory), most=MOST_MEMORY)


def keys_to_screen(folder: Path, settle: float, count: int) -> Iterator[Figure]:
    """Moving through the list of many runs, and from panel to panel of one."""
    terminal = Terminal(folder)
    try:
        terminal.read(2 * settle)
        moves = terminal.keys(["j"] * 30 + ["k"] * 30, count)
        terminal.key("\r")
        terminal.read(settle)
        panels = terminal.keys("2345612", count)
    finally:
        terminal.close()
    for case, taken in (("list of runs", moves), ("panels of a run", panels)):
        worst = statistics.quantiles(taken, n=100, method="inclusive")[98]
        yield Figure("app", f"key to screen, {case}", "ms", taken, most=MOST_MEDIAN)
        yield Figure("app", f"its 99th percentile, {case}", "ms", (worst,), most=MOST_WORST)
