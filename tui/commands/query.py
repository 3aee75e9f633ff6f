"""`tombola query`: any question in SQL; the store is opened read-only, so nothing can be lost."""

from __future__ import annotations

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
from tui.rows import MOST_ROWS, MOST_WIDE, cell, distinct, numbers, plain_value, short, write_csv


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
            write_csv(sys.stdout, columns, rows)
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
    names = distinct(columns)
    before = "["
    for row in rows:
        click.echo(f"{before}{json.dumps(dict(zip(names, map(plain_value, row), strict=True)))}", nl=False)
        before = ",\n"
    click.echo("[]" if before == "[" else "]")


def _print_table(columns: list[str], rows: Iterable[tuple[Any, ...]]) -> None:
    shown = list(itertools.islice(rows, MOST_ROWS + 1))
    texts = [[cell(value) for value in row] for row in shown[:MOST_ROWS]]
    right = numbers(shown[:MOST_ROWS], len(columns))
    for line in table(columns, [[short(text) for text in row] for row in texts], right=right):
        click.echo(line)
    if len(shown) > MOST_ROWS:
        say(f"only the first {MOST_ROWS} rows are shown; --csv and --json give all")
    if cut := sum(len(text) > MOST_WIDE for row in texts for text in row):
        say(f"{cut} long values are cut short; --csv and --json give all")
