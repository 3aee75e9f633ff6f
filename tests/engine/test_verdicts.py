"""Verdicts follow from the interval of the paired difference, and say what could have been seen."""

import random

import pytest

from engine.checks.verdicts import above, detectable, literal, sampling
from store.statistics import beside, judge, mean_interval


@pytest.mark.parametrize(
    ("mean", "half", "seeds", "tolerance", "verdict"),
    [
        (1.0, 0.4, 3, 0.5, "clear"),
        (1.0, 0.5, 3, 0.5, "similar"),
        (0.0, 0.4, 3, 0.5, "similar"),
        (0.0, 0.5, 3, 0.5, "undecided"),
        (0.0, 0.0, 3, 0.0, "undecided"),
        (-1.0, 0.4, 3, 0.5, "reversed"),
        (-1.0, 0.9, 3, 0.5, "undecided"),
        (9.0, 0.1, 2, 0.5, "none"),
        (9.0, None, 1, 0.5, "none"),
    ],
)
def test_a_verdict_is_clear_similar_reversed_undecided_or_none(mean, half, seeds, tolerance, verdict):
    assert judge(mean, half, seeds, tolerance) == verdict


@pytest.mark.parametrize(
    ("mean", "half", "verdict"),
    [(0.2, 0.2, "similar"), (0.4, 0.2, "undecided"), (0.8, 0.2, "clear"), (-0.8, 0.2, "reversed")],
)
def test_what_may_lie_on_either_side_is_similar_only_within_the_tolerance_both_ways(mean, half, verdict):
    assert beside(mean, half, 3, 0.5) == verdict


def test_a_mean_is_above_a_bound_below_it_or_undecided():
    assert above([1.0, 1.1, 0.9], 0.5) is True
    assert above([0.0, 0.1, -0.1], 0.5) is False
    assert above([0.0, 1.0, 0.5], 0.5) is None
    assert above([9.0, 9.0], 0.5) is None, "two seeds give no verdict"


def test_a_detectable_difference_is_found_clear_four_times_of_five():
    draw = random.Random(0)
    spread = [-2.0, -1.0, 0.0, 1.0, 2.0]  # of deviation sqrt(2.5), as what is drawn below
    true = detectable(spread, 0.5)
    found = 0
    for _ in range(2000):
        mean, half = mean_interval([draw.gauss(true, 2.5**0.5) for _ in spread])
        found += judge(mean, half, len(spread), 0.5) == "clear"
    assert 0.75 < found / 2000 < 0.87


def test_a_test_set_of_finite_size_moves_a_difference_by_two_binomial_deviations():
    assert sampling([0.9, 0.9], 300) == pytest.approx(100 * 1.96 * (2 * 0.9 * 0.1 / 300) ** 0.5)
    assert sampling([1.0, 1.0], 300) == 0.0


def test_a_query_is_written_out_with_its_values():
    sql = "SELECT :this, :this_arm, :at FROM t WHERE name = :run"
    values = {"this": "a", "this_arm": "it's", "at": 0.5, "run": "r"}
    assert literal(sql, values) == "SELECT 'a', 'it''s', 0.5 FROM t WHERE name = 'r'"
