"""The strip at the foot of the list: a line for each graphics card, who computes on it, and one for the processor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text

from tui.app.look import DIM, STRONG, VERDICT_STYLES
from tui.cells import left, right
from tui.cells import width as width_of
from tui.plain import plain

if TYPE_CHECKING:
    from tui.hardware import Card, Machine

MOST = 8
"""Cards that have a line each: as many as one machine usually holds."""

HOT = 90
"""Percent of a card or of its memory from which it counts as taken."""

Cell = tuple[str, str]
"""Text and style."""


def lines(machine: Machine, width: int) -> list[Text]:
    """Cards in their own order, then the processor, in columns as wide as they need to be."""
    most = 14 if width < 100 else 28
    table = [_card(card, most) for card in machine.cards[:MOST]] + [_processor(machine)]
    wide = [max(width_of(row[column][0]) for row in table) for column in range(len(table[0]) - 1)]
    rows = [_row(cells, wide, width) for cells in table]
    notes = []
    if len(machine.cards) > MOST:
        notes.append(Text(f"and {len(machine.cards) - MOST} more cards"[:width], DIM))
    if machine.silent:
        words = "the NVIDIA driver does not answer" + (": figures are its last" if machine.cards else "")
        notes.append(Text(plain(words, width), VERDICT_STYLES["failed"]))
    return [*rows[:-1], *notes, rows[-1]]


def _card(card: Card, most: int) -> list[Cell]:
    users = plain(", ".join(dict.fromkeys(map(str, card.users))))
    return [
        (f"gpu {card.index}", DIM),
        (plain(card.name, most), STRONG),
        _use(card.use),
        _memory(card.used, card.total),
        (f"{_told(card.power)}/{_told(card.limit)} W", ""),
        (f"{_told(card.celsius)} °C", ""),
        (users or "free", "" if users else DIM),
    ]


def _processor(machine: Machine) -> list[Cell]:
    cores, load = (f"{machine.cores} cores", STRONG), (f"load {machine.load:.1f}", "")
    return [("cpu", DIM), cores, _use(machine.use), _memory(machine.used, machine.total), load, ("", ""), ("", "")]


def _use(use: int | None) -> Cell:
    return f"{_told(use)} %", STRONG if (use or 0) >= HOT else ""


def _memory(used: float | None, total: float | None) -> Cell:
    full = used is not None and total is not None and 100 * used >= HOT * total
    return f"{_told(used, 1)}/{_told(total)} GiB", STRONG if full else ""


def _told(figure: float | None, decimals: int = 0) -> str:
    return "–" if figure is None else f"{figure:.{decimals}f}"


def _row(cells: list[Cell], wide: list[int], width: int) -> Text:
    """Names stand left, figures right; users have what is left."""
    row = Text(no_wrap=True)
    for column, (text, style) in enumerate(cells):
        if column < len(wide):
            text = left(text, wide[column]) if column < 2 else right(text, wide[column])
        row.append(text, style).append("  ")
    row.rstrip()
    row.truncate(width, overflow="ellipsis")
    return row
