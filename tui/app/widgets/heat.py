"""Heat maps of density: which share of a layer's weights is alive, a row each layer, a column each round or member.

Shares are told apart on the scale 50, 20, 10, 5, 2, 1 %: tickets live in its lower half. A cell has a colour and,
where there is room, its figure; else a pattern of its own, so that it reads without colour too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from rich.text import Text

from tui.app.look import ACCENT, BAD, DIM, HERE, NONE, PATTERNS, SHADES, STRONG
from tui.cells import left
from tui.plain import plain

LEVELS = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.0)
"""A level holds the shares above its bound and up to the one before."""

_FIGURES = 4
"""Columns of a cell with a figure, at least: three digits or two and a point, and air."""


_WORDS = 60
"""Columns from which the scale is in words."""


@dataclass(frozen=True)
class Row:
    """A layer, or all of them; a share is None where there is none to tell."""

    name: str
    shares: Sequence[float | None]
    strong: bool = False


def level(share: float) -> int | None:
    """Which of `LEVELS` a share of 0 to 1 is in; None at 0, where nothing is left."""
    return next((i for i, bound in enumerate(LEVELS) if share > bound), None)


def figure(share: float) -> str:
    """A share in percent, in at most three characters, and never 0 while a weight is left."""
    percent = 100 * share
    if share <= 0:
        return NONE
    if percent < 0.1:
        return "<.1"
    return f"{percent:.1f}" if percent < 9.95 else f"{percent:.0f}"


def heat(
    rows: Sequence[Row], columns: Sequence[str], chosen: int | None, name: int, width: int, what: str
) -> tuple[list[Text], list[Text], list[Text]]:
    """A head (column names, and a mark over the chosen one), a line for each row, and the scale.

    `name` is the width of row names. Of columns that do not fit those around the chosen one are shown, and the scale
    says which of `what` that is.
    """
    room = max(width - name - 2, 4)
    roomy = max([_FIGURES + 1, *(len(column) + 2 for column in columns)])
    size = next((size for size in (roomy, _FIGURES, 2, 1) if size * len(columns) <= room), 1)
    here = len(columns) - 1 if chosen is None else chosen
    first = max(0, min(here - room // 2, len(columns) - room // size))
    last = min(len(columns), first + room // size)
    head = _head(columns[first:last], None if chosen is None else chosen - first, size, name + 2)
    lines = []
    for row in rows:
        line = Text.assemble((left(plain(row.name, name), name) + "  ", STRONG if row.strong else ""), no_wrap=True)
        # Cells alike that touch are one piece: a style each would be most of what a terminal is sent.
        cells = [_cell(share, size) for share in row.shares[first:last]]
        for style, alike in groupby(cells, key=itemgetter(1)):
            line.append("".join(words for words, _ in alike), style)
        lines.append(line)
    part = f"{what} {columns[first]} to {columns[last - 1]} of {len(columns)}" if last - first < len(columns) else ""
    return head, lines, _scale(width, size, part)


def _cell(share: float | None, size: int) -> tuple[str, str]:
    """What a cell of `size` columns holds, and its style."""
    if share is None:
        return " " * size, ""
    at = level(share)
    if at is None:
        return (f"{NONE:>{size - 1}} " if size >= _FIGURES else NONE * size), BAD
    colour, ink = SHADES[at]
    if size >= _FIGURES:
        return f"{figure(share):>{size - 1}} ", f"color({ink}) on color({colour})"
    return PATTERNS[at][:size], f"color({colour})"


def _head(columns: Sequence[str], chosen: int | None, size: int, left: int) -> list[Text]:
    """Names of the columns, the first `left` cells in, as many as leave a blank between them; the chosen one always."""
    kept: dict[int, str] = {}
    order = _spread(columns) if any(len(name) >= size for name in columns) else list(range(len(columns)))
    for i in order if chosen is None else [chosen, *order]:
        start = _start(i, columns[i], size, left)
        if all(start > at + len(name) or start + len(columns[i]) < at for at, name in kept.items()):
            kept[start] = columns[i]
    names = Text(no_wrap=True)
    for start, name in sorted(kept.items()):
        names.append(" " * (start - names.cell_len)).append(plain(name), DIM)
    if chosen is None:
        return [names]
    start = _start(chosen, columns[chosen], size, left)
    names.stylize(f"bold {ACCENT}", start, start + len(columns[chosen]))
    mark = HERE * (2 if size == 2 else 1)
    under = left + chosen * size + (size - 2 if size >= _FIGURES else 0)
    return [names, Text.assemble(" " * under, (mark, ACCENT), no_wrap=True)]


def _start(column: int, name: str, size: int, left: int) -> int:
    """Where the name of a column begins: flush right with figures, else over the left edge of its cell."""
    end = left + (column + 1) * size - (size >= _FIGURES)
    return max(end - len(name), 0) if len(name) <= size else left + column * size


def _spread(columns: Sequence[str]) -> list[int]:
    """Columns whose names are wanted where there is no room for all: the ends, and some round numbers."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 10**9) if len(columns) <= 8 * step)
    return [0, len(columns) - 1, *(i for i, name in enumerate(columns) if name.isdecimal() and int(name) % step == 0)]


def _scale(width: int, size: int, part: str) -> list[Text]:
    """What cells say and which columns there are, wrapped; in few words where there is little room."""
    brief = width < _WORDS
    pieces = [] if brief and size < _FIGURES else [Text("weights alive, %", DIM)]
    if size < _FIGURES:
        for pattern, bound, (colour, _) in zip(PATTERNS, LEVELS, SHADES, strict=True):
            percent = f"{100 * bound:g}" if bound else ""
            words = (percent + "%" * (bound == LEVELS[0])) if brief else f" >{percent}" if bound else " less"
            pieces.append(Text.assemble((pattern[:size], f"color({colour})"), (words, DIM)))
    pieces.append(Text.assemble((NONE, BAD), ("0" if brief and size < _FIGURES else " none left", DIM)))
    pieces += [Text(part, DIM)] * bool(part)
    gap = " " if brief else "  "
    lines = [Text(no_wrap=True)]
    for piece in pieces:
        if lines[-1].cell_len and lines[-1].cell_len + len(gap) + piece.cell_len > width:
            lines.append(Text(no_wrap=True))
        lines[-1].append(gap if lines[-1].cell_len else "").append_text(piece)
    return lines
