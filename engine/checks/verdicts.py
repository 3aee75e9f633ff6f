"""What figures of a few seeds allow to be said: verdicts from intervals, and what could have been seen at all.

Intervals are Student's, over seeds. They hold the chance of training, not that of the test set, which is one and the
same for all seeds: `sampling` says how much that is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from store.statistics import FEWEST_SEEDS, mean_interval, quantile

POWER = 0.8
"""Chance to see the detectable difference as clear."""


def above(values: Sequence[float], bound: float) -> bool | None:
    """Whether the mean lies above a bound: True or False where the whole interval does or does not; None: undecided,
    or fewer than three seeds."""
    if len(values) < FEWEST_SEEDS:
        return None
    mean, half = mean_interval(values)
    assert half is not None
    if mean - half > bound:
        return True
    return False if mean + half <= bound else None


def interval(values: Sequence[float]) -> dict[str, Any]:
    """figure, low, high and seeds of an answer, from a value for each seed."""
    if not values:
        return {"figure": None, "low": None, "high": None, "seeds": 0}
    mean, half = mean_interval(values)
    low, high = (mean - half, mean + half) if half is not None else (None, None)
    return {"figure": mean, "low": low, "high": high, "seeds": len(values)}


def plus_minus(values: Sequence[float], digits: int = 2, sign: bool = True) -> str:
    """Mean and half width in words."""
    mean, half = mean_interval(values)
    text = f"{mean:+.{digits}f}" if sign else f"{mean:.{digits}f}"
    return text + (f" ± {half:.{digits}f}" if half is not None else "")


def detectable(differences: Sequence[float], tolerance: float) -> float | None:
    """The smallest true difference that so many seeds, scattering as these do, show to be clear 4 times of 5, to the
    usual approximation: the tolerance and (t₀.₉₇₅ + t₀.₈) standard errors. None for one seed."""
    _, half = mean_interval(differences)
    if half is None:
        return None
    freedom = len(differences) - 1
    return tolerance + half * (1 + quantile(POWER, freedom) / quantile(0.975, freedom))


def sampling(accuracies: Iterable[float], images: int) -> float:
    """Points that another test set of `images` may move the difference of two accuracies (fractions) by, 19 times of
    20, if the two erred independently; networks that err alike move less."""
    return 100 * 1.96 * math.sqrt(sum(share * (1 - share) for share in accuracies) / images)


def literal(sql: str, values: Mapping[str, Any]) -> str:
    """The query with its values written in, so that a person can run it as it stands."""
    for name in sorted(values, key=len, reverse=True):
        value = values[name]
        text = str(value) if isinstance(value, int | float) else "'" + value.replace("'", "''") + "'"
        sql = sql.replace(f":{name}", text)
    return sql.strip()
