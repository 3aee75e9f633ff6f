"""A run whose engine is gone reads lost, and no other does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store import clock, liveness
from store.liveness import state_of, this_process


def ago(seconds: float) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Shifted:
    """The class `datetime`, as on a machine whose clock is wrong by so many seconds."""

    fromtimestamp = datetime.fromtimestamp

    def __init__(self, seconds: float) -> None:
        self.off = timedelta(seconds=seconds)

    def now(self, zone: Any) -> datetime:
        return datetime.now(zone) + self.off


def run(state: str = "running", started: float = 1000) -> dict[str, Any]:
    return {"state": state, "started": ago(started)}


def attempt(heartbeat: float = 1, **values: Any) -> dict[str, Any]:
    return {**this_process(), "heartbeat": ago(heartbeat), "ended": None, **values}


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    yield process
    process.kill()
    process.wait()


@pytest.mark.parametrize("state", ["paused", "stopped", "finished", "failed", "lost"])
def test_a_state_at_rest_is_as_stored(state: str) -> None:
    assert state_of(run(state), attempt(heartbeat=10_000, pid=2**22 + 1)) == state


def test_a_run_that_was_just_sent_for_has_time_to_come() -> None:
    assert state_of(run(started=1), None) == "running"
    assert state_of(run(started=31), None) == "lost"


def test_a_resumed_run_is_not_judged_by_the_attempt_before() -> None:
    gone = attempt(heartbeat=400, ended=ago(400), pid=2**22 + 1)
    assert state_of(run(started=1), gone) == "running"
    assert state_of(run(started=31), gone) == "lost"


def test_a_living_engine_runs_however_long_it_is_silent() -> None:
    assert state_of(run(), attempt(heartbeat=10_000)) == "running"


def test_a_killed_engine_is_lost_at_once(sleeper: subprocess.Popen[bytes]) -> None:
    its = attempt(pid=sleeper.pid, pid_started=liveness._started(sleeper.pid))
    assert state_of(run(), its) == "running"
    sleeper.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # ended, and still in the table of processes
    assert state_of(run(), its) == "lost"
    sleeper.wait()
    assert state_of(run(), its) == "lost"


def test_another_process_with_the_same_number_is_no_sign_of_life() -> None:
    other = this_process()["pid_started"] - 100
    for heartbeat in (0, 31, -3600):  # also where a clock that was set back keeps the last one young
        assert state_of(run(), attempt(heartbeat, pid_started=other)) == "lost"


def test_an_engine_elsewhere_is_judged_by_its_heartbeat() -> None:
    for who in ({"host": "elsewhere"}, {"boot_id": "another boot"}):
        assert state_of(run(), attempt(heartbeat=5, pid=2**22 + 1, **who)) == "running"
        assert state_of(run(), attempt(heartbeat=31, **who)) == "lost"


def test_a_machine_that_was_started_anew_with_a_clock_set_back_leaves_no_run_running() -> None:
    before = attempt(heartbeat=-86_400, boot_id="the boot before")
    assert state_of(run(), before) == "lost"


@given(seconds=st.floats(-1e7, 1e7), jump=st.floats(-1e7, 1e7))
def test_on_its_own_machine_no_clock_decides(seconds: float, jump: float) -> None:
    alive, dead = attempt(seconds), attempt(seconds, pid=2**22 + 1)
    with patch.object(liveness, "present", lambda store: datetime.now(UTC) + timedelta(seconds=jump)):
        assert (state_of(run(), alive), state_of(run(), dead)) == ("running", "lost")


def test_a_suspended_engine_is_running_here_and_given_up_for_lost_elsewhere(sleeper: subprocess.Popen[bytes]) -> None:
    sleeper.send_signal(signal.SIGSTOP)
    its = attempt(heartbeat=3600, pid=sleeper.pid, pid_started=liveness._started(sleeper.pid))
    assert state_of(run(), its) == "running"
    assert state_of(run(), {**its, "host": "elsewhere"}) == "lost"


def test_another_machines_run_is_judged_by_the_clock_that_stamped_its_signs_of_life(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store lies on a file server whose clock is right; that of this machine is an hour off."""
    monkeypatch.setattr(clock, "shared_file_system", lambda store: "nfs4")
    elsewhere = {"host": "elsewhere", "pid": 2**22 + 1}
    for off in (-3600, 3600):
        with patch.object(clock, "datetime", Shifted(off)):
            store = tmp_path / f"{off}.db"
            assert state_of(run(), attempt(heartbeat=5, **elsewhere), store) == "running"
            assert state_of(run(), attempt(heartbeat=31, **elsewhere), store) == "lost"
            assert state_of(run(started=1), None, store) == "running"


def test_where_the_system_tells_little_a_signal_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = attempt(heartbeat=10_000)
    monkeypatch.setattr(liveness, "_stat", lambda pid: None)
    assert state_of(run(), mine) == "running"
    assert state_of(run(), {**mine, "pid": 2**22 + 1}) == "lost"


def test_a_process_is_told_by_when_it_started(sleeper: subprocess.Popen[bytes]) -> None:
    mine, its = this_process()["pid_started"], liveness._started(sleeper.pid)
    assert its is not None
    assert 0 < mine < its
