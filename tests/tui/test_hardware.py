"""The machine as the app sees it: with a driver of our own making, and with whatever this machine has."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from tui.app.widgets.host import lines
from tui.hardware import GIB, Card, Cards, Machine, User, Watcher, look, run_of, user_of


class NVMLError(Exception):
    pass


class Driver:
    """What pynvml has for us: a whole card that tells all, and one that MIG has cut in two, which tells less."""

    NVMLError = NVMLError
    NVML_DEVICE_MIG_ENABLE = 1
    NVML_TEMPERATURE_GPU = 0

    def __init__(self, processes: tuple[int, ...] = ()) -> None:
        self.processes = processes
        self.begun = 0
        self.use = 87
        self.gone: set[int] = set()

    def nvmlInit(self) -> None:
        self.begun += 1

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int):
        if index in self.gone:
            raise NVMLError("fallen off the bus")
        return ("card", index)

    def nvmlDeviceGetMigMode(self, handle):
        if handle == ("card", 0):
            raise NVMLError("not supported")
        return (1, 1)

    def nvmlDeviceGetMaxMigDeviceCount(self, handle) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle, number: int):
        if number not in (0, 2):
            raise NVMLError("no such instance")
        return ("instance", number)

    def nvmlDeviceGetName(self, handle) -> str:
        return "NVIDIA H100 80GB HBM3" if handle[0] == "card" else "NVIDIA H100 80GB HBM3 MIG 1g.10gb"

    def nvmlDeviceGetMemoryInfo(self, handle):
        return SimpleNamespace(used=12.34 * GIB, total=80 * GIB if handle[0] == "card" else 10 * GIB)

    def nvmlDeviceGetUtilizationRates(self, handle):
        if handle[0] == "instance":
            raise NVMLError("not supported")
        return SimpleNamespace(gpu=self.use)

    def nvmlDeviceGetPowerUsage(self, handle) -> int:
        assert handle[0] == "card", "an instance has no power of its own"
        return 412_300

    def nvmlDeviceGetEnforcedPowerLimit(self, handle) -> int:
        return 700_000

    def nvmlDeviceGetTemperature(self, handle, sensor: int) -> int:
        return 64

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return [SimpleNamespace(pid=pid) for pid in self.processes] if handle == ("card", 0) else []


def test_every_card_and_instance_tells_what_it_can():
    cards, silent = Cards(Driver()).look()
    assert not silent
    assert cards == (
        Card("0", "H100 80GB HBM3", 87, 12.3, 80.0, 410, 700, 64),
        Card("1:0", "MIG 1g.10gb", None, 12.3, 10.0, 410, 700, 64),
        Card("1:2", "MIG 1g.10gb", None, 12.3, 10.0, 410, 700, 64),
    )


def test_a_card_that_has_fallen_off_the_bus_leaves_the_others():
    driver = Driver()
    driver.gone = {0}
    assert [card.index for card in Cards(driver).look()[0]] == ["1:0", "1:2"]


def test_processes_on_a_card_are_told_by_user_and_run():
    engine = subprocess.Popen(
        [sys.executable, "-c", "import time; time.sleep(60)", "-m", "engine", "run", "demo-bcdf", "--db", "x"]
    )
    try:
        (card, *_), _ = Cards(Driver((engine.pid, engine.pid, 2**30))).look()
        us = user_of(os.getpid()).who
        assert us
        assert card.users == (User(engine.pid, us, "demo-bcdf"), User(2**30, "", ""))
        assert [str(user) for user in card.users] == [f"{us}: demo-bcdf", f"pid {2**30}"]
    finally:
        engine.kill()
        engine.wait()


@pytest.mark.parametrize(
    ("words", "run"),
    [
        (["python", "-P", "-m", "engine", "run", "demo-bcdf", "--db", "/x"], "demo-bcdf"),
        (["python", "-P", "-m", "engine", "plan", "-"], ""),
        (["python", "-m", "engine", "run"], ""),
        ([], ""),
    ],
)
def test_a_command_line_names_the_run(words, run):
    assert run_of(words) == run


def test_a_driver_that_hangs_is_waited_for_once_and_asked_again_when_it_has_answered():
    driver, free = Driver(), threading.Event()
    cards = Cards(driver)
    before, _ = cards.look()
    count = driver.nvmlDeviceGetCount
    asked = []

    def hang() -> int:
        asked.append(True)
        assert free.wait(20)
        return count()

    driver.nvmlDeviceGetCount = hang  # type: ignore[method-assign]
    assert cards.look(0.05) == (before, True)
    assert cards.look(0.05) == (before, True), "figures are its last"
    assert len(asked) == 1
    driver.use = 12
    free.set()
    while cards.look(0.05)[1]:
        pass
    assert cards.look(5.0)[0][0].use == 12


def test_a_driver_that_was_exchanged_is_begun_with_anew():
    driver = Driver()
    cards = Cards(driver)
    assert cards.look()[0]
    count = driver.nvmlDeviceGetCount

    def fails() -> int:
        raise NVMLError("driver/library version mismatch")

    driver.nvmlDeviceGetCount = fails  # type: ignore[method-assign]
    cards.look()
    driver.nvmlDeviceGetCount = count  # type: ignore[method-assign]
    assert cards.look()[0]
    assert driver.begun == 2


def test_without_a_driver_there_are_no_cards():
    driver = Driver()

    def none() -> None:
        raise NVMLError("library not found")

    driver.nvmlInit = none  # type: ignore[method-assign]
    cards = Cards(driver)
    assert cards.look() == cards.look() == ((), False)


def test_this_machine_has_a_processor_and_memory_and_cards_only_with_a_driver():
    cards, _ = Cards().look(30.0)
    machine = look(cards)
    assert machine.cores >= 1
    assert 0 < machine.used < machine.total
    assert 0 <= machine.use <= 100
    assert machine.use % 5 == 0
    assert all(card.total for card in cards)


def test_the_watcher_tells_of_the_machine_only_when_something_moved(monkeypatch):
    seen: list[Machine] = []
    told = threading.Event()
    looks = threading.Semaphore(0)
    still = Machine(2, 50, 1.0, 8.0, 0.5)
    moments = [still, still, Machine(2, 55, 1.0, 8.0, 0.5)]

    def next_look(*_: object) -> Machine:
        looks.release()
        return moments.pop(0) if len(moments) > 1 else moments[0]

    monkeypatch.setattr("tui.hardware.look", next_look)
    monkeypatch.setattr("tui.hardware.LOOK_SECONDS", 0.01)
    monkeypatch.setattr("tui.hardware.FIRST_SECONDS", 0.01)
    watcher = Watcher(lambda machine: (seen.append(machine), len(seen) == 2 and told.set()), Driver())
    watcher.start()
    assert told.wait(10)
    for _ in range(5):
        assert looks.acquire(timeout=10)
    watcher.stop()
    assert seen == [still, Machine(2, 55, 1.0, 8.0, 0.5)]


@pytest.mark.parametrize("width", [1, 20, 78, 118, 298])
def test_the_strip_has_a_line_a_card_however_narrow(width):
    hostile = User(1, "eve\x1b[31m", "x" * 300)
    cards = (*Cards(Driver()).look()[0], Card("2", "N\x1b[0m" * 50, users=(hostile, hostile)))
    rows = lines(Machine(16, 95, 100.0, 128.0, 12.5, cards, silent=True), width)
    assert len(rows) == len(cards) + 2
    assert all(row.cell_len <= width for row in rows)
    assert not any("\x1b" in row.plain for row in rows)


def test_the_strip_says_who_is_on_a_card_at_80_columns():
    busy = Card("0", "H100 80GB HBM3", 87, 12.3, 80.0, 410, 700, 64, (User(1, "anna", "demo-bcdf"),))
    card, processor = (row.plain for row in lines(Machine(16, 55, 100.0, 128.0, 12.5, (busy,)), 78))
    assert " ".join(card.split()) == "gpu 0 H100 80GB HBM3 87 % 12.3/80 GiB 410/700 W 64 °C anna: demo-bcdf"
    assert " ".join(processor.split()) == "cpu 16 cores 55 % 100.0/128 GiB load 12.5"
    assert card.index("%") == processor.index("%")
