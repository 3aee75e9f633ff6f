"""Engines and readers on one store at once; `python -m tests.bench stress` is a minute of it."""

from __future__ import annotations

from pathlib import Path

from tests.bench.stress import stress


def test_four_engines_and_eight_readers_on_one_store_lose_no_row_and_meet_no_lock(tmp_path: Path) -> None:
    found = stress(tmp_path, 2.0)
    assert (found["rows lost"], found["lock errors"]) == (0, 0)
    assert found["runs finished"] >= 4
    assert found["questions answered"] > 0
