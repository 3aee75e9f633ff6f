"""A store that cannot be written ends no training: what happens is kept beside the run, and taken in once."""

from __future__ import annotations

import errno
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from engine import earlier, outbox
from engine.alone import Owned
from engine.recording import Recorder
from presets.schema import Experiment
from store.editing import set_state
from store.errors import Unusable
from store.files import run_folder, spool_path
from store.spool import Spool
from store.writing import Writer
from tests.engine.running import ENGINE, SPEC, Bench, locked

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


@pytest.fixture
def shared(tmp_path: Path) -> Bench:
    """A store as it is on a shared file system."""
    bench = Bench(tmp_path)
    assert bench.conn.execute("PRAGMA journal_mode = delete").fetchone()[0] == "delete"
    return bench


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


def spool_of(bench: Bench, run: str) -> Spool:
    """That of its newest attempt."""
    [(newest,)] = bench.rows("SELECT max(id) FROM attempts WHERE run = :run", run)
    return Spool(spool_path(bench.files, run, newest))


def done(spool: Spool) -> list[str]:
    """The keys of the trainings that the spool says are done."""
    return [key for record in spool.records() for name, _, (key, *_), _ in record["calls"] if name == "_done"]


def test_a_store_locked_longer_than_anyone_waits_delays_a_run_and_takes_nothing_from_it(bench, whole):
    run = bench.create(LONG)
    engine = bench.start(run)
    begun(bench, engine, run)
    spool = spool_of(bench, run)
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
    spool = spool_of(bench, run)
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
    spool = spool_of(bench, run)
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


def test_a_check_that_could_not_read_the_store_is_not_answered(bench, whole):
    run = bench.create(LONG)
    impatient = f"import engine.outbox; engine.outbox.PATIENCE_SECONDS = 0.5; {ENGINE}"
    engine = subprocess.Popen([sys.executable, "-P", "-c", impatient, *bench.running(run)], stdout=subprocess.DEVNULL)
    begun(bench, engine, run)
    spool = spool_of(bench, run)
    with locked(bench):
        assert engine.wait(timeout=60) == 1
        called = {name for record in spool.records() for name, *_ in record["calls"]}
        assert "_done" in called
        assert "_answers" not in called
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)


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
        wait_until(spool_of(bench, run).path.exists)
        resource.prlimit(engine.pid, resource.RLIMIT_FSIZE, (hard, hard))
        other.execute("ROLLBACK")
        other.execute("DROP TABLE filling")
    assert engine.wait(timeout=120) == 0
    assert bench.science(run) == bench.science(whole)
    assert not spool_of(bench, run).path.exists()


@pytest.mark.parametrize("stop", [False, True])
def test_a_store_that_cannot_even_be_read_delays_a_run_and_lets_it_be_stopped(shared, whole, stop, bench):
    """Locked as soon as the engine has begun: before it has read what there is to go on from."""
    run = shared.create(LONG)
    engine = shared.start(run)
    while not shared.rows("SELECT 1 FROM attempts WHERE run = :run", run):
        assert engine.poll() is None
    with locked(shared, "EXCLUSIVE"):
        time.sleep(1 if stop else 3)
        if stop:
            engine.terminate()
            assert engine.wait(timeout=20) == 3
    if stop:
        set_state(shared.conn, run, "running")
        shared.finish(run)
    assert engine.wait(timeout=120) == (3 if stop else 0)
    assert shared.science(run) == bench.science(whole)
    shared.conn.close()


# What the recorder does, step by step


@pytest.fixture
def recorder(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorder]:
    monkeypatch.setattr(outbox, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(outbox, "RETRY_SECONDS", 0.0)
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
    spool = spool_of(bench, recorder.run)
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
    told = logged(bench, recorder.run)
    assert [m for m in told if m in ("one", "two")] == ["one", "two"]
    assert not any("earlier attempt" in m for m in told), "none is told of that was not"
    assert not spool.path.exists()


@pytest.mark.parametrize("stays", [False, True])
def test_what_did_not_reach_the_disk_is_taken_in_once_and_so_is_what_comes_later(bench, recorder, monkeypatch, stays):
    """`stays`: its line can be read all the same."""

    def broken(_: int) -> None:
        raise OSError(errno.EIO, "broken")

    with locked(bench):
        recorder.log("info", "one")
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", broken)
            recorder.flush()
        if stays:
            record = {"number": 1, "calls": recorder._pending}
            spool_of(bench, recorder.run).append(record)
    recorder.flush()
    with locked(bench):
        recorder.log("info", "two")
        recorder.flush()
    recorder.flush()
    assert [m for m in logged(bench, recorder.run) if m in ("one", "two")] == ["one", "two"]


def test_a_read_only_store_keeps_a_run_waiting_and_then_ends_it_with_a_reason(bench, recorder, monkeypatch):
    recorder.writer.conn.execute("PRAGMA query_only = ON")
    recorder.log("info", "kept")
    monkeypatch.setattr(outbox, "PATIENCE_SECONDS", 0.3)
    with pytest.raises(Unusable, match="cannot be written: it or its folder is read-only"):
        recorder.settle()
    began = time.monotonic()
    monkeypatch.setattr(outbox, "PATIENCE_SECONDS", 60)
    monkeypatch.setattr(recorder, "_given_up", lambda: True)
    with pytest.raises(Unusable):
        recorder.settle()
    assert time.monotonic() - began < 5, "a request to stop ends the wait"
    recorder.writer.conn.execute("PRAGMA query_only = OFF")
    recorder.settle()
    assert "kept" in logged(bench, recorder.run)


def test_what_is_read_is_waited_for_until_a_request_to_stop(shared, monkeypatch):
    monkeypatch.setattr(outbox, "BUSY_SECONDS", 0.05)
    run = shared.create()
    with Writer(shared.db) as writer:
        record = begin(shared, writer, run)
        reads = (
            lambda: earlier.trainings(record),
            lambda: earlier.measured(record),
            lambda: earlier.aside(record),
            lambda: earlier.evaluated(record),
            lambda: earlier.kept_weights(record, "k"),
            lambda: earlier.tickets(record, "imp", 0),
            lambda: earlier.point(record, "imp", 0),
        )
        for read in reads:
            with ExitStack() as held:
                held.enter_context(locked(shared, "EXCLUSIVE"))
                monkeypatch.setattr(record, "_given_up", lambda: True)
                with pytest.raises(Unusable, match=r"locked by another program for 0\.05 s"):
                    read()
                monkeypatch.setattr(record, "_given_up", lambda held=held: bool(held.close()))  # the lock goes
                assert not read()
    shared.conn.close()


def test_where_nothing_can_be_written_at_all_rows_wait_in_memory(bench, recorder):
    folder = run_folder(bench.files, recorder.run)
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
    monkeypatch.setattr(outbox, "RETRY_SECONDS", 0.0)
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
        record.settle()
    assert "kept" in logged(bench, run)


def test_a_spool_that_does_not_fit_the_store_is_taken_in_as_far_as_it_does(bench, recorder):
    run = recorder.run
    spool = spool_of(bench, run)
    calls = [["log", "2026-01-01T00:00:00.000000Z", ["info", "fits"], {}]]
    for number, bad in enumerate(([], [["no_such", "x", [], {}]], []), start=1):
        spool.append({"number": number, "calls": [*calls, *bad]})
    bench.conn.execute("UPDATE attempts SET ended = 'x' WHERE run = ?", (run,))
    with Writer(bench.db) as writer:
        begin(bench, writer, run).flush()
    told = logged(bench, run)
    assert told.count("fits") == 1
    assert any("1 transaction that an earlier attempt had kept" in text and "computed again" in text for text in told)


@pytest.mark.parametrize("count", [1, 100])
def test_a_disk_that_fills_up_while_a_run_is_taken_up_again_takes_nothing_from_the_spool(bench, recorder, count):
    """Be it within one large transaction, or after some small ones."""
    run = recorder.run
    words = [f"{number} {'x' * (600_000 // count)}" for number in range(count)]
    with locked(bench):
        for word in words:
            recorder.log("info", word)
            recorder.flush()
    bench.conn.execute("UPDATE attempts SET ended = 'x' WHERE run = ?", (run,))
    with Writer(bench.db) as writer:
        writer.conn.execute("VACUUM")  # other tests have left free pages
        pages = writer.one("PRAGMA page_count")[0]
        writer.conn.execute(f"PRAGMA max_page_count = {pages + 60}")
        with pytest.raises(Unusable, match="is full"):
            begin(bench, writer, run)
        writer.conn.execute("PRAGMA max_page_count = 4294967294")
        assert logged(bench, run) == []
        begin(bench, writer, run).flush()
    assert [m for m in logged(bench, run) if m in words] == words


def test_an_engine_that_was_taken_over_meanwhile_writes_no_more(bench, recorder):
    run = recorder.run
    with locked(bench):
        recorder.log("info", "too late")
        recorder.flush()
    silent_elsewhere(bench, run)
    spool_of(bench, run).path.unlink()  # the other engine has taken it in
    with Writer(bench.db) as writer:
        begin(bench, writer, run).flush()
    recorder.log("info", "too late")
    with pytest.raises(Owned, match=r"taken over by process \d+ on "):
        recorder.flush()
    assert "too late" not in logged(bench, run)


def silent_elsewhere(bench: Bench, run: str) -> None:
    """Its engine is on another machine, and nobody has heard of it for long."""
    values = "host = 'elsewhere', heartbeat = '2026-01-01T00:00:00Z'"
    bench.conn.execute(f"UPDATE attempts SET {values} WHERE run = ?", (run,))


def test_what_an_engine_kept_after_it_was_taken_over_is_never_taken_in(bench, recorder):
    """It wakes up while the store is locked, and so does not hear that another has finished the run."""
    run = recorder.run
    silent_elsewhere(bench, run)
    with Writer(bench.db) as writer:
        other = begin(bench, writer, run)
        other.end("finished", "")
        other.flush()
    with locked(bench):
        recorder.log("info", "too late")
        recorder.end("stopped", "too late")
        recorder.flush()
    with pytest.raises(Owned):
        recorder.flush()
    set_state(bench.conn, run, "running")
    with Writer(bench.db) as writer:
        begin(bench, writer, run).flush()
    assert logged(bench, run) == []
    assert bench.rows("SELECT outcome FROM attempts WHERE run = :run", run) == [("lost",), ("finished",), (None,)]
    assert list(run_folder(bench.files, run).iterdir()) == []


def test_two_engines_of_a_run_do_not_cut_off_what_the_other_keeps(bench, recorder):
    run = recorder.run
    with locked(bench):
        recorder.log("info", "before")
        recorder.flush()
    silent_elsewhere(bench, run)
    with Writer(bench.db) as writer:
        other = begin(bench, writer, run)
        other.flush()
        words = [f"{word} {'x' * 400}" for word in ("one", "two", "three")]
        with locked(bench):
            for word in words:
                other.log("info", word)
                other.flush()
            recorder.log("info", "too late")
            recorder.flush()
        other.flush()
    kept = ("before", "too late", *words)
    assert [m for m in logged(bench, run) if m in kept] == ["before", *words]


def test_an_engine_whose_output_has_no_room_goes_on(bench, whole):
    run = bench.create(LONG)
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-P", "-m", "engine", *bench.running(run)]
        engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=full, stderr=full)
    begun(bench, engine, run)
    with locked(bench):
        wait_until(spool_of(bench, run).path.exists)  # of which it tells there
    assert engine.wait(timeout=120) == 0
    assert bench.science(run) == bench.science(whole)
