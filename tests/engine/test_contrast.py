"""Verdicts follow from the interval of the paired difference."""

import pytest

from engine.checks.contrast import judge, literal


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


def test_a_query_is_written_out_with_its_values():
    sql = "SELECT :this, :this_arm, :at FROM t WHERE name = :run"
    values = {"this": "a", "this_arm": "it's", "at": 0.5, "run": "r"}
    assert literal(sql, values) == "SELECT 'a', 'it''s', 0.5 FROM t WHERE name = 'r'"
