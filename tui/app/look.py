"""How things look: the theme, the colours of states and series, and the few glyphs that carry meaning.

Colour never says anything alone: a state has its glyph and word, a series its marker and label.
"""

from __future__ import annotations

from typing import Any

from rich.text import Text
from textual.app import App
from textual.theme import Theme

from tui.cells import wrap
from tui.colours import COLOURS
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

LIGHT_THEME = Theme(
    name="tombola-light",
    primary="#875f00",
    secondary="#005f87",
    accent="#875f00",
    success="#008700",
    warning="#af5f00",
    error="#af0000",
    foreground="#26282c",
    background="#fbfbf9",
    surface="#f0f0ec",
    panel="#dcdcd6",
    dark=False,
)

GROUNDS = {"dark": "tombola", "light": "tombola-light", "plain": "ansi-dark"}
"""Textual's theme for each of `settings.THEMES`."""

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

SHADES = ((153, 16), (111, 16), (68, 16), (243, 16), (137, 16), (130, 16), (94, 231))
"""Colours of cells from full to almost empty, and of figures on them: light to dark, blue to orange, so that eyes that
tell no red from green can tell them."""

PATTERNS = ("██", "▓▓", "▓▒", "▒▒", "▒░", "░░", "░·")
"""What such cells are filled with where there is no room for figures."""

NONE = "✗"
"""In place of a share of which nothing is left."""

HERE = "▼"
"""Over the column that is chosen."""

BAD = "bold color(203)"

ALERT = "!"
"""Before what a person should know, in the colour of alarm."""

ALARM = "bold color(208)"

DIM = "color(245)"
STRONG = "bold"
ACCENT = "color(179)"
_CURSOR = "on color(237)"
KEY = "bold color(179)"
MARK, MARKED = "▌", "bold color(179)"
"""What stands before a run that is to be compared, and its colour."""
SORTED = ("▲", "▼")
"""After the head of the column that a table is sorted by: the smallest first, or the largest."""


def series(index: int) -> str:
    """The style of a series, as plots draw it."""
    return f"color({COLOURS[index % len(COLOURS)]})"


def cursor(app: App[Any]) -> str:
    """The style of the line under a cursor: reversed where the ground is the terminal's own, which may be light."""
    return "reverse" if app.no_color or app.current_theme.ansi else _CURSOR


def note(words: str, width: int) -> list[Text]:
    """A remark in place of figures, wrapped."""
    return [Text(line, DIM) for line in wrap(plain(words), max(width, 10))]
