"""A run as it is watched: one line that fits, and an end even where the engine leaves no word."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presets.loading import load
from store.connection import connect
from store.editing import create_run, set_state
from store.liveness import this_process
from store.reading import Reader
from store.report import Progress, Training
from store.writing import Writer
from tui import launch
from tui.following import bar, details, follow

MEMBER = Training("member", "colt", "", 2, 14, 1, 9, 10, 0.953, 5, 10, 0.952)
ARM = Training("arm", "imp", "shuffled", 0, 3, None, 9, 10, 0.953, 10, 10, 0.5)
DENSE = Training("arm", "", "dense", 0, 0, None, 9, 10, 0.953, 10, 10, None)


def progress(training: Training | None, left: float | None = 100.0, done: int = 5) -> Progress:
    return Progress("running", "", done, 10, left, "", training)


def test_the_bar_says_round_member_epoch_accuracy_sparsity_and_time_left():
    assert bar(progress(MEMBER), 140) == (
        "━━━━━━━━━━━━────────────  50 % · 1m 40s left · colt seed 2 round 14 member 1 · epoch 9/10"
        " · 95.3 % of 5 classes · 95.2 % sparse"
    )


def test_on_a_common_terminal_the_same_is_said_in_less_room():
    assert bar(progress(MEMBER), 79) == "━━━━────  50 % · 1m 40s · colt s2 r14 m1 · e9/10 · 95.3 % of 5 · 95.2 % sparse"


def test_arms_are_told_with_their_ticket_and_the_dense_network_without():
    assert details(ARM)[0] == "imp seed 0 round 3 shuffled"
    assert details(DENSE) == ["dense seed 0", "epoch 9/10", "95.3 %"]


def test_before_the_first_epoch_the_bar_says_that_the_engine_starts():
    assert bar(progress(None, left=None, done=0), 60).endswith("0 % · the engine starts")


@given(
    st.sampled_from([MEMBER, ARM, DENSE, None]),
    st.none() | st.floats(0, 1e9),
    st.integers(0, 10),
    st.integers(1, 300),
)
def test_the_bar_never_exceeds_the_terminal(training: Training | None, left: float | None, done: int, columns: int):
    assert len(bar(progress(training, left, done), columns)) <= columns


@pytest.fixture
def forecast() -> dict:
    return {"images": {"total": 100}, "disk_bytes": 0}


def test_an_engine_that_dies_without_a_word_ends_the_watching_with_what_it_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forecast: dict
):
    monkeypatch.setattr(launch, "ENGINE", (sys.executable, "-c", "raise SystemExit('no such thing as a free lunch')"))
    db, files = tmp_path / "a.db", tmp_path / "files"
    run = launch.start(db, files, load("digits-demo"), "digits-demo", "doomed", "cpu", forecast)
    said = io.StringIO()
    state, interrupted = follow(db, files, run, said, "lines", stops=True)
    assert (state.state, interrupted) == ("failed", False)
    assert state.message == "the engine ended early: no such thing as a free lunch"
    assert launch.engine_log(files, run).read_text() == "no such thing as a free lunch\n"


@pytest.mark.parametrize("took_up", [True, False])
def test_the_end_of_an_engine_that_told_of_it_is_not_told_of_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forecast: dict, took_up: bool
):
    """It stopped when it was asked to, with an attempt of its own or before one, and another terminal resumed it."""
    code = 0 if took_up else 3
    monkeypatch.setattr(launch, "ENGINE", (sys.executable, "-c", f"raise SystemExit({code})"))
    db, files = tmp_path / "a.db", tmp_path / "files"
    run = launch.start(db, files, load("digits-demo"), "digits-demo", "quick", "cpu", forecast)
    launch._engines[run].wait(10)
    with Writer(db) as writer:
        if took_up:
            moment = "2026-01-01T00:00:00.000000Z"
            begun = {"run": run, "device": "cpu", "device_name": "cpu", "versions": {}, "plan": {}, "started": moment}
            writer.insert("attempts", {**begun, **this_process(), "heartbeat": moment, "ended": moment})
        set_state(writer.conn, run, "stopped")
        set_state(writer.conn, run, "running")
        assert launch.gone(run)
        launch.bury(db, files, run)
        assert writer.one("SELECT state FROM runs")["state"] == "running", "its engine is on its way"


def test_an_engine_that_cannot_be_started_leaves_a_failed_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forecast: dict
):
    monkeypatch.setattr(launch, "ENGINE", (str(tmp_path / "nowhere" / "python"),))
    db = tmp_path / "a.db"
    with pytest.raises(launch.LaunchError, match="the engine does not start"):
        launch.start(db, tmp_path / "files", load("digits-demo"), "digits-demo", "x", "cpu", forecast)
    with Reader(db) as reader:
        assert [row["state"] for row in reader.runs()] == ["failed"]


def test_a_forecast_that_breaks_is_told_from_one_that_is_refused(monkeypatch: pytest.MonkeyPatch):
    for code, refused in ((2, True), (1, False)):
        words = f"import sys; print('first line'); print('the last word', file=sys.stderr); sys.exit({code})"
        monkeypatch.setattr(launch, "ENGINE", (sys.executable, "-c", words))
        with pytest.raises(launch.LaunchError, match="the last word") as caught:
            launch.plan(load("digits-demo"))
        assert caught.value.refused is refused


def test_files_of_a_resumed_run_are_looked_for_where_it_put_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(launch, "ENGINE", (sys.executable, "-c", "import sys; print(sys.argv)"))
    db, own = tmp_path / "a.db", tmp_path / "own"
    own.mkdir()
    conn = connect(db)
    spec = {"title": "t", "seeds": [0]}
    run = create_run(conn, name="x", preset="p", spec=spec, device="cpu", files=str(own), images_planned=1)
    conn.execute("UPDATE runs SET state = 'paused'")
    conn.close()
    launch.resume(db, tmp_path / "elsewhere", run)
    launch._engines[run].wait(10)
    assert str(own) in launch.engine_log(own, run).read_text()
    with pytest.raises(launch.LaunchError, match="is running"):
        launch.resume(db, tmp_path / "elsewhere", run)
