"""A run that is killed again and again, wherever it hurts most, ends as one that never was."""

import random

import pytest

from tests.engine.killing import KINDS, faults, outcome, to_the_end
from tests.engine.running import Bench


@pytest.mark.parametrize("kind", ["imp", "moving"])
def test_five_kills_of_a_run_lose_no_row_and_move_no_bit(tmp_path, kind):
    bench = Bench(tmp_path)
    whole, run = (bench.create(KINDS[kind], seeds=[0]) for _ in range(2))
    bench.finish(whole)
    killed = to_the_end(bench, run, random.Random(kind), 5)
    assert killed.kills == 5
    assert killed.planted == 3
    assert killed.seen > 0
    assert killed.lost == []
    assert outcome(bench, run) == outcome(bench, whole)
    assert faults(bench, run) == []
