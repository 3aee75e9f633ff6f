"""Figures as people read them: percentages, durations, counts, moments."""

from __future__ import annotations

from datetime import datetime

DASH = "–"


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
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return str(number)


def size(octets: float) -> str:
    """Bytes, in decimal units."""
    for unit, name in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if octets >= unit:
            return f"{octets / unit:.3g} {name}"
    return f"{octets:.0f} B"


def moment(stored: str, form: str = "%H:%M:%S") -> str:
    """A moment of the store (UTC) in local time."""
    try:
        return datetime.fromisoformat(stored).astimezone().strftime(form)
    except ValueError:
        return stored[:8]


def layer_name(layer: str) -> str:
    """A weight tensor's layer: "conv1.weight" → "conv1"."""
    return layer.removesuffix(".weight")


def plural(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
