"""How much room text takes on a terminal, in cells: measured, cut, padded and wrapped.

A Chinese character or an emoji fills two cells, an accent that stands on the letter before it none. Widths are those
that the app's framework lays its lines out by.
"""

from __future__ import annotations

import textwrap
from typing import SupportsIndex


def width(text: str) -> int:
    """Cells of a line of text."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # 10 ms, which most commands do without

    return cell_len(text)


def cut(text: str, most: int) -> str:
    """`text`, or where it takes more than `most` cells, as much of it as leaves one for an ellipsis."""
    if len(text) <= most and width(text) <= most:
        return text
    return _head(text, max(most - 1, 0)) + "…"


def cut_before(text: str, most: int) -> str:
    """The same of its end, behind an ellipsis: the end of a path tells it from others."""
    if len(text) <= most and width(text) <= most:
        return text
    place = len(text)
    while place and width(text[place - 1 :]) < most:
        place -= 1
    return "…" + text[place:]


def left(text: str, size: int) -> str:
    """`text` with blanks after it, up to `size` cells."""
    return text + " " * (size - width(text))


def right(text: str, size: int) -> str:
    """`text` with blanks before it, up to `size` cells."""
    return " " * (size - width(text)) + text


def wrap(text: str, size: int, first: str = "", rest: str = "", most: int | None = None) -> list[str]:
    """`text` on lines of at most `size` cells that begin with `first`, and after that with `rest`.

    Of more than `most` lines, the last that is left ends in an ellipsis.
    """
    size = max(size, width(first) + 2, width(rest) + 2)  # a wide character has to fit, or there would be no end
    lines = _Wrapper(size, initial_indent=first, subsequent_indent=rest).wrap(text)
    if most is None or len(lines) <= most:
        return lines
    last = lines[most - 1]
    while width(last) > size - 2 and " " in last.strip():
        last = last.rstrip().rpartition(" ")[0].rstrip()
    return [*lines[: most - 1], f"{cut(last, size - 2)} …"]


def _head(text: str, most: int) -> str:
    """As many characters as fit into `most` cells, with the accents on the last one."""
    if text.isascii():
        return text[:most]
    used = 0
    for place, character in enumerate(text):
        used += width(character)
        if used > most:
            return text[:place]
    return text


class _Chunk(str):
    """A piece of a line, as long as it is wide."""

    cells: int

    def __new__(cls, text: str, cells: int | None = None) -> _Chunk:
        chunk = super().__new__(cls, text)
        chunk.cells = width(text) if cells is None else cells
        return chunk

    def __len__(self) -> int:
        return self.cells

    def __getitem__(self, part: SupportsIndex | slice) -> _Chunk:
        """The first characters, or those after them, by cells."""
        text = str(self)
        if not isinstance(part, slice):
            return _Chunk(text[part])
        head = _Chunk(_head(text, part.stop if part.stop is not None else part.start))
        return head if part.start is None else _Chunk(text.removeprefix(head), self.cells - head.cells)


class _Wrapper(textwrap.TextWrapper):
    """Wraps as the standard library does, which measures by `len`."""

    def _split(self, text: str) -> list[str]:
        return [_Chunk(chunk) for chunk in super()._split(text)]
