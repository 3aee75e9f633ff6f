"""What an experiment will cost, before it starts and as it goes: rounds, trainings, images.

Rounds of IMP are exact, since its counts are. COLT's loss a round is known only between r (members agree) and
min(1, P·r) (disjoint); until a round was measured it is taken as if members were independent, 1 − (1 − r)^P.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from engine.masks import due, pools
from engine.networks import Weight
from engine.schedules import steps_per_epoch
from engine.searches import leader, reached
from presets.schema import Colt, Experiment, Transfer, steps_of

MOST_ROUNDS = 1000  # a search that needs more is refused: its rate is far too small for its target


class Unreachable(Exception):
    """A target that no amount of pruning reaches; says the highest sparsity that can be."""


@dataclass(frozen=True)
class SearchForecast:
    """Sparsity after each coming round as expected, rounds in all within bounds, and the highest total sparsity."""

    path: dict[int, float]
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
    loss: Mapping[str, float] | None = None,
) -> SearchForecast:
    """Rounds of a search from its beginning, or from round `done` on with `alive` weights by layer.

    `loss` is what COLT's last round removed of each layer kind; IMP's loss is its rate.

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
    full = {w.name: w.count for w in weights if w.name in kinds}
    prunable = sum(full.values())
    highest = prunable / sum(w.count for w in weights)
    if settings.until is not None and settings.of == "total" and settings.until > highest:
        raise Unreachable(
            f"{place}.until: a total sparsity of {settings.until:g} cannot be reached: only {prunable:,} weights are "
            f"prunable; the highest is {highest:.4f}"
        )

    def ahead(loss_of: Mapping[str, float]) -> tuple[dict[int, float], bool]:
        """Sparsity by round at these losses, and whether the target is met."""
        groups = pools(kinds, loss_of, settings.scope)
        left = [sum((alive or full)[layer] for layer in names) for _, names in groups]
        path: dict[int, float] = {}
        number = done
        while settings.rounds is None or number < settings.rounds:
            if settings.until is not None and reached(settings, prunable - sum(left), kinds, weights):
                break
            gone = [due(min(1.0, rate), count) for (rate, _), count in zip(groups, left, strict=True)]
            left = [count - less for count, less in zip(left, gone, strict=True)]
            number += 1
            path[number] = 1.0 - sum(left) / prunable
            if not any(gone) or number >= MOST_ROUNDS:
                return path, settings.until is None
        return path, True

    members = settings.segments if isinstance(settings, Colt) else 1
    fewest, _ = ahead({kind: members * rate for kind, rate in rates.items()})
    most, met = ahead(rates)
    if not met:
        raise Unreachable(
            f"{place}.until: {settings.until} cannot be reached at this rate within {MOST_ROUNDS} rounds; "
            f"the highest prunable sparsity is {max(most.values()):.4f}: raise the rate or lower until"
        )
    measured = loss if isinstance(settings, Colt) else None
    path, _ = ahead(measured or {kind: 1.0 - (1.0 - rate) ** members for kind, rate in rates.items()})
    expected, low, high = (max(rounds, default=done) for rounds in (path, fewest, most))
    return SearchForecast(path, expected, low, high, highest)


@dataclass(frozen=True)
class Cost:
    """Training images forward and backward: of searches, of arms beyond them, and all trainings that make them up."""

    search: int
    evaluation: int
    trainings: int

    @property
    def total(self) -> int:
        return self.search + self.evaluation


def cost(experiment: Experiment, images: int, sparsities: Mapping[tuple[str, int], Mapping[int, float]]) -> Cost:
    """Images of the whole run, given the sparsity after every round of each (search, seed) and the data set's size.

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
            step = start_step(experiment, name, per_epoch)
            tail = whole - step * images // per_epoch
            if step:
                searched["point", step, seed] = whole - tail
            for number in () if isinstance(settings, Transfer) else sparsities[name, seed]:
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
                step = start_step(experiment, name, per_epoch)
                tail = whole - step * images // per_epoch
                found = sparsities[name, seed]
                for number in found if arm.at is None or not found else nearest(arm.at, found):
                    if arm.mask == "found" and arm.start == "ticket":
                        evaluated[ticket_name(name, number, step, seed)] = tail
                    elif arm.mask == "full" and arm.start == "reinit":
                        evaluated["reinit", seed] = whole
                    elif arm.mask == "full":  # one for all tickets of a start, and IMP's first round is the same
                        given = isinstance(experiment.searches[name], Transfer)
                        evaluated[("given", name, seed) if given else ticket_name("", 0, step, seed)] = tail
                    else:
                        evaluated[arm_name, name, number, seed] = whole if arm.start == "reinit" else tail
    extra = {name: count for name, count in evaluated.items() if name not in searched}
    return Cost(sum(searched.values()), sum(extra.values()), len(searched) + len(extra))


def start_step(experiment: Experiment, name: str, per_epoch: int) -> int:
    """Steps behind the start of a search's tickets; on new data a schedule begins anew."""
    settings = experiment.searches[name]
    return 0 if isinstance(settings, Transfer) else steps_of(settings.rewind, per_epoch)


def ticket_name(search: str, number: int, step: int, seed: int) -> tuple[object, ...]:
    """A name that is equal for equal trainings from W_k on all the data; ticket 0 is the dense network."""
    return ("ticket", search if number else "", number, step, seed)


def nearest(levels: Iterable[float], sparsities: Mapping[int, float]) -> set[int]:
    """For each level the round whose sparsity is nearest; of two equally near the earlier."""
    return {min(sparsities, key=lambda number: (abs(sparsities[number] - level), number)) for level in levels}
