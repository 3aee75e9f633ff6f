"""What stability and successive rounds share: when an error barrier is none."""

from __future__ import annotations

from collections.abc import Sequence

from engine.checks.verdicts import above
from store.statistics import FEWEST_SEEDS


def verdict(barriers: Sequence[float], threshold: float) -> str:
    """stable or unstable where the whole interval of the mean barrier (points) says so, else undecided or none."""
    if len(barriers) < FEWEST_SEEDS:
        return "none"
    return {True: "unstable", False: "stable", None: "undecided"}[above(barriers, threshold)]


def words_of(found: str) -> str:
    """A verdict for people."""
    return f"no verdict from fewer than {FEWEST_SEEDS} seeds" if found == "none" else found


def query(run: str) -> str:
    """Errors along every line of the run, by seed."""
    return (
        "SELECT m.id, m.seed, a.value AS alpha, e.value AS error FROM measurements AS m, "
        "json_each(m.figures, '$.alpha') AS a JOIN json_each(m.figures, '$.error') AS e ON e.key = a.key "
        f"WHERE m.run = '{run}' AND m.method = 'interpolation' ORDER BY m.id, a.key"
    )
