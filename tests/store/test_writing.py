"""Rows are written by their natural keys, whole or not at all."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from store.writing import Writer

NewRun = Callable[..., str]


@pytest.fixture
def round_id(writer: Writer, new_run: NewRun) -> int:
    search = writer.insert("searches", {"run": new_run(), "name": "colt", "method": "colt", "settings": {}})
    row = {"search": search, "seed": 0, "round": 1, "step": "train", "prunable": 10, "remaining": 10}
    return writer.insert("rounds", {**row, "weights": 10, "weights_remaining": 10, "started": "x"})


def layer(round_id: int, member: int | None, alive: int) -> dict[str, Any]:
    row = {"round": round_id, "member": member, "position": 0, "layer": "conv1", "kind": "conv", "prunable": 1}
    return {**row, "total": 10, "before": 10, "alive": alive}


def test_insert_gives_back_the_row_it_made(writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    numbers = [writer.insert("log", {"run": run, "at": "x", "level": "info", "message": str(i)}) for i in range(3)]
    assert [writer.one("SELECT message FROM log WHERE id = ?", (n,))["message"] for n in numbers] == ["0", "1", "2"]


def test_put_replaces_what_has_the_same_key_and_keeps_its_number(writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    row = {"run": run, "name": "colt", "method": "colt", "settings": {"rate": 0.15}}
    first = writer.put("searches", row, ("run", "name"))
    other = writer.put("searches", {**row, "name": "imp"}, ("run", "name"))
    again = writer.put("searches", {**row, "settings": {"rate": 0.2}}, ("run", "name"))
    assert (first == again, first == other) == (True, False)
    found = [json.loads(row["settings"]) for row in writer.rows("SELECT settings FROM searches ORDER BY id")]
    assert found == [{"rate": 0.2}, {"rate": 0.15}]


def test_put_keeps_the_columns_it_is_not_given(writer: Writer, round_id: int) -> None:
    writer.update("rounds", {"id": round_id}, {"images": 77})
    row = dict(writer.one("SELECT * FROM rounds WHERE id = ?", (round_id,)))
    given = {k: row[k] for k in row if k not in ("id", "images", "images_forward", "sparsity", "total_sparsity")}
    assert writer.put("rounds", given | {"step": "prune"}, ("search", "seed", "round")) == round_id
    after = writer.one("SELECT step, images FROM rounds WHERE id = ?", (round_id,))
    assert tuple(after) == ("prune", 77)


def test_put_tells_the_common_mask_from_each_members(writer: Writer, round_id: int) -> None:
    key = ("round", "member", "layer")
    for member in (None, 0, 1):
        writer.put("layers", layer(round_id, member, 5), key)
    writer.put("layers", layer(round_id, None, 3), key)
    rows = writer.rows("SELECT member, alive FROM layers ORDER BY member")
    assert [tuple(row) for row in rows] == [(None, 3), (0, 5), (1, 5)]


def test_put_all_is_put_for_each(writer: Writer, round_id: int) -> None:
    key = ("round", "member", "layer")
    writer.put_all("layers", [layer(round_id, member, 5) for member in (None, 0)], key)
    writer.put_all("layers", [layer(round_id, member, 4) for member in (None, 0, 1)], key)
    writer.put_all("layers", [], key)
    assert [row["alive"] for row in writer.rows("SELECT alive FROM layers")] == [4, 4, 4]


def test_a_row_that_is_all_key_can_be_put_twice(writer: Writer, round_id: int) -> None:
    search = writer.one("SELECT search FROM rounds WHERE id = ?", (round_id,))["search"]
    row = {"search": search, "seed": 0, "round": 0, "member": 0, "sample": 3, "reason": "classes 0-4"}
    writer.put_all("samples", [row, row], tuple(row))
    assert len(writer.rows("SELECT * FROM samples")) == 1


def test_many_rows_are_inserted_at_once_also_without_row_numbers(writer: Writer, round_id: int) -> None:
    search = writer.one("SELECT search FROM rounds WHERE id = ?", (round_id,))["search"]
    row = {"search": search, "seed": 0, "round": 0, "member": 0, "reason": "classes 0-4"}
    writer.insert_all("samples", [{**row, "sample": sample} for sample in range(5000)])
    writer.insert_all("samples", [])
    assert writer.one("SELECT count(*), max(sample) FROM samples")[0:2] == (5000, 4999)


def test_update_and_delete_say_how_many_rows_and_none_matches_null(writer: Writer, round_id: int) -> None:
    writer.put_all("layers", [layer(round_id, m, 5) for m in (None, 0, 1)], ("round", "member", "layer"))
    assert writer.update("layers", {"round": round_id, "member": None}, {"alive": 1}) == 1
    assert writer.delete("layers", {"round": round_id, "member": None}) == 1
    assert writer.delete("layers", {"round": round_id}) == 2
    assert writer.delete("layers", {"round": round_id}) == 0


def test_a_name_that_does_not_exist_is_refused_and_makes_no_table(writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    before = writer.rows("SELECT name FROM sqlite_schema")
    with pytest.raises(ValueError, match="no table 'lgo'"):
        writer.insert("lgo", {"run": run})
    for attempt in (
        lambda: writer.insert("log", {"rnu": run}),
        lambda: writer.put("log", {"rnu": run}, ("rnu",)),
        lambda: writer.update("runs", {"id": run}, {"sate": "paused"}),
        lambda: writer.delete("runs", {"i": run}),
        lambda: writer.delete("runs", {}),
    ):
        with pytest.raises(ValueError, match="has no columns"):
            attempt()
    assert writer.rows("SELECT name FROM sqlite_schema") == before


def test_an_error_in_a_transaction_takes_back_all_of_it(writer: Writer, new_run: NewRun) -> None:
    run = new_run()

    def write() -> None:
        with writer.transaction():
            writer.insert("log", {"run": run, "at": "x", "level": "info", "message": "first"})
            writer.insert("log", {"run": run, "at": "x", "level": "no such level", "message": "second"})

    with pytest.raises(sqlite3.IntegrityError):
        write()
    assert writer.rows("SELECT * FROM log") == []
    writer.insert("log", {"run": run, "at": "x", "level": "info", "message": "third"})


def test_an_error_in_the_middle_of_many_rows_takes_back_all_of_them(writer: Writer, round_id: int) -> None:
    rows = [layer(round_id, member, 5) for member in range(300)]
    for write in (
        lambda: writer.insert_all("layers", [*rows, rows[0]]),
        lambda: writer.put_all("layers", [*rows, rows[0] | {"kind": "unknown"}], ("round", "member", "layer")),
    ):
        with pytest.raises(sqlite3.IntegrityError):
            write()
        assert writer.rows("SELECT * FROM layers") == []


def test_others_see_a_transaction_only_when_it_is_whole(path: Path, writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    with Writer(path) as other:
        with writer.transaction():
            writer.update("runs", {"id": run}, {"note": "new"})
            assert other.one("SELECT note FROM runs")["note"] == ""
        assert other.one("SELECT note FROM runs")["note"] == "new"


def test_a_row_without_its_parent_is_refused(writer: Writer) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        writer.insert("log", {"run": "nobody", "at": "x", "level": "info", "message": ""})


def test_a_missing_row_is_an_error_that_shows_the_question(writer: Writer) -> None:
    with pytest.raises(LookupError, match="SELECT id FROM runs"):
        writer.one("SELECT id FROM runs")


@given(value=st.floats())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_numbers_that_are_not_finite_are_stored_as_null(writer: Writer, value: float) -> None:
    with writer.transaction():
        writer.execute("CREATE TABLE IF NOT EXISTS scratch (id INTEGER PRIMARY KEY, x REAL) STRICT")
        row = writer.insert("scratch", {"x": value})
        stored = writer.one("SELECT x FROM scratch WHERE id = ?", (row,))["x"]
    assert stored == (value if abs(value) < float("inf") else None)
