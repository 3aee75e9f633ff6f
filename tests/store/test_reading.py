"""Reading: runs by prefix, their figures as plain rows, and questions of one's own that can change nothing."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from store import editing
from store.errors import StoreError
from store.liveness import this_process
from store.reading import Reader
from store.writing import Writer

NewRun = Callable[..., str]
ROOT = Path(__file__).parents[2]
FIGURES = ["accuracy", "tickets", "overlap", "layer_overlap", "cost", "cost_to", "loss", "checks"]
PROGRESS = ["rounds", "members", "trainings", "epochs", "log", "alerts"]


@pytest.fixture
def reader(path: Path, writer: Writer) -> Reader:
    return Reader(path)


def fill(writer: Writer, run: str) -> dict[str, int]:
    """One search with one round of two members and a ticket, a dense arm, and a line of everything else."""
    now = "2026-01-02T03:04:05.678Z"
    row: dict[str, Any]
    search = writer.insert("searches", {"run": run, "name": "colt", "method": "colt", "settings": {"segments": 2}})
    row = {"search": search, "seed": 0, "round": 1, "step": "done", "prunable": 100, "remaining": 40, "weights": 200}
    round_id = writer.insert("rounds", {**row, "weights_remaining": 140, "images": 50, "started": now, "ended": now})
    trainings = []
    for member in range(2):
        row = {"run": run, "key": f"k{member}", "seed": 0, "about": {"what": "member"}, "state": "done", "classes": 5}
        row |= {"train_images": 25, "epochs": 2, "steps": 10, "images": 25}
        trainings.append(writer.insert("trainings", row))
        writer.insert("members", {"round": round_id, "member": member, "training": trainings[-1], "segment": "a half"})
        for epoch in (1, 2):
            row = {"training": trainings[-1], "epoch": epoch, "step": 5 * epoch, "lr": 0.1, "train_loss": 1.0}
            row |= {"train_accuracy": 0.5, "validation_loss": float("nan"), "validation_accuracy": epoch / 10}
            writer.insert("epochs", {**row, "seconds": 1.0})
    for mask in (None, 0, 1):
        row = {"round": round_id, "member": mask, "position": 0, "layer": "conv1", "kind": "conv", "prunable": 1}
        writer.insert("layers", {**row, "total": 100, "before": 100, "alive": 80 if mask is None else 85})
    row = {"round": round_id, "layer": "conv1", "sets": "removed", "a": 0, "b": 1, "n": 100, "count_a": 15}
    writer.insert("overlaps", {**row, "count_b": 15, "both": 10, "either": 20, "expected": 2.25})
    ticket = writer.insert("tickets", {"round": round_id, "mask": "m", "start": "s", "start_step": 0, "created": now})
    for arm, of in (("dense", None), ("ticket", "each")):
        arm_id = writer.insert("arms", {"run": run, "name": arm, "settings": {"ticket": of}})
        row = {"arm": arm_id, "ticket": ticket if of else None, "seed": 0, "training": trainings[0]}
        writer.insert("evaluations", {**row, "split": "test", "correct": 9, "count": 10, "loss": 0.1, "created": now})
    row = {"run": run, "name": "mask", "search": "colt", "method": "contrast", "question": "q", "threshold": 0.0}
    writer.insert("checks", {**row, "seeds": 1, "verdict": "none", "sentence": "s", "query": "q", "created": now})
    writer.insert("log", {"run": run, "at": now, "level": "info", "message": "a line"})
    writer.insert("alerts", {"run": run, "at": now, "kind": "plan", "round": round_id, "message": "look"})
    row = {"run": run, "device": "cpu", "versions": {"torch": "2"}, "plan": {"workers": 2}, "started": now}
    writer.insert("attempts", {**row, "heartbeat": now, "images_done": 50, "doing": "round 2", **this_process()})
    return {"round": round_id, "ticket": ticket}


# Before there is anything


@pytest.mark.parametrize("content", [None, b""])
def test_a_store_that_is_not_there_yet_has_no_runs(path: Path, content: bytes | None) -> None:
    if content is not None:
        path.write_bytes(content)
    reader = Reader(path)
    assert reader.runs() == []
    assert reader.runs("seeds > 2") == []
    assert [getattr(reader, name)("x") for name in FIGURES + PROGRESS] == [[]] * len(FIGURES + PROGRESS)
    assert reader.layers("x", "colt", 0) == []
    columns, rows = reader.query("SELECT id, state FROM runs")
    assert (columns, list(rows)) == (["id", "state"], [])
    with pytest.raises(StoreError, match="there is no run yet"):
        reader.resolve("x")
    with pytest.raises(StoreError, match="there is no run 'x'"):
        reader.run("x")
    assert path.exists() == (content is not None)


def test_a_reader_notices_a_store_that_appears_changes_and_is_replaced(path: Path) -> None:
    reader = Reader(path)
    assert [reader.changed(), reader.changed()] == [True, False]
    with Writer(path) as writer:
        assert [reader.changed(), reader.changed()] == [True, False]
        editing.create_run(
            writer.conn, name="x", preset="p", spec={"title": "t"}, device="", files="", images_planned=0
        )
        assert [reader.changed(), reader.changed()] == [True, False]
        assert len(reader.runs()) == 1
    for file in path.parent.glob("tombola.db*"):
        file.unlink()
    assert [reader.changed(), len(reader.runs()), reader.changed()] == [True, 0, False]
    Writer(path).close()
    assert [reader.changed(), len(reader.runs()), reader.changed()] == [True, 0, False]


# Which run is meant


def test_a_run_is_named_by_any_unique_prefix(writer: Writer, reader: Reader, new_run: NewRun) -> None:
    colt, imp = new_run("colt"), new_run("imp")
    for length in range(1, len(colt) + 1):
        assert reader.resolve(colt[:length]) == colt
    assert reader.resolve(f" {imp.upper()} ") == imp


def test_a_prefix_of_several_lists_them_and_of_none_says_what_there_is(reader: Reader, new_run: NewRun) -> None:
    runs = [new_run("demo") for _ in range(10)]
    with pytest.raises(StoreError, match=r"'demo' could be 10 runs: demo-\w{4}(, demo-\w{4}){7} and 2 more"):
        reader.resolve("demo")
    with pytest.raises(StoreError, match=r"no run begins with 'x'; there is demo-") as error:
        reader.resolve("x")
    assert runs[-1] in str(error.value)


def test_a_whole_id_is_never_ambiguous(writer: Writer, reader: Reader, new_run: NewRun) -> None:
    run = new_run()
    row = dict(writer.one("SELECT * FROM runs"))
    writer.insert("runs", {**row, "id": f"{run}-bcdf"})
    assert reader.resolve(run) == run
    assert reader.resolve(f"{run}-") == f"{run}-bcdf"


@given(st.text())
@example("")
@example("%")
@example("_")
@example("\x1b[2J")
@example("\udcff")
@example("' OR 1 = 1 --")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_no_prefix_is_too_strange(reader: Reader, new_run: NewRun, prefix: str) -> None:
    new_run("zz")
    new_run("zzz")
    try:
        assert reader.resolve(prefix).startswith(prefix.strip().lower())
    except StoreError as error:
        shown = str(error)
    else:
        return
    assert shown.isprintable()


# What there is to know


def test_the_list_says_how_far_each_run_is_newest_first(writer: Writer, reader: Reader, new_run: NewRun) -> None:
    older = new_run("older", paper="a paper")
    writer.update("runs", {"id": older}, {"created": "2026-01-01T00:00:00.000Z"})
    newer = new_run("newer", seeds=[0, 1, 2])
    fill(writer, older)
    first, second = reader.runs()
    assert (first["id"], second["id"]) == (newer, older)
    assert second == {
        "id": older, "name": "older", "title": "a title", "preset": "p", "paper": "a paper", "state": "running",
        "message": "", "note": "", "created": "2026-01-01T00:00:00.000Z", "ended": None, "device": "cpu", "seeds": 2,
        "methods": "colt", "network": "conv3", "data": "digits", "rounds": 1, "sparsity": pytest.approx(0.6),
        "dense_accuracy": 0.9, "images_done": 50, "images_planned": 100, "seconds_left": None, "doing": "round 2",
    }  # fmt: skip
    assert (first["seeds"], first["methods"], first["rounds"], first["sparsity"]) == (3, "", 0, None)


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ("state = 'lost'", ["gone"]),
        ("state = 'running' -- and not the others", ["here"]),
        ("seeds = 2 AND methods LIKE '%colt%'", ["here"]),
        ("sparsity > 0.1 OR name = 'gone'", ["here", "gone"]),
        ("1 = 0", []),
    ],
)
def test_a_condition_is_sql_over_the_columns_of_the_list(
    writer: Writer, reader: Reader, new_run: NewRun, where: str, found: list[str]
) -> None:
    gone = new_run("gone")
    writer.update("runs", {"id": gone}, {"started": "2026-01-01T00:00:00.000Z", "created": "2026-01-01T00:00:00.000Z"})
    fill(writer, new_run("here"))
    assert [row["name"] for row in reader.runs(where)] == found


@pytest.mark.parametrize(
    "where",
    ["stat = 'lost'", "1) UNION SELECT 1", "1; DROP TABLE runs", "(", "load_extension('x')", "\x00", "'\ud800'"],
)
def test_a_condition_that_is_none_is_one_clear_line(reader: Reader, new_run: NewRun, where: str) -> None:
    new_run()
    with pytest.raises(StoreError, match=r"cannot tell runs by .*columns: id, name, title") as error:
        reader.runs(where)
    assert str(error.value).isprintable()


def test_a_run_comes_with_its_experiment_searches_arms_and_attempts(
    writer: Writer, reader: Reader, new_run: NewRun
) -> None:
    run = new_run(expect="much")
    fill(writer, run)
    whole = reader.run(run)
    assert whole["spec"]["network"] == {"name": "conv3"}
    assert [search["settings"]["segments"] for search in whole["searches"]] == [2]
    assert [(arm["name"], arm["settings"]["ticket"]) for arm in whole["arms"]] == [("dense", None), ("ticket", "each")]
    assert [attempt["plan"] for attempt in whole["attempts"]] == [{"workers": 2}]
    assert (whole["expect"], whole["state"], whole["rounds"]) == ("much", "running", 1)


def test_every_figure_of_a_run_is_there_and_of_no_other(writer: Writer, reader: Reader, new_run: NewRun) -> None:
    run, other = new_run("one"), new_run("other")
    keys = fill(writer, run)
    for name in FIGURES + PROGRESS:
        assert getattr(reader, name)(run), name
        assert getattr(reader, name)(other) == [], name
    assert [row["alive"] for row in reader.layers(run, "colt", 0)] == [80, 85, 85]
    assert reader.layers(run, "colt", 1) == []
    assert reader.overlap(run)[0]["iou"] == 0.5
    assert reader.rounds(run)[0]["ticket"] == keys["ticket"]
    assert [(m["member"], m["epoch"], m["validation_accuracy"]) for m in reader.members(run)] == [
        (0, 2, 0.2),
        (1, 2, 0.2),
    ]
    assert reader.trainings(run)[0]["about"] == {"what": "member"}
    assert reader.alerts(run)[0]["search"] == "colt"


def test_only_what_is_new_is_read_again(writer: Writer, reader: Reader, new_run: NewRun) -> None:
    run = new_run()
    fill(writer, run)
    fill(writer, new_run("other"))
    epochs = reader.epochs(run)
    assert [row["epoch"] for row in epochs] == [1, 2, 1, 2]
    assert reader.epochs(run, after=epochs[1]["id"]) == epochs[2:]
    assert reader.epochs(run, after=epochs[-1]["id"]) == []
    line = writer.insert("log", {"run": run, "at": "x", "level": "info", "message": "new"})
    assert [row["message"] for row in reader.log(run, after=line - 1)] == ["new"]


def test_a_reader_may_be_handed_from_thread_to_thread(reader: Reader, new_run: NewRun) -> None:
    new_run()
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.extend(reader.runs()))
    thread.start()
    thread.join()
    assert len(found) == 1


# Questions of one's own


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "  -- a remark\n select id from runs",
        "WITH x AS (SELECT 1 AS a) SELECT a FROM x",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5) SELECT * FROM n",
        "VALUES (1), (2)",
        "EXPLAIN QUERY PLAN SELECT * FROM runs",
        "SELECT json_extract(spec, '$.title'), value FROM runs, json_each(spec, '$.seeds')",
        "SELECT * FROM pragma_table_info('runs')",
        "PRAGMA table_info(runs)",
        "PRAGMA user_version",
        "SELECT name FROM sqlite_schema",
        "SELECT * FROM cost_by_round; ",
    ],
)
def test_whatever_reads_is_answered(reader: Reader, new_run: NewRun, sql: str) -> None:
    new_run()
    columns, rows = reader.query(sql)
    assert {len(row) for row in rows} <= {len(columns)}


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO student VALUES (1000, 1.0)",
        "REPLACE INTO student VALUES (1, 1.0)",
        "UPDATE runs SET name = 'x'",
        "DELETE FROM runs",
        "DELETE FROM runs RETURNING id",
        "WITH x AS (SELECT 1000, 1.0) INSERT INTO student SELECT * FROM x",
        "EXPLAIN DELETE FROM runs",
        "CREATE TABLE x (a)",
        "CREATE TEMP TABLE x (a)",
        "CREATE VIEW x AS SELECT 1",
        "CREATE VIRTUAL TABLE x USING fts5(a)",
        "DROP TABLE runs",
        "ALTER TABLE runs RENAME TO x",
        "UPDATE sqlite_master SET sql = ''",
        "ATTACH ':memory:' AS other",
        "ATTACH '{elsewhere}' AS other",
        "DETACH main",
        "VACUUM",
        "VACUUM INTO '{elsewhere}'",
        "REINDEX",
        "ANALYZE",
        "BEGIN",
        "BEGIN IMMEDIATE",
        "SAVEPOINT x",
        "COMMIT",
        "PRAGMA user_version = 7",
        "PRAGMA query_only = 0",
        "PRAGMA writable_schema = 1",
        "PRAGMA journal_mode = DELETE",
        "PRAGMA journal_mode(off)",
        "PRAGMA wal_checkpoint(TRUNCATE)",
        "PRAGMA foreign_keys = 0",
        "PRAGMA temp_store_directory = '/'",
        "PRAGMA optimize",
        "SELECT load_extension('x')",
        "SELECT fts3_tokenizer('simple')",
        "SELECT 1; DELETE FROM runs",
        "SELECT 1; SELECT 2",
        "",
        ";",
        "-- nothing",
        "SELECT",
        "SELECT ?",
        "SELECT * FROM nowhere",
        "SELECT \x00",
        "SELECT '\ud800'",
    ],
)
def test_whatever_writes_or_is_no_question_is_refused_and_changes_nothing(
    path: Path, writer: Writer, new_run: NewRun, sql: str
) -> None:
    new_run()
    writer.close()
    elsewhere = path.with_name("elsewhere.db")
    before = hashlib.sha256(path.read_bytes()).digest()
    with Reader(path) as reader:
        with pytest.raises(StoreError) as error:
            list(reader.query(sql.format(elsewhere=elsewhere) if "{" in sql else sql)[1])
        assert str(error.value).isprintable()
        assert len(reader.runs()) == 1
    assert hashlib.sha256(path.read_bytes()).digest() == before
    assert not elsewhere.exists()


def test_a_question_that_fails_half_way_is_one_clear_line(reader: Reader) -> None:
    _, rows = reader.query("SELECT CASE df WHEN 50 THEN abs(-9223372036854775808) ELSE df END FROM student ORDER BY df")
    assert next(rows) == (1,)
    with pytest.raises(StoreError, match="integer overflow"):
        list(rows)


def test_rows_come_as_they_are_found(reader: Reader) -> None:
    _, rows = reader.query("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n")
    assert [next(rows)[0] for _ in range(3)] == [1, 2, 3]


@pytest.mark.parametrize("asked", ["query(sql)", "runs(f'({sql}) > 0')"])
def test_a_question_without_an_end_gives_way_to_ctrl_c(path: Path, new_run: NewRun, asked: str) -> None:
    new_run()
    script = (
        "import sys; from pathlib import Path; from store.reading import Reader\n"
        "sql = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n'\n"
        "print('ready', flush=True)\n"
        f"try: Reader(Path(sys.argv[1])).{asked}\n"
        "except KeyboardInterrupt: sys.exit(130)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(path)], cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.3)
    process.send_signal(signal.SIGINT)
    process.stdout.close()
    assert process.wait(timeout=20) == 130


# Start-up


def test_reading_imports_nothing_heavy(path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from store.reading import Reader; from store import editing, places\n"
        "Reader(Path(sys.argv[1])).runs()\n"
        "heavy = {'numpy', 'pandas', 'sqlite_utils', 'torch', 'pydantic', 'textual', 'click'} & set(sys.modules)\n"
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=ROOT, env={**os.environ, "PYTHONPATH": ""}, capture_output=True
    )
    assert (done.returncode, done.stderr) == (0, b"")
