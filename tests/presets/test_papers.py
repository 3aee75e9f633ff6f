"""Presets of papers, at their real shapes: small files in the real format, two optimizer steps and one prune.

A search that finds its tickets at once is run as it is, on the two steps' weights or on scores of a few images.

What is checked is counted here from the shapes alone: 4-dimensional weights are convolutions, `head.` is the head.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock, patch

import pytest
import torch
from torch import Tensor

from engine import masks, searches
from engine.arms import arm_training
from engine.data import View
from engine.data import load as load_data
from engine.forecast import search_forecast
from engine.hooks.gradual import Gradual
from engine.masks import Mask
from engine.measurements import Measured
from engine.measurements.saliency import Saliency
from engine.networks import build, weights
from engine.searches import Context, Measure, Ticket, Train, leader
from engine.training import Result, Stopped, Trainer, Training
from presets.loading import listing, load
from presets.schema import Arm, AtOnce, Experiment, Like, Moving, Pruning, Transfer
from tests.realdata import NAMED, prepare_small

BIG = [info.name for info in listing() if not info.own and not info.name.endswith("-smoke")]
SMOKE = {info.name for info in listing() if info.name.endswith("-smoke")}
BATCH = 4


def two_steps_of(name: str) -> tuple[str, ...]:
    """What the first two steps of a preset depend on; presets of which it is equal share them."""
    preset = load(name)
    return tuple(part.model_dump_json() for part in (preset.network, preset.data, preset.recipe))


FROM_PAPERS = sorted((name for name in BIG if load(name).data.name in NAMED), key=two_steps_of)
"""Those that share their steps follow each other, so that the weights of one training at a time are kept."""


@pytest.fixture(scope="module", autouse=True)
def data_here(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All downloaded sets, small."""
    folder: Path = tmp_path_factory.mktemp("data")
    for name in NAMED:
        prepare_small(name, folder)
    with patch.dict("os.environ", {"TOMBOLA_DATA": str(folder)}):
        yield


def kind_of(name: str, tensor: Tensor) -> str | None:
    """conv, linear or head for a weight that can be pruned; None for others."""
    if tensor.ndim < 2:
        return None
    return "conv" if tensor.ndim == 4 else "head" if name.startswith("head.") else "linear"


def after(trainer: Trainer, job: Training, steps: int) -> dict[str, Tensor]:
    """The state after so many steps; nothing is evaluated."""
    calls = iter(range(steps + 1))
    with pytest.raises(Stopped) as stopped:
        trainer.train(job, should_stop=lambda: next(calls) == steps)
    held = stopped.value.checkpoint.tensors
    return {name.removeprefix("state."): tensor for name, tensor in held.items() if name.startswith("state.")}


def pools(rates: dict[str, float], scope: str) -> list[tuple[float, set[str]]]:
    """Kinds that share a threshold, by hand: all of equal rate under "global", else each alone."""
    if scope == "global":
        return [(rate, {k for k in rates if rates[k] == rate}) for rate in set(rates.values())]
    return [(rate, {kind}) for kind, rate in rates.items()]


def prunable(start: dict[str, Tensor], kinds: Collection[str], spare_first: bool) -> dict[str, Tensor]:
    """Weights that a search of these kinds may prune, by hand: the first layer is the first that could be pruned."""
    named = [name for name, tensor in start.items() if kind_of(name, tensor)]
    spared = named[0] if spare_first else None
    return {name: start[name] for name in named if kind_of(name, start[name]) in kinds and name != spared}


@pytest.fixture(scope="module")
def two_steps() -> Callable[[str, Trainer, Context, View], tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """The weights that a preset starts with, and the state after two steps: as before if the preset before shares it.

    Tests only read them.
    """
    last: dict[tuple[str, ...], tuple[dict[str, Tensor], dict[str, Tensor]]] = {}

    def of(name: str, trainer: Trainer, context: Context, few: View) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if (key := two_steps_of(name)) not in last:
            last.clear()
            experiment = context.experiment
            start = context.initial()
            state = after(trainer, Training(experiment.network, experiment.recipe, few, 0, start, {}), 2)
            last[key] = start, state
        return last[key]

    return of


@pytest.mark.parametrize("name", FROM_PAPERS)
def test_a_preset_trains_prunes_and_counts_at_its_real_shape(name, two_steps):
    preset = load(name)
    small = {"recipe": preset.recipe.model_copy(update={"batch": BATCH})}
    small["searches"] = {
        n: s.model_copy(update={"sparsity": s.sparsity[-1:]}) if isinstance(s, AtOnce) else s
        for n, s in preset.searches.items()
    }  # each sparsity is found alike; the highest is where a rule may not be met
    experiment = preset.model_copy(update=small)
    data = load_data(experiment.data)
    few = data.of_samples("few", data.train[torch.arange(3 * BATCH) * (len(data.train) // (3 * BATCH))])
    trainer = Trainer(data)
    contexts = {search: Context(experiment, search, 0, data) for search in experiment.searches}
    start, state = two_steps(name, trainer, next(iter(contexts.values())), few)
    assert all(torch.isfinite(tensor).all() for tensor in state.values())
    total = sum(w.count for w in weights(build(experiment.network, data.shape, data.classes)))
    norms = sum(t.numel() for n, t in start.items() if n.endswith("weight") and t.ndim == 1)
    assert total == norms + sum(t.numel() for n, t in start.items() if kind_of(n, t))
    seen: list[tuple] = []  # of searches that differ in rates, levels or recipe alone the first is looked at
    for search, context in contexts.items():
        settings = experiment.searches[search]
        if isinstance(settings, Transfer) or (isinstance(settings, Pruning) and isinstance(settings.rate, Like)):
            continue
        kinds = settings.layers if isinstance(settings, AtOnce) else tuple(settings.rates())
        scope = getattr(settings, "scope", getattr(settings, "ratios", "global"))
        if (likeness := (settings.method, set(kinds), scope, settings.spare_first)) in seen:
            continue
        seen.append(likeness)
        counted = prunable(start, kinds, settings.spare_first)
        if isinstance(settings, AtOnce):
            tickets = found_at_once(trainer, context, few, state)
            checked_at_once(settings, tickets, counted, state)
            masks_found = [ticket.mask for ticket in tickets]
        else:
            masks_found = [pruned_once(context, counted, state)]
        if len(seen) == 1:
            masked = after(trainer, context.training(start, masks_found[0], few), 1)
            assert not any(torch.count_nonzero(masked[n].masked_fill(keep, 0)) for n, keep in masks_found[0].items())
            assert masks.alive(masks_found[0]) == sum(int(torch.count_nonzero(masked[n])) for n in masks_found[0])
        ticket = Ticket(1, context.whole(), masks_found[0], (masks_found[0],), start, 0)
        for arm in experiment.arms.values():
            if search in experiment.tickets_of(arm):
                checked_arm(arm, arm_training(context, data, arm, ticket, trained=state), ticket, start, state)


def pruned_once(context: Context, counted: dict[str, Tensor], state: dict[str, Tensor]) -> Mask:
    """The mask after one prune of a search by rounds, its counts held against the rates."""
    settings = context.pruning
    before = context.begin()[1]
    assert {n: tuple(m.shape) for n, m in before.items()} == {n: tuple(t.shape) for n, t in counted.items()}
    mask = context.prune(state, before)
    for rate, kinds in pools(settings.rates(), settings.scope) if settings.scope != "layer" else ():
        own = [n for n, t in counted.items() if kind_of(n, t) in kinds]
        total = sum(counted[n].numel() for n in own)
        assert total - sum(int(torch.count_nonzero(mask[n])) for n in own) == round(rate * total)
        assert_smallest_went(state, mask, own)
    return mask


def assert_smallest_went(state: dict[str, Tensor], mask: Mask, names: Iterable[str]) -> None:
    """What went is no larger than what stayed."""
    sizes = {name: state[name].abs() for name in names}
    gone = max(size.masked_fill(mask[name], 0).max() for name, size in sizes.items())
    kept = min(size.masked_fill(~mask[name], math.inf).min() for name, size in sizes.items())
    assert gone <= kept


def found_at_once(trainer: Trainer, context: Context, few: View, state: dict[str, Tensor]) -> list[Ticket]:
    """Every ticket of a search, as it finds them on weights after two steps, or on scores of an image a class."""
    found: list[Ticket] = []
    steps = searches.start(context)
    answer = None
    while True:
        try:
            request = steps.send(answer)
        except StopIteration:
            return found
        answer = None
        if isinstance(request, Train):
            moving = isinstance(context.settings, Moving)
            answer = [moved(trainer, job, few) if moving else Mock(state=state) for job in request.members]
        elif isinstance(request, Measure):
            answer = measured(trainer, replace(request.job, view=few, images=1))
        elif isinstance(request, Ticket):
            found.append(request)


def moved(trainer: Trainer, job: Training, few: View) -> Result:
    """The training, cut short to three steps, its mask moving before the second and ending before the third."""
    short = {"every": 1} | ({"begin": 0, "end": 2} if isinstance(job.hooks[-1], Gradual) else {"last": 2})
    hooks = (*job.hooks[:-1], replace(job.hooks[-1], **short))
    return trainer.train(replace(job, view=few, end_step=3, hooks=hooks))


def measured(trainer: Trainer, job: Saliency) -> Measured:
    parts = job.parts(trainer, job.of)
    while True:
        try:
            next(parts)
        except StopIteration as done:
            return done.value


def checked_at_once(
    settings: AtOnce, tickets: list[Ticket], counted: dict[str, Tensor], state: dict[str, Tensor]
) -> None:
    """A ticket for each sparsity, with exact counts and, where magnitude decides, the largest weights."""
    assert len(tickets) == len(settings.sparsity)
    total = sum(tensor.numel() for tensor in counted.values())
    by_layer = getattr(settings, "scope", "global") == "layer"
    for level, ticket in zip(settings.sparsity, tickets, strict=True):
        assert {n: tuple(m.shape) for n, m in ticket.mask.items()} == {n: tuple(t.shape) for n, t in counted.items()}
        if by_layer:
            assert all(
                m.numel() - int(torch.count_nonzero(m)) == round(level * m.numel()) for m in ticket.mask.values()
            )
        else:
            assert total - masks.alive(ticket.mask) == round(level * total)
        if settings.method == "hybrid" or (by_layer and settings.method != "gmp"):  # which trains on
            for name in counted:
                assert_smallest_went(state, ticket.mask, [name])
        elif settings.method == "one-shot":
            assert_smallest_went(state, ticket.mask, counted)
        if getattr(settings, "ratios", "") == "smart-ratio":
            heads = [name for name in counted if name.startswith("head.")]
            assert all(abs(int(torch.count_nonzero(ticket.mask[n])) - 0.3 * counted[n].numel()) <= 1 for n in heads)


def counts(mask: Mask) -> dict[str, int]:
    """Living weights of each layer."""
    return {name: int(torch.count_nonzero(keep)) for name, keep in mask.items()}


def checked_arm(arm: Arm, job: Training, ticket: Ticket, start: dict[str, Tensor], state: dict[str, Tensor]) -> None:
    """What an arm changes of a ticket is changed, and its schedule begins where it should."""
    if arm.network == "small":
        held = {n: t for n, t in start.items() if n.endswith("weight")}
        kept = sum(t.numel() for n, t in held.items() if n not in ticket.mask) + masks.alive(ticket.mask)
        assert abs(sum(t.numel() for n, t in job.start.items() if n.endswith("weight")) / kept - 1) < 0.05
        return
    if any(hook.masks for hook in job.hooks):  # the search's own training, whose mask moves to the ticket's
        assert not arm.changes
    elif arm.mask == "full":
        assert not job.mask
    else:
        assert masks.alive(job.mask) == masks.alive(ticket.mask)
    if arm.mask == "shuffled":
        assert counts(job.mask) == counts(ticket.mask)
    if arm.weights == "shuffled":
        before = state if arm.start == "trained" else start
        for name, keep in job.mask.items():
            assert torch.equal(job.start[name][keep].sort().values, before[name][keep].sort().values)
    assert job.start_step == 0


@pytest.mark.parametrize("name", BIG)
def test_rounds_are_those_of_the_arithmetic(name):
    """IMP at 20 % of one pool: 11, 14, 18 and 21 rounds to 90, 95, 98 and 99 % (colt.md); COLT within its bounds."""
    experiment = load(name)
    if experiment.data.name in NAMED:
        shape, classes = {
            "mnist": ((1, 28, 28), 10), "fashion-mnist": ((1, 28, 28), 10), "cifar10": ((3, 32, 32), 10),
            "cifar100": ((3, 32, 32), 100), "tiny-imagenet": ((3, 64, 64), 200),
        }[experiment.data.name]  # fmt: skip
    else:
        data = load_data(experiment.data) if experiment.data.name == "digits" else None
        shape, classes = (data.shape, data.classes) if data else ((3, 32, 32), 10)
    counted = weights(build(experiment.network, shape, classes))
    for search, settings in experiment.searches.items():
        if isinstance(settings, Transfer):
            continue
        forecast = search_forecast(experiment, search, counted)
        if isinstance(settings, AtOnce):
            assert tuple(forecast.path.values()) == settings.sparsity
            continue
        own = leader(experiment, search)
        rates = set(own.rates().values())
        assert forecast.fewest <= forecast.rounds <= forecast.most
        if own.until is None or own.of != "prunable" or len(rates) != 1 or own.rounds is not None:
            continue
        [rate] = rates
        members = own.members
        least, most = (
            math.ceil(math.log(1 - own.until) / math.log(1 - loss) - 1e-9) if loss < 1 else 1
            for loss in (min(members * rate, 1.0), rate)
        )
        assert abs(forecast.fewest - least) <= 1
        assert abs(forecast.most - most) <= 1
        if (rate, members) == (0.2, 1) and own.until in (0.9, 0.95, 0.98, 0.99):
            assert forecast.rounds == {0.9: 11, 0.95: 14, 0.98: 18, 0.99: 21}[own.until]


@pytest.mark.parametrize("name", BIG)
def test_a_preset_says_what_it_is_of_and_has_a_smoke_size(name):
    experiment: Experiment = load(name)
    assert experiment.title
    assert experiment.paper
    assert experiment.expect
    assert all(published.source for published in experiment.published.values())
    assert f"{name}-smoke" in SMOKE or experiment.data.name in ("digits", "glyphs")


STAND_INS = {
    "conv3": ("Conv-3", ("resnet20", "resnet32")),
    "lenet-300-100": ("LeNet-300-100", ("resnet20", "resnet32", "lenet-5")),
    "vgg11": ("VGG-11", ("vgg16", "vgg19")),
}
"""Networks that stand in for larger ones where a smoke preset is to show what a paper says: how a title calls them."""


@pytest.mark.parametrize("name", sorted(SMOKE))
def test_a_smoke_preset_asks_the_same_questions(name):
    small, big = load(name), load(name.removesuffix("-smoke"))
    if small.network.name != big.network.name:
        title, stands_for = STAND_INS[small.network.name]
        assert title in small.title
        assert big.network.name in stands_for
    assert {n: s.method for n, s in small.searches.items()} == {n: s.method for n, s in big.searches.items()}
    assert set(small.arms) == set(big.arms)
    assert {n: c.method for n, c in small.checks.items()} == {n: c.method for n, c in big.checks.items()}
    assert small.data.name in ("digits", "glyphs")
    assert not small.published  # those are of other data
