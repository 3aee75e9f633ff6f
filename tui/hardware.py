"""The machine that the app runs on: its graphics cards, who computes on them, its processor and memory.

The driver is asked through NVML in a thread of its own, which is left alone when it does not answer: nobody waits for
it. Figures are rounded as they are shown, so that two looks are equal while nothing worth showing has moved.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import psutil

LOOK_SECONDS = 5.0
"""Between two looks at the machine: figures that flicker tell no more, and cost bytes over a slow line."""

FIRST_SECONDS = 1.0
"""Until the first look: use of the processor is counted over this time."""

NVML_SECONDS = 3.0
"""The driver may take this long; after that the cards are shown as silent until it answers."""

GIB = 2**30


@dataclass(frozen=True)
class User:
    """A process that computes on a card: who it belongs to, and which run it trains, as far as that can be seen."""

    pid: int
    who: str
    run: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.who, self.run))) or f"pid {self.pid}"


@dataclass(frozen=True)
class Card:
    """A card, or an instance of one that MIG has cut up. None is not told.

    Memory is in GiB, to a tenth; power in W, to the nearest 5; use in %, temperature in °C.
    """

    index: str
    """Its number in NVML's order, which is that of nvidia-smi; "0:1" is an instance."""
    name: str
    use: int | None = None
    used: float | None = None
    total: float | None = None
    power: int | None = None
    limit: int | None = None
    celsius: int | None = None
    users: tuple[User, ...] = ()


@dataclass(frozen=True)
class Machine:
    """The machine at a moment. Use is in %, to the nearest 5; memory in GiB; load to the nearest half."""

    cores: int
    use: int
    used: float
    total: float
    load: float
    cards: tuple[Card, ...] = ()
    silent: bool = False
    """Whether the driver does not answer; `cards` are then as it last told."""


class Watcher:
    """Looks at the machine in a thread of its own, and tells of it when something has moved."""

    def __init__(self, tell: Callable[[Machine], object], nvml: Any = None) -> None:
        """`tell` is called in that thread; `nvml` is a module like pynvml, in place of that one."""
        self._tell = tell
        self._cards = Cards(nvml)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, name="hardware", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End the thread; it is not waited for, since it may be waiting for a driver."""
        self._ended.set()

    def _look(self) -> None:
        psutil.cpu_percent()  # its first answer is nothing: use is counted from the call before
        told: Machine | None = None
        wait = FIRST_SECONDS
        while not self._ended.wait(wait):
            wait = LOOK_SECONDS
            seen = look(*self._cards.look())
            if seen != told:
                told = seen
                with suppress(Exception):  # an app that has just closed takes no more messages
                    self._tell(seen)


def look(cards: tuple[Card, ...] = (), silent: bool = False) -> Machine:
    """The processor and memory now, beside these cards."""
    memory = psutil.virtual_memory()
    load = 0.0
    with suppress(OSError, AttributeError):  # not every system counts it
        load = round(2 * os.getloadavg()[0]) / 2
    return Machine(
        cores=psutil.cpu_count() or 1,
        use=5 * round(psutil.cpu_percent() / 5),
        used=_gib(memory.total - memory.available),
        total=_gib(memory.total),
        load=load,
        cards=cards,
        silent=silent,
    )


class Cards:
    """What NVML tells of the cards, asked one question at a time."""

    def __init__(self, nvml: Any = None) -> None:
        self._nvml = nvml
        self._ready = False
        self._without = False
        self._asking: threading.Thread | None = None
        self._seen: tuple[Card, ...] = ()

    def look(self, seconds: float = NVML_SECONDS) -> tuple[tuple[Card, ...], bool]:
        """Every card, and whether the driver is silent: then they are as it last told. None where there is no driver.

        A driver that has not answered within `seconds` is not asked again until it has.
        """
        if self._without:
            return (), False
        if self._asking is None or not self._asking.is_alive():
            self._asking = threading.Thread(target=self._ask, name="nvml", daemon=True)
            self._asking.start()
        self._asking.join(seconds)
        return self._seen, self._asking.is_alive()

    def _ask(self) -> None:
        try:
            if self._nvml is None:
                import pynvml

                self._nvml = pynvml
            if not self._ready:
                self._nvml.nvmlInit()
                self._ready = True
        except Exception:  # no library, no driver, or none for us: a machine without cards, which stays so
            self._without, self._seen = True, ()
            return
        try:
            self._seen = tuple(_cards(self._nvml))
        except self._nvml.NVMLError:  # a driver that was exchanged under us wants to be begun with anew
            self._ready = False


def _cards(nvml: Any) -> list[Card]:
    found = []
    for index in range(nvml.nvmlDeviceGetCount()):
        with suppress(nvml.NVMLError):  # one that was taken from us, or has fallen off the bus
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            parts = _instances(nvml, handle)
            found += [_card(nvml, part, handle, f"{index}:{number}") for number, part in parts] or [
                _card(nvml, handle, handle, str(index))
            ]
    return found


def _instances(nvml: Any, handle: Any) -> list[tuple[int, Any]]:
    """The instances that MIG has cut a card into, as far as we may see them."""
    found = []
    with suppress(nvml.NVMLError):
        if nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE:
            for number in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
                with suppress(nvml.NVMLError):
                    found.append((number, nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)))
    return found


def _card(nvml: Any, handle: Any, whole: Any, index: str) -> Card:
    """One card; of an instance, power and temperature are those of the card that it is part of."""

    def told(ask: Callable[[], Any]) -> Any:
        with suppress(nvml.NVMLError):  # not every card tells everything
            return ask()
        return None

    memory = told(lambda: nvml.nvmlDeviceGetMemoryInfo(handle))
    rates = told(lambda: nvml.nvmlDeviceGetUtilizationRates(handle))
    power = told(lambda: nvml.nvmlDeviceGetPowerUsage(whole))
    limit = told(lambda: nvml.nvmlDeviceGetEnforcedPowerLimit(whole))
    processes = told(lambda: nvml.nvmlDeviceGetComputeRunningProcesses(handle)) or []
    return Card(
        index=index,
        name=_short(str(told(lambda: nvml.nvmlDeviceGetName(handle)) or "")),
        use=None if rates is None else rates.gpu,
        used=None if memory is None else _gib(memory.used),
        total=None if memory is None else _gib(memory.total),
        power=None if power is None else 5 * round(power / 5000),
        limit=None if limit is None else round(limit / 1000),
        celsius=told(lambda: nvml.nvmlDeviceGetTemperature(whole, nvml.NVML_TEMPERATURE_GPU)),
        users=tuple(user_of(pid) for pid in sorted({process.pid for process in processes})),
    )


def _short(name: str) -> str:
    """A card's name without its maker; an instance's without that of its card, which is long and says less."""
    before, instance, profile = name.partition("MIG ")
    return instance + profile if instance else before.removeprefix("NVIDIA ")


def user_of(pid: int) -> User:
    """Who a process belongs to, and which run it trains; a process of another container tells neither."""
    who, words = "", []
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        who = process.username()
        words = process.cmdline()
    return User(pid, who, run_of(words))


def run_of(words: list[str]) -> str:
    """The run that an engine's command line names, `python -P -m engine run RUN …`; its workers have the same one."""
    at = next((at for at in range(len(words) - 3) if words[at : at + 3] == ["-m", "engine", "run"]), None)
    return "" if at is None else words[at + 3]


def _gib(octets: float) -> float:
    return round(octets / GIB, 1)
