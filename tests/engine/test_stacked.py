"""A stack of networks computes what its members would alone, and says where it cannot."""

from dataclasses import replace
from functools import partial
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data import load
from engine.data.dataset import View
from engine.networks import Network, build, initialise
from engine.networks.stacked import can_stack, parts, stacked
from engine.rig import Rig
from engine.training import Checkpoint, Course, Epoch, Result, Trainer, Training
from engine.trainings import Trainings
from engine.workers import Pool
from presets.schema import SHORTCUTS, Augment, Data, NetworkName, Recipe
from tests.engine.test_training import half_mask

DATA = load(Data())
NETWORK = Network(name="conv3", width=0.1)
RECIPE = Recipe(lr=2**-6, epochs=2, batch=64, weight_decay=5e-4, augment=Augment(crop=1, flip=True))
CANNOT = {"densenet121", "shufflenetv2"}
"""Those that join or split channels."""


@pytest.fixture(autouse=True)
def from_buffers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rigs take their steps as a captured graph would, but by plain calls; on a card as it is done there."""
    if "gpu" not in request.keywords:
        monkeypatch.setattr("engine.training.Rig", partial(Rig, static=True))


@pytest.mark.parametrize("name", get_args(NetworkName))
def test_which_networks_stack(name):
    shape = (3, 16, 16) if name != "lenet-5" else (1, 28, 28)
    network = Network(name=name, width=0.1 if name != "densenet121" else 0.5)
    assert can_stack(build(network, shape, 4), shape) == (name not in CANNOT)
    if name in SHORTCUTS:
        assert not can_stack(build(network.model_copy(update={"shortcut": "pad"}), shape, 4), shape)


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(1, 3), st.sampled_from(["conv3", "lenet-5", "resnet18", "mobilenetv2"]))
def test_outputs_and_gradients_are_those_of_the_members(members, batch, name):
    network, shape = Network(name=name, width=0.06), (2, 16, 16)
    singles = []
    for seed in range(members):
        single = build(network, shape, 3).double()
        single.load_state_dict(initialise(network, shape, 3, seed))
        singles.append(single)
    stack = stacked(singles[0], members).double()
    with torch.no_grad():
        for key, tensor in stack.state_dict().items():
            for single, part in zip(singles, parts(tensor, members), strict=True):
                if tensor.ndim:
                    part.copy_(single.state_dict()[key])
    images = torch.randn(members, batch + 1, *shape, dtype=torch.float64)
    logits = stack(images.transpose(0, 1).flatten(1, 2)).unflatten(1, (members, 3))
    logits.square().sum().backward()
    for member, single in enumerate(singles):
        alone = single(images[member])
        alone.square().sum().backward()
        torch.testing.assert_close(logits[:, member], alone)
        for key, parameter in single.named_parameters():
            torch.testing.assert_close(parts(stack.get_parameter(key).grad, members)[member], parameter.grad)
        for key, buffer in single.named_buffers():
            if buffer.ndim:
                torch.testing.assert_close(parts(stack.get_buffer(key), members)[member], buffer)


def job(seed: int, **changes) -> Training:
    start = initialise(NETWORK, DATA.shape, 10, seed)
    values = {"network": NETWORK, "recipe": RECIPE, "view": DATA.all(), "seed": seed}
    values |= {"mask": half_mask(seed) if seed % 2 else {}, "start": start}
    return Training(**(values | changes))


def ended(course: Course) -> tuple[list[Result], list[list[Epoch]]]:
    results: dict[int, Result] = {}
    epochs: list[list[Epoch]] = [[] for _ in course.jobs]
    while not course.over:
        for member, report in course.advance():
            if isinstance(report, Epoch):
                epochs[member].append(report)
            elif isinstance(report, Result):
                results[member] = report
    return [results[member] for member in range(len(course.jobs))], epochs


def near(one: Result, other: Result) -> None:
    assert (one.images, one.images_forward, one.epoch_used) == (other.images, other.images_forward, other.epoch_used)
    assert (one.validation.count, one.test.count) == (other.validation.count, other.test.count)
    assert abs(one.test.correct - other.test.correct) <= 2
    assert one.test.loss == pytest.approx(other.test.loss, rel=1e-3)
    assert one.state.keys() == other.state.keys()
    for name, tensor in one.state.items():
        assert tensor.dtype == other.state[name].dtype
        torch.testing.assert_close(tensor, other.state[name], rtol=1e-3, atol=1e-4)


def test_trainings_in_a_stack_end_as_each_alone_to_rounding_and_hold_their_own_masks():
    jobs = [job(seed) for seed in range(4)]
    together, epochs = ended(Trainer(DATA).course(jobs))
    for wanted, result, rows in zip(jobs, together, epochs, strict=True):
        alone: list[Epoch] = []
        near(result, Trainer(DATA).train(wanted, alone.append))
        assert all((result.state[name][~keep] == 0).all() for name, keep in wanted.mask.items())
        assert all((result.state[name] != 0).any() for name in wanted.mask)
        assert [(row.epoch, row.step, row.lr) for row in rows] == [(row.epoch, row.step, row.lr) for row in alone]
        for row, other in zip(rows, alone, strict=True):
            assert row.train_loss == pytest.approx(other.train_loss, rel=1e-4)
            assert row.validation.count == other.validation.count


def test_members_with_classes_of_their_own_are_judged_on_these():
    parts_of = [(0, 1, 2, 3, 4), (5, 6, 7, 8, 9)]
    views = []
    for classes in parts_of:
        whole = DATA.of_classes("part", classes)
        views.append(View(whole.data, "part", classes, whole.samples[:500]))
    starts = [initialise(NETWORK, DATA.shape, 5, seed) for seed in (0, 1)]
    jobs = [
        job(seed, view=view, start=start, mask={}) for seed, (view, start) in enumerate(zip(views, starts, strict=True))
    ]
    results, _ = ended(Trainer(DATA).course(jobs))
    for wanted, result in zip(jobs, results, strict=True):
        near(result, Trainer(DATA).train(wanted))


def test_members_whose_held_out_samples_differ_in_number_are_judged_on_all_of_their_own():
    low = DATA.labels < 5
    few = DATA.test[low[DATA.test] | (torch.arange(len(DATA.test)) % 3 == 0)]
    data = replace(DATA, test=few, identity="fewer")
    jobs = []
    for seed, classes in enumerate([(0, 1, 2, 3, 4), (5, 6, 7, 8, 9), (5, 6, 7, 8, 0)]):
        whole = data.of_classes("part", classes)
        view = View(whole.data, "part", classes, whole.samples[:500])
        jobs.append(job(seed, view=view, start=initialise(NETWORK, DATA.shape, 5, seed), mask={}))
    results, _ = ended(Trainer(data).course(jobs))
    assert len({result.test.count for result in results}) == 3
    for wanted, result in zip(jobs, results, strict=True):
        near(result, Trainer(data).train(wanted))


def test_one_whose_loss_is_not_finite_ends_the_stack_and_is_named():
    broken = job(1, mask={})
    broken = job(1, mask={}, start={name: t * float("nan") if t.ndim else t for name, t in broken.start.items()})
    course = Trainer(DATA).course([job(0), broken])
    while not course.over:
        said = course.advance()
    [(member, report)] = said
    assert member == 1
    assert "not finite" in str(report)


def test_a_stack_interrupted_goes_on_as_members_alone():
    jobs = [job(seed) for seed in range(2)]
    course = Trainer(DATA).course(jobs)
    for _ in range(25):
        course.advance()
    assert course.settled
    saved = course.checkpoints()
    whole, _ = ended(course)
    for wanted, checkpoint, result in zip(jobs, saved, whole, strict=True):
        assert isinstance(checkpoint, Checkpoint)
        near(Trainer(DATA).train(wanted, resume=checkpoint), result)


@pytest.mark.parametrize(
    ("waiting", "stack", "sizes"), [(8, 8, [8]), (7, 8, [4, 2, 1]), (5, 4, [4, 1]), (3, 1, [1, 1, 1])]
)
def test_alike_trainings_are_handed_out_in_stacks_of_a_power_of_two(tmp_path, waiting, stack, sizes):
    class Given(Pool):
        """A pool that only remembers."""

        def __init__(self) -> None:
            self.together, self.stack, self._workers, self.given = 99, stack, [], []

        free, busy, most = 1, (), stack  # type: ignore[assignment]

        def submit(self, jobs, resume=None) -> None:
            self.given.append([wanted.seed for wanted in jobs])

    class Deaf:
        """A recorder that writes nothing."""

        def rows(self, sql, params) -> list:
            return []

        def __getattr__(self, name: str):
            return lambda *given, **named: None

    pool = Given()
    trainings = Trainings(pool, Deaf(), tmp_path, tuple(range(20)), "tickets")  # type: ignore[arg-type]
    for seed in range(waiting):
        trainings.want(job(seed), {"what": "arm", "arm": "a", "seed": seed}, lambda _: None, keep=False)
        if seed == 1:  # one of another length fits into no stack of these
            other = job(19, recipe=RECIPE.model_copy(update={"epochs": 3}))
            trainings.want(other, {"what": "arm", "arm": "b", "seed": 19}, lambda _: None, keep=False)
    trainings.hand_out()
    assert sorted(len(seeds) for seeds in pool.given if seeds != [19]) == sorted(sizes)
    assert [19] in pool.given
    assert sorted(seed for seeds in pool.given for seed in seeds) == [*range(waiting), 19]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_stack_on_a_card_is_near_its_members_and_equal_to_itself(precision):
    recipe = RECIPE.model_copy(update={"precision": precision})
    jobs = [job(seed, recipe=recipe) for seed in range(8)]
    trainer = Trainer(DATA, "cuda")
    together, _ = ended(trainer.course(jobs))
    again, _ = ended(Trainer(DATA, "cuda").course(jobs))
    for wanted, result, same in zip(jobs, together, again, strict=True):
        assert all(torch.equal(result.state[name], tensor) for name, tensor in same.state.items())
        assert all((result.state[name][~keep] == 0).all() for name, keep in wanted.mask.items())
        alone = trainer.train(wanted)
        assert result.test.loss == pytest.approx(alone.test.loss, rel=0.05)
        if precision == "float32":
            near(result, alone)
