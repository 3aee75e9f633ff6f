"""A store that is not whole is told what it lacks: pages, references, files and their contents."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from store.checking import FRESH_SECONDS, database_faults, file_faults, unnamed_files
from store.errors import Unusable
from store.files import object_path
from store.writing import Writer

NewRun = Callable[..., str]


@pytest.fixture
def kept(writer: Writer, new_run: NewRun, tmp_path: Path) -> Callable[..., Path]:
    """Keeps a file with that content for new runs of these names."""

    def keep(content: bytes, *names: str) -> Path:
        sha256 = hashlib.sha256(content).hexdigest()
        path = object_path(tmp_path, sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        writer.insert("files", {"sha256": sha256, "path": "p", "bytes": len(content), "created": "x"})
        for name in names:
            run = new_run(name)
            writer.update("runs", {"id": run}, {"files": str(tmp_path)})
            writer.insert("file_uses", {"sha256": sha256, "run": run, "role": "mask"})
        return path

    return keep


def test_a_whole_store_has_no_fault(path: Path, kept: Callable[..., Path]) -> None:
    kept(b"content", "one", "two")
    assert [*database_faults(path), *file_faults(path)] == []


def test_every_fault_of_a_file_is_told_with_the_runs_that_use_it(path: Path, kept: Callable[..., Path]) -> None:
    missing, short, other = kept(b"missing", "a", "b"), kept(b"cut short", "c"), kept(b"changed", "d")
    kept(b"whole", "e")
    missing.unlink()
    short.write_bytes(b"cut")
    other.write_bytes(b"CHANGED")
    told = list(file_faults(path))
    assert len(told) == 3
    assert told[0].startswith("mask of a-")
    assert ", b-" in told[0]
    assert f"is not there: {missing}" in told[0]
    assert f"has 3 bytes instead of 9: {short}" in told[1]
    assert f"has another content than its hash says: {other}" in told[2]


def test_files_that_were_moved_are_looked_for_where_they_are(path: Path, tmp_path: Path, kept: Callable[..., Path]):
    kept(b"content", "one")
    (tmp_path / "new").mkdir()
    (tmp_path / "objects").rename(tmp_path / "new" / "objects")
    assert len(list(file_faults(path))) == 1
    assert list(file_faults(path, tmp_path / "new")) == []


def test_a_row_that_refers_to_none_is_told(path: Path, writer: Writer) -> None:
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("INSERT INTO log (run, at, level, message) VALUES ('nobody', 'a', 'info', 'm')")
        conn.commit()
    assert list(database_faults(path)) == ["row 1 of log refers to a row of runs that is not there"]


def test_an_index_that_lacks_a_row_is_told(path: Path, writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    with closing(sqlite3.connect(path)) as conn:
        conn.execute("PRAGMA writable_schema = ON")
        sql = "UPDATE sqlite_schema SET sql = 'CREATE INDEX log_by_run ON log (at)' WHERE name = 'log_by_run'"
        conn.execute(sql)
        conn.commit()
    writer.conn.execute("INSERT INTO log (run, at, level, message) VALUES (?, 'a', 'info', 'm')", (run,))
    assert any("log_by_run" in words for words in database_faults(path))


def test_a_store_with_damaged_pages_is_told(path: Path, writer: Writer, new_run: NewRun) -> None:
    for number in range(300):
        writer.insert("log", {"run": new_run(f"run {number}"), "at": "a", "level": "info", "message": "m" * 200})
    writer.close()
    content = bytearray(path.read_bytes())
    middle = len(content) // 2 // 4096 * 4096
    content[middle : middle + 8192] = b"\x5a" * 8192
    path.write_bytes(content)
    try:
        told = list(database_faults(path))
    except Unusable as error:
        told = [str(error)]
    assert told


def test_files_that_no_row_names_are_found_once_no_engine_can_be_about_to_name_them(
    path: Path, tmp_path: Path, kept: Callable[..., Path]
) -> None:
    kept(b"named", "a")
    stray, fresh = (object_path(tmp_path, letter * 64) for letter in "ab")
    for file in (stray, fresh):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    os.utime(stray, (time.time() - FRESH_SECONDS - 5,) * 2)
    assert unnamed_files(path, tmp_path) == [stray]
