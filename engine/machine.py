"""What the machine does while an engine runs: processor, memory, card and room on the disks, every ten seconds.

Reading may take its time, as a driver or a file system that is busy does; so it is done aside, in threads of this
process, which never trains itself. An answer that does not come is left out, and not asked for again until it has.
"""

from __future__ import annotations

import queue
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import psutil

from engine import cards
from engine.cards import Load

EVERY_SECONDS = 10.0
"""Between two samples: 360 rows an hour, some 50 kB."""

PATIENCE_SECONDS = 5.0
"""How long a sample waits for what is slow to answer."""

LAST_SECONDS = 1.0
"""The same for the last sample, which the end of a run waits for."""


@dataclass(frozen=True)
class Disk:
    """A disk that the run writes to: what lies there, the folder, and its room in bytes."""

    what: str
    folder: Path
    free: int
    total: int


@dataclass(frozen=True)
class Sample:
    """Columns of `machine` but those that only the run knows, and the disks that they tell of."""

    values: dict[str, Any]
    disks: tuple[Disk, ...]


class Machine:
    """Samples of one attempt, which begins now, on a device ("cpu", or a card as torch or NVML names it).

    `pids` are the engine and its workers; `store` is the database, `files` the folder of tensors.
    """

    def __init__(self, device: str, pids: Sequence[int], store: Path, files: Path) -> None:
        self._pids = tuple(pids)
        folders = {"store": store.parent, "files": files}
        self._host = _Aside(partial(_host, self._pids, folders))
        self._card = _Aside(partial(cards.load, device, self._pids)) if device != "cpu" else None
        self._began = time.monotonic()
        self._busy = self._began, _seconds_busy(self._pids)
        self._meter = Meter()
        self._due = 0.0
        self._asked: float | None = None

    def sample(self) -> Sample | None:
        """A sample where one is due and what it asked has been answered, or will not be in time; asks for the next."""
        now = time.monotonic()
        if self._asked is None:
            if now >= self._due:
                self._ask(now)
            return None
        done = all(one.answered() for one in self._asides)
        return self._taken() if done or now - self._asked >= PATIENCE_SECONDS else None

    def last(self) -> Sample:
        """A sample of this moment, without what takes longer than `LAST_SECONDS` to know."""
        self._ask(until := time.monotonic())
        until += LAST_SECONDS
        for one in self._asides:
            one.answered(max(until - time.monotonic(), 0.0))
        return self._taken()

    @property
    def _asides(self) -> list[_Aside]:
        return [one for one in (self._host, self._card) if one]

    def _ask(self, now: float) -> None:
        self._asked, self._due = now, now + EVERY_SECONDS
        for one in self._asides:
            one.ask()

    def _taken(self) -> Sample:
        self._asked = None
        values: dict[str, Any] = {"seconds": time.monotonic() - self._began}
        disks: tuple[Disk, ...] = ()
        if host := self._host.take():
            at, busy, memory, disks = host
            before, was_busy = self._busy
            self._busy = at, busy
            values |= {"cpu": max(busy - was_busy, 0.0) / max(at - before, 1e-3), "memory": memory}
            values |= {f"free_{disk.what}": disk.free for disk in disks}
        load: Load = (self._card and self._card.take()) or Load()
        values |= {"card_use": load.use, "power": load.power, "temperature": load.temperature}
        values |= {"card_memory": load.ours, "card_memory_used": load.used, "card_memory_total": load.total}
        values["energy"], values["energy_from"] = self._meter.read(load, time.monotonic())
        return Sample(values, disks)


class Meter:
    """Energy of a card from its loads one after another: by its own counter, or added up from its power."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._power: tuple[float, float] | None = None
        self._spent = 0.0

    def read(self, load: Load, now: float) -> tuple[float | None, str | None]:
        """Joules since the first reading, and what tells them: "counter", "power", or None where nothing does.

        `now` is of a monotonic clock, in seconds. Between two readings power is taken to change evenly.
        """
        if load.joules is not None:
            self._first = load.joules if self._first is None else self._first
            return load.joules - self._first, "counter"
        if load.power is None or self._first is not None:
            return None, None
        if self._power:
            before, power = self._power
            self._spent += (now - before) * (power + load.power) / 2
        self._power = now, load.power
        return self._spent, "power"


class _Aside:
    """Something asked in a thread, one question at a time. A fault in it is an answer that tells nothing."""

    def __init__(self, question: Callable[[], Any]) -> None:
        self._question = question
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._waiting = False
        self._answer: Any = None

    def ask(self) -> None:
        """Ask, unless the last question is still open; an answer that nobody took is forgotten."""
        self._answer = None
        if not self._waiting:
            self._waiting = True
            threading.Thread(target=self._work, daemon=True).start()

    def _work(self) -> None:
        answer = None
        with suppress(Exception):
            answer = self._question()
        self._answers.put(answer)

    def answered(self, seconds: float = 0.0) -> bool:
        """Whether the answer has come, within so many seconds."""
        with suppress(queue.Empty):
            if self._waiting:
                self._answer = self._answers.get(timeout=seconds) if seconds else self._answers.get_nowait()
                self._waiting = False
        return not self._waiting

    def take(self) -> Any:
        """The answer, once; None where it has not come or tells nothing."""
        self.answered()
        answer, self._answer = self._answer, None
        return answer


def _host(pids: Sequence[int], folders: dict[str, Path]) -> tuple[float, float, int, tuple[Disk, ...]]:
    """When this was read, seconds that these processes have computed, bytes that they hold, and the disks."""
    memory = sum(filter(None, map(_bytes_held, pids)))
    disks = []
    for what, folder in folders.items():
        with suppress(OSError):
            room = free_and_total(folder)
            disks.append(Disk(what, folder, *room))
    return time.monotonic(), _seconds_busy(pids), memory, tuple(disks)


def free_and_total(folder: Path) -> tuple[int, int]:
    """Bytes free and in all on the disk that a folder lies on."""
    usage = shutil.disk_usage(folder)
    return usage.free, usage.total


def _seconds_busy(pids: Sequence[int]) -> float:
    """Seconds that these processes have computed so far; one that has ended counts no more."""
    total = 0.0
    for pid in pids:
        with suppress(psutil.Error):
            times = psutil.Process(pid).cpu_times()
            total += times.user + times.system
    return total


def _bytes_held(pid: int) -> int | None:
    """Memory of a process, its share of what it has in common with others; all of that where it is not told."""
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        with suppress(psutil.AccessDenied, AttributeError):
            return process.memory_full_info().pss  # Linux only
        return process.memory_info().rss
    return None
