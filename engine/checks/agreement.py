"""Do a round's members agree on what to remove more than chance would have them? By layer and round.

Chance is what members of these counts would share if they chose independently within each layer (Movva et al., arXiv
2104.14753, and Grosse & Backes, arXiv 2006.07014, find little more). COLT (arXiv 2212.12770) rests on the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.checks import Answer, Asked, Point, from_rows
from engine.checks.verdicts import interval, literal, plus_minus
from presets.schema import Agreement
from store.statistics import FEWEST_SEEDS, beside

OVERLAPS = """
SELECT seed, round, layer, 1.0 * sum(both) / nullif(sum(either), 0) AS iou,
       sum(expected) / nullif(sum(count_a + count_b - expected), 0) AS chance
FROM layer_overlaps WHERE run = :run AND search = :search AND sets = 'removed'
GROUP BY seed, round, layer ORDER BY position, seed, round
"""
ROUNDS = """
SELECT seed, round, '' AS layer, iou, chance FROM overlap_by_round
WHERE run = :run AND search = :search AND sets = 'removed' ORDER BY seed, round
"""


@from_rows
def answer(asked: Asked) -> list[Answer]:
    check = asked.settings
    assert isinstance(check, Agreement)
    several = [name for name, search in asked.experiment.searches.items() if search.members > 1]
    answers = []
    for search in check.searches or several:
        values = {"run": asked.run, "search": search}
        for sql in (ROUNDS, OVERLAPS):
            rows = [row for row in asked.rows(sql, values) if row["iou"] is not None and row["chance"] is not None]
            for layer in dict.fromkeys(row["layer"] for row in rows):
                own = [row for row in rows if row["layer"] == layer]
                answers.append(_answer(check, search, layer, own, literal(sql, values)))
            if sql is ROUNDS and not rows:
                words = f"{search}: no verdict, since its rounds have no several members that removed weights"
                answers.append(Answer("none", words, search, query=literal(sql, values)))
    return answers or [Answer("none", "no verdict: no search here has several members a round")]


def _answer(check: Agreement, search: str, layer: str, rows: Sequence[Any], query: str) -> Answer:
    """Overlap less chance, in points, the mean over a seed's rounds."""
    by_seed: dict[int, list[float]] = {}
    for row in rows:
        by_seed.setdefault(row["seed"], []).append(100 * (row["iou"] - row["chance"]))
    means = [sum(values) / len(values) for values in by_seed.values()]
    figures = interval(means)
    half = None if figures["low"] is None else figures["figure"] - figures["low"]
    verdict = beside(figures["figure"], half, len(means), check.tolerance)
    meaning = {
        "clear": "members agree more than by chance",
        "similar": "as by chance",
        "reversed": "members agree less than by chance",
        "undecided": "undecided",
        "none": f"no verdict from fewer than {FEWEST_SEEDS} seeds",
    }[verdict]
    overlap, chance = (100 * sum(row[name] for row in rows) / len(rows) for name in ("iou", "chance"))
    words = f"{layer or search}: removed sets overlap by {overlap:.1f} %, {chance:.1f} % by chance: "
    series = {"overlap": "iou", "chance": "chance"}
    curve = tuple(
        Point(name, row["seed"], row["round"], 100 * row[column]) for row in rows for name, column in series.items()
    )
    return Answer(
        verdict,
        f"{words}{plus_minus(means, 1)} points; {meaning}",
        search,
        layer,
        **figures,
        threshold=check.tolerance,
        query=query,
        x="round",
        y="overlap of removed sets, %",
        points=curve,
    )
