"""Blocks of lines beside each other."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text


def beside(blocks: Sequence[Sequence[Text]], stride: int) -> list[Text]:
    """Blocks of equal height in one row, each beginning `stride` columns after the one before."""
    lines = []
    for pieces in zip(*blocks, strict=True):
        line = Text(no_wrap=True)
        for place, piece in enumerate(pieces):
            line.append(" " * (place * stride - line.cell_len)).append_text(piece)
        lines.append(line)
    return lines
