"""A copy of the finished run, and a run that goes on, for tests that do things to them."""

from __future__ import annotations

import shutil

import pytest

from store.connection import connect
from tests.program import LONG, FinishedRun, Tombola, epochs, until


@pytest.fixture
def copy(finished_run: FinishedRun, tombola: Tombola) -> Tombola:
    """A program whose store and files are copies of the finished run's, to do things to."""
    shutil.copytree(finished_run.tombola.db.parent, tombola.db.parent)
    conn = connect(tombola.db)
    conn.execute("UPDATE runs SET files = ?", (str(tombola.files),))
    conn.close()
    return tombola


@pytest.fixture
def long_run(tombola: Tombola) -> str:
    """A run that goes on until it is told otherwise, and is training."""
    run = tombola("run", "digits-demo", *LONG, "--seed", "0", "--detach", "--name", "long").stdout.strip()
    until(lambda: epochs(tombola) > 2)
    return run
