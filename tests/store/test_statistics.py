"""Intervals of a few seeds are Student's."""

from __future__ import annotations

import math
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.statistics import mean_interval, t975

values = st.lists(st.floats(-1e3, 1e3), min_size=1, max_size=30)


@pytest.mark.parametrize(
    ("df", "printed"),
    [
        (1, 12.7062), (2, 4.3027), (3, 3.1824), (4, 2.7764), (5, 2.5706), (6, 2.4469), (7, 2.3646), (8, 2.3060),
        (9, 2.2622), (10, 2.2281), (15, 2.1314), (20, 2.0860), (30, 2.0423), (40, 2.0211), (60, 2.0003), (120, 1.9799),
    ],
)  # fmt: skip
def test_quantiles_are_those_of_the_printed_tables(df: int, printed: float) -> None:
    assert round(t975(df), 4) == printed


def test_quantiles_are_exact_where_they_have_a_formula() -> None:
    assert t975(1) == pytest.approx(math.tan(0.475 * math.pi), rel=1e-13)
    assert t975(2) == pytest.approx(0.95 * math.sqrt(2 / (1 - 0.95**2)), rel=1e-13)


@given(st.integers(1, 500))
def test_quantiles_fall_toward_the_normal_one(df: int) -> None:
    assert t975(df) > t975(df + 1) > statistics.NormalDist().inv_cdf(0.975)


def test_no_quantile_without_a_degree_of_freedom() -> None:
    with pytest.raises(ValueError, match="degree of freedom"):
        t975(0)


@given(values)
def test_the_interval_is_that_of_the_textbook(sample: list[float]) -> None:
    mean, half = mean_interval(sample)
    assert mean == pytest.approx(statistics.fmean(sample), abs=1e-9)
    if len(sample) == 1:
        assert half is None
    else:
        expected = t975(len(sample) - 1) * statistics.stdev(sample) / math.sqrt(len(sample))
        assert half == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_equal_values_leave_no_doubt() -> None:
    assert mean_interval([0.25, 0.25, 0.25]) == (0.25, 0.0)


def test_three_seeds_worked_by_hand() -> None:
    mean, half = mean_interval([1.0, 2.0, 3.0])
    assert mean == 2.0
    assert half == pytest.approx(4.302652729911275 / math.sqrt(3))
