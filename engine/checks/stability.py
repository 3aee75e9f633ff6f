"""From which step on does training not depend on its noise? Instability analysis (Frankle et al., arXiv 1912.05671).

A network is trained to step k; two copies then go on with different data order and augmentation; the error barrier on
the line between what they end with says whether they found one linearly connected minimum. Stable: below 2 points.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.arms import arm_training
from engine.checks import Answer, Asked, Need, Point, Steps
from engine.checks.barriers import query, verdict, words_of
from engine.checks.verdicts import interval, plus_minus
from engine.forecast import nearest
from engine.hooks.flow import watching
from engine.measurements import Measured
from engine.measurements.interpolation import Interpolation, barrier
from engine.networks import State, initialise
from engine.schedules import steps_per_epoch
from engine.training import Result, Training
from presets.schema import Arm, Stability, steps_of


@dataclass(frozen=True)
class _Line:
    """Two copies to be compared: of which network, from which step of how many."""

    series: str
    search: str
    seed: int
    step: int
    steps: int
    job: Training


def answer(asked: Asked) -> Steps:
    check = asked.settings
    assert isinstance(check, Stability)
    lines = (yield from _dense(asked, check)) + _tickets(asked, check)
    if not lines:
        return [Answer("none", "no verdict: there is no ticket, and no step of the dense network is named")]
    jobs = tuple(_between(asked, check, line.job) for line in lines)
    taken: list[Measured] = yield Need(jobs)
    barriers = [100 * barrier(measured.figures["error"]) for measured in taken]
    return _answers(asked, check, lines, barriers)


def _dense(asked: Asked, check: Stability) -> Generator[Need, list[Any], list[_Line]]:
    """The dense network from each of the steps, which it is first trained to."""
    experiment, data = asked.experiment, asked.data
    recipe = experiment.recipe
    per_epoch = steps_per_epoch(len(data.train), recipe.batch)
    last = recipe.epochs * per_epoch
    places = [(seed, steps_of(length, per_epoch)) for seed in experiment.seeds for length in check.steps]
    places = [(seed, step) for seed, step in dict.fromkeys(places) if step < last]
    starts = {seed: initialise(experiment.network, data.shape, data.classes, seed) for seed in experiment.seeds}

    def dense(seed: int, start: State, step: int, end: int | None = None) -> Training:
        return Training(experiment.network, recipe, data.all(), seed, start, {}, step, end, hooks=watching(experiment))

    reached = [dense(seed, starts[seed], 0, step) for seed, step in places if step]
    results: list[Result] = yield Need(tuple(reached))
    states = iter(results)
    lines = []
    for seed, step in places:
        start = next(states).state if step else starts[seed]
        lines.append(_Line("dense", "", seed, step, last, dense(seed, start, step)))
    return lines


def _tickets(asked: Asked, check: Stability) -> list[_Line]:
    """Tickets from their own starts, each told by the sparsity that it has, in the mean over seeds."""
    lines: list[_Line] = []
    for name in asked.own_searches if check.searches is None else check.searches:
        found = [asked.found[name, seed] for seed in asked.experiment.seeds if asked.found[name, seed].tickets]
        for level in check.at if found else ():
            rounds = [next(iter(nearest([level], turning.sparsity))) for turning in found]
            mean = sum(one.sparsity[number] for one, number in zip(found, rounds, strict=True)) / len(rounds)
            series = f"{name} at {100 * mean:.1f} %"
            if series in {line.series for line in lines}:  # two levels that one ticket is nearest to
                continue
            for turning, number in zip(found, rounds, strict=True):
                context, ticket = turning.context, turning.tickets[number]
                job = arm_training(context, asked.data, Arm(ticket=name), ticket)
                lines.append(_Line(series, name, context.seed, job.start_step, job.last_step, job))
    return lines


def _between(asked: Asked, check: Stability, job: Training) -> Interpolation:
    """The line between a training and its copy."""
    copies = (job, replace(job, copy=1))
    return Interpolation(job.seed, copies, job.network, job.recipe, job.view, check.points, check.error)


def _answers(asked: Asked, check: Stability, lines: Sequence[_Line], barriers: Sequence[float]) -> list[Answer]:
    """One for each network and step, and above them from where on each network is stable, with the curve over k."""
    groups: dict[tuple[str, int], list[float]] = {}
    for line, value in zip(lines, barriers, strict=True):
        groups.setdefault((line.series, line.step), []).append(value)
    ends = {line.series: line.steps for line in lines}
    searches = {line.series: line.search for line in lines}
    parts = []
    for (series, step), values in sorted(groups.items(), key=lambda item: (item[0][0] != "dense", *item[0])):
        found = verdict(values, check.threshold)
        words = (
            f"{series} from step {step} ({100 * step / ends[series]:.1f} % of training): barrier"
            f" {plus_minus(values, 1, sign=False)} points of {check.error} error; {words_of(found)}"
        )
        part, figures = f"{series} from {step}", interval(values)
        parts.append(
            Answer(found, words, searches[series], part, **figures, threshold=check.threshold, query=query(asked.run))
        )
    onsets = {series: _onset(series, groups, check) for series in ends}
    told = [
        f"{series} is stable from step {onset} on ({100 * onset / ends[series]:.1f} %)"
        if onset is not None
        else f"{series} is at no step looked at known to be stable"
        for series, onset in onsets.items()
    ]
    alike = len({part.verdict for part in parts}) == 1
    headline = Answer(
        "stable" if None not in onsets.values() else parts[0].verdict if alike else "undecided",
        f"{'; '.join(told)} (norm statistics recomputed on training data)",
        seeds=min(len(values) for values in groups.values()),
        threshold=check.threshold,
        query=query(asked.run),
        x="step k",
        y=f"barrier of {check.error} error, points",
        points=tuple(
            Point(line.series, line.seed, line.step, value) for line, value in zip(lines, barriers, strict=True)
        ),
    )
    return [headline, *parts]


def _onset(series: str, groups: dict[tuple[str, int], list[float]], check: Stability) -> int | None:
    """The first step from which on all that were looked at are stable."""
    onset = None
    for step in sorted((step for name, step in groups if name == series), reverse=True):
        if verdict(groups[series, step], check.threshold) != "stable":
            break
        onset = step
    return onset
