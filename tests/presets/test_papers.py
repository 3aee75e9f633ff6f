"""Presets of papers, at their real shapes: small files in the real format, two optimizer steps and one prune.

What is checked is counted here from the shapes alone: 4-dimensional weights are convolutions, `head.` is the head.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from torch import Tensor

from engine import masks
from engine.data import load as load_data
from engine.forecast import search_forecast
from engine.networks import build, weights
from engine.searches import Context, leader
from engine.training import Stopped, Trainer, Training
from presets.loading import listing, load
from presets.schema import Experiment, Like, Pruning, Transfer
from tests.realdata import NAMED, prepare_small

BIG = [info.name for info in listing() if not info.own and not info.name.endswith("-smoke")]
SMOKE = {info.name for info in listing() if info.name.endswith("-smoke")}
FROM_PAPERS = [name for name in BIG if load(name).data.name in NAMED]
BATCH = 4


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


@pytest.mark.parametrize("name", FROM_PAPERS)
def test_a_preset_trains_prunes_and_counts_at_its_real_shape(name):
    preset = load(name)
    experiment = preset.model_copy(update={"recipe": preset.recipe.model_copy(update={"batch": BATCH})})
    data = load_data(experiment.data)
    few = data.of_samples("few", data.train[torch.arange(3 * BATCH) * (len(data.train) // (3 * BATCH))])
    trainer = Trainer(data)
    searches = [n for n, s in experiment.searches.items() if isinstance(s, Pruning) and not isinstance(s.rate, Like)]
    seen: list[tuple] = []  # of searches that differ in their rates alone the first is looked at
    state: dict[str, Tensor] | None = None
    for search in searches:
        context = Context(experiment, search, 0, data)
        settings = context.pruning
        if (set(settings.rates()), settings.scope) in seen:
            continue
        seen.append((set(settings.rates()), settings.scope))
        start = context.initial()
        if state is None:
            state = after(trainer, context.training(start, {}, few), 2)
        assert all(torch.isfinite(tensor).all() for tensor in state.values())
        counted = {n: t for n, t in start.items() if kind_of(n, t) in settings.rates()}
        before = context.begin()[1]
        assert {n: tuple(m.shape) for n, m in before.items()} == {n: tuple(t.shape) for n, t in counted.items()}
        mask = context.prune(state, before)
        for rate, kinds in pools(settings.rates(), settings.scope) if settings.scope != "layer" else ():
            own = [n for n, t in counted.items() if kind_of(n, t) in kinds]
            total = sum(counted[n].numel() for n in own)
            assert total - sum(int(mask[n].sum()) for n in own) == round(rate * total)
            # What went is no larger than what stayed.
            gone = max((state[n][~mask[n]].abs().max() for n in own if not mask[n].all()), default=torch.tensor(0.0))
            assert gone <= min(state[n][mask[n]].abs().min() for n in own if mask[n].any())
        total = sum(w.count for w in weights(build(experiment.network, data.shape, data.classes)))
        norms = sum(t.numel() for n, t in start.items() if n.endswith("weight") and t.ndim == 1)
        assert total == norms + sum(t.numel() for n, t in start.items() if kind_of(n, t))
        if len(seen) == 1:
            masked = after(trainer, context.training(start, mask, few), 1)
            assert all((masked[n][~keep] == 0).all() for n, keep in mask.items())
            assert masks.alive(mask) == sum(int(torch.count_nonzero(masked[n])) for n in mask)
    if not searches:
        assert all(isinstance(settings, Transfer) for settings in experiment.searches.values())
        start = Context(experiment, next(iter(experiment.searches)), 0, data).initial()
        dense = Training(experiment.network, experiment.recipe, few, 0, start, {})
        assert all(torch.isfinite(tensor).all() for tensor in after(trainer, dense, 2).values())


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
        own = leader(experiment, search)
        rates = set(own.rates().values())
        assert forecast.fewest <= forecast.rounds <= forecast.most
        if own.until is None or own.of != "prunable" or len(rates) != 1 or own.rounds is not None:
            continue
        [rate] = rates
        members = getattr(own, "segments", 1)
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


@pytest.mark.parametrize("name", sorted(SMOKE))
def test_a_smoke_preset_asks_the_same_questions(name):
    small, big = load(name), load(name.removesuffix("-smoke"))
    assert small.network.name == big.network.name
    assert {n: s.method for n, s in small.searches.items()} == {n: s.method for n, s in big.searches.items()}
    assert set(small.arms) == set(big.arms)
    assert small.data.name in ("digits", "glyphs")
