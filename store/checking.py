"""Whether a store is whole: every page of it, every reference, and every file that it names with its hash; and which
files nothing in it names."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import groupby
from pathlib import Path
from typing import Any

from store.connection import connect_readonly, translated
from store.errors import StoreError
from store.files import aside_path, engine_log, object_path, run_folder, sha256_of, spool_path
from store.naming import phrase
from store.reading import LISTING, Reader, Rows

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
        if fault and _used(path, use["sha256"]):  # else its run was deleted or pruned meanwhile
            yield f"{use['roles']} of {use['runs'].replace(',', ', ')} {fault}: {file}"


def _used(path: Path, sha256: str) -> bool:
    with Reader(path) as reader:
        return bool(reader.rows("SELECT 1 FROM file_uses WHERE sha256 = ?", (sha256,)))


def set_aside(path: Path) -> Rows:
    """The files that a resume would go on from, by run and training, the newest checkpoint first, the end last.

    Those of a run that is trained come and go; one that has finished needs none.
    """
    with Reader(path) as reader:
        return reader.rows(
            "SELECT r.id AS run, r.files, t.id AS training, t.about, c.path, c.step, c.sha256, c.bytes"
            " FROM checkpoints AS c JOIN trainings AS t ON t.id = c.training JOIN runs AS r ON r.id = t.run"
            f" WHERE r.id IN (SELECT id FROM ({LISTING}) WHERE state NOT IN ('running', 'finished'))"
            " ORDER BY r.id, t.id, c.step DESC"
        )


def aside_faults(path: Path, moved: Path | None = None) -> Iterator[str]:
    """What is wrong with the files that a resume would go on from, each in words, with what it does instead.

    They are looked for as those of `file_faults`. Reads every one of them.
    """
    for _, rows in groupby(set_aside(path), key=lambda row: row["training"]):
        looked = [(row, _aside_fault(row, moved)) for row in rows]
        whole = [row["step"] for row, fault in looked if not fault and row["step"] is not None]
        for row, fault in looked:
            if fault and _named(path, row):  # else the run went on meanwhile
                name = _name(row["about"])
                if row["step"] is None:
                    what, then = f"what {name} ended with", "resume trains it again where that is still needed"
                else:
                    what, then = f"checkpoint of {name} at step {row['step']}", _instead(row["step"], whole)
                yield f"{what}, of {row['run']}, {fault}; {then}"


def _aside_fault(row: dict[str, Any], moved: Path | None) -> str:
    try:
        file = aside_path(run_folder(moved or Path(row["files"]), row["run"]), row["path"])
    except StoreError as error:  # a resume leaves it alone
        return f"is {error}"
    fault = _fault(file, row["bytes"], row["sha256"])
    return fault and f"{fault}: {file}"


def _named(path: Path, row: dict[str, Any]) -> bool:
    sql = "SELECT 1 FROM checkpoints WHERE training = ? AND path = ? AND sha256 = ?"
    with Reader(path) as reader:
        return bool(reader.rows(sql, (row["training"], row["path"], row["sha256"])))


def _name(about: str) -> str:
    """What a training is called, whatever was written there."""
    try:
        return phrase(json.loads(about))
    except (ValueError, AttributeError, RecursionError):
        return "a training"


def _instead(step: int, whole: list[int]) -> str:
    """What a resume does without the checkpoint of that step; of `whole` steps there are good ones."""
    if not whole:
        return "resume begins that training anew"
    before = "the one before" if max(whole) < step else "a newer one"
    return f"resume goes on from {before}, of step {max(whole)}"


def _fault(file: Path, size: int, sha256: str) -> str:
    try:
        if file.stat().st_size != size:
            return f"has {file.stat().st_size} bytes instead of {size}"
        return "" if sha256_of(file) == sha256 else "has another content than its hash says"
    except FileNotFoundError:
        return "is not there"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def unnamed_files(path: Path, folder: Path) -> dict[Path, int]:
    """Files in `folder` that no row names, and that no engine is about to name: among the objects, in folders of runs;
    with their bytes.

    Where rows wait beside a run they may name them: then no object is told of, and no file of that run.
    """
    waiting = waiting_rows(path, folder)
    aside = "SELECT t.run, c.path FROM checkpoints AS c JOIN trainings AS t ON t.id = c.training"
    with Reader(path) as reader, reader.moment():
        objects = {row["sha256"] for row in reader.rows("SELECT sha256 FROM files")}
        named = {run_folder(folder, row["run"]) / row["path"] for row in reader.rows(aside)}
        named |= {engine_log(folder, row["id"]) for row in reader.rows("SELECT id FROM runs")}
    found = [] if waiting else [file for file in (folder / "objects").glob("*/*") if file.stem not in objects]
    for file in (folder / "runs").glob("*/**/*"):
        if file.is_file() and file not in named and file.relative_to(folder / "runs").parts[0] not in waiting:
            found.append(file)
    old = time.time() - FRESH_SECONDS
    sizes = {}
    for file in sorted(found):
        with suppress(FileNotFoundError):  # an engine's draft comes and goes
            about = file.stat()
            if about.st_mtime < old:
                sizes[file] = about.st_size
    return sizes


def waiting_rows(path: Path, folder: Path) -> dict[str, Path]:
    """By run, what it keeps in its `folder` of rows that the store has not taken yet."""
    with Reader(path) as reader:
        newest = reader.rows(
            "SELECT a.run, max(a.id) AS id FROM attempts AS a JOIN runs AS r ON r.id = a.run"
            " WHERE r.state <> 'finished' GROUP BY a.run ORDER BY a.run"
        )
    waiting = {row["run"]: spool_path(folder, row["run"], row["id"]) for row in newest}
    return {run: path for run, path in waiting.items() if path.exists()}
