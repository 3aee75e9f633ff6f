"""The cores that a run is laid out for, and that its threads let go of them where they only wait."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from engine.cores import cores, threads


@pytest.fixture
def sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(16)), raising=False)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ({}, 16),
        ({"": "200000 100000"}, 2),  # inside a container, whose own group is the root that it sees
        ({"a/b": "max 100000"}, 16),
        ({"a/b": "300000 100000"}, 3),
        ({"a/b": "max 100000", "a": "400000 100000"}, 4),  # a limit binds all groups below
        ({"a/b": "250000 100000"}, 3),
        ({"a/b": "20000 100000"}, 1),
        ({"a/b": "6400000 100000"}, 16),
        ({"a/other": "100000 100000"}, 16),
        ({"a/b": "what is this"}, 16),
    ],
)
@pytest.mark.usefixtures("sixteen")
def test_a_quota_counts_as_the_cores_that_it_pays_for(tmp_path: Path, limits: dict[str, str], expected: int) -> None:
    membership, groups = tmp_path / "cgroup", tmp_path / "groups"
    membership.write_text("4:memory:/elsewhere\n0::/a/b\n")
    (tmp_path / "cpu.max").write_text("100000 100000")  # above the groups: not ours
    for group, limit in limits.items():
        (groups / group).mkdir(parents=True, exist_ok=True)
        (groups / group / "cpu.max").write_text(limit)
    assert cores(membership, groups) == expected


@pytest.mark.usefixtures("sixteen")
def test_without_control_groups_the_binding_alone_counts(tmp_path: Path) -> None:
    assert cores(tmp_path / "none", tmp_path) == 16


def test_here_there_is_at_least_one() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [(None, 0), ("1", 1), ("2,1", 2), ("1000000", 0), ("0", 0), ("", 0), ("-3", 0), ("many", 0)],
)
def test_a_process_computes_on_as_many_threads_as_cores_unless_the_user_wants_fewer(
    monkeypatch: pytest.MonkeyPatch, wanted: str | None, expected: int
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if wanted is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", wanted)
    monkeypatch.setattr("engine.cores.cores", lambda: 16)
    assert threads() == (expected or 16)


@pytest.mark.parametrize(
    ("own", "turns"),
    [({}, "5000"), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "PASSIVE"}, "0")],
)
def test_threads_that_wait_soon_sleep_unless_the_user_says_how_they_shall_wait(own: dict[str, str], turns: str) -> None:
    names = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
    environment = {name: value for name, value in os.environ.items() if name not in names}
    asked = subprocess.run(
        [sys.executable, "-P", "-m", "engine", "data", "--json"],
        env=environment | own | {"OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=True,
    )
    told = re.findall(r"GOMP_SPINCOUNT = '(\d+)'", asked.stderr)
    if not told:
        pytest.skip("this torch's OpenMP is not libgomp")
    assert set(told) == {turns}
