"""A store of an earlier version keeps its rows when it is brought up to date, and a copy of itself."""

import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from store import connection
from store.connection import connect, connect_readonly, copies_of
from store.errors import StoreError
from store.liveness import this_process
from store.migrations import STEPS, only_adds
from store.reading import Reader

RUN = (
    "INSERT INTO runs (id, name, preset, title, spec, state, keep, files, created, started)"
    " VALUES ('r', 'r', 'p', 't', '{}', 'finished', 'tickets', '/f', '2026-01-01', '2026-01-01')"
)
CHECK = (
    "INSERT INTO checks (id, run, name, search, method, question, figure, low, high, threshold, seeds, verdict,"
    " sentence, query, created)"
    " VALUES (7, 'r', 'mask', 'imp', 'contrast', 'q', 1.0, 0.5, 1.5, 0.0, 3, 'clear', 's', 'SELECT 1', 'c')"
)


def test_answers_and_arms_of_the_second_version_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "old.db"
    monkeypatch.setattr(connection, "STEPS", STEPS[:2])
    old = connect(path)
    old.execute(RUN)
    old.execute(CHECK)
    arms = {
        "dense": '{"ticket": null, "start": "ticket", "mask": "found"}',
        "ticket": '{"ticket": "each", "start": "ticket", "mask": "found"}',
        "both": '{"ticket": "each", "start": "reinit", "mask": "shuffled"}',
    }
    old.executemany("INSERT INTO arms (run, name, settings) VALUES ('r', ?, ?)", arms.items())
    old.close()
    monkeypatch.undo()
    new = connect(path)
    [check] = new.execute("SELECT id, name, part, figure, unit, verdict, detectable, x FROM checks").fetchall()
    assert tuple(check) == (7, "mask", "", 1.0, "points", "clear", None, "")
    changes = dict(tuple(row) for row in new.execute("SELECT name, changes FROM arms"))
    assert changes == {"dense": "", "ticket": "", "both": "start mask"}
    new.execute(
        "INSERT INTO points (\"check\", series, seed, x, y) VALUES (7, 'a', 0, 1.0, 2.0), (7, 'a', 1, 1.0, 4.0)"
    )
    [curve] = new.execute("SELECT series, x, seeds, y, half_width FROM check_curves").fetchall()
    assert tuple(curve) == ("a", 1.0, 2, 3.0, 12.706204736175)
    new.execute("DELETE FROM runs")
    assert new.execute("SELECT count(*) FROM points").fetchone()[0] == 0
    new.close()


def test_an_arms_changes_are_told_from_its_settings(tmp_path: Path):
    from presets.schema import Arm

    conn = connect(tmp_path / "t.db")
    conn.execute(RUN)
    for number, settings in enumerate(
        [
            {},
            {"recipe": {"lr": 0.1}},
            {"start": "trained", "begin": 0},
            {"network": "small"},
            {"weights": "shuffled", "mask": "erk", "recipe": {"epochs": 3}},
        ]
    ):
        arm = Arm(ticket="each", **settings)
        conn.execute("INSERT INTO arms (run, name, settings) VALUES ('r', ?, ?)", (str(number), arm.model_dump_json()))
        [row] = conn.execute("SELECT changes FROM arms WHERE name = ?", (str(number),)).fetchall()
        assert row["changes"] == " ".join(arm.changes)
    conn.close()


# From every earlier schema

FIRST = {
    "runs": RUN,
    "attempts": "INSERT INTO attempts (id, run, host, boot_id, pid, pid_started, device, versions, plan, started,"
    " heartbeat, ended) VALUES (3, 'r', 'h', 'b', 1, 2.5, 'cpu', '{}', '{\"device\": \"cpu\"}', '2026-01-01T00:00:00Z',"
    " '2026-01-01T00:00:00Z', '2026-01-01T00:00:01Z')",
    "requests": "INSERT INTO requests VALUES (4, 'r', 'stop', 'a', 't')",
    "searches": "INSERT INTO searches VALUES (5, 'r', 'imp', 'imp', '{}')",
    "rounds": "INSERT INTO rounds (id, search, seed, round, step, prunable, remaining, weights, weights_remaining,"
    " images, started) VALUES (6, 5, 0, 1, 'done', 10, 5, 12, 7, 100, 's')",
    "trainings": "INSERT INTO trainings (id, run, key, seed, about, state, classes, train_images, epochs, steps,"
    " images) VALUES (7, 'r', 'k', 0, '{}', 'done', 10, 100, 1, 2, 100)",
    "members": "INSERT INTO members VALUES (6, 0, 7, 'all')",
    "epochs": "INSERT INTO epochs VALUES (8, 7, 1, 2, 0.1, 0.5, 0.25, 0.75, 0.125, 1.5)",
    "layers": "INSERT INTO layers VALUES (6, NULL, 0, 'conv1', 'conv', 1, 10, 10, 5)",
    "overlaps": "INSERT INTO overlaps VALUES (6, 'conv1', 'kept', 0, 1, 10, 5, 5, 3, 7, 2.5)",
    "tickets": "INSERT INTO tickets (id, round, mask, start, start_step, created) VALUES (9, 6, 'm', 's', 0, 'c')",
    "arms": "INSERT INTO arms (id, run, name, settings) VALUES (10, 'r', 'ticket', '{}')",
    "evaluations": "INSERT INTO evaluations (id, arm, ticket, seed, training, split, correct, count, loss, created)"
    " VALUES (11, 10, 9, 0, 7, 'test', 3, 4, 0.5, 'c')",
    "checks": CHECK,
    "files": "INSERT INTO files VALUES ('m', 'p', 3, 'c')",
    "file_uses": "INSERT INTO file_uses VALUES ('m', 'r', 'mask', 9, NULL)",
    "alerts": "INSERT INTO alerts (id, run, at, kind, round, message) VALUES (12, 'r', 'a', 'equal', 6, 'words')",
    "samples": "INSERT INTO samples VALUES (5, 0, 1, 0, 42, 'hard')",
    "log": "INSERT INTO log VALUES (13, 'r', 'a', 'info', 'words')",
}
"""A row of every table of the first schema."""

LATER = {
    3: {
        "points": "INSERT INTO points VALUES (7, 'a', 0, 1.0, 2.0)",
        "measurements": "INSERT INTO measurements VALUES (14, 'r', 'k', 0, 'm', '{}', '{\"x\": 1}', 1, 2, 0.5, 'c')",
    },
    4: {
        "traces": "INSERT INTO traces VALUES (7, 1, 'loss', '', 0.5)",
        "sets": "INSERT INTO sets VALUES (6, 10, 4, 3, 2)",
    },
    5: {
        "machine": "INSERT INTO machine (id, attempt, at, seconds, images) VALUES (15, 3, 'a', 1.5, 100)",
    },
    6: {
        "checkpoints": "INSERT INTO checkpoints VALUES (7, 'p', 1, 's', 3, 'c')",
    },
}
"""A row of every table that a later schema brought."""


def older(path: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, object]]:
    """Makes a store as that version did, with a row in every table; gives back the rows."""
    with monkeypatch.context() as patch:
        patch.setattr(connection, "STEPS", STEPS[:version])
        with closing(connect(path)) as conn:
            filled = dict(FIRST)
            for number, tables in LATER.items():
                filled |= tables if number <= version else {}
            for statement in filled.values():
                conn.execute(statement)
            return {table: dict(conn.execute(f"SELECT * FROM {table}").fetchone()) for table in filled}


def engine_at_work(path: Path) -> None:
    """This process is the engine of the run."""
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        conn.execute("UPDATE runs SET state = 'running'")
        values = this_process() | {"heartbeat": connection.now(), "started": connection.now(), "ended": None}
        conn.execute(f"UPDATE attempts SET {', '.join(f'{name} = :{name}' for name in values)}", values)


def test_searches_that_train_for_each_ticket_are_told_in_older_stores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    older(path, 7, monkeypatch)
    with closing(sqlite3.connect(path, isolation_level=None)) as conn:
        for number, method in enumerate(("colt", "set", "rigl", "gmp"), 20):
            conn.execute("INSERT INTO searches VALUES (?, 'r', ?, ?, '{}')", (number, method, method))
    with closing(connect(path)) as conn:
        found = dict(map(tuple, conn.execute("SELECT method, apart FROM searches")))
    assert found == {"imp": 0, "colt": 0, "set": 1, "rigl": 1, "gmp": 1}


def test_every_table_has_a_row_in_the_tests_of_every_schema(tmp_path: Path) -> None:
    with closing(connect(tmp_path / "new.db")) as conn:
        tables = {row[0] for row in conn.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")}
    assert tables - {"student"} == {*FIRST, *(table for later in LATER.values() for table in later)}


@pytest.mark.parametrize("version", range(1, len(STEPS)))
def test_a_store_of_every_earlier_schema_keeps_every_row_and_becomes_as_a_new_one(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path, new = tmp_path / "old.db", tmp_path / "new.db"
    before = older(path, version, monkeypatch)
    with closing(connect(path)) as conn, closing(connect(new)) as fresh:
        for table, row in before.items():
            [after] = conn.execute(f"SELECT * FROM {table}").fetchall()
            assert dict(after).items() >= row.items(), table
        shape = "SELECT m.name, m.type, i.name, i.type, i.\"notnull\", i.pk, i.hidden FROM sqlite_schema AS m, " \
            "pragma_table_xinfo(m.name) AS i WHERE m.type IN ('table', 'view') ORDER BY 1, 3"  # fmt: skip
        assert conn.execute(shape).fetchall() == fresh.execute(shape).fetchall()
        indices = "SELECT name, sql FROM sqlite_schema WHERE type = 'index' ORDER BY 1"
        assert conn.execute(indices).fetchall() == fresh.execute(indices).fetchall()
        assert conn.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
    with Reader(path) as reader:
        assert reader.runs()[0]["id"] == "r"
    # As it was, it lies beside it.
    [copy] = copies_of(path)
    assert copy.name == f"old.db.schema-{version}"
    assert stat.S_IMODE(copy.stat().st_mode) == 0o600
    with closing(sqlite3.connect(copy)) as kept:
        kept.row_factory = sqlite3.Row
        assert kept.execute("PRAGMA user_version").fetchone()[0] == version
        assert {table: dict(kept.execute(f"SELECT * FROM {table}").fetchone()) for table in before} == before
    assert f"was brought from schema {version} to {len(STEPS)}; as it was it lies in {copy}" in capsys.readouterr().err


@pytest.mark.parametrize("version", range(1, len(STEPS)))
def test_a_store_that_an_older_engine_writes_is_changed_only_by_what_adds(
    tmp_path: Path, version: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    older(path, version, monkeypatch)
    engine_at_work(path)
    if all(only_adds(step) for step in STEPS[version:]):
        connect(path).close()
        return
    openings: tuple[Callable[[Path], object], ...] = (connect, connect_readonly)
    for opening in openings:
        with pytest.raises(StoreError, match=r"still trains r \(process \d+ on .*\): let it end, or stop it"):
            opening(path)
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone()[0] == version
        conn.execute("UPDATE attempts SET pid = 4194305")
        conn.commit()
    assert copies_of(path) == []
    connect(path).close()


def test_an_older_engine_goes_on_writing_in_a_store_to_which_a_newer_version_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    newest = max(number for number, step in enumerate(STEPS) if only_adds(step))
    older(path, newest, monkeypatch)
    monkeypatch.setattr(connection, "STEPS", STEPS[: newest + 1])
    engine_at_work(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as engine:
        connect(path).close()
        engine.execute("INSERT INTO log VALUES (14, 'r', 'a', 'info', 'more')")
        engine.execute("UPDATE runs SET state = 'finished'")


@pytest.mark.parametrize(
    ("step", "adds"),
    [
        ("CREATE TABLE a (x);\nCREATE UNIQUE INDEX b ON a (x); -- DROP nothing\nALTER TABLE runs ADD COLUMN c;", True),
        ("CREATE VIEW a AS SELECT 1;", True),
        ("DROP VIEW a;", False),
        ("CREATE TABLE a (x);\nDROP TABLE runs;", False),
        ("ALTER TABLE runs RENAME COLUMN a TO b;", False),
        ("ALTER TABLE runs DROP COLUMN a;", False),
        ("UPDATE runs SET name = '';", False),
        ("CREATE TRIGGER a BEFORE INSERT ON runs BEGIN SELECT 1; END;", False),
    ],
)
def test_a_step_that_changes_or_removes_anything_is_told_from_one_that_adds(step: str, adds: bool) -> None:
    assert only_adds(step) == adds


def test_several_programs_that_open_an_older_store_at_once_change_it_once_and_all_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "old.db"
    older(path, 1, monkeypatch)
    script = (
        "import sys; from pathlib import Path; from store.connection import connect\n"
        "sys.stdin.readline(); conn = connect(Path(sys.argv[1]))\n"
        "print(conn.execute('SELECT count(*) FROM log').fetchone()[0])"
    )
    pipe, root = subprocess.PIPE, Path(__file__).parents[2]
    command = [sys.executable, "-c", script, str(path)]
    processes = [subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, stderr=pipe, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    ended = [process.communicate(timeout=60) for process in processes]
    assert [out.strip() for out, _ in ended] == ["1"] * 4
    assert sum("was brought from schema 1" in err for _, err in ended) == 1
    assert [copy.name for copy in copies_of(path)] == ["old.db.schema-1"]


def test_a_store_of_which_no_copy_can_be_kept_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "old.db"
    older(path, 1, monkeypatch)
    (tmp_path / "old.db.schema-1").mkdir()
    (tmp_path / "old.db.schema-1" / "something").touch()
    with pytest.raises(StoreError, match="of an older version, and no copy can be kept of it"):
        connect(path)
    with closing(sqlite3.connect(path)) as conn:
        assert conn.execute("PRAGMA user_version").fetchone()[0] == 1
    assert not list(tmp_path.glob("*.part*"))
