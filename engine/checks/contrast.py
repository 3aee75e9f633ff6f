"""Is one arm above another? The paired difference of test accuracy over seeds, with its verdict.

Two searches' tickets are matched by sparsity, by rounds, or by what they cost: COLT against IMP at equal loss, at equal
rounds, at equal cost with and without the training of tickets (COLT, arXiv 2212.12770) are four such questions. Tickets
that have too little in common get no verdict. A dense arm has no tickets: it is set against each one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.checks import Answer, Asked, from_rows
from engine.checks.verdicts import detectable, interval, literal, plus_minus, sampling
from presets.schema import Contrast, Experiment
from store.statistics import judge

PAIRS = """
WITH tickets AS (
    SELECT t.arm, t.search, t.seed, t.round, t.sparsity, t.accuracy, t.count, {cost} AS cost
    FROM ticket_accuracies AS t {costs}
    WHERE t.run = :run AND t.split = 'test'
), both_arms AS (
    SELECT a.seed, a.round AS this_round, b.round AS that_round, a.sparsity AS sparsity, b.sparsity AS that_sparsity,
           a.cost AS this_cost, b.cost AS that_cost, a.accuracy AS this_accuracy, b.accuracy AS that_accuracy,
           100.0 * (a.accuracy - b.accuracy) AS difference, a.count AS count,
           row_number() OVER (PARTITION BY a.seed ORDER BY {order}, a.round, b.round) AS place
    FROM tickets a JOIN tickets b USING (seed)
    WHERE a.arm = :this_arm AND b.arm = :that_arm
      AND ifnull(a.search, '') = :this_search AND ifnull(b.search, '') = :that_search
      AND (a.round = b.round OR a.search IS NOT b.search)
)
SELECT seed, this_round, that_round, sparsity, that_sparsity, this_cost, that_cost, this_accuracy, that_accuracy,
       difference, count
FROM both_arms WHERE place = 1 ORDER BY seed
"""

MATCHES = {
    "sparsity": ("NULL", "", "abs(a.sparsity - :at) + abs(b.sparsity - :at) + abs(a.sparsity - b.sparsity)"),
    "rounds": ("t.round", "", "abs(a.sparsity - :at), a.round, abs(b.cost - a.cost)"),
    "images": (
        "c.images",
        "JOIN cost_by_round AS c USING (run, search, seed, round)",
        "abs(a.sparsity - :at), a.round, abs(b.cost - a.cost)",
    ),
    "images-with-tickets": (
        "c.images_with_evaluation",
        "JOIN cost_by_round AS c USING (run, search, seed, round)",
        "abs(a.sparsity - :at), a.round, abs(b.cost - a.cost)",
    ),
}
"""By what tickets are matched: its figure, where that comes from, and the order of pairs, the best match first."""


NEAR = 1.25
"""Two tickets of which one keeps, or has cost, more than so many times as much as the other are not alike."""


def pairs_sql(match: str, this: str, that: str) -> str:
    """The query of a pair of tickets for each seed; a side without a search is dense."""
    cost, costs, order = MATCHES[match]
    if not this or not that:
        order = "abs(a.sparsity - :at)" if this else "abs(b.sparsity - :at)"
    return PAIRS.format(cost=cost, costs=costs, order=order)


def apart(match: str, pairs: Sequence[Any]) -> str:
    """Why a pair is no match, in words: of tickets too far from each other in what they should have in common."""
    for row in pairs:
        if match == "sparsity":
            sides = [row["sparsity"], row["that_sparsity"]]
            if 0.0 not in sides and _far(*(1 - sparsity for sparsity in sides)):
                return f"sparsities of {100 * sides[0]:.1f} and {100 * sides[1]:.1f} % are too far apart"
        elif (row["this_cost"] != row["that_cost"]) if match == "rounds" else _far(row["this_cost"], row["that_cost"]):
            sides = [f"{row[f'{side}_cost']:,.0f}" for side in ("this", "that")]
            return f"{sides[0]} and {sides[1]} {match.replace('-', ' ')} are too far apart: one search ended before"
    return ""


def _far(one: float, other: float) -> bool:
    return max(one, other) > NEAR * min(one, other)


@from_rows
def answer(asked: Asked) -> list[Answer]:
    """One for each pair of searches that the check compares."""
    check, experiment = asked.settings, asked.experiment
    assert isinstance(check, Contrast)
    answers = []
    for this, that in _searches(check, experiment):
        sql = pairs_sql(check.match, this, that)
        values = {"run": asked.run, "at": check.at, "this_arm": check.this.arm, "that_arm": check.that.arm}
        values |= {"this_search": this, "that_search": that}
        answers.append(judged(check, this, that, asked.rows(sql, values), literal(sql, values)))
    return answers or [Answer("none", "no verdict: the two arms train tickets of no search in common")]


def _searches(check: Contrast, experiment: Experiment) -> list[tuple[str, str]]:
    """Pairs of searches whose tickets are compared; "" for a dense arm."""
    sides = [
        [side.search] if side.search else list(experiment.tickets_of(experiment.arms[side.arm])) or [""]
        for side in (check.this, check.that)
    ]
    if sides[0] == [""] or sides[1] == [""] or check.this.search:
        return [(this, that) for this in sides[0] for that in sides[1]]
    return [(search, search) for search in sides[0] if search in sides[1]]


def judged(check: Contrast, this: str, that: str, pairs: Sequence[Any], query: str) -> Answer:
    """The figure with its interval in points, the verdict and the sentence, from a row of `PAIRS` for each seed."""
    search = "/".join(dict.fromkeys(name for name in (this, that) if name))
    first, second = (
        f"{arm} of {name}" if name else arm for arm, name in ((check.this.arm, this), (check.that.arm, that))
    )
    over = f"{first} over {second if this != that else check.that.arm}"
    if not pairs:
        words = f"{over}: no verdict, since there is no ticket that both arms trained"
        return Answer("none", words, search, threshold=check.tolerance, query=query)
    if why := apart(check.match, pairs):
        words = f"{over}: no verdict, {why}"
        return Answer("none", words, search, threshold=check.tolerance, seeds=len(pairs), query=query)
    differences = [row["difference"] for row in pairs]
    figures = interval(differences)
    half = None if figures["low"] is None else figures["figure"] - figures["low"]
    verdict = judge(figures["figure"], half, len(pairs), check.tolerance)
    noise = sampling((_mean(pairs, f"{side}_accuracy") for side in ("this", "that")), pairs[0]["count"])
    words = (
        f"{over} {where(pairs, check.match)}: {plus_minus(differences)} points over {len(pairs)} seeds;"
        f" {WORDS[verdict]} (one image is worth {100 / pairs[0]['count']:.2f})"
    )
    return Answer(
        verdict,
        words,
        search,
        **figures,
        threshold=check.tolerance,
        detectable=detectable(differences, check.tolerance),
        sampling=noise,
        query=query,
    )


def where(pairs: Sequence[Any], match: str = "sparsity") -> str:
    """At which sparsity, and what else the tickets have in common."""
    this, that = (_mean(pairs, name) for name in ("sparsity", "that_sparsity"))
    at = f"at {100 * (this or that):.1f} %"
    if match == "sparsity":
        alike = abs(this - that) < 0.001 or not this or not that
        return f"{at} sparsity" if alike else f"{at} and {100 * that:.1f} % sparsity"
    unit = match.replace("-", " ")
    paid = " and ".join(f"{_mean(pairs, f'{side}_cost'):,.0f}" for side in ("this", "that"))
    return f"{at} against {100 * that:.1f} % sparsity ({paid} {unit})"


def _mean(rows: Sequence[Any], name: str) -> float:
    return sum(row[name] for row in rows) / len(rows)


WORDS = {
    "clear": "clearly above",
    "similar": "not below by more than the tolerance",
    "undecided": "undecided: the interval holds both answers",
    "reversed": "clearly below",
    "none": "no verdict from fewer than three seeds",
}
