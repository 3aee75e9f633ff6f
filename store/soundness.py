"""What in a store no Tombola has written: looked for once something broke, to tell a foreign row from our fault, and
when somebody asks whether a store is whole.

Every value is held against what its column can hold: moments are moments, counts are not negative, JSON is an object,
text is text, and what refers to a row finds it.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.connection import connect_readonly, translated

OBJECTS = ("spec", "settings", "versions", "plan", "about", "figures")
"""Columns that hold a JSON object."""

MOMENTS = ("created", "started", "ended", "asked", "taken", "heartbeat", "at", "written")
"""Columns that hold a moment, as `now` spells it, or NULL."""

MOMENT = r"20\d\d-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\d(\.\d+)?Z"
RUN_ID = r"[a-z0-9]+(-[a-z0-9]+)*"

MOST_COUNTED = 2**53
"""No count of ours comes near; beyond it, sums over rows leave SQLite's integers."""

MOST_MEASURED = 1e100
"""No figure of ours comes near: they begin as 32-bit floats, which end at 3.4e38."""

RELATIONS = {
    "rounds": "prunable < 1 OR weights < 1 OR remaining > prunable OR weights_remaining > weights",
    "layers": "total < 1 OR before > total OR alive > before",
    "evaluations": "count < 1 OR correct > count",
}
"""What can never hold of a row whose columns are each possible."""


def strange(path: Path) -> str | None:
    """One line about a value that no Tombola writes, or None where there is none; reads the whole store.

    Raises:
        StoreError: it cannot be read.
    """
    with _opened(path) as conn:
        if value := next(_values(conn), None):
            return value
        dangling = conn.execute("PRAGMA foreign_key_check").fetchone()
    return None if dangling is None else f"a row of {dangling[0]} belongs to a row of {dangling[2]} that is not there"


def strange_values(path: Path) -> list[str]:
    """Of every column that holds a value that no Tombola writes one, in words; reads the whole store.

    Raises:
        StoreError: it cannot be read.
    """
    with _opened(path) as conn:
        return list(_values(conn))


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    conn = connect_readonly(path)
    try:
        with translated(path):
            conn.create_function("unlike", 2, _unlike, deterministic=True)
            yield conn
    finally:
        conn.close()


def _values(conn: sqlite3.Connection) -> Iterator[str]:
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
    for (table,) in conn.execute(tables).fetchall():
        for column in conn.execute(f'PRAGMA table_info("{table}")').fetchall():
            wrong = _wrong(column["name"], column["type"])
            found = conn.execute(
                f'SELECT CAST("{column["name"]}" AS BLOB) FROM "{table}" WHERE {wrong} LIMIT 1'
            ).fetchone()
            if found is not None:
                yield f"{table}.{column['name']} is {_shown(found[0])}"
        if conn.execute(f'SELECT 1 FROM "{table}" WHERE {RELATIONS.get(table, "0")} LIMIT 1').fetchone():
            yield f"the counts of a row of {table} contradict each other"


def _wrong(column: str, kind: str) -> str:
    """SQL that is true of a value of this column that cannot be; NULL is for the table's own constraints."""
    if kind == "INTEGER":
        return f'"{column}" NOT BETWEEN 0 AND {MOST_COUNTED}'
    if kind == "REAL":
        return f'abs("{column}") > {MOST_MEASURED}'
    if kind != "TEXT":
        return "0"
    if column in OBJECTS:
        return f'NOT json_valid("{column}") OR json_type("{column}") <> \'object\''
    sort = "moment" if column in MOMENTS else "id" if column == "id" else "text"
    return f'"{column}" IS NOT NULL AND unlike(CAST("{column}" AS BLOB), \'{sort}\')'


def _unlike(content: bytes, sort: str) -> bool:
    """Whether these bytes are no moment, no id of a run, or no text at all."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return True
    form = {"moment": MOMENT, "id": RUN_ID}.get(sort)
    return "\0" in text or (form is not None and not re.fullmatch(form, text))


def _shown(content: bytes | None) -> str:
    text = "NULL" if content is None else content[:41].decode(errors="replace")
    return repr(text if len(text) <= 40 else f"{text[:39]}…")
