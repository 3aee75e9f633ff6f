"""A store that another program wrote into, or an unkind hand: whatever its rows hold, commands and app answer in words.

No traceback, no hang, nothing that a terminal obeys, and nothing written outside the folders of store and run.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from store.connection import connect, prepare, run_script
from store.migrations import STEPS
from store.soundness import OBJECTS, strange, strange_values
from tests.fuzz.material import CONTROLS, EVIL, TEXTS, examples, no_hang, run, tree
from tests.program import FinishedRun
from tui.app.app import TombolaApp

INTEGERS = st.sampled_from([None, -1, 0, 1, 2, 2**31, 2**63 - 1, -(2**63)])
REALS = st.sampled_from([None, float("inf"), float("-inf"), 1e308, -1e308, -1.0, 0.0, 5e-324, 1.5])
DOCUMENTS = st.sampled_from(
    ["null", "[]", "{}", "1", '"x"', "true", '{"seeds": 3}', "[" * 900 + "]" * 900, '{"title": null}', '{"a": 1e999}']
)
PARTS = st.sampled_from([None, [], {}, -1, 2**70, 1.5, "x", EVIL, True, [None], {"a": 1}, [[1]], "../x", "delete"])


@dataclass(frozen=True)
class Change:
    """Another value for a column, in one row or in all; `inside` says which part of a JSON document is meant."""

    table: str
    column: str
    value: Any
    row: int
    all: bool
    inside: int | None = None

    def make(self, conn: sqlite3.Connection) -> None:
        """Do it, as far as the table's own constraints allow."""
        table, column = f'"{self.table}"', f'"{self.column}"'
        found = conn.execute(f"SELECT {column} FROM {table}").fetchall()
        if not found:
            return
        old = found[self.row % len(found)][0]
        value = self.value if self.inside is None else changed(old, self.inside, self.value)
        try:
            if self.all:
                conn.execute(f"UPDATE {table} SET {column} = ?", (value,))
            else:
                conn.execute(f"UPDATE {table} SET {column} = ? WHERE {column} IS ?", (value, old))
        except (sqlite3.IntegrityError, sqlite3.OperationalError, UnicodeEncodeError, OverflowError):
            pass


def changed(text: str, inside: int, value: Any) -> str:
    """A JSON document with one of its parts replaced, or taken out where `value` is "delete"."""
    document = json.loads(text)
    places: list[tuple[Any, Any]] = []

    def walk(part: Any) -> None:
        for key, inner in part.items() if isinstance(part, dict) else enumerate(part) if isinstance(part, list) else ():
            places.append((part, key))
            walk(inner)

    walk(document)
    if not places:
        return json.dumps(value)
    part, key = places[inside % len(places)]
    if value == "delete":
        del part[key]
    else:
        part[key] = value
    return json.dumps(document)


def changes(table: str, column: str, kind: str) -> st.SearchStrategy[Change]:
    """Changes of a column to whatever its type lets in."""
    values = {"INTEGER": INTEGERS, "REAL": REALS}.get(kind, TEXTS)
    about = (st.just(table), st.just(column))
    rows, everywhere = st.integers(0, 40), st.booleans()
    if column not in OBJECTS:
        return st.builds(Change, *about, values, rows, everywhere)
    return st.builds(Change, *about, DOCUMENTS, rows, everywhere) | st.builds(
        Change, *about, PARTS, rows, st.just(False), st.integers(0, 300)
    )


@pytest.fixture(scope="module")
def place(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home and a working folder, and beside them a store and its files to be changed."""
    place = tmp_path_factory.mktemp("foreign")
    for name in ("home", "work"):
        (place / name).mkdir()
    shutil.copytree(finished_run.tombola.db.parent, place / "whole")
    conn = connect(place / "whole" / "test.db")
    conn.execute("UPDATE runs SET files = ?", (str(place / "store" / "test-files"),))
    columns = [row["name"] for row in conn.execute("PRAGMA table_info(runs)")]
    conn.execute(f"INSERT INTO runs SELECT {', '.join(columns)} FROM runs".replace("SELECT id", "SELECT 'other-bcdf'"))
    conn.close()
    return place


@pytest.fixture
def foreign(place: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[list[Change]], str]:
    """Makes the store anew with these changes, and gives the id of its run, which may be another by then."""
    for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME", "TOMBOLA_FILES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(place / "home"))
    monkeypatch.setenv("TOMBOLA_DB", str(place / "store" / "test.db"))
    monkeypatch.chdir(place / "work")

    def make(wanted: list[Change]) -> str:
        shutil.rmtree(place / "store", ignore_errors=True)
        shutil.copytree(place / "whole", place / "store")
        conn = sqlite3.connect(place / "store" / "test.db", isolation_level=None)
        for change in wanted:
            change.make(conn)
        ids = [row[0] for row in conn.execute("SELECT id FROM runs WHERE id <> 'other-bcdf'")]
        conn.close()
        return ids[0] if ids and re.fullmatch(r"[a-z0-9-]+", ids[0]) else "tiny"

    return make


def schema() -> list[tuple[str, str, str]]:
    """Every stored column with its table and type."""
    conn = sqlite3.connect(":memory:", isolation_level=None)
    prepare(conn)
    for step in STEPS:
        run_script(conn, step)
    tables = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND name <> 'student'"
    found = [
        (table[0], column["name"], column["type"])
        for table in conn.execute(tables).fetchall()
        for column in conn.execute(f"PRAGMA table_info({table[0]})").fetchall()
    ]
    conn.close()
    return found


COLUMNS = schema()
OFTEN = [column for column in COLUMNS if column[0] in ("runs", "attempts", "searches") or column[1] in OBJECTS]
CHANGES = st.lists(
    st.sampled_from(COLUMNS + OFTEN * 3).flatmap(lambda column: changes(*column)), min_size=1, max_size=3
)


def commands(run_id: str, folder: Path) -> list[list[str]]:
    """All that reads a run or changes it, without an engine; the last takes it away."""
    return [
        *(["runs"], ["runs", "--json"], ["show", run_id], ["show", run_id, "--json"]),
        *(["compare", run_id, "other"], ["compare", run_id, "other", "--json"]),
        *(["plot", run_id], ["plot", run_id, "--x", "cost"], ["check", run_id], ["check", run_id, "--json"]),
        *(["check", run_id, "stability", "--dry-run"], ["log", run_id], ["log", run_id, "--json"], ["note", run_id]),
        *(["query", "SELECT * FROM run_states"], ["query", "SELECT * FROM runs", "--json"]),
        *(
            ["export", run_id, str(folder)],
            ["rename", run_id, "new"],
            ["note", run_id, "hi"],
            ["delete", run_id, "--yes"],
        ),
    ]


@examples(20)
@given(CHANGES)
@example([Change("searches", "name", "../x", 0, False)])
@example([Change("searches", "name", "/x", 0, False)])
@example([Change("runs", "id", "../x", 0, False)])
@example([Change("runs", "spec", "[]", 0, True)])
@example([Change("runs", "files", "\0", 0, True)])
@example([Change("log", "at", EVIL, 0, True)])
@example([Change("attempts", "seconds", float("inf"), 0, True), Change("attempts", "heartbeat", "x", 0, True)])
def test_whatever_rows_hold_every_command_ends_in_words_and_writes_nowhere_else(
    place: Path, foreign: Callable[[list[Change]], str], wanted: list[Change]
):
    run_id = foreign(wanted)
    # A running run is followed for as long as it runs: no command here waits.
    faults = place / "home" / ".local"
    before = tree(place, place / "store", place / "whole", faults)
    for arguments in commands(run_id, place / "store" / "exported"):
        run(*arguments)
    assert tree(place, place / "store", place / "whole", faults) == before
    assert {path.name for path in faults.rglob("*") if path.is_file()} <= {"faults.log"}
    names = {path.name for path in (place / "store").iterdir()}
    assert names <= {"test.db", "test.db-wal", "test.db-shm", "test-files", "exported"}


@examples(2)
@given(CHANGES)
@example([Change("runs", "spec", "1", 0, True), Change("runs", "name", EVIL, 0, True)])
@example([Change("searches", "settings", "true", 0, True), Change("runs", "spec", "null", 0, True)])
def test_whatever_rows_hold_the_app_goes_on_and_shows_nothing_that_a_terminal_obeys(
    place: Path, foreign: Callable[[list[Change]], str], wanted: list[Change]
):
    foreign(wanted)
    app = TombolaApp(place / "store" / "test.db", place / "store" / "test-files")
    seen: list[str] = []

    async def go() -> None:
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await pilot.pause(0.3)
            for key in ("enter", *"123456789", "escape", "down", "space", "c"):
                await pilot.press(key)
                await pilot.pause(0.05)
                seen.extend(strip.text for strip in app.screen._compositor.render_strips())
            assert app.watch_store._thread.is_alive(), "the thread that reads the store has ended"

    with no_hang():
        asyncio.run(go())
    for line in seen:
        assert not CONTROLS.search(line), line


def test_a_store_that_tombola_wrote_holds_nothing_strange(place: Path):
    assert strange(place / "whole" / "test.db") is None


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("UPDATE runs SET spec = '[]'", "runs.spec is '[]'"),
        ("UPDATE runs SET created = 'yesterday'", "runs.created is 'yesterday'"),
        ("UPDATE runs SET id = '../x' WHERE id = 'other-bcdf'", "runs.id is '../x'"),
        ("UPDATE attempts SET seconds = 9e999", "attempts.seconds is 'Inf'"),
        ("UPDATE rounds SET images = -1", "rounds.images is '-1'"),
        ("UPDATE rounds SET prunable = 0", "the counts of a row of rounds contradict each other"),
        ("UPDATE runs SET name = CAST(x'ff' AS TEXT)", "runs.name is '\ufffd'"),
        ("DELETE FROM rounds", "that is not there"),
    ],
)
def test_what_no_tombola_writes_is_found_and_named(
    place: Path, foreign: Callable[[list[Change]], str], sql: str, words: str
):
    foreign([])
    conn = sqlite3.connect(place / "store" / "test.db", isolation_level=None)
    conn.execute(sql)
    conn.close()
    found = strange(place / "store" / "test.db")
    assert found is not None
    assert words in found
    assert found.isprintable()
    values = strange_values(place / "store" / "test.db")
    assert values[:1] == ([found] if sql.startswith("UPDATE") else []), "references are looked at apart"
