"""How figures are taken and shown: trials in turn, medians with their range, and the machine they hold for."""

from __future__ import annotations

import os
import platform
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Figure:
    """All trials of one case. `most` is the mark it should stay below, in the same unit, where it has one."""

    bench: str
    case: str
    unit: str
    trials: tuple[float, ...]
    most: float | None = None
    note: str = ""

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
        note = f"  {self.note}" if self.note else ""
        return f"  {self.case:<34} {self.median:>9,.{digits}f} {self.unit:<6} {spread:<34}{mark}{note}"


def in_turn(cases: Mapping[str, Callable[[], float]], trials: int, discard: int = 1) -> dict[str, tuple[float, ...]]:
    """Call every case `trials` times, taking turns, after `discard` turns that warm caches and do not count."""
    taken: dict[str, list[float]] = {case: [] for case in cases}
    for turn in range(discard + trials):
        for case, measure in cases.items():
            figure = measure()
            if turn >= discard:
                taken[case].append(figure)
    return {case: tuple(figures) for case, figures in taken.items()}


def machine() -> dict[str, Any]:
    """Processor, cores, load and versions: what a figure holds for."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        **{name: _version(name) for name in ("torch", "numpy", "textual", "plotext", "sqlite-utils")},
    }


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
