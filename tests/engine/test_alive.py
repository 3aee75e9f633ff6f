"""One engine a run, which ends within seconds when it is asked to, whatever it does, and goes on to the same bits."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

from engine.alone import Owned, set_out
from engine.herald import stand_down
from engine.recording import Recorder
from presets.schema import Experiment
from store.editing import delete_run, request, set_state, still_coming
from store.files import run_folder
from store.writing import Writer
from tests.engine.running import FORKS, SPEC, Bench, locked

SECONDS = 15.0
"""An engine that is asked to end takes 5 s at most on a machine of its own; what hangs here would do so for minutes."""

SMALL = {
    "seeds": [0],
    "searches": {"imp": {"method": "imp", "rate": {"conv": 0.2}, "rounds": 2}},
    "arms": {"dense": {}},
    "checks": {"successive": {"method": "successive", "points": 3}},
}
LONG = SMALL | {"recipe": {"epochs": 100_000, "batch": 64, "lr": 0.1}}

HANGING = """
import ctypes, importlib, os, sys
from pathlib import Path
from threading import Timer
c = ctypes.CDLL(None)
mutex = ctypes.create_string_buffer(256)
def hang(*given, **options):
    Timer(0.3, Path(os.environ["REACHED"]).touch).start()  # a signal before the call is in it would be heard
    Timer(600, os._exit, [1]).start()  # should nobody end it
    c.pthread_mutex_init(mutex, None)
    for _ in range(2):  # it waits for itself, in one call that lets no handler of Python run and keeps no core busy
        c.pthread_mutex_lock(mutex)
place, name = sys.argv.pop(1).rsplit(".", 1)
owner, _, inner = place.partition(":")
owner = importlib.import_module(owner)
setattr(getattr(owner, inner) if inner else owner, name, hang)
from engine.__main__ import main
sys.exit(main())
"""
"""The engine with one of its functions replaced by a call that takes minutes."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("alive"))


@pytest.fixture(scope="module")
def whole(bench: Bench) -> str:
    """A run that was never interrupted."""
    run = bench.create(**SMALL)
    bench.finish(run)
    return run


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def training(bench: Bench, run: str) -> None:
    sql = "SELECT 1 FROM epochs e JOIN trainings t ON t.id = e.training WHERE t.run = :run"
    until(lambda: bench.rows(sql, run))


def hanging(what: str, reached: Path, *arguments: str, **streams: object) -> subprocess.Popen:
    """An engine in a session of its own, once it is in `what`."""
    engine = subprocess.Popen(
        [sys.executable, "-P", "-c", HANGING, what, *arguments],
        env=os.environ | {"REACHED": str(reached), "PYTHONPATH": os.pathsep.join(sys.path)},
        start_new_session=True,
        **({"stdin": subprocess.DEVNULL} | streams),  # type: ignore[arg-type]
    )
    until(reached.exists)
    return engine


def ended(engine: subprocess.Popen) -> None:
    """Wait for its end, and that of every process that it made."""
    made = psutil.Process(engine.pid).children(recursive=True)
    engine.wait(SECONDS)
    assert not psutil.wait_procs(made, SECONDS)[1]


ASK: dict[str, Callable[[Bench, str, subprocess.Popen], None]] = {
    "SIGTERM": lambda bench, run, engine: engine.send_signal(signal.SIGTERM),
    "SIGINT to its group": lambda bench, run, engine: os.killpg(engine.pid, signal.SIGINT),
    "stop": lambda bench, run, engine: request(bench.conn, run, "stop"),
    "pause": lambda bench, run, engine: request(bench.conn, run, "pause"),
}


@pytest.mark.parametrize(
    ("what", "how"),
    [
        ("engine.training:Trainer.course", "SIGTERM"),  # where a network is compiled, and its graph captured
        ("engine.rig:Rig.step", "stop"),
        ("engine.rig:Rig.evaluate", "SIGINT to its group"),
        ("engine.measurements:Errand.advance", "pause"),
    ],
)
def test_an_engine_is_stopped_in_whatever_its_workers_do_and_goes_on_to_the_same_bits(
    bench: Bench, whole: str, tmp_path: Path, what: str, how: str
):
    run = bench.create(**SMALL)
    engine = hanging(what, tmp_path / "reached", *bench.running(run))
    ASK[how](bench, run, engine)
    ended(engine)
    assert engine.returncode == 3
    assert bench.state(run) == ("paused" if how == "pause" else "stopped")
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)


@pytest.mark.parametrize("how", ASK)
def test_an_engine_is_stopped_while_it_gets_ready_even_in_a_call_that_looks_at_nothing(
    bench: Bench, tmp_path: Path, how: str
):
    run = bench.create(**SMALL)
    engine = hanging("engine.run.load", tmp_path / "reached", *bench.running(run))
    os.killpg(engine.pid, signal.SIGHUP)  # a terminal that closes ends nothing
    ASK[how](bench, run, engine)
    ended(engine)
    assert engine.returncode == -signal.SIGKILL, "it could not end by itself"
    assert bench.state(run) == ("paused" if how == "pause" else "stopped")
    assert bench.rows("SELECT 1 FROM attempts WHERE run = :run", run) == []
    assert bench.rows("SELECT 1 FROM requests WHERE run = :run AND taken IS NULL", run) == []


@pytest.mark.parametrize("hangs", [False, True])
def test_an_engine_that_gets_ready_is_stopped_while_the_store_is_locked(bench: Bench, tmp_path: Path, hangs: bool):
    """Where it waits for the store by itself; and where its herald is to end it, which waits for the store, too."""
    run = bench.create(**SMALL)
    with locked(bench):
        if hangs:
            engine = hanging("engine.run.load", tmp_path / "reached", *bench.running(run))
        else:
            engine = bench.start(run)
            until(lambda: len(psutil.Process(engine.pid).children()) > 1)  # herald and workers: all but begun
        time.sleep(2.0)  # both wait now
        engine.terminate()
        ended(engine)
    assert engine.returncode == (-signal.SIGKILL if hangs else 3)
    assert bench.state(run) == "running", "it could not say that it stopped; whoever looks finds it lost"
    assert bench.rows("SELECT 1 FROM attempts WHERE run = :run", run) == []


def test_what_is_asked_in_the_last_moment_before_an_engine_begins_is_heard(bench: Bench):
    run = bench.create(**SMALL)
    experiment = Experiment.model_validate(SPEC | SMALL)
    begun = ("cpu", "cpu", {"device": "cpu"}, {}, False)
    with Writer(bench.db) as one, Writer(bench.db) as two:
        first, second = (Recorder(writer, run, experiment, bench.files) for writer in (one, two))
        first.begin(*begun, 0)
        first.end("stopped", "")
        first.flush()
        set_state(bench.conn, run, "running")
        request(bench.conn, run, "stop")
        assert still_coming(bench.conn, run, first.attempt)
        second.begin(*begun, first.attempt)
        assert second.requests() == ["stop"]


def test_an_engine_that_gets_ready_for_long_reads_running_and_lost_when_it_is_killed(bench: Bench, tmp_path: Path):
    run = bench.create(**SMALL)
    bench.conn.execute("UPDATE runs SET started = '2020-01-01T00:00:00.000000Z' WHERE id = ?", (run,))
    engine = hanging("engine.run.load", tmp_path / "reached", *bench.running(run))

    def started() -> str:
        return bench.rows("SELECT started FROM runs WHERE id = :run", run)[0][0]

    until(lambda: started() > "2026")
    first = started()
    until(lambda: started() > first)
    made = psutil.Process(engine.pid).children()
    engine.kill()
    engine.wait()
    assert not psutil.wait_procs(made, SECONDS)[1]
    last = started()
    time.sleep(1.5)
    assert started() == last, "30 s after this it reads lost"


def test_a_forecast_is_ended_in_whatever_it_does(tmp_path: Path):
    spec = tmp_path / "spec.json"
    spec.write_text(json.dumps(SPEC))
    engine = hanging("engine.rig:Rig.step", tmp_path / "reached", "plan", str(spec), "--json")
    engine.send_signal(signal.SIGTERM)
    ended(engine)
    assert engine.returncode == -signal.SIGKILL


@pytest.fixture
def silent_publisher() -> Iterator[str]:
    """The address of a proxy that takes every question and says nothing."""
    server = socket.create_server(("127.0.0.1", 0))
    held = []

    def serve() -> None:
        with suppress(OSError):
            while True:
                held.append(server.accept())

    threading.Thread(target=serve, daemon=True).start()
    yield f"http://127.0.0.1:{server.getsockname()[1]}"
    server.close()


@pytest.fixture
def photographs(tmp_path: Path) -> Path:
    """A folder of images that take long to decode: one large picture under many names."""
    picture = np.random.default_rng(0).integers(0, 255, (150, 150, 3), dtype=np.uint8)
    Image.fromarray(picture).resize((3000, 3000)).save(tmp_path / "one.jpg")
    for label in ("cat", "dog"):
        (tmp_path / "photographs" / label).mkdir(parents=True)
        for number in range(400):
            os.link(tmp_path / "one.jpg", tmp_path / "photographs" / label / f"{number}.jpg")
    return tmp_path / "photographs"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("phase", ["download", "drawing", "decoding"])
def test_what_makes_a_data_set_ends_when_asked_and_leaves_nothing_half(
    phase: str, number: int, silent_publisher: str, photographs: Path, tmp_path: Path
):
    data = {
        "download": {"name": "tiny-imagenet"},
        "drawing": {"name": "glyphs", "images": 200_000},
        "decoding": {"name": "folder", "path": str(photographs), "size": 64},
    }[phase]
    place = tmp_path / "data"
    engine = subprocess.Popen(
        [sys.executable, "-P", "-m", "engine", "prepare", "-", "--download"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"TOMBOLA_DATA": str(place), "http_proxy": silent_publisher, "no_proxy": ""},
    )
    assert engine.stdin is not None
    engine.stdin.write(json.dumps(data))
    engine.stdin.close()
    until(lambda: list(place.glob(".*/images.npy") if phase != "download" else place.glob(".*")))
    time.sleep(0.3)
    engine.send_signal(number)
    ended(engine)
    assert engine.returncode == 130, engine.stderr.read() if engine.stderr else ""
    assert list(place.iterdir()) == []


# One engine a run

RACER = """
import contextlib, sys
import engine.run
from engine.__main__ import main
if sys.argv.pop(1) == "apart":  # as on two machines, which no lock of a folder joins
    engine.run.alone = lambda folder: contextlib.nullcontext()
sys.exit(main())
"""


def race(arguments: list[str], output: Path, start: object = None) -> None:
    """One who sets out as soon as both are there; or at once."""
    told = os.open(output, os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(told, stream)
    os.setsid()
    sys.argv = ["-c", *arguments]
    if start:
        start.wait()  # type: ignore[attr-defined]
    exec(RACER, {"__name__": "__main__"})


@pytest.mark.parametrize(("where", "rounds"), [("together", 30), ("apart", 10)])
def test_of_two_engines_that_start_at_once_one_goes_on_and_one_is_refused(
    bench: Bench, tmp_path: Path, where: str, rounds: int
):
    for number in range(rounds):
        run = bench.create(**LONG)
        start = FORKS.Barrier(2)
        outputs = [tmp_path / f"{number}.{which}" for which in range(2)]
        both = [FORKS.Process(target=race, args=([where, *bench.running(run)], output, start)) for output in outputs]
        for one in both:
            one.start()
        until(lambda both=both: any(not one.is_alive() for one in both))
        [refused] = [which for which in range(2) if not both[which].is_alive()]
        told = outputs[refused].read_text()
        assert (both[refused].exitcode, told.count("\n")) == (2, 1), told
        assert (
            told.startswith(f"{run} is being started by another engine")
            or f"{run} is being trained by" in told
            or (f"{run} was taken up by process" in told)
        )
        going = both[1 - refused]
        until(lambda run=run: bench.rows("SELECT 1 FROM attempts WHERE run = :run", run))
        assert bench.rows("SELECT pid, ended FROM attempts WHERE run = :run", run) == [(going.pid, None)]
        assert bench.state(run) == "running"
        assert going.pid is not None
        os.kill(going.pid, signal.SIGTERM)
        going.join(SECONDS)
        assert (going.exitcode, bench.state(run)) == (3, "stopped"), outputs[1 - refused].read_text()
        assert outputs[1 - refused].read_text() == ""


LEAVING = """
import sys, time
from engine.workers import Pool
from engine.__main__ import main
leave = Pool.close
def close(self):
    time.sleep(float(seconds))
    leave(self)
Pool.close = close
seconds = sys.argv.pop(1)
sys.exit(main())
"""
"""An engine whose workers take so long to go when its attempt has ended, as on a card."""


class Resumed:
    """A run that was paused and resumed at once: the engine that leaves it, and the next, with what that tells."""

    def __init__(self, bench: Bench, folder: Path, seconds: float) -> None:
        self.run, self.output = bench.create(**LONG), folder / "told"
        self.leaving = subprocess.Popen(
            [sys.executable, "-P", "-c", LEAVING, str(seconds), *bench.running(self.run)],
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.DEVNULL,
        )
        training(bench, self.run)
        request(bench.conn, self.run, "pause")
        until(lambda: bench.state(self.run) == "paused")
        set_state(bench.conn, self.run, "running")
        self.next = FORKS.Process(target=race, args=(["together", *bench.running(self.run)], self.output))
        self.next.start()

    def __enter__(self) -> Resumed:
        return self

    def __exit__(self, *_: object) -> None:
        for one in (self.leaving, self.next):
            one.kill()
        self.leaving.wait()
        self.next.join()


def test_a_run_resumed_while_its_last_engine_still_leaves_goes_on_once_that_has_gone(bench: Bench, tmp_path: Path):
    sql = "SELECT pid FROM attempts WHERE run = :run ORDER BY id"
    with Resumed(bench, tmp_path, 3.0) as it:
        until(lambda: not it.next.is_alive() or len(bench.rows(sql, it.run)) == 2)
        assert bench.rows(sql, it.run) == [(it.leaving.pid,), (it.next.pid,)], it.output.read_text()
        assert it.leaving.wait(SECONDS) == 3
        request(bench.conn, it.run, "stop")
        it.next.join(SECONDS)
        assert (it.next.exitcode, bench.state(it.run), it.output.read_text()) == (3, "stopped", "")


@pytest.mark.parametrize("how", ["stop", "SIGTERM"])
def test_an_engine_that_waits_for_the_last_one_to_leave_can_be_stopped(bench: Bench, tmp_path: Path, how: str):
    with Resumed(bench, tmp_path, 60.0) as it:
        time.sleep(1.0)
        if how == "stop":
            request(bench.conn, it.run, "stop")
        else:
            assert it.next.pid is not None
            os.kill(it.next.pid, signal.SIGTERM)
        it.next.join(5.0)
        assert (it.next.exitcode, bench.state(it.run), it.output.read_text()) == (3, "stopped", "")


def test_a_run_whose_last_engine_does_not_leave_says_so(bench: Bench, tmp_path: Path):
    with Resumed(bench, tmp_path, 60.0) as it:
        it.next.join(SECONDS)
        words = (
            f"process {it.leaving.pid}, which trained {it.run}, has not ended yet; tombola resume {it.run} once it has"
        )
        assert (it.next.exitcode, it.output.read_text()) == (2, f"{words}\n")
        assert bench.rows("SELECT state, message FROM runs WHERE id = :run", it.run) == [("failed", words)]


def test_the_lock_of_a_run_ends_with_its_engine_though_a_worker_lives_on(bench: Bench, tmp_path: Path):
    run = bench.create(**SMALL)
    engine = hanging("engine.rig:Rig.step", tmp_path / "reached", *bench.running(run))
    workers = psutil.Process(engine.pid).children()
    engine.kill()
    engine.wait()
    assert any(worker.is_running() for worker in workers)
    set_state(bench.conn, run, "running")
    bench.finish(run)
    for worker in workers:
        with suppress(psutil.NoSuchProcess):
            worker.kill()
    assert bench.state(run) == "finished"


def test_an_engine_given_up_for_lost_writes_nothing_more(bench: Bench):
    run = bench.create(**SMALL)
    experiment = Experiment.model_validate(SPEC | SMALL)
    begun = ("cpu", "cpu", {"device": "cpu"}, {}, False)
    with Writer(bench.db) as one, Writer(bench.db) as two:
        first, second = (Recorder(writer, run, experiment, bench.files) for writer in (one, two))
        first.begin(*begun, 0)
        with pytest.raises(Owned, match=f"{run} is being trained by process {os.getpid()}"):
            second.begin(*begun, first.attempt)
        set_state(bench.conn, run, "running")  # by one who took it for lost
        first.log("info", "too late")
        with pytest.raises(Owned, match="was given up for lost"):
            first.flush()
        second.begin(*begun, first.attempt)
        first.log("info", "too late")
        with pytest.raises(Owned, match="was given up for lost"):
            first.flush()
        second.log("info", "mine")
        second.flush()
    assert bench.rows("SELECT message FROM log WHERE run = :run", run) == [("mine",)]


def test_a_run_that_was_deleted_while_its_engine_got_ready_is_told_as_that(bench: Bench):
    run = bench.create(**SMALL)
    experiment = Experiment.model_validate(SPEC | SMALL)
    with Writer(bench.db) as writer:
        ready = Recorder(writer, run, experiment, bench.files)
        set_state(bench.conn, run, "stopped")
        delete_run(bench.conn, run, bench.files)
        with pytest.raises(Owned, match=f"{run} has been deleted"):
            ready.begin("cpu", "cpu", {"device": "cpu"}, {}, False, 0)
        with pytest.raises(Owned, match=f"{run} has been deleted"):
            Recorder(writer, run, experiment, bench.files)


def test_an_engine_started_by_hand_leaves_one_alone_that_has_taken_up_the_run_meanwhile(bench: Bench):
    """As on two machines, of which the slower has seen the run while nobody had it."""
    run = bench.create(**SMALL)
    experiment = Experiment.model_validate(SPEC | SMALL)
    begun = ("cpu", "cpu", {"device": "cpu"}, {}, False)
    with Writer(bench.db) as one, Writer(bench.db) as two:
        ended, first = (Recorder(writer, run, experiment, bench.files) for writer in (one, two))
        ended.begin(*begun, 0)
        ended.end("stopped", "")
        ended.flush()
        set_out(bench.db, run, ended.attempt)
        assert bench.state(run) == "running"
        request(bench.conn, run, "pause")
        set_out(bench.db, run, ended.attempt)  # a second one: which of them begins is open
        first.begin(*begun, ended.attempt)
        assert first.requests() == ["pause"]
        with pytest.raises(Owned, match=f"{run} is being trained by process {os.getpid()}"):
            set_out(bench.db, run, ended.attempt)
        stand_down(bench.db, run, ended.attempt, "stop")
        first.log("info", "mine")
        first.flush()
        assert bench.state(run) == "running"
        first.end("paused", "")
        first.flush()
    with pytest.raises(Owned, match=f"{run} was taken up by process {os.getpid()}"):
        set_out(bench.db, run, ended.attempt)
    stand_down(bench.db, run, ended.attempt, "stop")
    assert bench.state(run) == "paused"


def test_a_suspended_engine_that_was_replaced_ends_when_it_wakes(bench: Bench):
    run = bench.create(**LONG)
    engine = bench.start(run)
    training(bench, run)
    engine.send_signal(signal.SIGSTOP)
    set_state(bench.conn, run, "running")  # by another machine, which has not heard of it for long
    before = bench.rows("SELECT count(*), max(images_done) FROM attempts WHERE run = :run", run)
    engine.send_signal(signal.SIGCONT)
    told, _ = engine.communicate(timeout=SECONDS)
    assert engine.returncode == 2
    assert "was given up for lost while this engine was silent" in told
    assert bench.rows("SELECT count(*), max(images_done) FROM attempts WHERE run = :run", run) == before
    assert bench.state(run) == "running", "what the other has made of it"


def test_a_terminal_that_closes_and_a_clock_that_is_set_end_no_run(bench: Bench, whole: str):
    run = bench.create(**SMALL)
    bench.conn.execute("UPDATE runs SET started = '2999-01-01T00:00:00.000000Z' WHERE id = ?", (run,))
    engine = subprocess.Popen(
        [sys.executable, "-P", "-m", "engine", *bench.running(run)], stdin=subprocess.DEVNULL, start_new_session=True
    )
    training(bench, run)
    os.killpg(engine.pid, signal.SIGHUP)
    assert engine.wait(60) == 0
    assert bench.state(run) == "finished"
    assert bench.science(run) == bench.science(whole)


def test_a_paused_run_leaves_no_process_that_could_hold_a_card(bench: Bench):
    run = bench.create(**LONG)
    engine = bench.start(run)
    training(bench, run)
    request(bench.conn, run, "pause")
    ended(engine)
    assert (engine.returncode, bench.state(run)) == (3, "paused")
    assert list(run_folder(bench.files, run).glob("live/*.safetensors")), "where it will go on"
