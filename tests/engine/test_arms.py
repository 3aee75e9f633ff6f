"""Arms are an algebra: mask × start × weights × network × recipe, and each arm differs in what it names alone."""

import pytest
import torch

from engine import masks
from engine.arms import arm_training, dense_training
from engine.data import corrupted
from engine.networks import initialise
from engine.networks.narrow import count, narrowed
from engine.training import Training
from presets.schema import Arm, Experiment, Network
from tests.engine.test_searches import DATA, experiment, turn

INGREDIENTS = ("network", "recipe", "view", "seed", "start", "mask", "start_step", "end_step", "copy")


@pytest.fixture(scope="module")
def found():
    """A context, a ticket at half the weights with a rewind point, and what its mask was found on."""
    spec = experiment(s={"method": "one-shot", "sparsity": [0.5], "layers": ["conv"], "rewind": "4 steps"})
    context, [ticket], [_, request], _ = turn(spec, "s")
    from engine.training import Trainer

    return context, ticket, Trainer(DATA).train(request.members[0]).state


def trained(found, **arm) -> Training:
    context, ticket, state = found
    return arm_training(context, DATA, Arm(ticket="s", **arm), ticket, state)


def differing(one: Training, other: Training) -> set[str]:
    """Ingredients that two trainings do not share."""

    def equal(a, b) -> bool:
        if isinstance(a, dict):
            return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)
        return a.digest == b.digest if hasattr(a, "digest") else a == b

    return {name for name in INGREDIENTS if not equal(getattr(one, name), getattr(other, name))}


@pytest.mark.parametrize(
    ("arm", "changed"),
    [
        ({"mask": "shuffled"}, {"mask"}),
        ({"mask": "random"}, {"mask"}),
        ({"mask": "uniform"}, {"mask"}),
        ({"mask": "erk"}, {"mask"}),
        ({"mask": "full"}, {"mask"}),
        ({"weights": "shuffled"}, {"start"}),
        ({"start": "trained"}, {"start"}),
        ({"start": "init"}, {"start", "start_step"}),  # from W_0 the schedule is whole
        ({"start": "reinit"}, {"start", "start_step"}),
        ({"start": "init", "begin": "4 steps"}, {"start"}),
        ({"begin": 0}, {"start_step"}),
        ({"recipe": {"lr": 0.01}}, {"recipe"}),
        ({"recipe": {"epochs": 9}}, {"recipe"}),
        ({"network": "small"}, {"network", "start", "mask", "start_step"}),
    ],
)
def test_an_arm_differs_from_the_ticket_in_the_named_ingredient_only(found, arm, changed):
    assert differing(trained(found), trained(found, **arm)) == changed


def test_the_ticket_itself_is_its_mask_from_its_own_start(found):
    context, ticket, _ = found
    own = trained(found)
    assert torch.equal(own.start["conv1.weight"], ticket.start["conv1.weight"])
    assert (own.start_step, own.mask) == (4, ticket.mask)
    assert own.recipe == context.recipe


@pytest.mark.parametrize("mask", ["shuffled", "random", "uniform", "erk"])
def test_a_random_mask_keeps_as_many_weights_at_other_places(found, mask):
    _, ticket, _ = found
    drawn = trained(found, mask=mask).mask
    assert masks.alive(drawn) == masks.alive(ticket.mask)
    assert not torch.equal(drawn["conv3.weight"], ticket.mask["conv3.weight"])
    by_layer = {name: int(keep.sum()) for name, keep in drawn.items()}
    if mask == "shuffled":
        assert by_layer == {name: int(keep.sum()) for name, keep in ticket.mask.items()}
    if mask == "uniform":
        share = masks.alive(ticket.mask) / sum(keep.numel() for keep in ticket.mask.values())
        assert all(abs(by_layer[name] - share * keep.numel()) <= 1 for name, keep in ticket.mask.items())


def test_shuffled_weights_are_the_kept_ones_of_each_layer_in_another_order(found):
    _, ticket, _ = found
    own, moved = trained(found), trained(found, weights="shuffled")
    for name, keep in ticket.mask.items():
        assert torch.equal(own.start[name][~keep], moved.start[name][~keep])
        assert torch.equal(own.start[name][keep].sort().values, moved.start[name][keep].sort().values)
        assert not torch.equal(own.start[name][keep], moved.start[name][keep])
    assert torch.equal(own.start["head.weight"], moved.start["head.weight"])


def test_learning_rate_rewinding_is_the_trained_weights_at_the_tickets_place_of_the_schedule(found):
    _, _, state = found
    rewound = trained(found, start="trained")
    assert torch.equal(rewound.start["conv2.weight"], state["conv2.weight"])
    assert rewound.start_step == 4
    assert trained(found, start="trained", begin=0).start_step == 0
    tuned = trained(found, start="trained", begin=0, recipe={"lr": 0.001, "epochs": 1})
    assert (tuned.recipe.lr, tuned.recipe.epochs, tuned.start_step) == (0.001, 1, 0)


def test_equal_arms_are_one_training(found):
    context, _, _ = found
    dense = dense_training(context.experiment, DATA, Arm(), 0)
    assert trained(found, mask="full", start="init").key == dense.key
    assert trained(found, recipe={"lr": context.recipe.lr}).key == trained(found).key


def test_the_small_dense_network_has_nearly_as_many_weights_as_the_ticket_keeps():
    spec = experiment(s={"method": "random", "sparsity": [0.5, 0.9], "layers": ["conv"]})
    spec = Experiment.model_validate(spec.model_dump(mode="json") | {"network": {"name": "conv3", "width": 0.5}})
    context, tickets, _, _ = turn(spec, "s")
    whole = sum(weight.count for weight in context.weights)
    for ticket in tickets:
        job = arm_training(context, DATA, Arm(ticket="s", network="small"), ticket)
        kept = whole - sum(int((~keep).sum()) for keep in ticket.mask.values())
        assert job.weights == pytest.approx(kept, rel=0.05)
        assert job.network.width < spec.network.width
        assert job.pruned == {}


@pytest.mark.parametrize("name", ["conv3", "resnet20", "vgg11", "lenet-300-100"])
def test_no_other_width_comes_nearer(name):
    network, shape = Network(name=name, width=0.5), (3, 32, 32)
    whole = count(network, shape, 10)
    for share in (0.1, 0.37, 0.8):
        target = round(share * whole)
        best = narrowed(network, shape, 10, target)
        off = abs(count(best, shape, 10) - target)
        for step in (-2, -1, 1, 2):
            other = network.model_copy(update={"width": best.width + step / 1000})
            assert abs(count(other, shape, 10) - target) >= off


def test_an_arm_of_a_search_on_half_the_data_sees_all_of_it():
    spec = experiment(s={"method": "one-shot", "sparsity": [0.5], "data": {"fraction": 0.5}, "recipe": {"epochs": 3}})
    half = corrupted(DATA, spec.data, spec.searches["s"].data)
    context, [ticket], _, _ = turn(spec, "s", data=half)
    job = arm_training(context, DATA, Arm(ticket="s"), ticket)
    assert job.view.digest == DATA.all().digest
    assert (context.per_epoch, job.last_step) == (10, 3 * 19)
    assert job.recipe.epochs == 3, "as the search"


def test_an_arm_with_longer_batches_goes_on_from_the_same_place_of_the_schedule(found):
    assert trained(found, recipe={"batch": 128}).start_step == round(4 * 10 / 19)


def test_a_reinit_is_the_same_for_all_tickets_of_a_seed(found):
    context, _, _ = found
    fresh = initialise(context.experiment.network, DATA.shape, DATA.classes, 0, "reinit")
    assert torch.equal(trained(found, start="reinit").start["conv1.weight"], fresh["conv1.weight"])
