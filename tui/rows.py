"""Rows of a query as people and programs read them: cells of a table, CSV, and names that differ."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from tui.plain import plain

MOST_ROWS = 1000
"""Rows of a table that a person reads; JSON and CSV are whole."""

MOST_WIDE = 60
"""Columns that a cell of a table takes on a terminal, at most."""


def cell(value: Any) -> str:
    """A value as a table shows it, whole."""
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value.hex() if isinstance(value, bytes) else str(value)


def short(text: str) -> str:
    """A cell's text on one line, cut to `MOST_WIDE` with an ellipsis."""
    return plain(text, MOST_WIDE)


def numbers(rows: Sequence[Sequence[Any]], columns: int) -> list[int]:
    """Columns that hold a number somewhere: they are flush right."""
    return [place for place in range(columns) if any(isinstance(row[place], int | float) for row in rows)]


def distinct(columns: Sequence[str]) -> list[str]:
    """Names that differ: an object holds each key once, and no column may vanish in it."""
    names: list[str] = []
    for column in columns:
        again = (f"{column}:{number}" for number in itertools.count(2))
        names.append(column if column not in names else next(name for name in again if name not in names))
    return names


def plain_value(value: Any) -> Any:
    """A value that CSV and JSON can hold: bytes as hex."""
    return value.hex() if isinstance(value, bytes) else value


def write_csv(stream: TextIO, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """All rows under their columns' names; gives how many there were."""
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow([plain_value(value) for value in row])
        count += 1
    return count
