"""What systemd's files say of processes that are left at logout is read as logind reads it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.logout import kills, lingers, settings

DEBIAN = """#  This file is part of systemd.
[Login]
#NAutoVTs=6
#KillUserProcesses=no
#KillOnlyUsers=
#KillExcludeUsers=root
"""
KILLS = "[Login]\nKillUserProcesses=yes\n"
SPARES = "[Login]\nKillUserProcesses = no\n"


@pytest.fixture
def places(tmp_path: Path) -> list[Path]:
    """In the order of their weight."""
    return [tmp_path / place / "logind.conf" for place in ("etc", "run", "lib")]


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_without_a_file_and_with_the_one_that_systems_ship_runs_go_on(places: list[Path]) -> None:
    assert not kills("ann", places)
    write(places[0], DEBIAN)
    assert not kills("ann", places)


@pytest.mark.parametrize("word", ["yes", "YES", "true", "1", "on"])
def test_a_file_that_says_so_ends_them(places: list[Path], word: str) -> None:
    write(places[0], DEBIAN.replace("#KillUserProcesses=no", f"KillUserProcesses={word}"))
    assert kills("ann", places)
    assert not kills("root", places), "whom logind excepts by itself"


@pytest.mark.parametrize("text", ["KillUserProcesses=yes", "[Other]\nKillUserProcesses=yes", "[Login]\n;" + KILLS[8:]])
def test_what_is_no_setting_of_logind_says_nothing(places: list[Path], text: str) -> None:
    write(places[0], text)
    assert not kills("ann", places)


def test_the_first_place_hides_the_others_and_folders_come_last_by_name(places: list[Path]) -> None:
    write(places[2], KILLS)
    assert kills("ann", places)
    write(places[0], SPARES)
    assert not kills("ann", places)
    write(Path(f"{places[2]}.d") / "10-site.conf", KILLS)
    assert kills("ann", places)
    write(Path(f"{places[2]}.d") / "20-site.conf", SPARES)
    assert not kills("ann", places)
    write(Path(f"{places[0]}.d") / "20-site.conf", KILLS)
    assert kills("ann", places), "a file hides the one of its name in a place behind"
    os.unlink(Path(f"{places[0]}.d") / "20-site.conf")
    os.symlink("/dev/null", Path(f"{places[0]}.d") / "20-site.conf")
    assert kills("ann", places), "also an empty one"


def test_users_are_named_or_excepted(places: list[Path]) -> None:
    write(places[0], KILLS + "KillOnlyUsers=bob eve\nKillExcludeUsers=eve\n")
    assert [user for user in ("ann", "bob", "eve", "root") if kills(user, places)] == ["bob"]


def test_who_lingers_has_a_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert not lingers("ann", tmp_path)
    (tmp_path / "ann").touch()
    assert lingers("ann", tmp_path)


@pytest.mark.parametrize(("says", "expected"), [("yes", True), ("no", False)])
def test_loginctl_is_asked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, says: str, expected: bool) -> None:
    program = tmp_path / "loginctl"
    program.write_text(f'#!/bin/sh\n[ "$2" = ann ] && echo {says}\n')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "ann").touch()
    assert lingers("ann", tmp_path) is expected
    assert not lingers("bob", tmp_path)


@given(st.text())
def test_no_text_breaks_the_reading(text: str) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "logind.conf")
        path.write_text(text, errors="replace")
        assert isinstance(settings([path]), dict)
