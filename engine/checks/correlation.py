"""Do large weights stay large? R_p between initial, rewound, trained, ticket and reinitialised networks (Liu et al.,
arXiv 2102.11068, section 3).

R about p is chance. With a small learning rate R of initial and trained weights is high, and a ticket beats fresh
weights; with a large one it falls to chance, and they are equal: so says the paper.
"""

from __future__ import annotations

from engine.arms import arm_training
from engine.checks import Answer, Asked, Need, Steps
from engine.checks.verdicts import interval, plus_minus
from engine.forecast import nearest
from engine.measurements import Measured
from engine.measurements.weights import Correlation as Measuring
from engine.networks import State
from engine.training import Training
from presets.schema import Arm, Correlation
from store.statistics import FEWEST_SEEDS, beside


def answer(asked: Asked) -> Steps:
    check = asked.settings
    assert isinstance(check, Correlation)
    names = [name for name in check.searches or asked.own_searches if _tickets(asked, name)]
    jobs = {
        (name, seed): _measuring(asked, check, name, seed) for name in names for seed in asked.experiment.seeds
        if asked.found[name, seed].tickets
    }  # fmt: skip
    taken: list[Measured] = yield Need(tuple(jobs.values()))
    by_search: dict[str, list[Measured]] = {}
    for (name, _), measured in zip(jobs, taken, strict=True):
        by_search.setdefault(name, []).append(measured)
    answers = [one for name, several in by_search.items() for one in _answers(check, name, asked, several)]
    return answers or [Answer("none", "no verdict: no search here has found a ticket")]


def _tickets(asked: Asked, name: str) -> bool:
    return any(asked.found[name, seed].tickets for seed in asked.experiment.seeds)


def _measuring(asked: Asked, check: Correlation, name: str, seed: int) -> Measuring:
    """The networks of one seed, at the ticket nearest to the level."""
    turning = asked.found[name, seed]
    context = turning.context
    [number] = nearest([check.at], turning.sparsity)
    ticket = turning.tickets[number]
    step = ticket.start_step
    start = ticket.start if step else context.initial()  # a start at 0 may have been trained already, or scaled
    dense = context.training(start, context.whole(), step=step)
    own, fresh = (arm_training(context, asked.data, Arm(ticket=name, start=start), ticket) for start in STARTS)
    of: dict[str, Training | State] = {"init": context.initial(), "rewound": ticket.start, "trained": dense}
    of |= {"ticket": own, "reinit": fresh}
    if not ticket.start_step:
        del of["rewound"]
    under = tuple(one in ("ticket", "reinit") for one in of)
    return Measuring(seed, tuple(of.values()), tuple(of), under, ticket.mask, check.share)


STARTS = ("ticket", "reinit")


def _answers(check: Correlation, name: str, asked: Asked, several: list[Measured]) -> list[Answer]:
    """Of one search: for each pair of networks R over the seeds, held against chance. Headline: initial and trained."""
    pairs = list(several[0].figures)
    answers = []
    for pair in pairs:
        figures = [measured.figures[pair] for measured in several if measured.figures[pair]["top"]]
        if not figures:
            answers.append(Answer("none", f"{pair}: no verdict, no layer has enough weights", name, pair))
            continue
        values = [100 * one["both"] / one["top"] for one in figures]
        chance = [100 * one["expected"] / one["top"] for one in figures]
        over = interval([value - by_chance for value, by_chance in zip(values, chance, strict=True)])
        half = None if over["low"] is None else over["figure"] - over["low"]
        verdict = beside(over["figure"], half, len(values), check.tolerance)
        meaning = {
            "clear": "more alike than by chance",
            "similar": "as by chance",
            "reversed": "less alike than by chance",
            "undecided": "undecided",
            "none": f"no verdict from fewer than {FEWEST_SEEDS} seeds",
        }[verdict]
        among = "remaining weights" if figures[0]["remaining"] else "weights"
        by_chance = sum(chance) / len(chance)
        words = f"{pair}: R = {plus_minus(values, 1, sign=False)} % of the top {100 * check.share:g} % of {among}"
        answers.append(
            Answer(
                verdict,
                f"{words}, {by_chance:.1f} % by chance; {meaning}",
                name,
                pair,
                **interval(values),
                unit="%",
                threshold=by_chance,
                query=_query(asked),
            )
        )
    first = answers[pairs.index("init/trained")]
    kept = {"clear": "large weights stay large", "similar": "training leaves no large weight its place"}
    found = [asked.found[name, seed].sparsity for seed in asked.experiment.seeds if asked.found[name, seed].tickets]
    sparsity = sum(path[number] for path in found for number in nearest([check.at], path)) / len(found)
    words = f"ticket at {100 * sparsity:.1f} %; {first.sentence}"
    if first.verdict in kept:
        words = f"{kept[first.verdict]}; {words}"
    headline = Answer(first.verdict, words, name, seeds=first.seeds)
    return [headline, *answers]


def _query(asked: Asked) -> str:
    return (
        f"SELECT m.seed, p.key AS pair, p.value FROM measurements AS m, json_each(m.figures) AS p "
        f"WHERE m.run = '{asked.run}' AND m.method = 'correlation'"
    )
