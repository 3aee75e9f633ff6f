"""`make` installs once, and again only when what decides an installation has changed. Nothing is installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A checkout whose .venv was made with `python3` and has everything, as far as make can tell."""
    (tmp_path / ".venv").mkdir()
    names = ("pyproject.toml", "constraints.txt", ".venv/made-with", ".venv/installed", ".venv/installed-dev")
    for age, name in enumerate(names):
        (tmp_path / name).write_text("python3\n")
        os.utime(tmp_path / name, (1_000_000 + age, 1_000_000 + age))
    return tmp_path


def planned(folder: Path, *arguments: str) -> str:
    """The commands that make would run."""
    command = ["make", "--dry-run", "--no-print-directory", "-f", str(ROOT / "Makefile"), *arguments]
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(command, cwd=folder, env=clean, check=True, capture_output=True, text=True).stdout


def test_a_repeated_call_installs_nothing(installed: Path):
    assert planned(installed, "demo").split() == [".venv/bin/tombola", "demo"]
    assert "pip" not in planned(installed, "test")


@pytest.mark.parametrize("changed", ["pyproject.toml", "constraints.txt"])
def test_a_changed_requirement_installs_again_into_the_same_environment(installed: Path, changed: str):
    (installed / changed).touch()
    commands = planned(installed, "demo")
    assert "pip install" in commands
    assert "-m venv" not in commands


def test_another_interpreter_makes_the_environment_anew(installed: Path):
    assert "python3.12 -m venv --clear" in planned(installed, "demo", "PYTHON=python3.12")


@pytest.mark.parametrize("same", ["python3", ".venv/bin/python"])
def test_the_interpreter_that_made_the_environment_keeps_it(installed: Path, same: str):
    assert "pip" not in planned(installed, "demo", f"PYTHON={same}")


def test_torch_comes_first_at_the_pinned_version(installed: Path):
    (installed / ".venv/installed").unlink()
    first, second = (line for line in planned(installed, "demo").splitlines() if "-m pip install" in line)
    assert "grep '^torch==' $pins" in first
    assert "--editable ." in second
    assert any(line.startswith("torch==") for line in (ROOT / "constraints.txt").read_text().splitlines())


def test_constraints_name_no_place_to_download_from():
    text = (ROOT / "constraints.txt").read_text()
    assert "://" not in text
    assert not any(line.startswith("-") for line in text.splitlines())
