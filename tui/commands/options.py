"""What commands share of the command line: where the store is, how a run is named, how an error ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from store.errors import StoreError

if TYPE_CHECKING:
    from store.reading import Reader

F = TypeVar("F", bound=Callable[..., Any])
R = TypeVar("R")


class Refused(click.ClickException):
    """What was asked cannot be done as it was asked: one line, exit code 2."""

    exit_code = 2


class Failed(click.ClickException):
    """What was asked did not work: one line, exit code 1."""

    exit_code = 1


def _remember(ctx: click.Context, option: click.Parameter, value: str | None) -> None:
    if value is not None:
        if not value:
            raise click.BadParameter("a path is needed", ctx, option)
        ctx.meta[f"tombola.{option.name}"] = value


def store_options(function: F) -> F:
    """`--db` and `--files`, before or after the name of a command."""
    for name, words in (
        ("--files", "Folder of masks and weights (else TOMBOLA_FILES, else beside the store)."),
        ("--db", "The store (else TOMBOLA_DB, else in your data folder)."),
    ):
        function = click.option(name, metavar="PATH", expose_value=False, callback=_remember, help=words)(function)
    return function


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
run_argument = click.argument("run", metavar="RUN")
runs_argument = click.argument("runs", metavar="RUN...", nargs=-1, required=True)


def db() -> Path:
    """The store that was asked for."""
    from store.places import db_path

    return db_path(click.get_current_context().meta.get("tombola.db"))


def files() -> Path:
    """The folder of files that was asked for, for new runs."""
    from store.places import files_path

    return files_path(click.get_current_context().meta.get("tombola.files"), db())


def files_of(row: dict[str, Any]) -> Path:
    """The folder with the files of a run: as given on the command line, else where the run put them."""
    if click.get_current_context().meta.get("tombola.files"):
        return files()
    return Path(row["files"])


def reader() -> Reader:
    """The store, read-only, closed when the command ends."""
    from store.reading import Reader

    return click.get_current_context().with_resource(Reader(db()))


def resolve(store: Reader, prefix: str) -> str:
    """The whole id of the run that a person named by its first letters."""
    try:
        return store.resolve(prefix)
    except StoreError as error:
        raise Refused(str(error)) from None


def edit(change: Callable[..., R], *arguments: Any) -> R:
    """Make one change in the store; gives what it gave."""
    from store.connection import connect

    conn = connect(db())
    try:
        return change(conn, *arguments)
    finally:
        conn.close()


def no_colour() -> bool:
    """Whether the person or the terminal wants none (no-color.org)."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
