"""A run that is killed again and again, wherever it hurts most, ends as one that never was."""

import random

import pytest

from tests.engine.killing import KINDS, faults, outcome, to_the_end
from tests.engine.running import Bench


@pytest.mark.parametrize("kind", ["imp", "moving"])
def test_five_kills_lose_no_row_and_move_no_bit(tmp_path, kind):
    bench, draw = Bench(tmp_path), random.Random(kind)
    whole = bench.create(KINDS[kind], seeds=[0])
    bench.finish(whole)
    kills = planted = 0
    while kills < 5:  # a run may come to its end before the last of them
        killed = to_the_end(bench, bench.create(KINDS[kind], seeds=[0]), draw, 5 - kills, points=40)
        kills, planted = kills + killed.kills, planted + killed.planted
        assert killed.lost == []
        assert outcome(bench, killed.run) == outcome(bench, whole)
        assert faults(bench, killed.run) == []
    assert planted >= 3
