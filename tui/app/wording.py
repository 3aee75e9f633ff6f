"""Figures as people read them: percentages, durations, counts, moments, and what an experiment will cost."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import Any

from tui import cells
from tui.plain import plain

DASH = "–"

ALMOST = 0.9995
"""Of a larger unit, from which three digits of the smaller one would be rounded to a thousand of them: "1e+03 MB"."""


GLYPHS = {
    "clear": "✓",
    "stable": "✓",
    "passed": "✓",
    "jackpot": "✓",
    "similar": "≈",
    "secondary": "≈",
    "undecided": "?",
    "reversed": "✗",
    "unstable": "✗",
    "failed": "✗",
    "no ticket": "✗",
    "none": "·",
}
"""What stands before a verdict's word."""


def percent(fraction: float | None, decimals: int = 1) -> str:
    """0.913 → "91.3 %"."""
    return DASH if fraction is None else f"{100 * fraction:.{decimals}f} %"


def duration(seconds: float | None) -> str:
    """The two largest units: "42s", "3m 12s", "2h 05m", "3d 04h"."""
    if seconds is None:
        return DASH
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02}h"


def count(number: float) -> str:
    """13068 → "13 068", 4200000 → "4.2 M"."""
    if number < 1e6:
        return f"{number:,.0f}".replace(",", " ")
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M")):
        if number >= ALMOST * size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def size(octets: float) -> str:
    """Bytes, in decimal units."""
    for unit, name in ((1e12, "TB"), (1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if octets >= ALMOST * unit:
            return f"{octets / unit:.3g} {name}"
    return f"{octets:.0f} B"


def energy(joules: float) -> str:
    """84600 → "23.5 Wh"."""
    hours = joules / 3600
    for size, unit in ((1e6, "MWh"), (1e3, "kWh")):
        if hours >= ALMOST * size:
            return f"{hours / size:.3g} {unit}"
    return f"{hours:.3g} Wh"


def moment(stored: str, form: str = "%H:%M:%S") -> str:
    """A moment of the store (UTC) in local time."""
    try:
        return datetime.fromisoformat(stored).astimezone().strftime(form)
    except ValueError:
        return plain(stored[:8])


def layer_name(layer: str) -> str:
    """A weight tensor's layer: "conv1.weight" → "conv1"."""
    return layer.removesuffix(".weight")


def plural(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"


def forecast(cost: dict[str, Any], data: str, width: int) -> list[tuple[str, str]]:
    """What the engine's forecast says of an experiment, as lines of at most about `width` columns.

    Each is a word, padded to one width and blank where the line above goes on, and the figures. `data` is the name (or
    folder) that `tombola data` takes.
    """
    images = cost["images"]
    total = max(images["total"], 1)
    rows = [
        ("time", f"about {duration(cost['seconds'])} on {cost['where']}, {plural(cost['workers'], 'worker')}"),
        (
            "images",
            f"{count(images['total'])} trained on: {percent(images['search'] / total, 0)} to search,"
            f" {percent(images['evaluation'] / total, 0)} to evaluate, in {plural(cost['trainings'], 'training')}",
        ),
        ("weights", f"{count(cost['prunable'])} of {count(cost['weights'])} can be pruned"),
        ("needs", f"{size(cost['memory_bytes'])} of memory, {size(cost['disk_bytes'])} on disk"),
    ]
    found = cost["data"]
    shape = "×".join(map(str, found["shape"]))
    place = "on this machine" if found["there"] else "not on this machine"
    rows.append(("data", f"{count(found['images'])} images of {found['classes']} classes, {shape}, {place}"))
    if not found["there"]:
        download = f" ({found['download']})" if found["download"] else ""
        rows.append(("fetch", f"tombola data {shlex.quote(data)} --fetch{download}"))
    rows += [(plain(name), _rounds(search)) for name, search in cost["searches"].items()]
    lead = max(cells.width(name) for name, _ in rows) + 2
    pieces = [(name, cells.wrap(plain(words), max(width - lead, 16))) for name, words in rows]
    return [(cells.left("" if i else name, lead), words) for name, lines in pieces for i, words in enumerate(lines)]


def _rounds(search: dict[str, Any]) -> str:
    number, low, high = (search[key] for key in ("rounds", "rounds_low", "rounds_high"))
    return plural(number, "round") + (f", {low} to {high}" if low != high else "")


def verdict(word: str) -> str:
    """A verdict with its mark."""
    return f"{GLYPHS.get(word, '·')} {plain(word)}"
