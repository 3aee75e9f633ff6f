"""A store that cannot be written ends no training: what happens is kept beside the run, and taken in once."""

from __future__ import annotations

import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from engine import recording
from engine.recording import Owned, Recorder
from presets.schema import Experiment
from store.editing import set_state
from store.errors import Unusable
from store.files import spool_path
from store.spool import Spool
from store.writing import Writer
from tests.engine.running import SPEC, Bench, locked

LONG = SPEC | {
    "seeds": [0],
    "recipe": {"epochs": 3, "batch": 64, "lr": 0.1},
    "searches": {"imp": {"method": "imp", "rate": {"conv": 0.2}, "rounds": 2}},
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("spool"))


@pytest.fixture(scope="module")
def whole(bench: Bench) -> str:
    """A run whose store could always be written."""
    run = bench.create(LONG)
    bench.finish(run)
    return run


def wait_until(holds: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come"
        time.sleep(0.02)


def begun(bench: Bench, engine: subprocess.Popen, run: str) -> None:
    wait_until(
        lambda: (
            engine.poll() is not None
            or bench.rows("SELECT 1 FROM epochs e JOIN trainings t ON t.id = e.training WHERE run = :run", run)
        )
    )


def done(spool: Spool) -> list[str]:
    """The keys of the trainings that the spool says are done."""
    return [key for record in spool.records() for name, _, (key, *_), _ in record["calls"] if name == "_done"]


def test_a_store_locked_longer_than_anyone_waits_delays_a_run_and_takes_nothing_from_it(bench, whole):
    run = bench.create(LONG)
    engine = bench.start(run)
    begun(bench, engine, run)
    spool = Spool(spool_path(bench.files, run))
    with locked(bench):
        wait_until(spool.path.exists)
        wait_until(lambda: len(done(spool)) >= 3)
        assert engine.poll() is None, "trainings go on meanwhile"
        assert bench.rows("SELECT taken_in FROM runs WHERE id = :run", run) == [(0,)]
    assert engine.wait(timeout=120) == 0
    assert bench.science(run) == bench.science(whole)
    assert not spool.path.exists()
    words = [row[0] for row in bench.rows("SELECT message FROM log WHERE run = :run ORDER BY id", run)]
    assert sum("locked by another program for 2 s; what happened" in text for text in words) == 1
    assert "the store can be written again, and holds all that was kept beside it" in words
    ordinary = [row[0] for row in bench.rows("SELECT message FROM log WHERE run = :run", whole)]
    assert sorted(text for text in words if "the store" not in text) == sorted(ordinary), "each line once"


def test_a_run_killed_while_its_store_was_locked_is_resumed_with_all_that_was_kept(bench, whole):
    run = bench.create(LONG)
    engine = bench.start(run)
    begun(bench, engine, run)
    spool = Spool(spool_path(bench.files, run))
    with locked(bench):
        wait_until(lambda: len(done(spool)) >= 2)
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
    kept = done(spool)
    with spool.path.open("ab") as torn:
        torn.write(b'12345678 {"number": 99')
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)
    assert not spool.path.exists()
    first = bench.rows("SELECT key FROM trainings WHERE run = :run AND attempt = (SELECT min(id) FROM attempts"
                       " WHERE run = :run)", run)  # fmt: skip
    assert {key for (key,) in first} >= set(kept), "none that was done is done again"
    told = [row[0] for row in bench.rows("SELECT message FROM log WHERE run = :run", run)]
    assert sum(text.endswith("kept in the run's folder taken in") for text in told) == 1


@pytest.mark.parametrize("waiting", [False, True])
def test_a_stop_is_heard_while_the_store_is_locked(bench, whole, waiting):
    """In the midst of training; or with nothing left to do but to write it down."""
    run = bench.create(LONG)
    engine = bench.start(run)
    begun(bench, engine, run)
    spool = Spool(spool_path(bench.files, run))
    with locked(bench):
        written = "SELECT key FROM trainings WHERE run = :run AND state = 'done'"
        left = len(bench.rows(written, whole)) - len(bench.rows(written, run))
        wait_until(lambda: len(done(spool)) >= (left if waiting else 1))
        began = time.monotonic()
        engine.terminate()
        assert engine.wait(timeout=20) == 3
        assert time.monotonic() - began < 5
    assert bench.state(run) == "running", "it could not say that it stopped; whoever looks finds it lost"
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)
    outcomes = bench.rows("SELECT outcome FROM attempts WHERE run = :run ORDER BY id", run)
    assert outcomes == [("stopped",), ("finished",)]


def test_a_disk_without_room_for_the_store_delays_a_run_and_takes_nothing_from_it(bench, whole):
    run = bench.create(LONG)
    engine = bench.start(run)
    begun(bench, engine, run)
    hard = resource.prlimit(engine.pid, resource.RLIMIT_FSIZE)[1]
    if hard != resource.RLIM_INFINITY:
        pytest.skip("the sizes of files are limited here")
    # What the engine adds to the journal lies behind what others have written; files of its own are small.
    with closing(sqlite3.connect(bench.db, isolation_level=None)) as other:
        other.execute("CREATE TABLE filling AS SELECT zeroblob(1000000)")
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM runs").fetchone()  # while somebody reads, the journal does not begin anew
        resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (500_000, hard))
        wait_until(spool_path(bench.files, run).exists)
        resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (hard, hard))
        other.execute("ROLLBACK")
        other.execute("DROP TABLE filling")
    assert engine.wait(timeout=120) == 0
    assert bench.science(run) == bench.science(whole)
    assert not spool_path(bench.files, run).exists()


# What the recorder does, step by step


@pytest.fixture
def recorder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.setattr(recording, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.0)
    with Writer(bench.db) as writer:
        yield begin(bench, writer, bench.create())


def begin(bench: Bench, writer: Writer, run: str) -> Recorder:
    record = Recorder(writer, run, Experiment.model_validate(SPEC), bench.files)
    [newest] = bench.rows("SELECT ifnull(max(id), 0) AS id FROM attempts WHERE run = :run", run)
    record.begin("cpu", "cpu", {"device": "cpu"}, {"data": "d"}, False, newest[0])
    return record


def logged(bench: Bench, run: str) -> list[str]:
    return [row[0] for row in bench.rows("SELECT message FROM log WHERE run = :run ORDER BY id", run)]


def test_rows_bear_the_moment_at_which_they_came_not_that_of_their_writing(bench, recorder):
    with locked(bench):
        recorder.log("info", "early")
        recorder.flush()
        time.sleep(0.3)
        recorder.log("info", "late")
    recorder.flush()
    [early], [late] = (
        bench.rows(f"SELECT julianday(at) FROM log WHERE message = '{m}'", "") for m in ("early", "late")
    )
    assert 86400 * (late[0] - early[0]) > 0.25
    assert [m for m in logged(bench, recorder.run) if m in ("early", "late")] == ["early", "late"]


def test_what_was_taken_in_is_not_taken_in_again_when_the_spool_outlived_it(bench, recorder):
    spool = Spool(spool_path(bench.files, recorder.run))
    with locked(bench):
        for word in ("one", "two"):
            recorder.log("info", word)
            recorder.flush()
    kept = spool.path.read_bytes()
    recorder.flush()
    spool.path.write_bytes(kept)  # as if the process had ended after the commit
    bench.conn.execute("UPDATE attempts SET ended = 'x' WHERE run = ?", (recorder.run,))
    with Writer(bench.db) as writer:
        begin(bench, writer, recorder.run).flush()
    assert [m for m in logged(bench, recorder.run) if m in ("one", "two")] == ["one", "two"]
    assert not spool.path.exists()


def test_a_read_only_store_keeps_a_run_waiting_and_then_ends_it_with_a_reason(bench, recorder):
    recorder.writer.conn.execute("PRAGMA query_only = ON")
    recorder.log("info", "kept")
    with pytest.raises(Unusable, match="cannot be written: it or its folder is read-only"):
        recorder.settle(0.3, lambda: False)
    began = time.monotonic()
    with pytest.raises(Unusable):
        recorder.settle(60, lambda: True)
    assert time.monotonic() - began < 5, "a request to stop ends the wait"
    recorder.writer.conn.execute("PRAGMA query_only = OFF")
    recorder.settle(5, lambda: False)
    assert "kept" in logged(bench, recorder.run)


def test_where_nothing_can_be_written_at_all_rows_wait_in_memory(bench, recorder):
    folder = spool_path(bench.files, recorder.run).parent
    folder.rename(folder.with_name("away"))
    try:
        with locked(bench):
            recorder.log("info", "in memory")
            recorder.flush()
        recorder.flush()
    finally:
        folder.with_name("away").rename(folder)
    assert "in memory" in logged(bench, recorder.run)


def test_a_damaged_store_ends_no_training_and_says_what_it_is(tmp_path, monkeypatch):
    monkeypatch.setattr(recording, "RETRY_SECONDS", 0.0)
    bench = Bench(tmp_path)
    run = bench.create()
    with Writer(bench.db) as writer:
        record = begin(bench, writer, run)
        record.flush()
        bench.conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        good = bench.db.read_bytes()
        with bench.db.open("r+b") as file:
            file.seek(4096)
            file.write(b"\x5a" * (len(good) - 4096))
        writer.conn.execute("PRAGMA shrink_memory")
        record.log("info", "kept")
        record.flush()
        assert "is damaged" in record.behind
        assert record.requests() == []
        bench.db.write_bytes(good)  # a copy is restored under it
        writer.conn.execute("PRAGMA shrink_memory")
        record.settle(5, lambda: False)
    assert "kept" in logged(bench, run)


def test_a_spool_that_does_not_fit_the_store_is_taken_in_as_far_as_it_does(bench, recorder):
    run = recorder.run
    spool = Spool(spool_path(bench.files, run))
    calls = [["log", "2026-01-01T00:00:00.000000Z", ["info", "fits"], {}]]
    for number, bad in enumerate(([], [["no_such", "x", [], {}]], []), start=1):
        spool.append({"number": number, "attempt": recorder.attempt, "calls": [*calls, *bad]})
    bench.conn.execute("UPDATE attempts SET ended = 'x' WHERE run = ?", (run,))
    with Writer(bench.db) as writer:
        begin(bench, writer, run).flush()
    told = logged(bench, run)
    assert told.count("fits") == 1
    assert any("1 transaction that an earlier attempt had kept" in text and "computed again" in text for text in told)


def test_an_engine_that_was_taken_over_meanwhile_writes_no_more(bench, recorder):
    run = recorder.run
    with locked(bench):
        recorder.log("info", "too late")
        recorder.flush()
    bench.conn.execute(
        "UPDATE attempts SET host = 'elsewhere', heartbeat = '2026-01-01T00:00:00Z' WHERE run = ?", (run,)
    )
    spool_path(bench.files, run).unlink()  # the other engine has taken it in
    with Writer(bench.db) as writer:
        begin(bench, writer, run).flush()
    recorder.log("info", "too late")
    with pytest.raises(Owned, match=r"taken over by process \d+ on "):
        recorder.flush()
    assert "too late" not in logged(bench, run)


def test_an_engine_whose_output_has_no_room_goes_on(bench, whole):
    run = bench.create(LONG)
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-P", "-m", "engine", *bench.running(run)]
        engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=full, stderr=full)
    begun(bench, engine, run)
    with locked(bench):
        wait_until(spool_path(bench.files, run).exists)  # of which it tells there
    assert engine.wait(timeout=120) == 0
    assert bench.science(run) == bench.science(whole)
