"""Is the ticket the pruned solution again? A ticket, the network that its mask was found on, and scratch (Evci et al.,
arXiv 2010.03533, section 4).

Lottery tickets, they say, relearn the solution that they were pruned from: ticket and pruned network answer alike, gain
little together and lie in one basin, while the mask trained from fresh weights finds another solution.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from engine import searches
from engine.arms import arm_training
from engine.checks import Answer, Asked, Need, Point, Steps
from engine.checks.barriers import query, verdict, words_of
from engine.checks.verdicts import detectable, interval, plus_minus
from engine.forecast import nearest
from engine.measurements import Measured
from engine.measurements.ensemble import Ensemble
from engine.measurements.interpolation import Interpolation, barrier
from engine.networks import State
from engine.training import Result, Training
from presets.schema import Arm, Gmp, Imp, OneShot, Solutions
from store.statistics import judge, mean_interval


@dataclass(frozen=True)
class _Found:
    """What is compared, of one seed: the ticket's sparsity, and its networks by name."""

    seed: int
    sparsity: float
    ticket: Training
    solutions: dict[str, Training | State]


@dataclass(frozen=True)
class _Pair:
    """What was measured of two networks of one seed, in points."""

    seed: int
    names: str
    different: float
    gain: float
    barrier: float
    alphas: Sequence[float]
    errors: Sequence[float]


def answer(asked: Asked) -> Steps:
    check = asked.settings
    assert isinstance(check, Solutions)
    fitting = [n for n, search in asked.experiment.searches.items() if isinstance(search, Imp | OneShot | Gmp)]
    answers: list[Answer] = []
    for name in check.searches or fitting:
        found = yield from _found(asked, check, name)
        if found:
            pairs = yield from _pairs(check, found)
            answers += _answers(asked, check, name, found, pairs)
        else:
            answers.append(Answer("none", f"{name}: no verdict, since it has found no ticket", name))
    return answers or [Answer("none", "no verdict: no search here prunes one trained network")]


def _found(asked: Asked, check: Solutions, name: str) -> Generator[Need, list[Any], list[_Found]]:
    """Of each seed the ticket nearest to the level, from its own start, and beside it what it was pruned from, masked,
    and the mask with fresh weights. A mask that moved while its network trained is held from the first step."""
    start = "init" if isinstance(asked.experiment.searches[name], Gmp) else "ticket"
    arms = {"ticket": Arm(ticket=name, start=start), "scratch": Arm(ticket=name, start="reinit")}
    turnings = [asked.found[name, seed] for seed in asked.experiment.seeds if asked.found[name, seed].tickets]
    numbers = [next(iter(nearest([check.at], turning.sparsity))) for turning in turnings]
    tickets = [turning.tickets[number] for turning, number in zip(turnings, numbers, strict=True)]
    members = tuple(searches.members(turning.context, t)[0] for turning, t in zip(turnings, tickets, strict=True))
    trained: list[Result] = yield Need(members)
    found = []
    for turning, number, ticket, result in zip(turnings, numbers, tickets, trained, strict=True):
        pruned = {n: t * ticket.mask[n] if n in ticket.mask else t for n, t in result.state.items()}
        jobs = {one: arm_training(turning.context, asked.data, arm, ticket) for one, arm in arms.items()}
        three: dict[str, Training | State] = {"ticket": jobs["ticket"], "pruned": pruned, "scratch": jobs["scratch"]}
        found.append(_Found(turning.context.seed, turning.sparsity[number], jobs["ticket"], three))
    return found


def _pairs(check: Solutions, found: Sequence[_Found]) -> Generator[Need, list[Any], list[_Pair]]:
    places = [(one, pair) for one in found for pair in combinations(one.solutions, 2)]
    jobs = []
    for one, (a, b) in places:
        of, job = (one.solutions[a], one.solutions[b]), one.ticket
        jobs += [
            Ensemble(one.seed, of, job.network, job.recipe, job.view),
            Interpolation(one.seed, of, job.network, job.recipe, job.view, check.points, check.error),
        ]
    taken: list[Measured] = yield Need(tuple(jobs))
    pairs = []
    for (one, (a, b)), ensemble, line in zip(places, taken[::2], taken[1::2], strict=True):
        own, errors = ensemble.figures, line.figures["error"]
        gain = own["together"] - (own["first"] + own["second"]) / 2
        figures = (100 * own["different"], 100 * gain, 100 * barrier(errors))
        pairs.append(_Pair(one.seed, f"{a}/{b}", *figures, line.figures["alpha"], errors))
    return pairs


def _answers(
    asked: Asked, check: Solutions, name: str, found: Sequence[_Found], pairs: Sequence[_Pair]
) -> list[Answer]:
    """Of one search: how much nearer to the pruned network the ticket answers than scratch; and each pair's figures."""
    by_names: dict[str, list[_Pair]] = {}
    for pair in pairs:
        by_names.setdefault(pair.names, []).append(pair)
    near, far = ([pair.different for pair in by_names[names]] for names in ("ticket/pruned", "pruned/scratch"))
    nearer = [one - other for one, other in zip(far, near, strict=True)]
    judged = judge(*mean_interval(nearer), len(nearer), check.tolerance)
    meaning = {
        "clear": "the ticket is the pruned solution again, scratch is another",
        "similar": "scratch is as near to it",
        "reversed": "scratch is nearer to it",
        "undecided": "undecided",
        "none": "no verdict from fewer than three seeds",
    }[judged]
    level = sum(one.sparsity for one in found) / len(found)
    words = (
        f"{name} at {100 * level:.1f} %: on {plus_minus(near, sign=False)} % of test images the ticket answers"
        f" otherwise than the pruned network, scratch on {plus_minus(far, sign=False)} %; {meaning}"
    )
    headline = Answer(
        judged,
        words,
        name,
        **interval(nearer),
        threshold=check.tolerance,
        detectable=detectable(nearer, check.tolerance),
        query=ENSEMBLES.format(run=asked.run),
        x="from the first (0) to the second (1)",
        y=f"{check.error} error, %",
        points=tuple(
            Point(pair.names, pair.seed, alpha, 100 * error)
            for pair in pairs
            for alpha, error in zip(pair.alphas, pair.errors, strict=True)
        ),
    )
    return [headline, *(part for names, own in by_names.items() for part in _parts(asked, check, name, names, own))]


def _parts(asked: Asked, check: Solutions, name: str, names: str, pairs: Sequence[_Pair]) -> list[Answer]:
    """Disagreement, ensemble gain and barrier of two networks, over seeds."""
    different, gains, barriers = ([getattr(pair, key) for pair in pairs] for key in ("different", "gain", "barrier"))
    stable = verdict(barriers, check.threshold)
    told = {
        "disagreement": f"{names}: other answers on {plus_minus(different, sign=False)} % of test images",
        "ensemble gain": f"{names}: together {plus_minus(gains)} points above the mean of both",
        "barrier": f"{names}: barrier {plus_minus(barriers, 1, sign=False)} points of {check.error} error;"
        f" {words_of(stable)} (norm statistics recomputed on training data)",
    }
    ensembles = ENSEMBLES.format(run=asked.run)
    return [
        Answer("none", told["disagreement"], name, f"{names} disagreement", **interval(different), query=ensembles),
        Answer("none", told["ensemble gain"], name, f"{names} ensemble gain", **interval(gains), query=ensembles),
        Answer(
            stable,
            told["barrier"],
            name,
            f"{names} barrier",
            **interval(barriers),
            threshold=check.threshold,
            query=query(asked.run),
        ),
    ]


ENSEMBLES = """
SELECT id, seed, json_extract(figures, '$.different') AS different, json_extract(figures, '$.together') AS together,
json_extract(figures, '$.first') AS first, json_extract(figures, '$.second') AS second FROM measurements
WHERE run = '{run}' AND method = 'ensemble' ORDER BY id""".strip()
