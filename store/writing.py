"""Rows into the store: what the engine writes with.

sqlite_utils inserts, because it turns dicts and lists into JSON and batches many rows; with a transaction of ours
open it nests as savepoints. Its upsert is not used: it needs a plain unique constraint without NULLs, and here a key
may be an index on an expression (a layer of no member). Transactions are ours, because its own begin deferred.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from store.connection import busy_seconds, connect, transaction, translated

Row = Mapping[str, Any]


class Writer:
    """One writing connection. Every method is a transaction of its own, or a part of the one that is open.

    Values that are dicts, lists or tuples are stored as JSON; floats that are not finite as NULL, because JSON, CSV
    and plots have no word for them. A table or column that does not exist is a `ValueError`.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.conn = connect(path)
        self._db = Database(self.conn, execute_plugins=False)
        self._columns: dict[str, frozenset[str]] = {}

    def transaction(self) -> AbstractContextManager[None]:
        """Everything in the block is written, or nothing."""
        return transaction(self.conn)

    def insert(self, table: str, row: Row) -> int:
        """Add a row; gives back its rowid."""
        self._check(table, row)
        with self.transaction():
            rowid = self._db.table(table).insert(_storable(row)).last_rowid
        return int(rowid or 0)

    def insert_all(self, table: str, rows: Iterable[Row]) -> None:
        """Add many rows that have the same columns."""
        rows = list(rows)
        for row in rows:
            self._check(table, row)
        with self.transaction():
            self._db.table(table).insert_all(_storable(row) for row in rows)

    def put(self, table: str, row: Row, key: tuple[str, ...]) -> int:
        """Add a row, or update the one that has the same unique `key`; gives back its rowid."""
        self._check(table, row)
        with self.transaction():
            return self.conn.execute(f"{_upsert(table, row, key)} RETURNING rowid", _storable(row)).fetchone()[0]

    def put_all(self, table: str, rows: Iterable[Row], key: tuple[str, ...]) -> None:
        """`put` for many rows that have the same columns."""
        rows = list(rows)
        if not rows:
            return
        for row in rows:
            self._check(table, row)
        with self.transaction():
            self.conn.executemany(_upsert(table, rows[0], key), [_storable(row) for row in rows])

    def update(self, table: str, where: Row, values: Row) -> int:
        """Set `values` in every row that equals `where` (None matches NULL); gives back how many."""
        self._check(table, where)
        self._check(table, values)
        assignments = ", ".join(f'"{column}" = ?' for column in values)
        sql = f'UPDATE "{table}" SET {assignments} WHERE {_matching(where)}'
        with self.transaction():
            return self.conn.execute(sql, [*_storable(values).values(), *where.values()]).rowcount

    def delete(self, table: str, where: Row) -> int:
        """Remove every row that equals `where` (None matches NULL); gives back how many."""
        self._check(table, where)
        with self.transaction():
            return self.conn.execute(f'DELETE FROM "{table}" WHERE {_matching(where)}', list(where.values())).rowcount

    def execute(self, sql: str, params: Any = ()) -> int:
        """Run one statement that writes; gives back how many rows it changed."""
        with self.transaction():
            return self.conn.execute(sql, params).rowcount

    def rows(self, sql: str, params: Any = ()) -> list[sqlite3.Row]:
        """The rows of a query."""
        with translated(self.path, busy_seconds(self.conn)):
            return self.conn.execute(sql, params).fetchall()

    def one(self, sql: str, params: Any = ()) -> sqlite3.Row:
        """The first row of a query; a `LookupError` when there is none."""
        with translated(self.path, busy_seconds(self.conn)):
            row = self.conn.execute(sql, params).fetchone()
        if row is None:
            raise LookupError(f"no row: {sql} {params}")
        return row

    def wait_at_most(self, seconds: float) -> None:
        """How long each read and write waits for others from here on."""
        self.conn.execute(f"PRAGMA busy_timeout = {round(1000 * seconds)}")

    def close(self) -> None:
        self.conn.close()

    def __enter__(self) -> Writer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _check(self, table: str, row: Row) -> None:
        """Refuse names that do not exist: sqlite_utils would create the table, SQLite read the column as a text."""
        if table not in self._columns:
            names = [column["name"] for column in self.conn.execute("SELECT name FROM pragma_table_info(?)", (table,))]
            if not names:
                raise ValueError(f"no table {table!r}")
            self._columns[table] = frozenset(names)
        if not row or not self._columns[table].issuperset(row):
            raise ValueError(f"{table} has no columns {sorted(set(row) - self._columns[table])}")


def _upsert(table: str, row: Row, key: tuple[str, ...]) -> str:
    """An insert that updates when the row exists. Without a named target any unique index decides, also one on an
    expression; some column is always set, so that RETURNING has a row."""
    columns = list(row)
    rest = [column for column in columns if column not in key] or columns
    assignments = ", ".join(f'"{column}" = excluded."{column}"' for column in rest)
    names = ", ".join(f'"{column}"' for column in columns)
    values = ", ".join(f":{column}" for column in columns)
    return f'INSERT INTO "{table}" ({names}) VALUES ({values}) ON CONFLICT DO UPDATE SET {assignments}'


def _matching(where: Row) -> str:
    return " AND ".join(f'"{column}" IS ?' for column in where)


def _storable(row: Row) -> dict[str, Any]:
    return {column: _value(value) for column, value in row.items()}


def _value(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, (dict, list, tuple)):
        return json.dumps(value)
    return value
