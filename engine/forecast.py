"""What an experiment will cost, before it starts and as it goes: rounds, trainings, images.

Counts of IMP are exact, since pruning is. COLT's loss a round is known only between r (members agree) and
min(1, P·r) (disjoint); until a round was measured it is taken as if members were independent, 1 − (1 − r)^P.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.masks import due, pools
from engine.networks import Weight
from engine.schedules import steps_per_epoch
from engine.searches import leader, reached
from presets.schema import Colt, Experiment, steps_of

MOST_ROUNDS = 1000  # a search that needs more is refused: its rate is far too small for its target


class Unreachable(Exception):
    """A target that no amount of pruning reaches; says the highest sparsity that can be."""


@dataclass(frozen=True)
class SearchForecast:
    """Rounds in all: as expected, and between which bounds. The highest sparsity of all counted weights."""

    rounds: int
    fewest: int
    most: int
    highest_total_sparsity: float


def search_forecast(
    experiment: Experiment,
    name: str,
    weights: list[Weight],
    done: int = 0,
    alive: Mapping[str, int] | None = None,
    loss: float | None = None,
) -> SearchForecast:
    """Rounds of a search: from its beginning, or from round `done` with `alive` weights a layer, losing `loss` a round.

    Raises:
        Unreachable: the target cannot be met.
    """
    settings = leader(experiment, name)
    place = f"searches.{name}"
    rates = settings.rates()
    kinds = {w.name: w.kind for w in weights if w.kind in rates}
    if not kinds:
        held = ", ".join(sorted({w.kind for w in weights} - {"norm"}))
        asked = ", ".join(rates)
        raise Unreachable(f"{place}.rate: {experiment.network.name} has no {asked} layers to prune (it has {held})")
    prunable = sum(w.count for w in weights if w.name in kinds)
    highest = prunable / sum(w.count for w in weights)
    if settings.until is not None and settings.of == "total" and settings.until > highest:
        raise Unreachable(
            f"{place}.until: a total sparsity of {settings.until:g} cannot be reached: only {prunable:,} weights are "
            f"prunable; the highest is {highest:.4f}"
        )
    full = {w.name: w.count for w in weights if w.name in kinds}
    members = settings.segments if isinstance(settings, Colt) else 1

    def rounds(loss_of: Mapping[str, float]) -> int:
        groups = pools(kinds, loss_of, settings.scope)
        left = [sum((alive or full)[layer] for layer in names) for _, names in groups]
        number = done
        while settings.rounds is None or number < settings.rounds:
            if settings.until is not None and reached(settings, prunable - sum(left), kinds, weights):
                break
            gone = [due(min(1.0, rate), count) for (rate, _), count in zip(groups, left, strict=True)]
            left = [count - less for count, less in zip(left, gone, strict=True)]
            number += 1
            if not any(gone) or number > MOST_ROUNDS:
                best = 1.0 - sum(left) / prunable
                raise Unreachable(
                    f"{place}.until: {settings.until} cannot be reached at this rate within {MOST_ROUNDS} rounds; "
                    f"the highest prunable sparsity is {best:.4f}: raise the rate or lower until"
                )
        return number

    independent = {kind: 1.0 - (1.0 - rate) ** members for kind, rate in rates.items()}
    fewest = rounds({kind: members * rate for kind, rate in rates.items()})
    most = rounds(rates)
    expected = rounds(dict.fromkeys(rates, loss) if loss else independent)
    return SearchForecast(expected, fewest, most, highest)


@dataclass(frozen=True)
class Cost:
    """Training images forward and backward: of searches, of arms beyond them, and all trainings that make them up."""

    search: int
    evaluation: int
    trainings: int

    @property
    def total(self) -> int:
        return self.search + self.evaluation


def cost(experiment: Experiment, images: int, rounds: Mapping[tuple[str, int], int]) -> Cost:
    """Images of the whole run, given the rounds of each (search, seed) and the training images of the data set.

    A training that two parts share is counted once, for the search where one of them is a search. It goes by names
    for what makes trainings equal: a ticket's own training is the next round's of an IMP search, the first round's
    without rewinding is the dense network's.
    """
    recipe = experiment.recipe
    per_epoch = steps_per_epoch(images, recipe.batch)
    whole = recipe.epochs * images
    searched: dict[tuple[object, ...], int] = {}
    evaluated: dict[tuple[object, ...], int] = {}
    for seed in experiment.seeds:
        for name, settings in experiment.searches.items():
            step = steps_of(settings.rewind, per_epoch)
            tail = max(0, whole - step * images // per_epoch)
            if step:
                searched["point", step, seed] = whole - tail
            for number in range(1, rounds[name, seed] + 1):
                if isinstance(settings, Colt):
                    parts = settings.segments
                    for member in range(parts):
                        share = tail * (member + 1) // parts - tail * member // parts
                        searched["member", name, seed, number, member] = share
                else:
                    searched[ticket_name(name, number - 1, step, seed)] = tail
        for arm_name, arm in experiment.arms.items():
            if arm.ticket is None:
                evaluated[ticket_name("", 0, 0, seed)] = whole
            for name in experiment.tickets_of(arm):
                step = steps_of(experiment.searches[name].rewind, per_epoch)
                found = range(1, rounds[name, seed] + 1)
                chosen = list(found) if arm.at is None else list(found)[-len(set(arm.at)) :]
                for number in chosen:
                    if arm.mask == "found" and arm.start == "ticket":
                        tail = max(0, whole - step * images // per_epoch)
                        evaluated[ticket_name(name, number, step, seed)] = tail
                    else:
                        evaluated[arm_name, name, number, seed] = whole
    extra = {name: count for name, count in evaluated.items() if name not in searched}
    return Cost(sum(searched.values()), sum(extra.values()), len(searched) + len(extra))


def ticket_name(search: str, number: int, step: int, seed: int) -> tuple[object, ...]:
    """A name that is equal for equal trainings from W_k on all the data; ticket 0 is the dense network."""
    return ("ticket", search if number else "", number, step, seed)


def nearest(levels: Iterable[float], sparsities: Mapping[int, float]) -> set[int]:
    """For each level the round whose sparsity is nearest; of two equally near the earlier."""
    return {min(sparsities, key=lambda number: (abs(sparsities[number] - level), number)) for level in levels}
