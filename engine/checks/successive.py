"""Do successive rounds find the same optimum? Barrier and angle between what a round and the next end with (Maene et
al., arXiv 2106.06955).

Rewinding finds tickets, they say, where training is so stable that every round comes back to one optimum: the barrier
between successive rounds is about none, and their angle far below 1, that of unrelated weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine import searches
from engine.checks import Answer, Asked, Need, Point, Steps
from engine.checks.barriers import query, verdict, words_of
from engine.checks.verdicts import interval, plus_minus
from engine.measurements import Measured
from engine.measurements.interpolation import Interpolation, barrier
from engine.measurements.weights import Angle
from presets.schema import Pruning, Successive


@dataclass(frozen=True)
class _Pair:
    """What a member ends a round with, and the next."""

    seed: int
    round: int
    line: Interpolation
    angle: Angle


def answer(asked: Asked) -> Steps:
    check = asked.settings
    assert isinstance(check, Successive)
    by_rounds = [name for name, search in asked.experiment.searches.items() if isinstance(search, Pruning)]
    answers: list[Answer] = []
    for name in check.searches or by_rounds:
        pairs = [pair for seed in asked.experiment.seeds for pair in _pairs(asked, check, name, seed)]
        if not pairs:
            answers.append(Answer("none", f"{name}: no verdict, since it has no two rounds that train", name))
            continue
        taken: list[Measured] = yield Need(tuple(job for pair in pairs for job in (pair.line, pair.angle)))
        barriers = [100 * barrier(measured.figures["error"]) for measured in taken[::2]]
        angles = [measured.figures["distance"] for measured in taken[1::2]]
        answers += _answers(asked, check, name, pairs, barriers, angles)
    return answers or [Answer("none", "no verdict: no search here goes by rounds")]


def _pairs(asked: Asked, check: Successive, name: str, seed: int) -> list[_Pair]:
    turning = asked.found[name, seed]
    found = []
    for number in sorted(turning.tickets):
        if number + 1 not in turning.tickets:
            continue
        ticket, after = turning.tickets[number], turning.tickets[number + 1]
        members = (searches.members(turning.context, one) for one in (ticket, after))
        for before, later in zip(*members, strict=True):
            of = (before, later)
            line = Interpolation(seed, of, later.network, later.recipe, later.view, check.points, check.error)
            found.append(_Pair(seed, number, line, Angle(seed, of, ticket.mask)))
    return found


def _answers(
    asked: Asked,
    check: Successive,
    name: str,
    pairs: Sequence[_Pair],
    barriers: Sequence[float],
    angles: Sequence[float | None],
) -> list[Answer]:
    """Of one search: the barrier between rounds, and their angle; means over members and rounds, then over seeds."""
    curves = {
        part: tuple(
            Point(part or "barrier", seed, number, value) for (seed, number), value in _means(pairs, values).items()
        )
        for part, values in (("", barriers), ("angle", angles))
    }
    by_seed = {
        part: [_mean([p.y for p in points if p.seed == seed]) for seed in dict.fromkeys(p.seed for p in points)]
        for part, points in curves.items()
    }
    found = verdict(by_seed[""], check.threshold)
    error = f"points of {check.error} error"
    apart = (
        f"{name}: barrier between successive rounds {plus_minus(by_seed[''], 1, sign=False)} {error}, mean over"
        f" {len({pair.round for pair in pairs})} pairs; {words_of(found)} (norm statistics recomputed on training data)"
    )
    turned = (
        f"{name}: angular distance of successive rounds {plus_minus(by_seed['angle'], 3, sign=False)}"
        " (1: unrelated); the paper gives no threshold"
    )
    return [
        Answer(
            found,
            apart,
            name,
            **interval(by_seed[""]),
            threshold=check.threshold,
            query=query(asked.run),
            x="round",
            y=f"barrier of {check.error} error to the next round, points",
            points=curves[""],
        ),
        Answer(
            "none",
            turned,
            name,
            "angle",
            **interval(by_seed["angle"]),
            unit="",
            query=ANGLES.format(run=asked.run),
            x="round",
            y="angular distance to the next round",
            points=curves["angle"],
        ),
    ]


ANGLES = """
SELECT id, seed, json_extract(figures, '$.distance') AS distance FROM measurements
WHERE run = '{run}' AND method = 'angle' ORDER BY id""".strip()


def _means(pairs: Sequence[_Pair], values: Sequence[float | None]) -> dict[tuple[int, int], float]:
    """By seed and round, the mean over members."""
    found: dict[tuple[int, int], list[float]] = {}
    for pair, value in zip(pairs, values, strict=True):
        if value is not None:
            found.setdefault((pair.seed, pair.round), []).append(value)
    return {place: _mean(several) for place, several in found.items()}


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
