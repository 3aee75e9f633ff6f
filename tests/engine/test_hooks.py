"""Hooks watch and end trainings as their papers say, change nothing else, and survive an interruption."""

from dataclasses import replace
from itertools import count, pairwise
from types import SimpleNamespace

import pytest
import torch
import torch.nn.functional as F

from engine import masks
from engine.data import load
from engine.draws import permutation
from engine.hooks.best import BEST, Best
from engine.hooks.early_stop import DISTANCE, EarlyStop, _Stopping
from engine.hooks.forgetting import NEVER, Forgetting
from engine.measurements import Observed
from engine.networks import build, initialise
from engine.rig import Rig
from engine.schedules import batch_sizes
from engine.training import NotFinite, Stopped, Trainer, Training
from presets.schema import Data, Network, Recipe

DATA = load(Data(fraction=0.25))
NETWORK = Network(name="conv3", width=0.1)
RECIPE = Recipe(epochs=4, batch=32, lr=0.1)
CONVS = ("conv1.weight", "conv2.weight", "conv3.weight")
POOLS = ((0.2, CONVS),)
GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def job(*hooks, mask=None, **recipe) -> Training:
    start = initialise(NETWORK, DATA.shape, DATA.classes, 0)
    changed = RECIPE.model_copy(update=recipe)
    return Training(NETWORK, changed, DATA.all(), 0, start, mask or {}, hooks=hooks)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_a_hook_names_the_training_and_one_without_is_named_as_before():
    plain, watched = job(), job(Forgetting())
    assert plain.key != watched.key
    assert replace(watched, hooks=()).key == plain.key
    assert job(EarlyStop(POOLS, 0.1, 5, True, 0)).key != job(EarlyStop(POOLS, 0.2, 5, True, 0)).key
    assert plain.likeness != watched.likeness
    assert watched.likeness != job(Forgetting(), lr=0.2).likeness, "they are never stacked"


def test_watching_changes_no_bit_of_the_training():
    plain, watched = Trainer(DATA).train(job()), Trainer(DATA).train(job(Forgetting()))
    assert all(torch.equal(plain.state[name], watched.state[name]) for name in plain.state)
    assert (plain.test, plain.images) == (watched.test, watched.images)


def test_forgetting_events_are_those_of_a_plain_loop():
    wanted = job(Forgetting())
    epochs = []
    found = Trainer(DATA).train(wanted, epochs.append).observed["forgotten"]
    module = build(NETWORK, DATA.shape, DATA.classes)
    module.load_state_dict(wanted.start)
    optimizer = torch.optim.SGD(module.parameters(), lr=0.1, momentum=0.9)
    mean, deviation = torch.tensor(DATA.mean)[:, None, None], torch.tensor(DATA.deviation)[:, None, None]
    history = torch.zeros(4, len(DATA.labels), dtype=torch.bool)
    module.train()
    for epoch in range(4):
        order = DATA.train[permutation(len(DATA.train), 0, "order", wanted.view.digest, epoch)]
        for batch in order.split(batch_sizes(len(order), 32)):
            logits = module((DATA.images[batch] / DATA.white - mean) / deviation)
            history[epoch, batch] = logits.argmax(1) == DATA.labels[batch]
            optimizer.zero_grad()
            F.cross_entropy(logits, DATA.labels[batch]).backward()
            optimizer.step()
    seen = history[:, DATA.train]
    events = (seen[:-1] & ~seen[1:]).sum(0)
    expected = torch.where(seen.any(0), events, NEVER)
    # A sample whose two likeliest classes are nearly equal may be judged otherwise in another order of sums.
    assert (found == expected).float().mean() > 0.98
    assert (found == NEVER).any()
    assert ((found > 0) & (found < NEVER)).any()


def test_a_sample_is_forgotten_when_it_is_wrong_after_it_was_right():
    rig = Rig(DATA, Trainer(DATA).batches, NETWORK, DATA.classes)
    samples = torch.tensor([[3, 5, 7, 9]])
    for right in ([1, 0, 1, 0], [0, 0, 1, 1], [1, 0, 0, 0], [0, 0, 1, 1]):
        rig._note(samples, torch.tensor([right], dtype=torch.bool))
    last, ever, forgotten = rig.watched[:, samples[0]].tolist()
    assert forgotten == [2, 0, 1, 1]
    assert ever == [1, 0, 1, 1]
    assert last == [0, 0, 1, 1]


@pytest.mark.parametrize("stop_at", [1, 7, 13, 20])
def test_an_interrupted_training_with_hooks_ends_in_the_same_bits_and_counts(stop_at):
    hooks = (Forgetting(), EarlyStop(POOLS, 0.0001, 2, True, 0), Best())
    wanted, whole_epochs, epochs = job(*hooks), [], []
    whole = Trainer(DATA).train(wanted, whole_epochs.append)
    calls = count(1)
    with pytest.raises(Stopped) as stopped:
        Trainer(DATA).train(wanted, epochs.append, lambda: next(calls) == stop_at)
    rest = Trainer(DATA).train(wanted, epochs.append, resume=stopped.value.checkpoint)
    assert all(torch.equal(whole.state[name], rest.state[name]) for name in whole.state)
    assert whole.observed.keys() == rest.observed.keys()
    assert all(torch.equal(whole.observed[name], rest.observed[name]) for name in whole.observed)
    assert [epoch.traces for epoch in epochs] == [epoch.traces for epoch in whole_epochs]


def test_the_network_of_the_best_epoch_is_the_one_that_a_training_ends_with_which_takes_it():
    jobs = job(epochs=10), job(epochs=10, weights="best"), job(Best(), epochs=10)
    plain, taking, kept = (Trainer(DATA).train(one) for one in jobs)
    best = Observed(jobs[2], BEST).among(kept.observed)
    assert best.keys() == taking.state.keys()
    assert all(torch.equal(best[name], taking.state[name]) for name in best)
    assert all(torch.equal(plain.state[name], kept.state[name]) for name in plain.state), "it ends with its last"
    assert taking.epoch_used < kept.epoch_used


def test_the_distance_is_the_share_of_living_weights_in_which_the_next_mask_differs():
    mask = masks.shuffled({n: torch.rand(tuple(t.shape)) < 0.5 for n, t in job().start.items() if n in CONVS}, 0)
    wanted, traces, states = job(EarlyStop(POOLS, 1e-9, 5, True, 0), mask=mask), [], []
    trainer = Trainer(DATA)
    course = trainer.course([wanted])
    while not course.over:
        for _, said in course.advance():
            traces += getattr(said, "traces", ())
            states.append(course.rig.snapshot(0))
    found = [masks.prune(state, mask, CONVS, masks.due(0.2, masks.alive(mask))) for state in states[:4]]
    expected = [sum(int((b[name] ^ a[name]).sum()) for name in CONVS) / masks.alive(mask) for a, b in pairwise(found)]
    assert [trace.value for trace in traces] == pytest.approx(expected)
    assert {trace.kind for trace in traces} == {DISTANCE}
    assert [trace.step for trace in traces] == [2 * 10, 3 * 10, 4 * 10]


@pytest.mark.parametrize(
    ("distances", "settings", "ends"),
    [
        ([0.2, 0.05, 0.04, 0.03, 0.02, 0.01], (0.07, 5, True, 0), 6),  # the first of the last five was above
        ([0.05] * 9, (0.07, 5, True, 0), None),  # never armed
        ([0.05] * 9, (0.07, 5, False, 0), 5),
        ([0.2, 0.01, 0.01], (0.07, 2, True, 0), 3),
        ([0.2, 0.01, 0.2, 0.01, 0.01], (0.07, 2, True, 0), 5),
        ([0.2, 0.01, 0.01, 0.01, 0.01], (0.07, 2, True, 5), 5),  # warmup is five epochs
        ([0.01], (0.07, 1, False, 0), 1),
        ([0.07], (0.07, 1, False, 0), None),  # below, not at
    ],
)
def test_a_training_ends_when_the_largest_of_the_last_distances_is_small_and_it_was_armed(distances, settings, ends):
    start = initialise(NETWORK, DATA.shape, DATA.classes, 0)
    rig = SimpleNamespace(named=lambda names: [start[name] for name in names], device=torch.device("cpu"))
    course = SimpleNamespace(jobs=[job()], rig=rig, step=0)
    stopping = _Stopping(EarlyStop(POOLS, *settings), course)
    found = None
    for number, distance in enumerate(distances, 1):
        course.step = number
        if stopping.moved(distance):
            found = number
            break
    assert found == ends


def test_a_training_that_diverges_says_so_and_not_that_its_weights_cannot_be_ranked():
    with pytest.raises(NotFinite):
        Trainer(DATA).train(job(EarlyStop(POOLS, 0.07, 5, True, 0), lr=1e20))


def test_a_training_that_is_ended_early_is_validated_there_and_saw_fewer_images():
    whole = Trainer(DATA).train(job(validate_every=100))
    epochs = []
    ended = Trainer(DATA).train(job(EarlyStop(POOLS, 0.99, 1, False, 0), validate_every=100), epochs.append)
    assert len(epochs) == ended.epoch_used == 2, "the first distance is that of the second epoch"
    assert epochs[-1].validation == ended.validation
    assert ended.images == whole.images // 2


@pytest.mark.gpu
@GPU
def test_watching_and_stopping_on_a_card_change_no_bit_and_count_alike_each_time():
    hooks = (Forgetting(), EarlyStop(POOLS, 1e-9, 2, True, 0), Best())
    plain = Trainer(DATA, "cuda").train(job())
    epochs, again = [], []
    watched, twice = (Trainer(DATA, "cuda").train(job(*hooks), into.append) for into in (epochs, again))
    assert all(torch.equal(plain.state[name], watched.state[name]) for name in plain.state)
    assert all(torch.equal(watched.observed[name], twice.observed[name]) for name in watched.observed)
    assert [epoch.traces for epoch in epochs] == [epoch.traces for epoch in again]
    cpu = Trainer(DATA).train(job(*hooks)).observed["forgotten"]
    assert (cpu == watched.observed["forgotten"]).float().mean() > 0.9
