"""What an experiment will cost, before it starts and as it goes: rounds, trainings, images.

Rounds of IMP are exact, since its counts are. The loss a round of P members is known only between r (they agree) and
min(1, P·r) (disjoint); until a round was measured it is taken as if members were independent, 1 − (1 − r)^P.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from engine.hooks.flow import SAMPLE
from engine.masks import due, pools
from engine.measurements import STATISTICS
from engine.networks import Weight
from engine.schedules import steps_in_proportion, steps_per_epoch
from engine.searches import leader, prunable, reached
from presets.schema import (
    FRESH,
    Arm,
    AtOnce,
    Colt,
    Correlation,
    Corruption,
    Experiment,
    Finding,
    Found,
    Gmp,
    Grasp,
    Hybrid,
    Imp,
    Moving,
    OfWeights,
    OneShot,
    Prac,
    RandomTickets,
    Recipe,
    Regrowing,
    Rewinding,
    Searching,
    Snip,
    Solutions,
    Stability,
    Successive,
    Transfer,
    steps_of,
)

MASK_RATIO = 1 / 8  # a packed mask holds a bit a weight
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

    `loss` is what the last round removed of each layer kind: of several members; of one it is the rate.

    Raises:
        Unreachable: the target cannot be met.
    """
    at_once = experiment.searches[name]
    place = f"searches.{name}"
    kinds = prunable(experiment, name, weights)
    if not kinds:
        held = ", ".join(sorted({w.kind for w in weights} - {"norm"}))
        key, asked = (
            ("layers", at_once.layers) if isinstance(at_once, AtOnce) else ("rate", leader(experiment, name).rates())
        )
        words = f"{experiment.network.name} has no {', '.join(asked)} layers to prune (it has {held})"
        raise Unreachable(f"{place}.{key}: {words}")
    if isinstance(at_once, AtOnce):
        levels = dict(enumerate(at_once.sparsity, 1))
        highest = sum(w.count for w in weights if w.name in kinds) / sum(w.count for w in weights)
        return SearchForecast(levels, len(levels), len(levels), len(levels), highest)
    settings = leader(experiment, name)
    rates = settings.rates()
    full = {w.name: w.count for w in weights if w.name in kinds}
    whole = sum(full.values())
    highest = whole / sum(w.count for w in weights)
    if settings.until is not None and settings.of == "total" and settings.until > highest:
        raise Unreachable(
            f"{place}.until: a total sparsity of {settings.until:g} cannot be reached: only {whole:,} weights are "
            f"prunable; the highest is {highest:.4f}"
        )

    def ahead(loss_of: Mapping[str, float]) -> tuple[dict[int, float], bool]:
        """Sparsity by round at these losses, and whether the target is met."""
        groups = pools(kinds, loss_of, settings.scope)
        left = [sum((alive or full)[layer] for layer in names) for _, names in groups]
        path: dict[int, float] = {}
        number = done
        while settings.rounds is None or number < settings.rounds:
            if settings.until is not None and reached(settings, whole - sum(left), kinds, weights):
                break
            gone = [due(min(1.0, rate), count) for (rate, _), count in zip(groups, left, strict=True)]
            left = [count - less for count, less in zip(left, gone, strict=True)]
            number += 1
            path[number] = 1.0 - sum(left) / whole
            if not any(gone) or number >= MOST_ROUNDS:
                return path, settings.until is None
        return path, True

    members = settings.members
    fewest, _ = ahead({kind: members * rate for kind, rate in rates.items()})
    most, met = ahead(rates)
    if not met:
        raise Unreachable(
            f"{place}.until: {settings.until} cannot be reached at this rate within {MOST_ROUNDS} rounds; "
            f"the highest prunable sparsity is {max(most.values()):.4f}: raise the rate or lower until"
        )
    measured = loss if members > 1 else None
    path, _ = ahead(measured or {kind: 1.0 - (1.0 - rate) ** members for kind, rate in rates.items()})
    expected, low, high = (max(rounds, default=done) for rounds in (path, fewest, most))
    return SearchForecast(path, expected, low, high, highest)


@dataclass(frozen=True)
class Cost:
    """Training images forward and backward: of searches, of arms beyond them, and all trainings that make them up; and
    images that measurements see, forward only, or as many as cost what gradient flow does."""

    search: int
    evaluation: int
    trainings: int
    forward: int = 0

    @property
    def total(self) -> int:
        return self.search + self.evaluation


def disk_bytes(experiment: Experiment, weights: int, starts: int, tickets: int, members: int, trainings: int) -> int:
    """Bytes of the files that these leave: starts of so many seeds, tickets, members of their rounds, and trainings.

    `weights` has the network; a weight takes 4 bytes in a state, which only some settings keep, and a bit in a mask.
    """
    held = any(isinstance(check, OfWeights) for check in experiment.checks.values())  # until the run is finished
    states = {"tickets": 0, "rounds": members, "all": trainings}["all" if held else experiment.keep]
    return int(4 * weights * (starts + states) + tickets * weights * MASK_RATIO)


def members_of(experiment: Experiment, rounds: Mapping[tuple[str, int], int]) -> int:
    """Trainings that find tickets, in so many rounds of each search and seed."""
    return sum(count * experiment.searches[name].members for (name, _), count in rounds.items())


@dataclass(frozen=True)
class Spent:
    """What a search of a seed has seen: training images by round, and the share of its data that the next one sees."""

    images: Mapping[int, int] = field(default_factory=dict)
    share: float = 1.0


def cost(
    experiment: Experiment,
    images: Mapping[str, int],
    classes: int,
    held_out: int,
    sparsities: Mapping[tuple[str, int], Mapping[int, float]],
    spent: Mapping[tuple[str, int], Spent] | None = None,
) -> Cost:
    """Images of the whole run, given the sparsity after every round of each (search, seed), the training images of
    every search's data ("" those that arms train on), its classes, and its test images. Rounds that choose their
    samples, or end early, are known once they are `spent`; until then they count in full.

    A training that two parts share is counted once, for the search where one of them is a search. It goes by names
    for what makes trainings equal: a ticket's own training is the next round's of an IMP search, the first round's
    without rewinding is the dense network's.
    """
    searched: dict[Name, int] = {}
    evaluated: dict[Name, int] = {}
    for seed in experiment.seeds:
        for name in experiment.searches:
            own = (spent or {}).get((name, seed), Spent())
            searched |= _searched(experiment, name, seed, images, classes, sparsities[name, seed], own)
        for arm_name, arm in experiment.arms.items():
            if arm.ticket is None:
                recipe = experiment.recipe_of("", arm)
                evaluated[dense_name(recipe, Corruption(), 0, seed)] = recipe.epochs * images[""]
            for name in experiment.tickets_of(arm):
                found = sparsities[name, seed]
                for number in found if arm.at is None or not found else nearest(arm.at, found):
                    sparsity = found[number]
                    evaluated |= _evaluated(experiment, arm_name, arm, name, number, seed, images, sparsity)
        for check in experiment.checks.values():
            paths = {
                name: sparsities[name, seed]
                for name, search in experiment.searches.items()
                if isinstance(search, Found)
            }
            if isinstance(check, Stability):
                evaluated |= _copies(experiment, check, seed, images, paths)
            elif isinstance(check, Correlation):
                evaluated |= _compared(experiment, check, seed, images, paths)
            elif isinstance(check, Solutions):
                evaluated |= _solved(experiment, check, seed, images, paths)
    extra = {name: count for name, count in evaluated.items() if name not in searched}
    forward = _measured(experiment, images[""], held_out, sparsities)
    if experiment.flow:
        forward += BACKWARD * min(SAMPLE, images[""]) * _looks(experiment, searched | extra, images)
    return Cost(sum(searched.values()), sum(extra.values()), len(searched) + len(extra), forward)


BACKWARD = 3
"""What an image costs forward and backward, over forward alone."""


def _looks(experiment: Experiment, trained: Mapping[Name, int], images: Mapping[str, int]) -> int:
    """How often gradient flow is taken: at the beginning, after epochs, and around each update of a mask."""
    assert experiment.flow
    looks = 0
    for name, count in trained.items():
        looks += 1 + count // (images[""] * experiment.flow)
        settings = experiment.searches[str(name[1])] if name[0] == "moving" else None
        if isinstance(settings, Moving):
            recipe = experiment.recipe_of(str(name[1]))
            per_epoch = steps_per_epoch(images[""], recipe.batch)
            steps = settings.until * recipe.epochs * per_epoch if isinstance(settings, Regrowing) else 0
            if isinstance(settings, Gmp):
                steps = steps_of(settings.end, per_epoch) - steps_of(settings.begin, per_epoch)
            looks += 2 * -int(-steps // settings.every)
    return looks


def _measured(
    experiment: Experiment, train: int, held_out: int, sparsities: Mapping[tuple[str, int], Mapping[int, float]]
) -> int:
    """Images that are looked at along the lines between networks, and at their ends."""
    total = 0
    for check in experiment.checks.values():
        lines = 0
        if isinstance(check, Stability):
            names = check.searches or [n for n, search in experiment.searches.items() if isinstance(search, Found)]
            lines = len(experiment.seeds) * (len(check.steps) + len(names) * len(check.at))
        elif isinstance(check, Successive):
            for (name, _), path in sparsities.items():
                settings = experiment.searches[name]
                if isinstance(settings, Imp | Colt) and name in (check.searches or experiment.searches):
                    lines += max(len(path) - 1, 0) * settings.members
        elif isinstance(check, Solutions):
            names = check.searches or [n for n, s in experiment.searches.items() if isinstance(s, Imp | OneShot | Gmp)]
            lines = 3 * len(experiment.seeds) * len(names)
            total += 2 * lines * (held_out + min(STATISTICS, train))  # both networks of a pair, on the test images
        else:
            continue
        total += lines * check.points * ((train if check.error == "train" else held_out) + min(STATISTICS, train))
    return total


Name = tuple[object, ...]
"""Equal for equal trainings."""


def _searched(
    experiment: Experiment,
    name: str,
    seed: int,
    sizes: Mapping[str, int],
    classes: int,
    path: Mapping[int, float],
    spent: Spent,
) -> dict[Name, int]:
    """Images of each training that finds a search's tickets. `sizes`: training images that searches see, "" all."""
    settings, images = experiment.searches[name], sizes[name]
    if isinstance(settings, Transfer | RandomTickets):
        return {}
    if isinstance(settings, Snip | Grasp):
        return {("saliency", name, seed): settings.images * classes * (2 if isinstance(settings, Grasp) else 1)}
    recipe, data = experiment.recipe_of(name), settings.data
    if isinstance(settings, Moving):
        return {("moving", name, number, seed): recipe.epochs * images for number in path}
    per_epoch, step = _rewound(settings, recipe, images, sizes[""])
    tail = recipe.epochs * images - step * images // per_epoch
    found: dict[Name, int] = {("point", recipe, data, step, seed): step * images // per_epoch} if step else {}
    stops = isinstance(settings, Rewinding | Hybrid) and settings.stop is not None
    if isinstance(settings, Prac) or (stops and not isinstance(settings, AtOnce)):  # no arm's training is the same
        parts = settings.members
        for number in path:
            seen = spent.images.get(number, round(tail * (spent.share if number > min(path) else 1.0)))
            for member in range(parts):
                found["round", name, seed, number, member] = seen * (member + 1) // parts - seen * member // parts
    elif stops:
        found["round", name, seed, 1, 0] = spent.images.get(1, tail)
    elif isinstance(settings, Colt):
        parts = settings.members
        for number in path:
            for member in range(parts):
                found["member", name, seed, number, member] = tail * (member + 1) // parts - tail * member // parts
    elif isinstance(settings, Imp):
        for number in path:
            found[ticket_name(recipe, data, name, number - 1, step, seed)] = tail
    else:
        found[dense_name(recipe, data, step, seed)] = tail
    return found


def _rewound(settings: Searching, recipe: Recipe, images: int, whole: int) -> tuple[int, int]:
    """Steps of an epoch of `images`, of all `whole`, and the step that a search goes back to."""
    per_epoch, per_whole = (steps_per_epoch(count, recipe.batch) for count in (images, whole))
    if not isinstance(settings, Rewinding):
        return per_epoch, 0
    return per_epoch, steps_in_proportion(settings.rewind, per_epoch, per_whole)


def _evaluated(
    experiment: Experiment,
    arm_name: str,
    arm: Arm,
    name: str,
    number: int,
    seed: int,
    images: Mapping[str, int],
    sparsity: float = 0.0,
) -> dict[Name, int]:
    """Images of an arm's training of one ticket, which has this sparsity."""
    settings, recipe = experiment.searches[name], experiment.recipe_of(name, arm)
    if isinstance(settings, Moving) and not arm.changes:
        return {("moving", name, number, seed): recipe.epochs * images[""]}
    per_epoch, step = _rewound(settings, recipe, images[""], images[""])
    fresh = arm.network == "small" or arm.start in FRESH
    begin = steps_of(arm.begin, per_epoch) if arm.begin is not None else 0 if fresh else step
    whole = recipe.epochs * images[""] - begin * images[""] // per_epoch
    scaled = isinstance(settings, Regrowing) and settings.start != "init"  # to its first mask: one start a ticket
    same = arm.weights == "own" and arm.network == "own" and (fresh or begin == step)
    same = same and not (scaled and arm.start == "ticket")
    if same and arm.mask == "found" and (arm.start == "ticket" or (arm.start == "init" and not step)):
        return {ticket_name(recipe, Corruption(), name, number, begin, seed): whole}
    if same and arm.mask == "full" and arm.start != "trained":  # one for all tickets of a start
        if arm.start == "reinit":
            return {("reinit", recipe, begin, seed): whole}
        if isinstance(settings, Transfer | Hybrid) and arm.start == "ticket":
            return {("given", name, recipe, seed): whole}
        return {dense_name(recipe, Corruption(), begin, seed): whole}
    if arm.network == "small":
        return {("small", recipe, begin, round(sparsity, 9), seed): whole}
    return {(arm_name, name, number, seed): whole}


Paths = Mapping[str, Mapping[int, float]]
"""Sparsity after every round of each search."""


def _copies(
    experiment: Experiment, check: Stability, seed: int, images: Mapping[str, int], paths: Paths
) -> dict[Name, int]:
    """What instability analysis trains: to step k, and two copies from there."""
    recipe, count = experiment.recipe, images[""]
    per_epoch = steps_per_epoch(count, recipe.batch)
    found: dict[Name, int] = {}
    for length in check.steps:
        step = steps_of(length, per_epoch)
        before = step * count // per_epoch
        if before < recipe.epochs * count:
            found |= {("point", recipe, Corruption(), step, seed): before} if step else {}
            tail = recipe.epochs * count - before
            found |= {dense_name(recipe, Corruption(), step, seed): tail, ("copy", recipe, step, seed): tail}
    for name in paths if check.searches is None else check.searches:
        for number in nearest(check.at, paths[name]) if paths[name] else ():
            own = _evaluated(experiment, "", Arm(ticket=name), name, number, seed, images)
            found |= own | {("copy", *key): tail for key, tail in own.items()}
    return found


def _compared(
    experiment: Experiment, check: Correlation, seed: int, images: Mapping[str, int], paths: Paths
) -> dict[Name, int]:
    """What weight correlation trains: the dense network, the ticket, and its mask with fresh weights."""
    found: dict[Name, int] = {}
    for name in check.searches or paths:
        settings, recipe = experiment.searches[name], experiment.recipe_of(name)
        per_epoch, step = _rewound(settings, recipe, images[name], images[""])
        data = settings.data if isinstance(settings, Finding) else Corruption()
        dense = dense_name(recipe, data, step, seed)
        found[dense] = recipe.epochs * images[name] - step * images[name] // per_epoch
        arms = {"": Arm(ticket=name), _fresh(experiment, name): Arm(ticket=name, start="reinit")}
        for number in nearest([check.at], paths[name]) if paths[name] else ():
            for arm_name, arm in arms.items():
                found |= _evaluated(experiment, arm_name, arm, name, number, seed, images)
    return found


def _solved(
    experiment: Experiment, check: Solutions, seed: int, images: Mapping[str, int], paths: Paths
) -> dict[Name, int]:
    """What is trained to compare solutions: the ticket's mask from its own start, and with fresh weights."""
    found: dict[Name, int] = {}
    for name, path in paths.items():
        settings = experiment.searches[name]
        if not path or name not in (check.searches or paths) or not isinstance(settings, Imp | OneShot | Gmp):
            continue
        arms = {"": Arm(ticket=name, start="init" if isinstance(settings, Gmp) else "ticket")}
        arms[_fresh(experiment, name)] = Arm(ticket=name, start="reinit")
        for number in nearest([check.at], path):
            for arm_name, arm in arms.items():
                found |= _evaluated(experiment, arm_name, arm, name, number, seed, images)
    return found


def _fresh(experiment: Experiment, search: str) -> str:
    """The arm that trains this search's tickets with fresh weights, or a name for what only checks train."""
    arms = experiment.arms.items()
    fresh = [name for name, arm in arms if (arm.changes, arm.start) == (("start",), "reinit")]
    shared = [name for name in fresh if search in experiment.tickets_of(experiment.arms[name])]
    return (shared or ["fresh for a check"])[0]


def dense_name(recipe: Recipe, data: Corruption, step: int, seed: int) -> Name:
    """The dense network from W_k on all the data."""
    return ticket_name(recipe, data, "", 0, step, seed)


def ticket_name(recipe: Recipe, data: Corruption, search: str, number: int, step: int, seed: int) -> Name:
    """A ticket from W_k on all the data; ticket 0 is the dense network."""
    return ("ticket", recipe, data, search if number else "", number, step, seed)


def nearest(levels: Iterable[float], sparsities: Mapping[int, float]) -> set[int]:
    """For each level the round whose sparsity is nearest; of two equally near the earlier."""
    return {min(sparsities, key=lambda number: (abs(sparsities[number] - level), number)) for level in levels}
