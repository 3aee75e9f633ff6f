"""A run whose engine is gone reads lost, and no other does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from store import liveness
from store.liveness import state_of, this_process


def ago(seconds: float) -> str:
    moment = datetime.now(UTC) - timedelta(seconds=seconds)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def run(state: str = "running", started: float = 1000) -> dict[str, Any]:
    return {"state": state, "started": ago(started)}


def attempt(heartbeat: Any = 1, started: Any = 500, **who: Any) -> dict[str, Any]:
    return {**this_process(), "started": ago(started), "heartbeat": ago(heartbeat), **who}


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
    gone = attempt(heartbeat=400, started=500, pid=2**22 + 1)
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
    assert state_of(run(), attempt(heartbeat=31, pid_started=other)) == "lost"


def test_an_engine_elsewhere_is_judged_by_its_heartbeat() -> None:
    for who in ({"host": "elsewhere"}, {"boot_id": "another boot"}):
        assert state_of(run(), attempt(heartbeat=5, pid=2**22 + 1, **who)) == "running"
        assert state_of(run(), attempt(heartbeat=31, **who)) == "lost"


def test_where_the_system_tells_little_a_signal_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = attempt(heartbeat=10_000)
    monkeypatch.setattr(liveness, "_stat", lambda pid: None)
    assert state_of(run(), mine) == "running"
    assert state_of(run(), {**mine, "pid": 2**22 + 1}) == "lost"


def test_a_process_is_told_by_when_it_started(sleeper: subprocess.Popen[bytes]) -> None:
    mine, its = this_process()["pid_started"], liveness._started(sleeper.pid)
    assert its is not None
    assert 0 < mine < its
