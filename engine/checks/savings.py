"""How many training images does a search save at matched accuracy? (PrAC, arXiv 2106.03225, section 4)

Matched: not inferior, the whole interval of the paired difference above minus a named margin. Where accuracy is clearly
lower there is nothing to save; where neither can be said the saving is not one either, and is called undecided.

Images trained on are what SGD iterations are of equal batches. Those seen forward only (validation, and the answers
that CEP compares) are told beside, not counted: each costs about a third.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.checks import Answer, Asked, from_rows
from engine.checks.contrast import apart, pairs_sql, where
from engine.checks.verdicts import above, detectable, interval, literal, plus_minus, sampling
from presets.schema import Savings
from store.statistics import FEWEST_SEEDS

SIDES = ("this", "that")

COSTS = """
WITH pairs AS ({pairs})
SELECT p.*, a.images AS this_images, b.images AS that_images,
       a.images_forward AS this_forward, b.images_forward AS that_forward
FROM pairs AS p
JOIN cost_by_round AS a ON a.run = :run AND a.search = :this_search AND a.seed = p.seed AND a.round = p.this_round
JOIN cost_by_round AS b ON b.run = :run AND b.search = :that_search AND b.seed = p.seed AND b.round = p.that_round
ORDER BY p.seed
"""


@from_rows
def answer(asked: Asked) -> list[Answer]:
    check = asked.settings
    assert isinstance(check, Savings)
    this, that = check.this.search, check.that.search
    assert this is not None
    assert that is not None
    values = {"run": asked.run, "at": check.at, "this_arm": check.this.arm, "that_arm": check.that.arm}
    values |= {"this_search": this, "that_search": that}
    sql = COSTS.format(pairs=pairs_sql("sparsity", this, that).strip())
    rows, query, search = asked.rows(sql, values), literal(sql, values), f"{this}/{that}"
    if not rows:
        words = f"no verdict: there is no ticket of {this} and of {that} that both arms trained"
        return [Answer("none", words, search, query=query)]
    if not all(row["that_images"] for row in rows):
        return [Answer("none", f"no verdict: {that} trains nothing, so nothing can be saved", search, query=query)]
    if why := apart("sparsity", rows):
        return [Answer("none", f"no verdict: {why}", search, seeds=len(rows), query=query)]
    return judged(check, search, rows, query)


def judged(check: Savings, search: str, rows: Sequence[Any], query: str) -> list[Answer]:
    """The saving with the verdict on its condition, and the condition."""
    saved = [100 * (1 - row["this_images"] / row["that_images"]) for row in rows]
    differences = [row["difference"] for row in rows]
    matched = above(differences, -check.margin)
    verdict = {True: "passed", False: "failed", None: "undecided"}[matched] if len(rows) >= FEWEST_SEEDS else "none"
    paid, also = (
        "{:,.0f} against {:,.0f}".format(*(sum(row[f"{side}_{cost}"] for row in rows) / len(rows) for side in SIDES))
        for cost in ("images", "forward")
    )
    meaning = {
        "passed": "matched accuracy",
        "failed": "not at matched accuracy: it is lower",
        "undecided": "whether accuracy is matched is undecided",
        "none": f"no verdict from fewer than {FEWEST_SEEDS} seeds",
    }[verdict]
    words = (
        f"training images saved: {plus_minus(saved, 1)} % {where(rows)} ({paid}; forward only {also});"
        f" {meaning} (margin {check.margin:g})"
    )
    accuracies = (sum(row[f"{side}_accuracy"] for row in rows) / len(rows) for side in SIDES)
    held = f"{plus_minus(differences)} points of accuracy; more than {-check.margin:g} asked"
    return [
        Answer(verdict, words, search, **interval(saved), unit="%", query=query),
        Answer(
            verdict,
            held,
            search,
            "accuracy",
            **interval(differences),
            threshold=-check.margin,
            detectable=detectable(differences, check.margin),
            sampling=sampling(accuracies, rows[0]["count"]),
            query=query,
        ),
    ]
