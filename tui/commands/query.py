"""`tombola query`: any question in SQL; the store is opened read-only, so nothing can be lost."""

from __future__ import annotations

import csv
import itertools
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from store.errors import StoreError
from tui.commands.options import Refused, json_option, reader, store_options
from tui.commands.output import say, table

MOST_ROWS = 1000
"""Rows of a table that a person reads; JSON and CSV are whole."""

MOST_WIDE = 60
"""Characters of a cell in a table."""


@click.command()
@click.argument("sql", required=False)
@click.option("-f", "--file", "path", metavar="FILE", help="Read the SQL from a file, or - for standard input.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@json_option
@store_options
def command(sql: str | None, path: str | None, as_csv: bool, as_json: bool) -> None:
    """Ask the store with SQL, read-only.

    Prints a table for people, or every row in full as JSON or CSV. `tombola schema` explains tables and columns.
    """
    if (sql is None) == (path is None):
        raise click.UsageError("give one of the two: SQL, or -f FILE")
    if as_csv and as_json:
        raise click.UsageError("--csv and --json exclude each other")
    question = sql if sql is not None else _read(path or "-")
    store = reader()
    try:
        columns, rows = store.query(question)
        if as_json:
            _print_json(columns, rows)
        elif as_csv:
            _print_csv(columns, rows)
        else:
            _print_table(columns, rows)
    except StoreError as error:
        raise Refused(str(error)) from None


def _read(path: str) -> str:
    if path == "-":
        return sys.stdin.read()
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        words = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
        raise Refused(f"{path}: {words}") from None


def _print_json(columns: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    """A list of objects, a row a line, so that a long answer can be read as it comes."""
    names = _distinct(columns)
    before = "["
    for row in rows:
        click.echo(f"{before}{json.dumps(dict(zip(names, map(_json_value, row), strict=True)))}", nl=False)
        before = ",\n"
    click.echo("[]" if before == "[" else "]")


def _json_value(value: Any) -> Any:
    return value.hex() if isinstance(value, bytes) else value


def _distinct(columns: list[str]) -> list[str]:
    """Names that differ: an object holds each key once, and no column may vanish in it."""
    names: list[str] = []
    for column in columns:
        again = (f"{column}:{number}" for number in itertools.count(2))
        names.append(column if column not in names else next(name for name in again if name not in names))
    return names


def _print_csv(columns: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_json_value(value) for value in row] for row in rows)


def _print_table(columns: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    shown = list(itertools.islice(rows, MOST_ROWS + 1))
    cut = 0
    cells = []
    for row in shown[:MOST_ROWS]:
        texts = [_cell(value) for value in row]
        cut += sum(len(text) > MOST_WIDE for text in texts)
        cells.append([text if len(text) <= MOST_WIDE else text[: MOST_WIDE - 1] + "…" for text in texts])
    numbers = [
        place for place in range(len(columns)) if any(isinstance(row[place], int | float) for row in shown[:MOST_ROWS])
    ]
    for line in table(columns, cells, right=numbers):
        click.echo(line)
    if len(shown) > MOST_ROWS:
        say(f"only the first {MOST_ROWS} rows are shown; --csv and --json give all")
    if cut:
        say(f"{cut} long values are cut short; --csv and --json give all")


def _cell(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value.hex() if isinstance(value, bytes) else str(value)
