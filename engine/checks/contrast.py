"""Is one arm above another at a sparsity? The paired difference of test accuracy over seeds, with its verdict.

*Clear*: the lower bound of the 95 % interval (Student's t) is above the tolerance; *similar*: the upper bound of the
drop is below it; *reversed*: clear the other way; else *undecided*. Fewer than three seeds give no verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from presets.schema import Contrast, Experiment
from store.statistics import mean_interval
from store.writing import Writer

FEWEST_SEEDS = 3

PAIRS = """
WITH both_arms AS (
    SELECT a.seed, a.round AS this_round, b.round AS that_round, a.sparsity AS sparsity,
           100.0 * (a.accuracy - b.accuracy) AS difference, 100.0 / a.count AS one_image,
           row_number() OVER (
               PARTITION BY a.seed
               ORDER BY abs(a.sparsity - :at) + abs(b.sparsity - :at) + abs(a.sparsity - b.sparsity), a.round, b.round
           ) AS place
    FROM ticket_accuracies a JOIN ticket_accuracies b USING (run, seed, split)
    WHERE run = :run AND split = 'test' AND a.arm = :this_arm AND b.arm = :that_arm
      AND a.search = :this_search AND b.search = :that_search
      AND (a.round = b.round OR a.search <> b.search)
)
SELECT seed, this_round, that_round, sparsity, difference, one_image FROM both_arms WHERE place = 1 ORDER BY seed
"""


def answer(run: str, name: str, check: Contrast, experiment: Experiment, writer: Writer) -> list[dict[str, Any]]:
    """A row for each pair of searches that the check compares."""
    if check.this.search is not None and check.that.search is not None:
        sides = [(check.this.search, check.that.search)]
    else:
        held = experiment.tickets_of(experiment.arms[check.that.arm])
        sides = [(s, s) for s in experiment.tickets_of(experiment.arms[check.this.arm]) if s in held]
    rows = []
    for this, that in sides:
        values = {"run": run, "at": check.at, "this_arm": check.this.arm, "that_arm": check.that.arm}
        values |= {"this_search": this, "that_search": that}
        rows.append(
            {
                "name": name,
                "search": this if this == that else f"{this}/{that}",
                "method": "contrast",
                "question": check.question,
                "threshold": check.tolerance,
                "query": literal(PAIRS, values),
            }
            | _figures(check, this, that, writer.rows(PAIRS, values))
        )
    return rows


def _figures(check: Contrast, this: str, that: str, pairs: Sequence[Any]) -> dict[str, Any]:
    """The figure with its interval in points, the verdict and the sentence, from a row of `PAIRS` for each seed."""
    other = check.that.arm if this == that else f"{check.that.arm} of {that}"
    over = f"{check.this.arm} of {this} over {other}"
    if not pairs:
        sentence = f"{over}: no verdict, since there is no ticket that both arms trained"
        return {"figure": None, "low": None, "high": None, "seeds": 0, "verdict": "none", "sentence": sentence}
    mean, half = mean_interval([row["difference"] for row in pairs])
    verdict = judge(mean, half, len(pairs), check.tolerance)
    low, high = (mean - half, mean + half) if half is not None else (None, None)
    sparsity = sum(row["sparsity"] for row in pairs) / len(pairs)
    interval = f" ± {half:.2f}" if half is not None else ""
    sentence = (
        f"{over} at {100 * sparsity:.1f} % sparsity: {mean:+.2f}{interval} points over {len(pairs)} seeds; "
        f"{WORDS[verdict]} (one image is worth {pairs[0]['one_image']:.2f})"
    )
    return {"figure": mean, "low": low, "high": high, "seeds": len(pairs), "verdict": verdict, "sentence": sentence}


WORDS = {
    "clear": "clearly above",
    "similar": "not below by more than the tolerance",
    "undecided": "undecided: the interval holds both answers",
    "reversed": "clearly below",
    "none": "no verdict from fewer than three seeds",
}


def judge(mean: float, half: float | None, seeds: int, tolerance: float) -> str:
    """The verdict on a mean paired difference in points with its 95 % half width."""
    if half is None or seeds < FEWEST_SEEDS:
        return "none"
    if mean - half > tolerance:
        return "clear"
    if mean - half > -tolerance:
        return "similar"
    if mean + half < -tolerance:
        return "reversed"
    return "undecided"


def literal(sql: str, values: dict[str, Any]) -> str:
    """The query with its values written in, so that a person can run it as it stands."""
    for name in sorted(values, key=len, reverse=True):
        value = values[name]
        text = str(value) if isinstance(value, int | float) else "'" + value.replace("'", "''") + "'"
        sql = sql.replace(f":{name}", text)
    return sql.strip()
