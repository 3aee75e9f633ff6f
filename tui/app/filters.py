"""Lines on their way to the terminal: colours for a light ground, and characters that every terminal has.

What is drawn need not know of either: it is drawn once, for a dark ground and in full Unicode.
"""

from __future__ import annotations

import unicodedata
from functools import lru_cache

from rich.cells import cell_len
from rich.color import Color as RichColor
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.filter import LineFilter

LIGHT = {
    33: 26, 208: 166, 29: 23, 163: 163, 147: 19, 130: 88, 41: 65, 175: 132,
    170: 127, 178: 136, 203: 160, 78: 28, 75: 25, 245: 242, 179: 130, 237: 253,
}  # fmt: skip
"""Of the 256 colours, those that we draw with, and what stands for each on a light ground: the same hue, with a
contrast of 4 to 1 or more (3 to 1 for the orange and the yellow); the cursor's ground stays near the page's."""

_ALIKE = {
    "o": "●°", "O": "○", "%": "◐◓◑◒▓", "x": "×✗", "#": "■█▀▄", "*": "◆", "v": "▾▼↓✓", "@": "★", "A": "△", "&": "◇",
    "D": "□", "+": "├└┘┌┐┬┴┼╭╮╰╯", ">": "▸→≥", "<": "◂←≤⏎⌫", "^": "▲▴↑⇧", ".": "·•░", "-": "–—−┄─╸", "=": "━═▒",
    "~": "…≈±", "|": "│┃┤║▎▌▊▐▏▕", ":": "┊", "_": "▁▔", "'": "’‘″", '"': "“”", "u": "µμ",
}  # fmt: skip
"""Marks of series stay apart, and a bar from its rest."""

_LOOKALIKES = {ord(one): ascii for ascii, several in _ALIKE.items() for one in several}


class LightGround(LineFilter):
    """Darker colours in place of those that are drawn for a dark ground."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(text, style and _darker(style), control) for text, style, control in segments]


class PlainCharacters(LineFilter):
    """ASCII in place of every other character, cell for cell."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:
        return [Segment(ascii_only(text), style, control) for text, style, control in segments]


@lru_cache(1024)
def _darker(style: Style) -> Style:
    def side(colour: RichColor | None) -> RichColor | None:
        known = colour is not None and colour.triplet is None and colour.number in LIGHT
        return RichColor.from_ansi(LIGHT[colour.number]) if known else None  # type: ignore[union-attr,index]

    return style + Style.from_color(side(style.color), side(style.bgcolor))


@lru_cache(4096)
def ascii_only(text: str) -> str:
    """`text` in ASCII and of the same width: what looks alike, else the letter without its marks, else "?"."""
    if text.isascii():
        return text
    return "".join(_plain(character) for character in text.translate(_LOOKALIKES))


def _plain(character: str) -> str:
    if character.isascii():
        return character
    if "\u2800" <= character <= "\u28ff":  # braille: a cell with dots in it, or none
        return " " if character == "\u2800" else "."
    width = cell_len(character)
    letters = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return letters if len(letters) == width and letters.isprintable() else "?" * width
