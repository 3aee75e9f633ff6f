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

from store.checking import (
    FRESH_SECONDS,
    aside_faults,
    database_faults,
    file_faults,
    set_aside,
    unnamed_files,
    waiting_rows,
)
from store.connection import now
from store.errors import Unusable
from store.files import object_path, run_folder, spool_path
from store.liveness import this_process
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
    assert unnamed_files(path, tmp_path) == {stray: 1}


def test_a_draft_that_is_gone_before_it_was_looked_at_is_no_fault(
    path: Path, tmp_path: Path, new_run: NewRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    draft = run_folder(tmp_path, new_run("a")) / "live" / ".a.91.safetensors.7"
    draft.parent.mkdir(parents=True)
    draft.touch()
    os.utime(draft, (time.time() - FRESH_SECONDS - 5,) * 2)
    look = Path.is_file

    def looked(file: Path) -> bool:
        if seen := look(file):
            file.unlink()
        return seen

    monkeypatch.setattr(Path, "is_file", looked)
    assert unnamed_files(path, tmp_path) == {}


def test_the_files_of_a_run_that_is_deleted_meanwhile_are_no_fault(
    path: Path, writer: Writer, kept: Callable[..., Path]
) -> None:
    for name in "ab":
        kept(name.encode(), name).unlink()
    faults = file_faults(path)
    assert "is not there" in next(faults)
    writer.execute("DELETE FROM file_uses")
    assert list(faults) == []


# What a run would go on from


Aside = Callable[..., Path]


@pytest.fixture
def aside(writer: Writer, new_run: NewRun, tmp_path: Path) -> Aside:
    """Keeps a checkpoint, or what a training ended with, of a run in that state."""
    trainings: dict[str, int] = {}

    def keep(name: str, step: int | None, state: str = "stopped", content: bytes = b"content") -> Path:
        if name not in trainings:
            run = new_run(name)
            writer.update("runs", {"id": run}, {"files": str(tmp_path), "state": state})
            about = {"what": "member", "search": "colt", "round": 2, "member": 1, "seed": 0}
            row = {"run": run, "key": name, "seed": 0, "about": about, "state": "running", "classes": 10, "steps": 9}
            trainings[name] = writer.insert("trainings", row | {"train_images": 1, "epochs": 1})
        run = writer.one("SELECT run FROM trainings WHERE id = ?", (trainings[name],))["run"]
        place = f"live/{name}.{step}.safetensors" if step is not None else f"trained/{name}.safetensors"
        path = run_folder(tmp_path, run) / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        row = {"training": trainings[name], "path": place, "step": step, "bytes": len(content), "written": now()}
        writer.insert("checkpoints", row | {"sha256": hashlib.sha256(content).hexdigest()})
        return path

    return keep


def test_a_damaged_checkpoint_is_told_with_what_resume_does_instead(path: Path, aside: Aside) -> None:
    newest, before, end = aside("a", 90), aside("a", 40), aside("a", None)
    assert list(aside_faults(path)) == []
    run = newest.parts[-3]
    place = f"colt seed 0 round 2 member 1 at step {{}}, of {run}, "
    newest.unlink()
    assert list(aside_faults(path)) == [
        f"checkpoint of {place.format(90)}is not there: {newest}; resume goes on from the one before, of step 40"
    ]
    before.write_bytes(b"CONTENT")
    end.write_bytes(b"")
    assert list(aside_faults(path)) == [
        f"checkpoint of {place.format(90)}is not there: {newest}; resume begins that training anew",
        f"checkpoint of {place.format(40)}has another content than its hash says: {before};"
        " resume begins that training anew",
        f"what colt seed 0 round 2 member 1 ended with, of {run}, has 0 bytes instead of 7: {end};"
        " resume trains it again where that is still needed",
    ]
    newest.write_bytes(b"content")
    assert next(aside_faults(path)).endswith("; resume goes on from a newer one, of step 90")


def test_checkpoints_that_were_moved_are_looked_for_where_they_are(path: Path, tmp_path: Path, aside: Aside) -> None:
    aside("a", 90)
    (tmp_path / "runs").rename(tmp_path / "elsewhere")
    (tmp_path / "new").mkdir()
    (tmp_path / "elsewhere").rename(tmp_path / "new" / "runs")
    assert len(list(aside_faults(path))) == 1
    assert list(aside_faults(path, tmp_path / "new")) == []


@pytest.mark.parametrize("state", ["running", "finished"])
def test_a_run_that_trains_or_has_finished_needs_no_look_at_its_checkpoints(path: Path, aside: Aside, state: str):
    aside("a", 90, state).unlink()
    assert list(aside_faults(path)) == []


def test_a_checkpoint_that_goes_while_it_is_looked_for_is_no_fault(
    path: Path, aside: Aside, writer: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    aside("a", 90).unlink()
    rows = set_aside(path)
    monkeypatch.setattr("store.checking.set_aside", lambda path: rows)
    assert len(list(aside_faults(path))) == 1
    writer.delete("checkpoints", {"step": 90})
    assert list(aside_faults(path)) == []


@pytest.mark.parametrize("column", ["path", "about"])
def test_no_row_of_checkpoints_is_too_strange(path: Path, aside: Aside, writer: Writer, column: str) -> None:
    aside("a", 90).unlink()
    table = "checkpoints" if column == "path" else "trainings"
    for value in ("../../x", "\x1b[2J", "[]", "", "live/\0"):
        writer.execute(f"UPDATE {table} SET {column} = ?", (value,))
        assert len(list(aside_faults(path))) == 1


def test_what_lies_in_the_folder_of_a_run_without_a_row_is_found(path: Path, tmp_path: Path, aside: Aside) -> None:
    kept = aside("a", 90)
    folder = kept.parents[1]
    (folder / "engine.log").touch()
    strays = [folder / "live" / ".a.91.safetensors.7", folder / "core", tmp_path / "runs" / "gone-bcdf" / "engine.log"]
    strays[2].parent.mkdir()
    for file in strays:
        file.write_bytes(b"x")
    assert unnamed_files(path, tmp_path) == {}, "an engine may be about to name them"
    for file in tmp_path.rglob("*"):
        os.utime(file, (time.time() - FRESH_SECONDS - 5,) * 2)
    assert list(unnamed_files(path, tmp_path)) == sorted(strays)


def test_while_rows_wait_beside_a_run_nothing_that_they_may_name_is_a_stray(
    path: Path, writer: Writer, tmp_path: Path, aside: Aside
) -> None:
    folder = aside("a", 90).parents[1]
    row = {"run": folder.name, "device": "cpu", "plan": {}, "versions": {}, "started": "x", "heartbeat": "x"}
    replaced, newest = (
        spool_path(tmp_path, folder.name, writer.insert("attempts", row | this_process())) for _ in range(2)
    )
    stray = object_path(tmp_path, "a" * 64)
    stray.parent.mkdir(parents=True)
    for file in (stray, folder / "live" / "a.91.safetensors", replaced, newest):
        file.write_bytes(b"x")
        os.utime(file, (time.time() - FRESH_SECONDS - 5,) * 2)
    assert waiting_rows(path, tmp_path) == {folder.name: newest}
    assert unnamed_files(path, tmp_path) == {}
    newest.unlink()
    assert waiting_rows(path, tmp_path) == {}
    assert len(unnamed_files(path, tmp_path)) == 3, "what an engine kept that was taken over is one of them"
