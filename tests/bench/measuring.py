"""How figures are taken and shown: trials in turn, medians with their range, and the machine they hold for."""

from __future__ import annotations

import multiprocessing
import os
import platform
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """All trials of one case. `most` or `least` is its mark in the same unit, where it has one; `beside` holds further
    figures of the same case by name and unit."""

    bench: str
    case: str
    unit: str
    trials: tuple[float, ...]
    most: float | None = None
    note: str = ""
    least: float | None = None
    beside: Mapping[str, float] = field(default_factory=dict)

    @property
    def median(self) -> float:
        return statistics.median(self.trials)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"median": self.median, "min": min(self.trials), "max": max(self.trials)}

    def line(self) -> str:
        """`case  median (min to max) unit`, and whether the mark is met."""
        digits = 0 if self.median >= 100 else 1 if self.median >= 10 else 3
        spread = f"({min(self.trials):,.{digits}f} to {max(self.trials):,.{digits}f}, n = {len(self.trials)})"
        if len(set(self.trials)) == 1:
            spread = f"(n = {len(self.trials)})"
        mark = ""
        if self.most is not None:
            mark = f"  at most {self.most:g}: {'met' if self.median <= self.most else 'MISSED'}"
        if self.least is not None:
            mark = f"  at least {self.least:g}: {'met' if self.median >= self.least else 'MISSED'}"
        beside = "".join(f"  {value:,.{0 if value >= 10 else 3}f} {name}" for name, value in self.beside.items())
        note = f"  {self.note}" if self.note else ""
        return f"  {self.case:<38} {self.median:>9,.{digits}f} {self.unit:<6} {spread:<34}{mark}{beside}{note}"


@dataclass(frozen=True)
class Skipped:
    """A case that could not be measured here, and why."""

    bench: str
    case: str
    reason: str

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)

    def line(self) -> str:
        return f"  {self.case:<38}   skipped: {self.reason}"


def in_turn(cases: Mapping[str, Callable[[], float]], trials: int, discard: int = 1) -> dict[str, tuple[float, ...]]:
    """Call every case `trials` times, taking turns, after `discard` turns that warm caches and do not count."""
    taken: dict[str, list[float]] = {case: [] for case in cases}
    for turn in range(discard + trials):
        for case, measure in cases.items():
            figure = measure()
            if turn >= discard:
                taken[case].append(figure)
    return {case: tuple(figures) for case, figures in taken.items()}


def ratios(above: tuple[float, ...], below: tuple[float, ...]) -> tuple[float, ...]:
    """Turn by turn."""
    return tuple(a / b for a, b in zip(above, below, strict=True))


def apart(function: Callable[..., Iterator[Any]], *arguments: Any) -> Iterator[Any]:
    """What a generator function yields in a process of its own, started afresh, as it comes.

    So no case finds threads, memory or a CUDA context that another has left; and where a card must not be touched
    before workers are forked, this is how to touch it.

    Raises:
        RuntimeError: the process failed; its traceback is on stderr.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send_all, args=(theirs, function, arguments))
    process.start()
    theirs.close()
    try:
        with suppress(EOFError):
            while True:
                yield ours.recv()
        process.join()
    finally:
        if process.is_alive():
            process.terminate()
            process.join()
    if process.exitcode != 0:
        raise RuntimeError(f"{function.__module__}.{function.__name__} ended with exit code {process.exitcode}")


def _send_all(pipe: Any, function: Callable[..., Iterator[Any]], arguments: tuple) -> None:
    for item in function(*arguments):
        pipe.send(item)


def machine() -> dict[str, Any]:
    """Processor, cores, load and versions: what a figure holds for."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "extensions": " ".join(name for name in ("avx512_bf16", "amx_bf16") if name in processor_flags()) or "none",
        "card": card(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "torchvision", "numpy", "textual", "plotext", "sqlite-utils")},
    }


def processor_flags() -> set[str]:
    """What the processor can do, in the system's words; empty where it does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return set()
    return set(next((line.split(":", 1)[1] for line in lines if line.startswith("flags")), "").split())


def card() -> str:
    """The first card and its driver, asked for without starting CUDA: workers are forked later."""
    try:
        import pynvml

        pynvml.nvmlInit()
        name, driver = (
            pynvml.nvmlDeviceGetName(pynvml.nvmlDeviceGetHandleByIndex(0)),
            pynvml.nvmlSystemGetDriverVersion(),
        )
    except Exception:  # no library, no driver, no card: all the same here
        return "none"
    return f"{name} (driver {driver})"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
