"""Measurements equal the formulas of the papers, on tensors worked out by hand and against plain loops in float64."""

import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from engine import masks
from engine.data import load
from engine.measurements import Errand
from engine.measurements.interpolation import Interpolation, barrier, between
from engine.measurements.saliency import Saliency, even
from engine.measurements.weights import Angle, Correlation, distance, overlap
from engine.networks import build, initialise
from engine.schedules import batch_sizes
from engine.training import Trainer, Training
from presets.schema import Data, Network, Recipe

DATA = load(Data())
NETWORK = Network(name="conv3", width=0.1)
RECIPE = Recipe(epochs=2, batch=64, lr=0.1)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
NAMES = ("conv1.weight", "conv2.weight", "conv3.weight", "head.weight")


def taken(job, states=None, trainer=None):
    errand = Errand(trainer or Trainer(DATA), job, states or job.of)
    said = ()
    while not errand.over:
        said = errand.advance()
    [(_, measured)] = said
    return measured


def inputs(samples: torch.Tensor) -> torch.Tensor:
    mean, deviation = torch.tensor(DATA.mean)[:, None, None], torch.tensor(DATA.deviation)[:, None, None]
    return ((DATA.images[samples] / DATA.white - mean) / deviation).double()


def module_of(state, train: bool) -> nn.Module:
    module = build(NETWORK, DATA.shape, DATA.classes).double()
    module.load_state_dict(state)
    return module.train(train)


# Gradients


def loss_at(module: nn.Module, batches, count: int) -> torch.Tensor:
    """The mean loss over all images, each batch with its own statistics."""
    return sum(F.cross_entropy(module(inputs(b)), DATA.labels[b], reduction="sum") for b in batches) / count


@pytest.mark.parametrize("batch", [64, 33])
def test_snip_scores_are_the_size_of_weight_times_gradient(batch):
    state = initialise(NETWORK, DATA.shape, DATA.classes, 0)
    job = Saliency(0, (state,), NETWORK, RECIPE.model_copy(update={"batch": batch}), DATA.all(), NAMES, 10, "snip")
    measured = taken(job)
    samples = even(DATA, DATA.all(), 10, 0)
    module = module_of(state, train=True)
    weights = [dict(module.named_parameters())[name] for name in NAMES]
    gradients = torch.autograd.grad(
        loss_at(module, samples.split(batch_sizes(len(samples), batch)), len(samples)), weights
    )
    for name, weight, gradient in zip(NAMES, weights, gradients, strict=True):
        assert torch.allclose(measured.tensors[name].double(), (weight * gradient).abs().detach(), atol=1e-6)
    assert (measured.images, measured.images_forward) == (100, 0)


def test_grasp_scores_are_weight_times_the_hessians_product_with_the_gradient():
    state = initialise(NETWORK, DATA.shape, DATA.classes, 0)
    job = Saliency(0, (state,), NETWORK, RECIPE.model_copy(update={"batch": 50}), DATA.all(), NAMES, 10, "grasp")
    measured = taken(job)
    samples = even(DATA, DATA.all(), 10, 0)
    module = module_of(state, train=True)
    weights = [dict(module.named_parameters())[name] for name in NAMES]
    loss = loss_at(module, samples.split(50), len(samples))
    gradients = torch.autograd.grad(loss, weights, create_graph=True)
    norm = sum(g.square().sum() for g in gradients) / 2  # its gradient is H g
    products = torch.autograd.grad(norm, weights)
    for name, weight, product in zip(NAMES, weights, products, strict=True):
        expected = (weight * product).detach()
        assert torch.allclose(measured.tensors[name].double(), expected, atol=1e-4 * expected.abs().max().item())
    assert measured.images == 200


def test_what_grasp_removes_first_lets_the_gradient_flow_more_than_what_it_keeps_longest():
    """The sign of the rule, by its effect: to first order, and where the step is small that is all there is."""
    state = initialise(NETWORK, DATA.shape, DATA.classes, 1)
    scores = taken(Saliency(1, (state,), NETWORK, RECIPE, DATA.all(), NAMES, 10, "grasp")).tensors
    samples = even(DATA, DATA.all(), 10, 1)

    def flow(mask, shrink: float) -> float:
        """The gradient's squared norm with the weights outside the mask shrunk by a small share."""
        shrunk = {n: t * (1 - shrink * ~mask[n]) if n in mask else t for n, t in state.items()}
        module = module_of(shrunk, train=True)
        weights = [dict(module.named_parameters())[name] for name in NAMES]
        gradients = torch.autograd.grad(loss_at(module, samples.split(64), len(samples)), weights)
        return float(sum(g.square().sum() for g in gradients))

    whole = masks.full({name: state[name] for name in NAMES})
    count = masks.alive(whole) // 5
    first = masks.prune_lowest(scores, whole, NAMES, count)
    last = masks.prune_lowest({name: -score for name, score in scores.items()}, whole, NAMES, count)
    plain = flow(whole, 0.0)
    assert flow(first, 0.01) > plain > flow(last, 0.01)


def test_the_same_number_of_images_of_every_class_is_looked_at():
    samples = even(DATA, DATA.all(), 7, 3)
    assert DATA.labels[samples].bincount().tolist() == [7] * 10
    assert set(samples.tolist()) <= set(DATA.train.tolist())
    assert not torch.equal(samples, even(DATA, DATA.all(), 7, 4))


# Interpolation


def trained(seed: int, copy: int = 0) -> tuple[Training, dict]:
    start = initialise(NETWORK, DATA.shape, DATA.classes, seed)
    job = Training(NETWORK, RECIPE, DATA.all(), seed, start, {}, copy=copy)
    return job, Trainer(DATA).train(job).state


def test_errors_on_the_line_are_those_of_a_plain_loop_with_recomputed_statistics():
    (first, a), (second, b) = trained(0), trained(0, copy=1)
    job = Interpolation(0, (first, second), NETWORK, RECIPE, DATA.all(), points=4)
    measured = taken(job, [a, b])
    assert measured.figures["alpha"] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    seen = DATA.train  # fewer than are asked for, in two batches; their order does not change a mean over all
    from engine.draws import permutation

    order = seen[permutation(len(seen), 0, "statistics")]
    size = len(order) // 2
    for alpha, error in zip(measured.figures["alpha"], measured.figures["error"], strict=True):
        module = module_of(between(a, b, alpha), train=True)
        for layer in module.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.reset_running_stats()
                layer.momentum = None
        with torch.no_grad():
            for batch in (order[:size], order[size : 2 * size]):
                module(inputs(batch))
            wrong = (module.eval()(inputs(DATA.test)).argmax(1) != DATA.labels[DATA.test]).float().mean()
        assert error == pytest.approx(float(wrong), abs=1.01 / len(DATA.test)), "an image may lie on an edge"
    assert measured.images_forward == 4 * (len(DATA.test) + len(DATA.train))


def test_train_error_is_taken_of_the_views_own_images():
    view = DATA.of_classes("few", [0, 1, 2])
    start = initialise(NETWORK, DATA.shape, 3, 0)
    measured = taken(Interpolation(0, (start, start), NETWORK, RECIPE, view, points=3, error="train"))
    assert measured.figures["error"] == [measured.figures["error"][0]] * 3
    assert measured.figures["error"][0] * len(view.samples) == pytest.approx(
        round(measured.figures["error"][0] * len(view.samples))
    )


def test_between_two_states_floats_are_mixed_and_counts_stay():
    first = {"w": torch.tensor([0.0, 2.0]), "n": torch.tensor(3)}
    second = {"w": torch.tensor([4.0, 2.0]), "n": torch.tensor(9)}
    middle = between(first, second, 0.25)
    assert middle["w"].tolist() == [1.0, 2.0]
    assert int(middle["n"]) == 3


def test_a_barrier_is_the_highest_error_above_the_mean_of_the_ends():
    assert barrier([0.10, 0.50, 0.30, 0.20]) == pytest.approx(0.35)
    assert barrier([0.2, 0.1, 0.4]) == pytest.approx(0.1), "an end itself may be the highest"


def test_copies_of_a_training_differ_in_their_order_and_augmentation_alone():
    (job, state), (copy, other) = trained(0), trained(0, copy=1)
    assert job.key != copy.key
    assert replace(copy, copy=0).key == job.key
    assert not torch.equal(state["conv1.weight"], other["conv1.weight"])
    assert torch.equal(job.start["conv1.weight"], copy.start["conv1.weight"])


# Weights


def test_r_is_the_overlap_of_the_largest_weights_layer_by_layer():
    first = {"a": torch.tensor([5.0, -4, 1, 0, 2, 3, 0.1, 0.2, 0.3, 0.4]), "b": torch.tensor([1.0, -2, 3, 4, 5])}
    second = {"a": torch.tensor([5.0, 0, 9, 0, 2, 3, 0.1, 0.2, 0.3, 0.4]), "b": torch.tensor([9.0, 8, 7, 1, 0])}
    whole = masks.full(first)
    # a: top 2 of 10 are {0, 1} and {0, 2}; b: top 1 of 5 are {4} and {0}.
    assert overlap(first, second, whole, 0.2) == {"both": 1, "top": 3, "expected": pytest.approx(2 * 2 / 10 + 1 / 5)}
    mask = {"a": torch.tensor([True] * 5 + [False] * 5), "b": torch.tensor([True] * 5)}
    assert overlap(first, second, mask, 0.4) == {"both": 1, "top": 4, "expected": pytest.approx(4 / 5 + 4 / 5)}


def test_r_of_a_network_with_itself_is_one_and_with_a_fresh_one_about_chance():
    first, second = (initialise(Network(name="conv3"), DATA.shape, 10, seed) for seed in (0, 1))
    whole = masks.full({name: first[name] for name in NAMES})
    same, other = overlap(first, first, whole, 0.2), overlap(first, second, whole, 0.2)
    assert same["both"] == same["top"]
    assert other["both"] / other["top"] == pytest.approx(other["expected"] / other["top"], abs=0.005)


def test_pairs_with_a_network_under_the_mask_count_remaining_weights_only():
    states = tuple(initialise(NETWORK, DATA.shape, 10, seed) for seed in range(3))
    mask = masks.shuffled(
        {n: torch.arange(states[0][n].numel()).view_as(states[0][n]) % 2 == 0 for n in NAMES}, 0, "some"
    )
    names, under = ("init", "trained", "ticket"), (False, False, True)
    figures = taken(Correlation(0, states, names, under, mask, 0.2)).figures
    assert {pair: one["remaining"] for pair, one in figures.items()} == {
        "init/trained": 0, "init/ticket": 1, "trained/ticket": 1,
    }  # fmt: skip
    assert figures["init/ticket"] == overlap(states[0], states[2], mask, 0.2) | {"remaining": 1}


@pytest.mark.parametrize(
    ("degrees", "expected"), [(0.0, 0.0), (1e-4, 1e-4 / 90), (45.0, 0.5), (90.0, 1.0), (180.0, 2.0)]
)
def test_the_angular_distance_is_one_where_weights_are_unrelated(degrees, expected):
    turn = math.radians(degrees)
    first = {"w": torch.tensor([3.0, 0.0, 7.0], dtype=torch.float64)}
    second = {"w": torch.tensor([math.cos(turn), math.sin(turn), -9.0], dtype=torch.float64)}
    mask = {"w": torch.tensor([True, True, False])}
    assert distance(first, second, mask) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    assert taken(Angle(0, (first, second), mask)).figures["distance"] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_angle_to_a_network_without_weights_is_no_number():
    zero = {"w": torch.zeros(3)}
    assert math.isnan(distance(zero, {"w": torch.ones(3)}, {"w": torch.ones(3, dtype=torch.bool)}))


def test_a_measurement_is_named_by_what_it_is_taken_of_and_how():
    (first, a), (second, b) = trained(0), trained(0, copy=1)
    job = Interpolation(0, (first, second), NETWORK, RECIPE, DATA.all())
    assert job.key == Interpolation(0, (first, second), NETWORK, RECIPE, DATA.all()).key
    others = [
        replace(job, points=5), replace(job, error="train"), replace(job, of=(second, first)), replace(job, seed=1),
        replace(job, view=DATA.of_classes("some", [0, 1])), replace(job, of=(a, b)),
    ]  # fmt: skip
    assert len({job.key, *(other.key for other in others)}) == 7


def test_a_rig_that_failed_is_given_up_and_one_that_was_left_is_kept():
    trainer, start = Trainer(DATA), initialise(NETWORK, DATA.shape, DATA.classes, 0)
    line = Interpolation(0, (start, start), NETWORK, RECIPE, DATA.all(), points=3)
    errand = Errand(trainer, line, [start, start])
    errand.advance()
    errand.close()
    assert len(trainer.idle) == 1
    [(_, rig)] = trainer.idle
    assert all(layer.momentum == 0.1 for layer in rig.module.modules() if isinstance(layer, nn.BatchNorm2d))
    broken = Errand(trainer, line, [start, {}])
    with pytest.raises(KeyError):
        broken.advance()
    assert trainer.idle == [], "on a card it would hold the memory that was lacking"


@pytest.mark.gpu
@GPU
def test_a_card_measures_what_the_cpu_does_to_rounding():
    (first, a), (second, b) = trained(0), trained(0, copy=1)
    card = Trainer(DATA, "cuda")
    line = Interpolation(0, (first, second), NETWORK, RECIPE, DATA.all(), points=4)
    here, there = (taken(line, [a, b], trainer).figures["error"] for trainer in (Trainer(DATA), card))
    assert there == pytest.approx(here, abs=3 / len(DATA.test))
    for rule in ("snip", "grasp"):
        job = Saliency(0, (a,), NETWORK, RECIPE, DATA.all(), NAMES, 10, rule)
        cpu, cuda = (taken(job, trainer=trainer).tensors for trainer in (Trainer(DATA), card))
        for name in NAMES:
            assert torch.allclose(cpu[name], cuda[name], atol=1e-3 * cpu[name].abs().max().item())


@pytest.mark.gpu
@GPU
def test_measurements_and_trainings_take_turns_on_a_card_and_come_out_as_alone():
    (first, a), (second, b) = trained(0), trained(0, copy=1)
    line = Interpolation(0, (first, second), NETWORK, RECIPE, DATA.all(), points=4)
    alone = taken(line, [a, b], Trainer(DATA, "cuda"))
    trainer = Trainer(DATA, "cuda")
    errands = [Errand(trainer, line, [a, b]), Errand(trainer, line, [a, b])]
    course, results = trainer.course([first]), []
    while not (course.over and all(errand.over for errand in errands)):
        for errand in errands:
            if not errand.over:
                results += errand.advance()
        if not course.over:
            course.advance()
    assert [result.figures for _, result in results] == [alone.figures] * 2
