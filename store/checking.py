"""Whether a store is whole: every page of it, every reference, and every file that it names with its hash."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from store.connection import connect_readonly, translated
from store.files import object_path, sha256_of

FRESH_SECONDS = 3600.0
"""A file that no row names may be of an engine that is about to write the row; after this long it is not."""

MOST_FAULTS = 100
"""SQLite tells no more than this of a damaged file."""


def database_faults(path: Path) -> Iterator[str]:
    """What SQLite finds wrong with the pages and indices of a store, and rows that refer to none, each in words.

    Raises:
        Unusable: it is too damaged to be looked through.
    """
    conn = connect_readonly(path)
    try:
        with translated(path):
            for (words,) in conn.execute(f"PRAGMA integrity_check({MOST_FAULTS})").fetchall():
                if words != "ok":
                    yield " ".join(words.split())
            for row in conn.execute("PRAGMA foreign_key_check").fetchmany(MOST_FAULTS):
                yield f"row {row['rowid']} of {row['table']} refers to a row of {row['parent']} that is not there"
    finally:
        conn.close()


def file_faults(path: Path, moved: Path | None = None) -> Iterator[str]:
    """What is wrong with the files that a store names: missing, of another length, of another hash; each in words.

    They are looked for where their runs put them, or in `moved`. Reads every one of them.
    """
    conn = connect_readonly(path)
    try:
        with translated(path):
            uses = conn.execute(
                "SELECT r.files, f.sha256, f.bytes, group_concat(DISTINCT u.run) AS runs, group_concat(DISTINCT u.role)"
                " AS roles FROM file_uses AS u JOIN files AS f ON f.sha256 = u.sha256 JOIN runs AS r ON r.id = u.run"
                " GROUP BY r.files, f.sha256 ORDER BY min(u.run), f.sha256"
            ).fetchall()
    finally:
        conn.close()
    for use in uses:
        file = object_path(moved or Path(use["files"]), use["sha256"])
        fault = _fault(file, use["bytes"], use["sha256"])
        if fault:
            yield f"{use['roles']} of {use['runs'].replace(',', ', ')} {fault}: {file}"


def _fault(file: Path, size: int, sha256: str) -> str:
    try:
        if file.stat().st_size != size:
            return f"has {file.stat().st_size} bytes instead of {size}"
        return "" if sha256_of(file) == sha256 else "has another content than its hash says"
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def unnamed_files(path: Path, folder: Path) -> list[Path]:
    """Files among the objects in `folder` that no row names, and that no engine is about to name."""
    conn = connect_readonly(path)
    try:
        with translated(path):
            named = {row[0] for row in conn.execute("SELECT sha256 FROM files")}
    finally:
        conn.close()
    old = time.time() - FRESH_SECONDS
    found = []
    for file in sorted((folder / "objects").glob("*/*")):
        if file.stem not in named and file.stat().st_mtime < old:
            found.append(file)
    return found
