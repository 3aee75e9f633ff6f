"""A plot as lines of text for a canvas, in the colours of `drawing.py`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any

from rich.text import Text

from tui.drawing import Series, draw

_CODE = re.compile("\x1b\\[(?:38;5;(\\d+)|0)m")


def plot(series: Sequence[Series], width: int, height: int, **options: Any) -> list[Text]:
    """`drawing.draw` with these options, a line each."""
    return [_text(row) for row in draw(series, width, height, **options).split("\n")]


def _text(row: str) -> Text:
    pieces: list[tuple[str, str]] = []
    style = pen = ""
    at = 0
    for code in [*_CODE.finditer(row), None]:
        piece = row[at : code.start() if code else len(row)]
        if piece.strip():
            pen = style
        pieces.append((pen, piece))  # blanks take any colour: that of what is left of them needs no code of its own
        if code:
            style = f"color({code[1]})" if code[1] else ""
            at = code.end()
    text = Text(no_wrap=True)
    for pen, alike in groupby(pieces, key=itemgetter(0)):
        text.append("".join(piece for _, piece in alike), pen)
    return text
