"""Means over a few seeds, with the 95 % interval of Student's t, and what may be said of a paired difference.

The views do the same in SQL with the table `student`; a test holds the two together.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from statistics import NormalDist

FEWEST_SEEDS = 3
"""Seeds that a verdict needs."""


def t975(df: int) -> float:
    """The 97.5 % quantile of Student's t with `df` ≥ 1 degrees of freedom, to 12 digits or more."""
    return quantile(0.975, df)


@cache
def quantile(share: float, df: int) -> float:
    """The quantile of Student's t below which `share`, above one half, of the distribution lies."""
    if df < 1:
        raise ValueError("Student's t needs at least one degree of freedom")
    # Newton from below: beyond 0 the distribution is concave, so each step stays short of the quantile.
    t = NormalDist().inv_cdf(share)  # below every t
    while (step := (2 * share - 1 - _within(t, df)) / (2 * _density(t, df))) > 1e-14 * t:
        t += step
    return t


def _within(t: float, df: int) -> float:
    """P(|T| ≤ t): the finite sums of Abramowitz & Stegun 26.7.3 and 26.7.4."""
    theta = math.atan(t / math.sqrt(df))
    sin, cos = math.sin(theta), math.cos(theta)
    odd = df % 2
    term = cos if odd else 1.0
    terms = []
    for k in range(2 + odd, df + 1, 2):
        terms.append(term)
        term *= cos * cos * (k - 1) / k
    total = sin * math.fsum(terms)
    return (theta + total) * 2 / math.pi if odd else total


def _density(t: float, df: int) -> float:
    log = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - (df + 1) / 2 * math.log1p(t * t / df)
    return math.exp(log) / math.sqrt(df * math.pi)


def mean_interval(values: Sequence[float]) -> tuple[float, float | None]:
    """Mean of at least one value and the half width of its 95 % interval, None for a single value."""
    n = len(values)
    mean = math.fsum(values) / n
    if n < 2:
        return mean, None
    variance = math.fsum((value - mean) ** 2 for value in values) / (n - 1)
    return mean, t975(n - 1) * math.sqrt(variance / n)


def judge(mean: float, half: float | None, seeds: int, tolerance: float) -> str:
    """The verdict on a mean paired difference in points with its 95 % half width.

    *clear*: its lower bound is above the tolerance; *similar*: the drop's upper bound is below it; *reversed*: clear
    the other way; else *undecided*. Fewer than three seeds give none.
    """
    if half is None or seeds < FEWEST_SEEDS:
        return "none"
    if mean - half > tolerance:
        return "clear"
    if mean - half > -tolerance:
        return "similar"
    if mean + half < -tolerance:
        return "reversed"
    return "undecided"


def beside(mean: float, half: float | None, seeds: int, tolerance: float) -> str:
    """As `judge`, for a figure that may lie on either side of what it is held against: *similar* is within the
    tolerance both ways."""
    verdict = judge(mean, half, seeds, tolerance)
    if verdict == "similar" and half is not None and mean + half >= tolerance:
        return "undecided"
    return verdict
