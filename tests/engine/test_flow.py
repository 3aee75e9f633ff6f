"""Gradient flow is what autograd says, and looking at it changes nothing; a sparse start has the variance it should."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from engine import masks
from engine.arms import arm_training, dense_training
from engine.draws import permutation
from engine.hooks.flow import SAMPLE, Flow, squared
from engine.hooks.moving import Moving
from engine.networks import build, initialise
from engine.networks.sparse import by_layer, by_neuron
from engine.schedules import batch_sizes
from engine.searches import Context
from engine.training import Trainer
from presets.schema import Arm, Network, Recipe
from tests.engine.test_moving import NAMES, RECIPE, moving, sparse
from tests.engine.test_searches import DATA, experiment, turn
from tests.engine.test_training import INPUTS, job

# Gradient flow


def taken(wanted, samples) -> tuple[float, torch.nn.Module]:
    """At the training's start, and the rig's network after it."""
    rig = Trainer(DATA).course([wanted]).rig
    return float(squared(rig, samples)), rig.module


def plain(wanted, samples, batch: int) -> float:
    """In float64: norm layers by batch, pruned weights and weight decay left out."""
    module = build(wanted.network, DATA.shape, 10).double()
    module.load_state_dict(wanted.start)
    parameters = dict(module.named_parameters())
    with torch.no_grad():
        for name, keep in wanted.mask.items():
            parameters[name] *= keep
    module.train()
    for part in samples.split(batch_sizes(len(samples), batch)):
        loss = F.cross_entropy(module(INPUTS(part).double()), DATA.labels[part], reduction="sum") / len(samples)
        loss.backward()
    kept = {name: wanted.mask.get(name, torch.ones_like(p).bool()) for name, p in parameters.items()}
    return sum(float((p.grad * kept[name]).square().sum()) for name, p in parameters.items())


@pytest.mark.parametrize("mask", [{}, sparse()])
def test_gradient_flow_is_the_squared_norm_that_float64_autograd_gives(mask):
    wanted, samples = job(recipe=RECIPE, mask=mask), DATA.train[:300]
    found, module = taken(wanted, samples)
    assert found == pytest.approx(plain(wanted, samples, 64), rel=1e-4)
    after = module.state_dict()
    for name, tensor in wanted.start.items():
        if "running" in name or "tracked" in name:
            assert torch.equal(after[name], tensor), "running statistics are left untouched"


@pytest.mark.parametrize("wanted", [job(recipe=RECIPE), moving("rigl"), moving("set")])
def test_looking_at_gradient_flow_changes_no_bit_of_a_training(wanted):
    watched = replace(wanted, hooks=(Flow(1), *wanted.hooks))
    assert watched.key != wanted.key
    plain_told, told = [], []
    without, found = Trainer(DATA).train(wanted, plain_told.append), Trainer(DATA).train(watched, told.append)
    assert all(torch.equal(tensor, found.state[name]) for name, tensor in without.state.items())
    assert (without.test, without.images, without.images_forward) == (found.test, found.images, found.images_forward)
    assert [one.train_loss for one in plain_told] == [one.train_loss for one in told]


def test_it_is_taken_before_the_first_step_after_every_second_epoch_and_around_updates():
    recipe = Recipe(lr=0.1, epochs=5, batch=600)  # two steps an epoch
    hooks = (Flow(2), Moving(NAMES, "set", 4, 0.3, 6))
    told = []
    Trainer(DATA).train(job(recipe=recipe, mask=sparse(), hooks=hooks), told.append)
    by_kind = {}
    for trace in (trace for one in told for trace in one.traces if trace.kind != "turnover"):
        by_kind.setdefault(trace.kind, []).append(trace)
    assert {kind: [t.step for t in traces] for kind, traces in by_kind.items()} == {
        "gradient flow": [0, 4, 8], "gradient flow before": [0, 4], "gradient flow after": [0, 4],
    }  # fmt: skip
    first, before = by_kind["gradient flow"][0], by_kind["gradient flow before"][0]
    assert first.value == before.value
    drawn = DATA.train[permutation(len(DATA.train), 0, "flow")[:SAMPLE]]
    wanted = job(recipe=recipe, mask=sparse())
    assert first.value == taken(wanted, drawn)[0], "on a sample of the training images that the seed draws"
    for one, other in zip(by_kind["gradient flow before"], by_kind["gradient flow after"], strict=True):
        assert one.value != other.value


def test_the_last_epoch_is_looked_at_too():
    told = []
    Trainer(DATA).train(job(recipe=RECIPE, hooks=(Flow(1),)), told.append)
    assert [trace.step for trace in told[-1].traces] == [0, 19]


def test_every_training_of_an_experiment_is_watched_or_none():
    searched = {"s": {"method": "imp", "rate": {"conv": 0.3}, "rounds": 1}}
    spec = experiment(**searched)
    looking = spec.model_copy(update={"flow": 3})
    for one, hooks in ((spec, ()), (looking, (Flow(3),))):
        context = Context(one, "s", 0, DATA)
        _, [ticket], [request], _ = turn(one, "s")
        jobs = [request.members[0], dense_training(one, DATA, Arm(), 0)]
        jobs += [arm_training(context, DATA, Arm(ticket="s", **arm), ticket) for arm in ({}, {"network": "small"})]
        assert [wanted.hooks for wanted in jobs] == [hooks] * 4
        assert jobs[0].key == jobs[1].key, "the first round still is the dense network"


# Sparse starts


def start_of(network: Network, share: float) -> tuple[dict, masks.Mask]:
    start = initialise(network, (1, 28, 28), 10, 0)
    names = [name for name, tensor in start.items() if tensor.ndim > 1]
    counts = {name: round(share * start[name].numel()) for name in names}
    return start, masks.drawn(counts, {name: tuple(start[name].shape) for name in names}, 7)


def test_scaled_by_hand():
    start = {"a.weight": torch.ones(3, 2, 1, 2), "b.weight": torch.full((1, 4), 2.0), "a.bias": torch.ones(3)}
    keep = torch.tensor([[[[1, 0]], [[0, 0]]], [[[1, 1]], [[1, 1]]], [[[0, 0]], [[0, 0]]]]).bool()
    own = by_neuron(start, {"a.weight": keep})
    assert own["a.weight"].flatten(1).tolist() == [[2.0] * 4, [1.0] * 4, [0.0] * 4], "one, all and no inputs of four"
    layer = by_layer(start, {"a.weight": keep})
    assert layer["a.weight"].tolist() == pytest.approx((torch.ones(3, 2, 1, 2) * (12 / 5) ** 0.5).numpy())
    for scaled in (own, layer):
        assert scaled["b.weight"] is start["b.weight"]
        assert scaled["a.bias"] is start["a.bias"]
    assert (by_layer(start, {"b.weight": torch.zeros(1, 4).bool()})["b.weight"] == 0).all()


def test_weights_of_a_neuron_with_n_inputs_have_variance_two_over_n():
    start, mask = start_of(Network(name="lenet-300-100"), 0.05)
    own, layer = by_neuron(start, mask), by_layer(start, mask)
    for name in ("linear1.weight", "linear2.weight"):
        inputs = mask[name].sum(1, keepdim=True)
        standard = (own[name] * (inputs / 2).sqrt())[mask[name]]
        assert float(standard.var()) == pytest.approx(1.0, rel=4 * (2 / len(standard)) ** 0.5), name
        fewest, most = (mask[name] & (inputs == bound) for bound in (inputs[inputs > 0].min(), inputs.max()))
        assert own[name][fewest].std() > own[name][most].std()
        assert float(layer[name][mask[name]].var()) == pytest.approx(2 / (0.05 * mask[name].shape[1]), rel=0.1)
        signs = start[name].sign()[mask[name]]
        assert torch.equal(own[name].sign()[mask[name]], signs), "the dense draws, scaled"


def test_a_sparse_start_has_a_far_larger_gradient_at_the_beginning_than_a_dense_one():
    network = Network(name="lenet-300-100")
    start = initialise(network, DATA.shape, 10, 0)
    names = [name for name, tensor in start.items() if tensor.ndim > 1]
    counts = {name: round(0.05 * start[name].numel()) for name in names}
    mask = masks.drawn(counts, {name: tuple(start[name].shape) for name in names}, 7)
    flows = [
        taken(job(network=network, recipe=RECIPE, mask=mask, start=one), DATA.train)[0]
        for one in (start, by_neuron(start, mask), by_layer(start, mask))
    ]
    assert flows[1] > 5 * flows[0]
    assert flows[2] > 5 * flows[0]


@pytest.mark.parametrize(("name", "scaled"), [("sparse-neuron", by_neuron), ("sparse-layer", by_layer)])
def test_arms_scale_to_the_mask_that_they_train(name, scaled):
    context, [ticket], _, _ = turn(experiment(s={"method": "one-shot", "sparsity": [0.8], "rewind": "4 steps"}), "s")
    for mask in ("found", "random"):
        wanted = arm_training(context, DATA, Arm(ticket="s", start=name, mask=mask), ticket)
        expected = scaled(context.initial(), wanted.mask)
        assert all(torch.equal(tensor, expected[key]) for key, tensor in wanted.start.items())
        assert wanted.start_step == 0
    whole = arm_training(context, DATA, Arm(ticket="s", start=name, mask="full"), ticket)
    assert whole.key == dense_training(context.experiment, DATA, Arm(), 0).key
