"""A copy of the finished run, for tests that do things to it."""

from __future__ import annotations

import shutil

import pytest

from store.connection import connect
from tests.program import FinishedRun, Tombola


@pytest.fixture
def copy(finished_run: FinishedRun, tombola: Tombola) -> Tombola:
    """A program whose store and files are copies of the finished run's, to do things to."""
    shutil.copytree(finished_run.tombola.db.parent, tombola.db.parent)
    conn = connect(tombola.db)
    conn.execute("UPDATE runs SET files = ?", (str(tombola.files),))
    conn.close()
    return tombola
