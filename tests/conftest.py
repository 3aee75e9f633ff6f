"""One tiny experiment that the real program ran to its end, for all tests to look at, and a program for each to use."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.program import TINY, FinishedRun, Tombola

# How long an example takes says how busy the machine is.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

# Two test processes with a thread for each core spin for each other: thirty times slower than one thread each.
os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def tombola(tmp_path: Path) -> Iterator[Tombola]:
    """The program in an empty place; whatever it left running is ended."""
    program = Tombola(tmp_path)
    yield program
    program.end_engines()


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    """Two seeds of a tiny demo, run once by the real program; tests only read it."""
    tombola = Tombola(tmp_path_factory.mktemp("finished"))
    done = tombola("run", "digits-demo", *TINY, "--seed", "0", "--seed", "1", "--name", "tiny")
    return FinishedRun(tombola, done.stdout.strip(), done.stdout, done.stderr)
