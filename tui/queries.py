"""Queries with a name: those that the report of a run is made from, and a person's own.

A person's own are files, `NAME.sql`, in a folder beside the settings: they can be edited, copied and versioned.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tui.settings import place

EVERY_RUN = (
    "SELECT r.id, s.state, r.preset, r.title, r.created, s.seconds\nFROM runs AS r JOIN run_states AS s ON s.run = r.id"
    "\nORDER BY r.created DESC"
)


@dataclass(frozen=True)
class Query:
    """`own`: it is a person's, and can be deleted."""

    name: str
    about: str
    sql: str
    own: bool = False


class QueryError(Exception):
    """A query cannot be saved or deleted; one line says why."""


def folder() -> Path:
    """Where a person's own queries lie."""
    return place().parent / "queries"


def shipped(run: str | None) -> list[Query]:
    """The list of runs, and every question of the report about this one."""
    from store.report import QUESTIONS

    found = [Query("runs", "Every run, the newest first", EVERY_RUN)]
    if run is not None:
        for name, question in QUESTIONS.items():
            found.append(Query(name, " ".join((question.__doc__ or "").split("\n\n")[0].split()), question(run)))
    return found


def own() -> list[Query]:
    """A person's own, by name; files that cannot be read are left out."""
    found = []
    for path in sorted(folder().glob("*.sql")):
        try:
            sql = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError):
            continue
        found.append(Query(path.stem, f"{path}", sql, own=True))
    return found


def save(name: str, sql: str) -> Path:
    """Keep a query under a name, in place of an earlier one.

    Raises:
        QueryError: the name is none for a file, or the file cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,59}", name):
        raise QueryError(f"{name!r} is no name for a query: letters, digits, - and _, at most 60")
    path = folder() / f"{name}.sql"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.with_suffix(".new")
        fresh.write_text(sql.rstrip() + "\n", encoding="utf-8")
        os.replace(fresh, path)
    except OSError as error:
        raise QueryError(f"{path} cannot be written: {error.strerror}") from None
    return path


def delete(query: Query) -> None:
    """Forget one of a person's own.

    Raises:
        QueryError: its file cannot be removed.
    """
    path = folder() / f"{query.name}.sql"
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise QueryError(f"{path} cannot be removed: {error.strerror}") from None
