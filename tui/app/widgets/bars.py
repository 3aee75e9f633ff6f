"""Bars by layer, for masks and overlap: a bar, the layers that there is room for, and a plot in the room below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

from rich.text import Text

from store.viewing import Turn
from tui.app.look import DIM, STRONG
from tui.app.widgets.panel import Scene
from tui.app.widgets.plot import plot
from tui.drawing import Series, ticks

T = TypeVar("T")

_PLOT_ROWS = 7
"""Below this a plot under the bars says too little."""


def bar(fraction: float, width: int, style: str, mark: float | None = None) -> Text:
    """A bar of `fraction` of `width` cells; `mark` stands across it at another fraction."""
    halves = round(min(max(fraction, 0.0), 1.0) * width * 2)
    if fraction > 0:
        halves = max(halves, 1)
    cells = "━" * (halves // 2) + "╸" * (halves % 2)
    text = Text.assemble((cells, style), ("─" * (width - len(cells)), DIM))
    if mark is None or not width:
        return text
    at = min(int(min(max(mark, 0.0), 1.0) * width), width - 1)
    return Text.assemble(text[:at], ("┃", STRONG), text[at + 1 :])


def window(rows: Sequence[T], top: int, room: int, what: str) -> tuple[list[T], list[Text]]:
    """The rows that fit into `room` lines from `top` on, and where some do not, a line that says which they are."""
    if len(rows) <= room:
        return list(rows), []
    fit = max(room - 1, 1)
    first = max(0, min(top, len(rows) - fit))
    shown = list(rows[first : first + fit])
    return shown, [Text(f"{what} {first + 1} to {first + len(shown)} of {len(rows)}", DIM, no_wrap=True)]


def scrolled(top: int, rows: int, height: int, pages: int, what: str) -> dict[str, int] | str:
    """The first of `rows` that is shown after going `pages` back from `top`; in words where all are."""
    fit = max(height - 6, 1)  # the head, all of them together, the scale
    if rows <= fit:
        return f"all {what} are shown"
    return {"layer_top": max(0, min(top - pages * max(fit - 1, 1), rows - fit))}


def over(rows: list[Text], trend: list[Series], width: int, height: int, label: str) -> list[Text]:
    """Bars, and a plot by round in the room below them."""
    left = height - len(rows) - 1
    if left < _PLOT_ROWS or not any(len(one.xs) > 1 for one in trend):
        return rows
    return [*rows, Text(), *by_round(trend, width, left, label)]


def by_round(trend: list[Series], width: int, height: int, label: str) -> list[Text]:
    """A plot over rounds, from 0 on both axes."""
    longest = int(max(max(one.xs, default=0) for one in trend))
    marks = ticks(0, longest, max(width // 8, 2), least=1)
    limits = {"x_limits": (0, longest), "y_limits": (0.0, None)}
    return plot(trend, width, height, x_label="round", y_label=label, x_ticks=marks, **limits)


def colour_of(scene: Scene, turn: Turn) -> int:
    """The colour of the search in focus."""
    return next((lane.colour for lane in scene.view.lanes if lane.search == turn.search), 0)


def place(turn: Turn) -> str:
    """Whose masks are shown."""
    return f"{turn.search} seed {turn.seed} round {turn.pruned}"
