"""Does a way to find tickets use what it is said to use? (Su et al., arXiv 2009.11094, section 3)

A ticket is set against ones that were corrupted: found on random labels, scrambled pixels or half the data, its masks
rearranged within layers, its weights shuffled, or all counts kept and positions drawn. Where the corrupted ticket is
clearly worse, the check passes: what was destroyed mattered. Where it is as good, the check fails.
"""

from __future__ import annotations

from engine.checks import Answer, Asked, from_rows
from engine.checks.contrast import apart, pairs_sql
from engine.checks.verdicts import above, detectable, interval, literal, plus_minus, sampling
from presets.schema import Sanity, Side
from store.statistics import FEWEST_SEEDS


@from_rows
def answer(asked: Asked) -> list[Answer]:
    check = asked.settings
    assert isinstance(check, Sanity)
    this = check.this.search or asked.experiment.tickets_of(asked.experiment.arms[check.this.arm])[0]
    parts = [_part(asked, check, name, this, side) for name, side in check.against.items()]
    return [_headline(check, this, parts), *parts]


def _part(asked: Asked, check: Sanity, name: str, this: str, side: Side) -> Answer:
    """The ticket against one corrupted ticket."""
    that = side.search or this
    values = {"run": asked.run, "at": check.at, "this_arm": check.this.arm, "that_arm": side.arm}
    values |= {"this_search": this, "that_search": that}
    sql = pairs_sql("sparsity", this, that)
    pairs, query = asked.rows(sql, values), literal(sql, values)
    if not pairs:
        words = f"{name}: no verdict, since there is no ticket of {this} and of {that} that both arms trained"
        return Answer("none", words, this, name, threshold=check.tolerance, query=query)
    if why := apart("sparsity", pairs):
        words = f"{name}: no verdict, {why}"
        return Answer("none", words, this, name, threshold=check.tolerance, seeds=len(pairs), query=query)
    differences = [row["difference"] for row in pairs]
    worse = above(differences, check.tolerance)
    verdict = "none" if len(pairs) < FEWEST_SEEDS else {True: "passed", False: "failed", None: "undecided"}[worse]
    accuracies = (sum(row[f"{s}_accuracy"] for row in pairs) / len(pairs) for s in ("this", "that"))
    noise = sampling(accuracies, pairs[0]["count"])
    meaning = {
        "passed": "it mattered",
        "failed": "the corrupted ticket is as good",
        "undecided": "undecided",
        "none": "no verdict from fewer than three seeds",
    }[verdict]
    own, other = (100 * sum(row[key] for row in pairs) / len(pairs) for key in ("sparsity", "that_sparsity"))
    at = f"at {own:.1f} %" + (f" and {other:.1f} %" if abs(own - other) >= 0.1 else "")
    words = f"{name}: {at} the ticket is {plus_minus(differences)} points above the corrupted one; {meaning}"
    return Answer(
        verdict,
        words,
        this,
        name,
        **interval(differences),
        threshold=check.tolerance,
        detectable=detectable(differences, check.tolerance),
        sampling=noise,
        query=query,
    )


def _headline(check: Sanity, this: str, parts: list[Answer]) -> Answer:
    """Failed where any check did, passed where all did, and which did what."""
    by_verdict = {verdict: [part.part for part in parts if part.verdict == verdict] for verdict in WORDS}
    held = [verdict for verdict, names in by_verdict.items() if names]
    verdict = "failed" if "failed" in held else held[0] if len(held) == 1 else "undecided"
    words = "; ".join(f"{WORDS[one]} {', '.join(by_verdict[one])}" for one in held)
    return Answer(verdict, f"{this} near {100 * check.at:g} %: {words}", this, seeds=max(part.seeds for part in parts))


WORDS = {"failed": "fails", "passed": "passes", "undecided": "undecided on", "none": "no verdict on"}
