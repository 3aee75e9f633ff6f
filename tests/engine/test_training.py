"""A training is what research code would do by hand, holds its mask exactly, and goes on where it stopped."""

import pytest
import torch
import torch.nn.functional as F
from torch.nn.utils import prune as torch_prune

from engine import masks
from engine.data import load
from engine.data.batches import Batches
from engine.draws import permutation
from engine.networks import Network, build, initialise, weights
from engine.rig import Rig
from engine.schedules import batch_sizes, lr_at, steps_per_epoch
from engine.training import Epoch, Result, Stopped, Trainer, Training
from presets.schema import Data, Recipe

DATA = load(Data())
BATCHES = Batches(DATA, torch.device("cpu"))
INPUTS = BATCHES.inputs
NETWORK = Network(name="conv3", width=0.1)
RECIPE = Recipe(lr=0.1, epochs=2, batch=64, weight_decay=5e-4, schedule="cosine", warmup="1 epoch")


def half_mask(seed: int = 0, network: Network = NETWORK) -> masks.Mask:
    counted = weights(build(network, DATA.shape, 10))
    full = masks.full({w.name: w.shape for w in counted if w.kind in ("conv", "linear")})
    return masks.prune(initialise(network, DATA.shape, 10, seed), full, tuple(full), masks.alive(full) // 2)


def job(**changes) -> Training:
    values = {"network": NETWORK, "recipe": RECIPE, "view": DATA.all(), "seed": 0, "mask": half_mask()}
    values |= {"start": initialise(NETWORK, DATA.shape, 10, 0)} | changes
    return Training(**values)


def by_hand(wanted: Training) -> tuple[torch.nn.Module, int]:
    """The same with torch.optim and torch.nn.utils.prune, as research code writes it."""
    module = build(wanted.network, DATA.shape, len(wanted.view.classes))
    module.load_state_dict(wanted.start)
    module.to(memory_format=torch.channels_last)
    for name, keep in wanted.mask.items():
        torch_prune.custom_from_mask(module.get_submodule(name.removesuffix(".weight")), "weight", keep)
    recipe, samples = wanted.recipe, wanted.view.samples
    optimizer = torch.optim.SGD(
        module.parameters(), lr=1.0, momentum=recipe.momentum, weight_decay=recipe.weight_decay, fused=True
    )
    targets = DATA.targets(wanted.view)
    per_epoch = steps_per_epoch(len(samples), recipe.batch)
    seen = 0
    module.train()
    for step in range(recipe.epochs * per_epoch):
        epoch, place = divmod(step, per_epoch)
        order = permutation(len(samples), wanted.seed, "order", wanted.view.digest, epoch)
        batch = samples[order].split(batch_sizes(len(samples), recipe.batch))[place]
        optimizer.param_groups[0]["lr"] = lr_at(recipe, step, per_epoch)
        optimizer.zero_grad()
        F.cross_entropy(module(INPUTS(batch)), targets[batch]).backward()
        optimizer.step()
        seen += len(batch)
    module.eval()
    with torch.no_grad():
        correct = int((module(INPUTS(DATA.test)).argmax(1) == DATA.labels[DATA.test]).sum())
    return module, (correct if len(wanted.view.classes) == 10 else seen)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_weights_equal_those_of_torch_optim_with_torch_nn_utils_prune_bit_for_bit():
    network = Network(name="lenet-300-100", width=0.2)
    wanted = job(network=network, start=initialise(network, DATA.shape, 10, 0), mask=half_mask(0, network))
    result = Trainer(DATA).train(wanted)
    module, correct = by_hand(wanted)
    for name in wanted.mask:
        layer = module.get_submodule(name.removesuffix(".weight"))
        assert torch.equal(result.state[name], layer.weight.detach()), name
    assert torch.equal(result.state["head.weight"], module.head.weight)
    assert result.test.correct == correct


def test_a_conv_network_equals_research_code_to_rounding():
    # torch.nn.utils.prune lays its masked weights out anew, so convolutions add up in another order.
    wanted = job(recipe=RECIPE.model_copy(update={"epochs": 1}))
    result = Trainer(DATA).train(wanted)
    module, _ = by_hand(wanted)
    for name in wanted.mask:
        layer = module.get_submodule(name.removesuffix(".weight"))
        torch.testing.assert_close(result.state[name], layer.weight.detach(), rtol=1e-4, atol=1e-5)
        assert torch.equal(result.state[name] != 0, layer.weight != 0)
    torch.testing.assert_close(result.state["norm3.running_var"], module.norm3.running_var, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_pruned_weights_are_exactly_zero_after_every_step(optimizer):
    wanted = job(recipe=RECIPE.model_copy(update={"optimizer": optimizer, "lr": 0.01}))
    course = Trainer(DATA).course([wanted])
    epochs = 0
    while not course.over:
        said = course.advance()
        epochs += any(isinstance(report, Epoch) for _, report in said)
        state = course.rig.module.state_dict()
        assert all((state[name][~keep] == 0).all() for name, keep in wanted.mask.items())
    [(_, result)] = said
    assert isinstance(result, Result)
    assert epochs == 2
    assert all((result.state[name][~keep] == 0).all() for name, keep in wanted.mask.items())
    assert all((result.state[name][keep] != 0).any() for name, keep in wanted.mask.items())


def test_figures_count_every_image():
    wanted = job()
    result = Trainer(DATA).train(wanted)
    assert result.images == wanted.images == 2 * 1197
    assert result.images_forward == 2 * 300 + 300
    assert (result.validation.count, result.test.count) == (300, 300)


def test_epochs_are_validated_as_often_as_asked_and_after_the_last():
    recipe = RECIPE.model_copy(update={"epochs": 5})
    always, seldom = [], []
    whole = Trainer(DATA).train(job(recipe=recipe), always.append)
    wanted = job(recipe=recipe.model_copy(update={"validate_every": 2}))
    result = Trainer(DATA).train(wanted, seldom.append)
    assert [row.validation for row in seldom] == [row.validation if row.epoch in (2, 4, 5) else None for row in always]
    assert [row.train_loss for row in seldom] == [row.train_loss for row in always]
    assert (result.epoch_used, result.validation, result.test) == (5, whole.validation, whole.test)
    assert result.images_forward == 3 * 300 + 300
    assert wanted.key != job(recipe=recipe).key, "its rows differ"


def test_a_segment_is_judged_on_its_own_classes_only():
    view = DATA.of_classes("classes 5-9", range(5, 10))
    start = initialise(NETWORK, DATA.shape, 5, 0)
    result = Trainer(DATA).train(job(view=view, start=start, recipe=RECIPE.model_copy(update={"epochs": 4})))
    assert (result.validation.count, result.test.count) == (150, 150)
    assert result.test.accuracy > 0.5


@pytest.mark.parametrize("weights_used", ["last", "best"])
@pytest.mark.parametrize("stop_at", [0, 1, 7, 19, 25])
def test_an_interrupted_training_ends_in_the_same_bits(weights_used, stop_at):
    wanted = job(recipe=RECIPE.model_copy(update={"weights": weights_used}))
    rows: list[Epoch] = []
    whole = Trainer(DATA).train(wanted, rows.append)
    calls = iter(range(1000))
    again: list[Epoch] = []
    with pytest.raises(Stopped) as stopped:
        Trainer(DATA).train(wanted, again.append, lambda: next(calls) == stop_at)
    rest = Trainer(DATA).train(wanted, again.append, resume=stopped.value.checkpoint)
    assert all(torch.equal(rest.state[name], tensor) for name, tensor in whole.state.items())
    assert (rest.test, rest.validation, rest.images, rest.images_forward, rest.epoch_used) == (
        whole.test,
        whole.validation,
        whole.images,
        whole.images_forward,
        whole.epoch_used,
    )
    figures = [
        [(r.epoch, r.step, r.lr, r.train_loss, r.train_accuracy, r.validation) for r in x] for x in (rows, again)
    ]
    assert figures[0] == figures[1]


def test_best_validation_weights_are_those_of_the_first_best_epoch():
    recipe = RECIPE.model_copy(update={"weights": "best", "epochs": 5, "lr": 0.3})
    rows: list[Epoch] = []
    result = Trainer(DATA).train(job(recipe=recipe), rows.append)
    best = max(rows, key=lambda row: (row.validation.correct, -row.epoch))
    assert (result.epoch_used, result.validation) == (best.epoch, best.validation)
    assert Trainer(DATA).train(job(recipe=RECIPE)).epoch_used == RECIPE.epochs


def test_training_to_step_k_and_on_from_there_meets_the_same_data_and_rates():
    rows: list[Epoch] = []
    Trainer(DATA).train(job(mask={}), rows.append)
    point = Trainer(DATA).train(job(mask={}, end_step=25))
    later: list[Epoch] = []
    Trainer(DATA).train(job(mask={}, start=point.state, start_step=25), later.append)
    assert point.images == 1197 + 6 * 64
    assert (later[-1].epoch, later[-1].step, later[-1].lr) == (rows[-1].epoch, rows[-1].step, rows[-1].lr)


def test_equal_trainings_have_equal_keys_and_every_ingredient_changes_them():
    base = job()
    assert base.key == job().key
    full = {name: torch.ones_like(keep) for name, keep in base.mask.items()}
    assert job(mask=full).key == job(mask={}).key, "a mask that prunes nothing is no mask"
    others = [
        job(seed=1),
        job(mask=half_mask(1)),
        job(start=initialise(NETWORK, DATA.shape, 10, 1)),
        job(view=DATA.of_samples("half", DATA.train[::2])),
        job(recipe=RECIPE.model_copy(update={"lr": 0.2})),
        job(start_step=1),
        job(end_step=5),
        job(network=Network(name="conv3", width=0.11)),
    ]
    assert len({base.key, *(other.key for other in others)}) == len(others) + 1


def test_a_loss_that_is_not_finite_is_an_error_of_its_own():
    from engine.training import NotFinite

    with pytest.raises(NotFinite, match="epoch 1"):
        Trainer(DATA).train(job(recipe=RECIPE.model_copy(update={"lr": 1e20, "warmup": "0 epochs"})))


def test_a_training_never_imports_the_compiler():
    import subprocess
    import sys

    code = (
        "import sys\n"
        "from engine.data import load\n"
        "from engine.networks import initialise\n"
        "from engine.training import Trainer, Training\n"
        "from presets.schema import Data, Network, Recipe\n"
        "d = load(Data()); n = Network(name='conv3', width=0.1)\n"
        "Trainer(d).train(Training(n, Recipe(epochs=1), d.all(), 0, initialise(n, d.shape, 10, 0), {}))\n"
        "print('torch._dynamo' in sys.modules, 'sklearn' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


@pytest.mark.parametrize("width", [0.15, 0.25, 0.6, 1.0])
def test_gradients_of_narrow_residual_networks_are_right_where_channels_last_would_corrupt_them(width):
    network = Network(name="resnet20", width=width)
    module = Rig(DATA, BATCHES, network, 10).module
    module.load_state_dict(initialise(network, DATA.shape, 10, 0))
    exact = build(network, DATA.shape, 10).double()
    exact.load_state_dict(module.state_dict())
    images, wanted = INPUTS(DATA.train[:64]), DATA.labels[DATA.train[:64]]
    for _ in range(20):  # a write beyond the workspace shows in a few passes
        found = torch.autograd.grad(F.cross_entropy(module(images), wanted), list(module.parameters()))
    right = torch.autograd.grad(F.cross_entropy(exact(images.double()), wanted), list(exact.parameters()))
    for gradient, reference in zip(found, right, strict=True):
        # Rounding may move an activation across the corner of a ReLU, which is worth a few per cent; garbage is not.
        assert (gradient.double() - reference).norm() < 0.1 * reference.norm() + 1e-7
