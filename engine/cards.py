"""The graphics cards of this machine: which there are, who computes on them, and which of them a run has reserved.

Cards are named by UUID, since NVML counts them in another order than CUDA. Nothing here starts CUDA in this process:
workers are forked after it, and none could use a CUDA that its parent has started. What only CUDA tells is asked of a
process of its own, `python -m engine.cards`.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import queue
import re
import secrets
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from platformdirs import user_runtime_path

NVML_SECONDS = 30.0  # without its persistence mode a driver wakes each card first; a broken one may never answer
TORCH_SECONDS = 120.0  # importing torch from a cold disk, then starting CUDA on every card
PROMISE_SECONDS = 60.0  # from the end of a forecast until the engine of that run has imported torch
README = "(README, On a GPU machine)"


@dataclass(frozen=True)
class Card:
    """A card, or an instance of one that MIG has cut up. Memory is in bytes; None is not told."""

    uuid: str
    """What CUDA_VISIBLE_DEVICES takes; "cuda:N" where only torch tells of the card."""
    name: str
    total: int | None = None
    free: int | None = None
    users: tuple[str, ...] = ()
    """Processes other than this one that compute on it, each in words."""
    whole: str = ""
    """UUID of the card that this is an instance of; empty for a card that is whole."""

    def __str__(self) -> str:
        return f"{self.name} ({self.uuid[:12]})"


@dataclass(frozen=True)
class Seen:
    """The cards that this process may use, in the order by which "cuda:N" counts them."""

    cards: tuple[Card, ...] = ()
    fault: str = ""
    """Why this torch can compute on none of them."""
    note: str = ""
    """What could not be learnt of them, or why there are none."""
    driver: str = ""


class _Silent(Exception):
    """NVML or torch does not answer, which leaves open whether there are cards; the text says why."""


class _NoDriver(Exception):
    """There are no cards to compute on; the text says what is wrong, if anything is."""


def look(by_index: bool = False) -> Seen:
    """The cards now. `by_index`: one is asked for by its number, so their order counts."""
    try:
        found, driver, newest = _within(NVML_SECONDS, _nvml)
    except _NoDriver as none:
        return Seen(note=str(none))
    except _Silent as silent:
        return _without_nvml(str(silent))
    if not found:
        return Seen(driver=driver)
    fault = misfit(driver, newest)
    variable = os.environ.get("CUDA_VISIBLE_DEVICES")
    numbered = by_index if variable is None else re.search(r"(^|,)\s*\d", variable)
    several = len({card.whole or card.uuid for card in found}) > 1
    if numbered and several and not fault and os.environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        try:  # CUDA puts the fastest first, by a measure of its own
            found = ordered(found, [one["uuid"] for one in _torch_cards(everything=True)])
        except _Silent as silent:
            return _without_nvml(f"which card has which number is not known: {silent}")
    cards = visible(found, variable)
    return Seen(cards, fault, "" if cards else f"CUDA_VISIBLE_DEVICES={variable} leaves no card", driver)


def visible(cards: Sequence[Card], variable: str | None) -> tuple[Card, ...]:
    """The cards that a CUDA_VISIBLE_DEVICES lets through, in its order; `cards` are all, in CUDA's order.

    It holds numbers, or first letters of UUIDs that only one card has. The first word that fits no card ends it, as in
    CUDA. Of a card in instances, its number and its UUID stand for all of them.
    """
    if variable is None:
        return tuple(cards)
    wholes = list(dict.fromkeys(card.whole or card.uuid for card in cards))
    found: list[Card] = []
    for word in variable.split(","):
        word = word.strip()
        if re.fullmatch(r"[0-9]+", word):
            chosen = wholes[int(word) : int(word) + 1]
        else:
            chosen = sorted({uuid for card in cards for uuid in (card.uuid, card.whole) if _begins(uuid, word)})
        if len(chosen) != 1:
            break
        found += [card for card in cards if chosen[0] in (card.uuid, card.whole)]
    return tuple(dict.fromkeys(found))


def named(cards: Sequence[Card], word: str) -> list[Card]:
    """The cards that a number ("cuda:1") or the first letters of a UUID ("GPU-5a3b") can mean."""
    if number := re.fullmatch(r"cuda:([0-9]+)", word):
        return list(cards[int(number[1]) : int(number[1]) + 1])
    return [card for card in cards if _begins(card.uuid, word) or _begins(card.whole, word)]


def _begins(uuid: str, word: str) -> bool:
    return bool(re.match(r"(gpu|mig)-", word, re.IGNORECASE)) and uuid.lower().startswith(word.lower())


def ordered(cards: Sequence[Card], uuids: Sequence[str]) -> list[Card]:
    """Cards in the order of these UUIDs, with or without "GPU-" before them; those not among them come last."""
    places = {uuid[-36:].lower(): place for place, uuid in enumerate(uuids)}

    def place(card: Card) -> int:
        return min(places.get(uuid[-36:].lower(), len(places)) for uuid in (card.uuid, card.whole))

    return sorted(cards, key=place)


def misfit(driver: str, newest: int | None) -> str:
    """Why this torch cannot compute with a driver, which knows CUDA up to `newest` (12040 is 12.4); empty: it can."""
    built = torch.version.cuda
    if built is None:
        return f"torch {torch.__version__} is built without CUDA: install a build with it {README}"
    if newest and newest // 1000 < int(built.split(".")[0]):
        knows = f"{newest // 1000}.{newest % 1000 // 10}"
        ways = f"update the driver, or install a torch for an older CUDA {README}"
        return (
            f"the NVIDIA driver {driver} is too old: it knows CUDA up to {knows}, torch {torch.__version__} is built"
            f" for CUDA {built}; {ways}"
        )
    return ""


def pin(device: str) -> str:
    """Let this process see that card alone, before CUDA starts in it; gives the name that torch has for it."""
    if device == "cpu" or device.startswith("cuda"):
        return device
    os.environ["CUDA_VISIBLE_DEVICES"] = device
    return "cuda:0"


# What NVML tells


def _within(seconds: float, ask: Any) -> Any:
    """What `ask` gives, asked in a thread that is left behind when it takes longer."""
    answers: queue.SimpleQueue[tuple[Any, Exception | None]] = queue.SimpleQueue()

    def work() -> None:
        try:
            answers.put((ask(), None))
        except Exception as error:
            answers.put((None, error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise _Silent(f"the NVIDIA driver did not answer within {seconds:.0f} s") from None
    thread.join()  # forks follow, which want one thread
    if error:
        raise error
    return answer


@contextmanager
def _opened() -> Iterator[Any]:
    """NVML's bindings, with the library open for as long as the block lasts."""
    try:
        import pynvml as nvml
    except ImportError as error:
        raise _Silent(f"NVML cannot be asked: {error}") from None
    try:
        nvml.nvmlInit()
    except nvml.NVMLError as error:
        if error.value == nvml.NVML_ERROR_DRIVER_NOT_LOADED:
            raise _NoDriver("the NVIDIA driver is installed but not loaded") from None
        if error.value == nvml.NVML_ERROR_LIBRARY_NOT_FOUND and not _may_have_others():
            raise _NoDriver from None
        raise _Silent(f"NVML does not answer: {error}") from None
    try:
        yield nvml
    except nvml.NVMLError as error:
        raise _Silent(f"NVML does not answer: {error}") from None
    finally:
        with suppress(nvml.NVMLError):
            nvml.nvmlShutdown()


def _nvml() -> tuple[list[Card], str, int | None]:
    """Every card in the order of the bus, the driver's version and the newest CUDA that it knows."""
    with _opened() as nvml:
        driver, newest = nvml.nvmlSystemGetDriverVersion(), None
        with suppress(nvml.NVMLError):  # it looks for CUDA's own library, which may be a newer one than the driver's
            newest = nvml.nvmlSystemGetCudaDriverVersion_v2()
        cards = []
        for index in range(nvml.nvmlDeviceGetCount()):
            with suppress(nvml.NVMLError):  # one that was taken from us, or has fallen off the bus
                handle = nvml.nvmlDeviceGetHandleByIndex(index)
                cards.append((nvml.nvmlDeviceGetPciInfo(handle).busId, _instances(nvml, handle) or [handle], handle))
        cards.sort(key=lambda card: card[0])
        found = []
        for _, handles, whole in cards:
            for handle in handles:
                with suppress(nvml.NVMLError):
                    card = _card(nvml, handle)
                    instance = card.uuid != (uuid := nvml.nvmlDeviceGetUUID(whole))
                    found.append(replace(card, whole=uuid if instance else ""))
        return found, driver, newest


@dataclass(frozen=True)
class Load:
    """What a card does at a moment, for whomever; None is not told. An instance of a card tells its memory only."""

    use: float | None = None
    """Share of the last moments, up to a second, in which it computed anything."""
    total: int | None = None
    """Memory in bytes: that it has, that anyone holds, and that the processes asked about hold."""
    used: int | None = None
    ours: int | None = None
    power: float | None = None
    """W."""
    temperature: float | None = None
    """°C."""
    joules: float | None = None
    """What it has drawn since its driver was loaded, by its own counter."""


def load(uuid: str, pids: Sequence[int]) -> Load:
    """What a card does now, and how much of its memory these processes hold. The driver may take its time.

    A driver that does not answer, or tells of no card of this UUID, tells nothing.
    """
    try:
        with _opened() as nvml:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)

            def told(name: str, *arguments: Any) -> Any:
                """What it says, or None where the card does not know."""
                with suppress(nvml.NVMLError):
                    return getattr(nvml, f"nvmlDeviceGet{name}")(handle, *arguments)

            use, memory = told("UtilizationRates"), told("MemoryInfo")
            power, energy = told("PowerUsage"), told("TotalEnergyConsumption")
            return Load(
                use=use and use.gpu / 100,
                total=memory and memory.total,
                used=memory and memory.total - memory.free,
                ours=_held_by(told("ComputeRunningProcesses") or [], pids),
                power=None if power is None else power / 1e3,
                temperature=told("Temperature", nvml.NVML_TEMPERATURE_GPU),
                joules=None if energy is None else energy / 1e3,
            )
    except (_Silent, _NoDriver):
        return Load()


def _held_by(processes: Sequence[Any], pids: Sequence[int]) -> int | None:
    """Bytes of a card that these processes hold; None where it is not told, as of others than one's own container."""
    held = [process.usedGpuMemory for process in processes if process.pid in pids]
    return sum(held) if held and None not in held else None


def _may_have_others() -> bool:
    """Whether torch may know of cards where there is no NVML: AMD's, or NVIDIA's by CUDA's own library."""
    with suppress(OSError):
        return bool(torch.version.hip or (torch.version.cuda and ctypes.CDLL("libcuda.so.1")))
    return False


def _instances(nvml: Any, handle: Any) -> list[Any]:
    """The instances that MIG has cut a card into, as far as we may see them."""
    found = []
    with suppress(nvml.NVMLError):
        if nvml.nvmlDeviceGetMigMode(handle)[0] == nvml.NVML_DEVICE_MIG_ENABLE:
            for index in range(nvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
                with suppress(nvml.NVMLError):
                    found.append(nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, index))
    return found


def _card(nvml: Any, handle: Any) -> Card:
    total = free = None
    processes: list[Any] = []
    with suppress(nvml.NVMLError):  # one that shares the memory of the machine has none of its own
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        total, free = memory.total, memory.free
    with suppress(nvml.NVMLError):
        processes = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    users = dict.fromkeys(_user(process.pid, process.usedGpuMemory) for process in processes)
    uuid, name = nvml.nvmlDeviceGetUUID(handle), nvml.nvmlDeviceGetName(handle)
    return Card(uuid, name, total, free, tuple(user for user in users if user))


def _user(pid: int, octets: int | None) -> str:
    """A process that computes on a card, in words; empty for us and for forecasts and checks, over in seconds."""
    words: list[str] = []
    who = ""
    with suppress(psutil.Error):  # a process of another container has no entry here
        process = psutil.Process(pid)
        who = f" of {process.username()}"
        words = process.cmdline()
    brief = "engine.cards" in words or any(words[at : at + 2] == ["engine", "plan"] for at in range(len(words)))
    if brief or pid == os.getpid():
        return ""
    return f"pid {pid}{who}" + (f" with {octets / 1e9:.3g} GB" if octets is not None else "")


# What torch tells


def _without_nvml(reason: str) -> Seen:
    """The cards that torch knows, by its numbers: who else computes on them stays unknown."""
    if torch.version.cuda is None and torch.version.hip is None:
        return Seen(note=reason)
    try:
        told = _torch_cards()
    except _Silent as silent:
        return Seen(note=f"{reason}; {silent}")
    cards = [Card(f"cuda:{number}", one["name"], one["total"]) for number, one in enumerate(told)]
    return Seen(tuple(cards), note=f"{reason}; who else computes on a card is not known")


def _torch_cards(everything: bool = False) -> list[dict[str, Any]]:
    """Name, uuid and total memory of each card that torch sees, also of those that the environment hides.

    Raises:
        _Silent: torch sees none; says why.
    """
    environment = {k: v for k, v in os.environ.items() if not (everything and k == "CUDA_VISIBLE_DEVICES")}
    return json.loads(_asked("list", environment=environment))


def fault_of(card: Card) -> str:
    """What is wrong with a card: one operation on it, in a process of its own that sees that card alone."""
    try:
        _asked("try", card.uuid)
    except _Silent as silent:
        return str(silent)
    return ""


def _asked(*arguments: str, environment: dict[str, str] | None = None) -> str:
    command = [sys.executable, "-P", "-m", "engine.cards", *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TORCH_SECONDS)
    except subprocess.TimeoutExpired:
        raise _Silent(f"torch did not answer within {TORCH_SECONDS:.0f} s") from None
    if done.returncode:
        raise _Silent(explained((done.stderr.strip() or f"exit code {done.returncode}").splitlines()[-1]))
    return done.stdout


def explained(words: str) -> str:
    """What torch says of a card that it cannot use, with the way out where that is known."""
    words = re.sub(r"^\w*(Error|Exception): ", "", words.strip())
    if "driver" in words and "too old" in words:
        ways = f"update the driver, or install a torch for an older CUDA {README}"
        return f"torch says: {words.split('. ')[0]}; {ways}"
    if "no kernel image" in words:
        return f"torch {torch.__version__} is not built for this card: install another build {README}"
    return f"torch says: {words}"


# Reservations: seconds lie between choosing a card and being seen there by NVML, and in a container it may never tell.
# So a run holds a lock on a file for its life, which the system frees however it ends. The forecast before it leaves a
# promise in that file, which only the run with the same claim may take while it lasts.

_held: dict[str, int] = {}


def take(uuid: str, claim: str = "", keep: bool = True) -> bool:
    """Reserve a card for this process, unless another has; `keep` False only looks whether that would work.

    `claim` is what `promise` gave to the forecast of the same run.
    """
    if uuid in _held:
        return True
    with _gate() as folder:
        file = _open(folder, uuid)
        if file is None:
            return True  # where files cannot be locked, NVML alone tells
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            promised, _, until = os.read(file, 100).decode(errors="replace").rpartition(" ")
            waits = promised and promised != claim and 0 < _number(until) - time.time() <= PROMISE_SECONDS
        except BlockingIOError:
            waits = True
        except OSError:
            waits = False
        if waits or not keep:
            os.close(file)
        else:
            os.truncate(file, 0)
            _held[uuid] = file
        return not waits


def share(uuid: str) -> None:
    """Let others see that a card is used which a person named, whoever else may use it."""
    with _gate() as folder, suppress(OSError):
        file = _open(folder, uuid)
        if file is not None:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)


def promise(uuid: str) -> str:
    """Keep a card that this process has taken for the run that it forecasts; gives the claim to it, or nothing."""
    if uuid not in _held:
        return ""
    claim = f"{uuid} {secrets.token_hex(4)}"
    os.pwrite(_held[uuid], f"{claim} {int(time.time() + PROMISE_SECONDS)}".encode(), 0)
    return claim


@contextmanager
def _gate() -> Iterator[Path | None]:
    """The folder of reservations, with one process in it at a time; None where there is no such folder."""
    folder = file = None
    with suppress(OSError), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an XDG_RUNTIME_DIR that is not used since it belongs to someone else
        folder = user_runtime_path("tombola", ensure_exists=True)
        if (file := _open(folder, "gate")) is not None:
            fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield folder
    finally:
        if file is not None:
            os.close(file)


def _open(folder: Path | None, name: str) -> int | None:
    with suppress(OSError):
        if folder is not None:
            return os.open(folder / f"{name}.lock", os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    return None


def _number(word: str) -> float:
    with suppress(ValueError):
        return float(word)
    return 0.0


def _main(verb: str, device: str = "") -> None:
    """In a process of its own: what torch says of the cards, or one operation on one of them, checked."""
    if verb == "list":
        torch.cuda.init()
        found = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
        told = [{"name": it.name, "uuid": str(getattr(it, "uuid", "")), "total": it.total_memory} for it in found]
        print(json.dumps(told))
        return
    small = (torch.arange(256 * 256) % 7).reshape(256, 256).float()  # whole numbers: the product is exact
    there = small.to(pin(device))
    if not torch.equal((there @ there).cpu(), small @ small):
        raise RuntimeError("a product of two small matrices came out wrong")


if __name__ == "__main__":
    _main(*sys.argv[1:])
