"""However steps are given to a device (plainly, from buffers, captured, in turns), they come to the same weights."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest
import torch

from engine.data import load
from engine.data.batches import Batches
from engine.networks import Network, initialise
from engine.rig import Rig
from engine.training import Checkpoint, Course, Epoch, Result, Stopped, Trainer, Training
from presets.schema import Augment, Data, Recipe
from tests.engine.test_training import half_mask

DATA = load(Data())
NETWORK = Network(name="conv3", width=0.1)
# Rates that float32 holds exactly: buffers on a device are float32. 1,197 images leave a tail of 45.
RECIPE = Recipe(lr=0.125, epochs=2, batch=64, weight_decay=5e-4, augment=Augment(crop=1, flip=True))
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def from_buffers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rigs take their steps as a captured graph would, but by plain calls."""
    monkeypatch.setattr("engine.training.Rig", partial(Rig, static=True))


def job(seed: int = 0, masked: bool = True, **changes) -> Training:
    recipe = RECIPE.model_copy(update={key: value for key, value in changes.items() if key in Recipe.model_fields})
    others = {key: value for key, value in changes.items() if key not in Recipe.model_fields}
    mask = half_mask(seed, NETWORK) if masked else {}
    start = initialise(NETWORK, DATA.shape, 10, seed)
    values = {"network": NETWORK, "recipe": recipe, "view": DATA.all(), "seed": seed, "mask": mask, "start": start}
    return Training(**(values | others))


def done(trainer: Trainer, wanted: Training, **options) -> tuple[Result, list[Epoch]]:
    rows: list[Epoch] = []
    return trainer.train(wanted, rows.append, **options), rows


def in_turns(trainer: Trainer, stacks: list[list[Training]]) -> dict[str, Result]:
    """All at once, a step each, as a worker does it."""
    courses = [trainer.course(jobs) for jobs in stacks]
    results: dict[str, Result] = {}
    while courses:
        for course in courses[:]:
            for member, report in course.advance():
                if isinstance(report, Result):
                    results[course.jobs[member].key] = report
            if course.over:
                trainer.end(course)
                courses.remove(course)
    return results


def figures(result: Result) -> tuple:
    return result.epoch_used, result.validation, result.test, result.images, result.images_forward


def same(one: Result, other: Result) -> bool:
    assert figures(one) == figures(other)
    return all(torch.equal(one.state[name], other.state[name]) for name in one.state)


def rows_of(epochs: list[Epoch]) -> list[tuple]:
    return [tuple(value for name, value in vars(row).items() if name != "seconds") for row in epochs]


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("masked", [False, True])
def test_steps_from_buffers_are_the_plain_steps_bit_for_bit(monkeypatch, optimizer, masked):
    wanted = job(optimizer=optimizer, masked=masked, lr=0.125 if optimizer == "sgd" else 2**-9)
    plain, epochs = done(Trainer(DATA), wanted)
    monkeypatch.setattr("engine.training.Rig", partial(Rig, static=True))
    again, same_epochs = done(Trainer(DATA), wanted)
    assert same(plain, again)
    assert rows_of(epochs) == rows_of(same_epochs)


@pytest.mark.parametrize("stop_at", [0, 7, 18, 19, 30])
def test_steps_from_buffers_go_on_where_they_stopped(from_buffers, stop_at):
    wanted = job()
    whole, _ = done(Trainer(DATA), wanted)
    calls = iter(range(1000))
    with pytest.raises(Stopped) as stopped:
        Trainer(DATA).train(wanted, should_stop=lambda: next(calls) == stop_at)
    assert same(whole, Trainer(DATA).train(wanted, resume=stopped.value.checkpoint))


@pytest.mark.parametrize("static", [False, True])
def test_trainings_that_take_turns_end_as_if_each_were_alone(monkeypatch, static):
    monkeypatch.setattr("engine.training.Rig", partial(Rig, static=static))
    jobs = [job(0), job(1), job(2, epochs=3), job(3, masked=False)]
    jobs.append(job(4, view=DATA.of_classes("5-9", range(5, 10)), start=initialise(NETWORK, DATA.shape, 5, 4)))
    alone = {wanted.key: Trainer(DATA).train(wanted) for wanted in jobs}
    together = in_turns(Trainer(DATA), [[job] for job in jobs])
    assert all(same(alone[key], together[key]) for key in alone)


def test_a_rig_used_before_trains_like_a_new_one():
    trainer = Trainer(DATA)
    wanted = job(optimizer="adam", lr=0.001)
    fresh = trainer.train(wanted)
    trainer.train(job(5, lr=1.0))
    trainer.train(job(6, masked=False, optimizer="adam", lr=0.1))
    assert same(fresh, trainer.train(wanted))
    assert len(trainer.idle) == 1, "one at a time needs one rig"


def test_learning_rates_come_from_the_schedule_whichever_way(monkeypatch):
    wanted = job(schedule="cosine", warmup="1 epoch")
    plain, epochs = done(Trainer(DATA), wanted)
    monkeypatch.setattr("engine.training.Rig", partial(Rig, static=True))
    again, same_epochs = done(Trainer(DATA), wanted)
    assert [row.lr for row in epochs] == [row.lr for row in same_epochs]
    for name, tensor in plain.state.items():  # the rates differ in float32's last bit
        torch.testing.assert_close(tensor, again.state[name], rtol=2e-3, atol=2e-4)


def test_bfloat16_trains_float32_weights_near_those_of_float32():
    (exact, epochs), (rough, near) = (done(Trainer(DATA), job(lr=2**-6, precision=p)) for p in ("float32", "bfloat16"))
    assert {tensor.dtype for name, tensor in rough.state.items() if "num" not in name} == {torch.float32}
    assert not torch.equal(exact.state["conv2.weight"], rough.state["conv2.weight"])
    assert near[0].train_loss == pytest.approx(epochs[0].train_loss, rel=0.02)
    assert all((rough.state[name][~keep] == 0).all() for name, keep in job().mask.items())


def test_a_precision_the_processor_lacks_is_float32_there():
    assert same(Trainer(DATA).train(job(epochs=1)), Trainer(DATA).train(job(epochs=1, precision="tf32")))


# On a card


def course_on_card(wanted: Training, make: Callable[..., Rig], resume: Checkpoint | None = None) -> Result:
    device = torch.device("cuda")
    rig = make(DATA, Batches(DATA, device), wanted.network, len(wanted.view.classes))
    graphs = rig.capture
    with rig.turn():
        course = Course(DATA, rig, [wanted], resume)
    while not course.over:
        said = course.advance()
    [(_, report)] = said
    assert isinstance(report, Result)
    assert rig.capture == graphs, "every step was a replay, or meant to be plain"
    return report


@pytest.mark.gpu
@GPU
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_captured_graph_does_the_plain_steps_bit_for_bit(optimizer, precision):
    wanted = job(optimizer=optimizer, lr=0.125 if optimizer == "sgd" else 2**-9, precision=precision)
    graphs = course_on_card(wanted, Rig)
    assert same(graphs, course_on_card(wanted, partial(Rig, capture=False)))
    assert same(graphs, course_on_card(wanted, Rig))
    eager = course_on_card(wanted, partial(Rig, static=False, capture=False))
    for name, tensor in eager.state.items():
        torch.testing.assert_close(tensor, graphs.state[name], rtol=1e-4, atol=1e-5)
    assert all((graphs.state[name][~keep] == 0).all() for name, keep in wanted.mask.items())


@pytest.mark.gpu
@GPU
def test_a_card_comes_near_the_cpu_in_float32():
    wanted = job(epochs=1)
    cpu, card = Trainer(DATA).train(wanted), Trainer(DATA, "cuda").train(wanted)
    for name, tensor in cpu.state.items():
        torch.testing.assert_close(tensor, card.state[name], rtol=1e-2, atol=2e-3)
    assert cpu.images == card.images


@pytest.mark.gpu
@GPU
def test_trainings_side_by_side_on_a_card_end_as_if_each_were_alone():
    jobs = [job(seed, masked=seed % 2 == 0, epochs=2 + seed % 2) for seed in range(8)]
    trainer = Trainer(DATA, "cuda")
    together = in_turns(trainer, [[job] for job in jobs])
    assert len(trainer.idle) == 8
    assert all(rig.plain_because == "" for _, rig in trainer.idle)
    assert all(same(together[wanted.key], Trainer(DATA, "cuda").train(wanted)) for wanted in jobs)
    again = in_turns(trainer, [[job] for job in jobs[::-1]])
    assert all(same(together[key], again[key]) for key in together)


@pytest.mark.gpu
@GPU
@pytest.mark.parametrize("stop_at", [0, 7, 19, 30])
def test_a_training_on_a_card_goes_on_where_it_stopped_in_the_same_bits(stop_at):
    wanted = job()
    calls = iter(range(1000))
    trainer = Trainer(DATA, "cuda")
    with pytest.raises(Stopped) as stopped:
        trainer.train(wanted, should_stop=lambda: next(calls) == stop_at)
    assert same(trainer.train(wanted), Trainer(DATA, "cuda").train(wanted, resume=stopped.value.checkpoint))


@pytest.mark.gpu
@GPU
def test_a_compiled_network_is_the_same_to_rounding():
    wanted = job(epochs=1, lr=2**-6)
    plain, compiled = Trainer(DATA, "cuda").train(wanted), Trainer(DATA, "cuda", compiled=True).train(wanted)
    for name, tensor in plain.state.items():
        torch.testing.assert_close(tensor, compiled.state[name], rtol=1e-2, atol=1e-3)
    assert all((compiled.state[name][~keep] == 0).all() for name, keep in wanted.mask.items())


@pytest.mark.gpu
@GPU
def test_images_that_a_card_cannot_hold_are_trained_on_without_graphs(monkeypatch):
    wanted = job(epochs=1)
    resident = Trainer(DATA, "cuda").train(wanted)
    monkeypatch.setattr("engine.data.batches.MOST_OF_DEVICE", 0.0)
    trainer = Trainer(DATA, "cuda")
    assert "pinned" in trainer.batches.place
    course = trainer.course([wanted])
    assert "no graphs" in course.rig.plain_because
    pinned = trainer.train(wanted)
    for name, tensor in resident.state.items():
        torch.testing.assert_close(tensor, pinned.state[name], rtol=1e-3, atol=1e-4)
