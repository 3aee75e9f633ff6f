"""How things look: the theme, the colours of states and series, and the few glyphs that carry meaning.

Colour never says anything alone: a state has its glyph and word, a series its marker and label.
"""

from __future__ import annotations

import textwrap

from rich.text import Text
from textual.theme import Theme

from tui.drawing import COLOURS
from tui.plain import plain

THEME = Theme(
    name="tombola",
    primary="#d7af5f",
    secondary="#87afd7",
    accent="#d7af5f",
    success="#87d787",
    warning="#ffaf5f",
    error="#ff8787",
    foreground="#d0d0d0",
    background="#16181d",
    surface="#1c1f26",
    panel="#262a33",
    dark=True,
)

STATES = {
    "running": ("●", "color(78)"),
    "paused": ("◐", "color(178)"),
    "stopped": ("○", "color(245)"),
    "finished": ("✓", "color(75)"),
    "failed": ("✗", "color(203)"),
    "lost": ("?", "color(208)"),
}
"""Glyph and colour of every state a run can be in."""

_GOOD, _MIDDLING, _BAD, _OPEN = "bold color(78)", "bold color(75)", "bold color(203)", "bold color(245)"
VERDICT_STYLES = {
    **dict.fromkeys(("clear", "stable", "passed", "jackpot"), _GOOD),
    **dict.fromkeys(("similar", "secondary"), _MIDDLING),
    **dict.fromkeys(("reversed", "unstable", "failed", "no ticket"), _BAD),
    **dict.fromkeys(("undecided", "none"), _OPEN),
}
"""Colours of verdicts, beside the marks and words that `tui.questions` gives them."""

LEVELS = {"debug": "color(245)", "info": "", "warning": "color(178)", "error": "color(203)"}

DIM = "color(245)"
STRONG = "bold"
ACCENT = "color(179)"
CURSOR = "on color(237)"
CURSOR_WITHOUT_COLOUR = "reverse"
KEY = "bold color(179)"
MARK, MARKED = "▌", "bold color(179)"
"""What stands before a run that is to be compared, and its colour."""
SORTED = ("▲", "▼")
"""After the head of the column that a table is sorted by: the smallest first, or the largest."""


def series(index: int) -> str:
    """The style of a series, as plots draw it."""
    return f"color({COLOURS[index % len(COLOURS)]})"


def note(words: str, width: int) -> list[Text]:
    """A remark in place of figures, wrapped."""
    return [Text(line, DIM) for line in textwrap.wrap(plain(words), max(width, 10))]
