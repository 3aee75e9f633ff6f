"""How commands print: JSON for programs, tables for people, neither with anything a terminal would obey."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import click

from tui import cells
from tui.plain import plain


def say(words: str) -> None:
    """A line for people, beside the results."""
    click.echo(plain(words), err=True)


def print_json(value: Any) -> None:
    """`value` as JSON; characters beyond ASCII are written as escapes, so nothing reaches a terminal raw."""
    click.echo(json.dumps(value, indent=2, default=str))


def table(head: Sequence[str], rows: Iterable[Sequence[object]], right: Iterable[int] = ()) -> list[str]:
    """Lines of a table without frames; columns in `right` are flush right."""
    shown = [[plain(name) for name in head], *([plain("" if cell is None else cell) for cell in row] for row in rows)]
    widths = [max(map(cells.width, column)) for column in zip(*shown, strict=True)]
    flush = set(right)
    lines = []
    for row in shown:
        padded = [
            cells.right(cell, wide) if place in flush else cells.left(cell, wide)
            for place, (cell, wide) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(padded).rstrip())
    return lines
