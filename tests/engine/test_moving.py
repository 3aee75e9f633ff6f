"""Masks that move while a network trains: SET, RigL and gradual pruning against plain loops, exact counts at every
update, nothing alive that the mask has not, and the same bits after an interruption."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import masks, searches
from engine.arms import arm_training
from engine.draws import permutation
from engine.forecast import cost, search_forecast
from engine.hooks.gradual import Gradual
from engine.hooks.moving import Moving, fraction, regrown
from engine.networks import build, initialise
from engine.rig import Rig
from engine.schedules import batch_sizes
from engine.searches import Context, Ticket, Train
from engine.training import Stopped, Trainer
from presets.schema import Arm, Recipe
from tests.engine.test_rig import GPU
from tests.engine.test_searches import DATA, experiment, turn
from tests.engine.test_training import BATCHES, INPUTS, NETWORK, job

NAMES = ("conv1.weight", "conv2.weight", "conv3.weight", "head.weight")
RECIPE = Recipe(lr=0.1, epochs=1, batch=64, weight_decay=5e-4)
STEPS = 19


def sparse(share: float = 0.8, seed: int = 0) -> masks.Mask:
    """A random mask of every layer."""
    start = initialise(NETWORK, DATA.shape, 10, 0)
    return masks.drawn(
        {name: round((1 - share) * start[name].numel()) for name in NAMES},
        {name: tuple(start[name].shape) for name in NAMES}, seed,
    )  # fmt: skip


def moving(rule: str, every: int = 3, last: int = 15, **changes):
    return job(**{"recipe": RECIPE, "mask": sparse(), "hooks": (Moving(NAMES, rule, every, 0.3, last),)} | changes)


def gradual(scope: str = "layer", sparsity: float = 0.9, begin: int = 2, end: int = 14, every: int = 3):
    pools = tuple((name,) for name in NAMES) if scope == "layer" else (NAMES,)
    return job(recipe=RECIPE, mask={}, hooks=(Gradual(pools, sparsity, begin, end, every),))


# What goes and what grows


def plainly(sizes: list[float], keep: list[bool], scores: list[float], count: int) -> list[bool]:
    """The update one weight after another."""
    after = list(keep)
    for _ in range(count):
        alive = [place for place in range(len(sizes)) if after[place]]
        after[min(alive, key=lambda place: (sizes[place], place))] = False
    lasting = list(after)
    for _ in range(count):
        others = [place for place in range(len(sizes)) if not after[place]]
        after[min(others, key=lambda place: (-scores[place], place))] = True
    assert all(after[place] for place in range(len(sizes)) if lasting[place])
    return after


@settings(deadline=None)
@given(st.data())
def test_an_update_is_what_a_plain_loop_does_with_ties_by_index(data):
    count = data.draw(st.integers(1, 30))
    few = st.sampled_from([0.0, 0.5, 1.0, 2.0])
    sizes, scores = (data.draw(st.lists(few, min_size=count, max_size=count)) for _ in range(2))
    keep = data.draw(st.lists(st.booleans(), min_size=count, max_size=count))
    goes = data.draw(st.integers(0, sum(keep)))
    found = regrown(torch.tensor(sizes), torch.tensor(keep), torch.tensor(scores), goes)
    assert found.tolist() == plainly(sizes, keep, scores, goes)
    assert int(found.sum()) == sum(keep)


def test_an_update_by_hand_takes_no_note_of_how_memory_is_laid_out():
    keep = torch.tensor([[[[1, 1]], [[0, 1]]], [[[1, 0]], [[0, 0]]]]).bool()
    sizes = torch.tensor([[[[0.3, 0.1]], [[0.0, 0.2]]], [[[0.9, 0.0]], [[0.0, 0.0]]]])
    grads = torch.tensor([[[[9.0, 0.7]], [[0.2, 0.1]]], [[[9.0, 0.9]], [[0.8, 0.0]]]])
    expected = torch.tensor([[[[1, 0]], [[0, 0]]], [[[1, 1]], [[1, 0]]]]).bool()  # 0.1 and 0.2 go; .9 and .8 grow
    for layout in (torch.contiguous_format, torch.channels_last):
        assert torch.equal(regrown(sizes.to(memory_format=layout), keep, grads.to(memory_format=layout), 2), expected)
    dropped_again = regrown(sizes, keep, grads - 10 * (grads == 0.9), 2)
    assert dropped_again[0, 0, 0, 1], "the dropped weight has the next largest gradient and comes back"


def test_the_share_that_is_replaced_falls_along_a_half_cosine():
    found = [fraction(0.3, step, 100) for step in (0, 25, 50, 75, 100)]
    assert found == pytest.approx([0.3, 0.15 * (1 + 0.5**0.5), 0.15, 0.15 * (1 - 0.5**0.5), 0.0])


# In a training


class Watched(Trainer):
    """Notes the rig's masks, weights and momentum before and after every step."""

    def watch(self, wanted, steps: int = STEPS):
        course = self.course([wanted])
        before = self._noted(course)
        for step in range(steps):
            course.advance()
            after = self._noted(course)
            yield step, before, after
            before = after

    def _noted(self, course):
        rig = course.rig
        with rig.turn():  # after the step that is under way there
            weights = dict(zip(NAMES, rig.named(NAMES), strict=True))
            momentum = {name: here(rig.optimizer.averages_of(weight)[0]) for name, weight in weights.items()}
            values = {name: here(weight.detach()) for name, weight in weights.items()}
            return {name: here(rig.mask(name)) for name in NAMES}, values, momentum


def here(tensor):
    """A copy on the CPU."""
    return tensor.to("cpu", copy=True)


@pytest.mark.parametrize("rule", ["set", "rigl"])
def test_at_every_update_counts_stay_new_weights_start_at_nothing_and_the_step_is_left_out(rule):
    wanted = moving(rule)
    kept = {name: int(keep.sum()) for name, keep in wanted.mask.items()}
    updates = 0
    for step, (was, values, momentum), (now, after, later) in Watched(DATA).watch(wanted):
        for name in NAMES:
            assert int(now[name].sum()) == kept[name]
            assert (after[name][~now[name]] == 0).all(), "momentum revives nothing"
            if step % 3 or step >= 15:
                assert torch.equal(was[name], now[name])
                continue
            updates += 1
            fresh, stayed = now[name] & ~was[name], now[name] & was[name]
            goes = int(fraction(0.3, step, 15) * kept[name] + 1e-9)
            assert int(fresh.sum()) <= goes
            assert (after[name][fresh] == 0).all()
            assert (later[name][fresh] == 0).all()
            assert torch.equal(after[name][stayed], values[name][stayed]), "no SGD step was done"
            assert torch.equal(later[name][stayed], momentum[name][stayed])
            lost = values[name][was[name] & ~now[name]].abs()
            if len(lost):
                assert lost.max() <= values[name][was[name]].abs().sort().values[goes - 1]
    assert updates == 5 * len(NAMES)


@pytest.mark.parametrize("rule", ["set", "rigl"])
def test_a_training_is_what_a_plain_loop_makes_of_it(rule):
    wanted = moving(rule, every=4, last=13)
    module = build(NETWORK, DATA.shape, 10)
    module.load_state_dict(wanted.start)
    module.to(memory_format=torch.channels_last).train()
    parameters = dict(module.named_parameters())
    mask = {name: keep.clone() for name, keep in wanted.mask.items()}
    momentum = {name: torch.zeros_like(p) for name, p in parameters.items()}
    samples = wanted.view.samples
    order = samples[permutation(len(samples), 0, "order", wanted.view.digest, 0)]
    with torch.no_grad():
        for name in NAMES:
            parameters[name] *= mask[name]
    for step, batch in enumerate(order.split(batch_sizes(len(samples), 64))):
        module.zero_grad()
        F.cross_entropy(module(INPUTS(batch)), DATA.labels[batch]).backward()
        with torch.no_grad():
            for name, p in parameters.items():
                if step % 4 == 0 and step < 13:
                    if name in NAMES:
                        goes = int(fraction(0.3, step, 13) * int(mask[name].sum()) + 1e-9)
                        drawn = permutation(p.numel(), 0, "grow", name, step).tolist()
                        scores = p.grad.abs().flatten().tolist() if rule == "rigl" else drawn
                        sizes = p.abs().flatten().tolist()
                        after = torch.tensor(plainly(sizes, mask[name].flatten().tolist(), scores, goes)).view(p.shape)
                        momentum[name][after & ~mask[name]] = 0.0
                        mask[name] = after
                else:
                    momentum[name] = 0.9 * momentum[name] + p.grad + 5e-4 * p
                    p -= 0.1 * momentum[name]
                if name in NAMES:
                    p *= mask[name]
    result = Trainer(DATA).train(wanted)
    for name in NAMES:
        assert torch.equal(result.observed[f"mask.{name}"], mask[name])
        torch.testing.assert_close(result.state[name], parameters[name].detach(), rtol=1e-4, atol=1e-5)
    assert result.images == len(samples), "a batch that moves the mask counts as one that trains"


def test_turnover_is_told_by_layer():
    told = []
    Trainer(DATA).train(moving("set"), told.append)
    traces = told[0].traces
    assert [(t.step, t.layer) for t in traces] == [(step, name) for step in range(0, 15, 3) for name in NAMES]
    assert {t.kind for t in traces} == {"turnover"}
    first = next(t for t in traces if t.layer == "conv3.weight")
    assert 0.2 < first.value <= 0.3, "of 80 % free places few are those dropped just now"


def test_what_grows_at_random_differs_between_seeds_copies_layers_and_steps_alone():
    def masks_of(**changes):
        return Trainer(DATA).train(moving("set", **changes)).observed

    first = masks_of()
    assert all(torch.equal(keep, masks_of()[name]) for name, keep in first.items())
    for changes in ({"seed": 1}, {"copy": 1}):
        assert not torch.equal(first["mask.conv3.weight"], masks_of(**changes)["mask.conv3.weight"])


def test_a_moving_mask_is_changed_at_the_address_that_steps_read():
    course = Trainer(DATA).course([moving("rigl")])
    before = [course.rig._masks[name].data_ptr() for name in NAMES]
    for _ in range(10):
        course.advance()
    assert [course.rig._masks[name].data_ptr() for name in NAMES] == before
    assert [mask.data_ptr() for mask in course.rig._masks_held] == before


@pytest.mark.parametrize("wanted", [moving("set"), moving("rigl"), gradual(), gradual("global")])
def test_a_training_left_between_any_two_steps_ends_in_the_same_bits(wanted):
    whole_told, parts_told = [], []
    whole = Trainer(DATA).train(wanted, whole_told.append)
    checkpoint = None
    while True:
        asked = itertools.count()
        try:
            found = Trainer(DATA).train(wanted, parts_told.append, lambda asked=asked: next(asked) == 2, checkpoint)
            break
        except Stopped as stopped:
            checkpoint = stopped.checkpoint
    assert all(torch.equal(tensor, found.state[name]) for name, tensor in whole.state.items())
    assert all(torch.equal(keep, found.observed[name]) for name, keep in whole.observed.items())
    assert [told.traces for told in whole_told] == [told.traces for told in parts_told]


def test_gradients_are_those_that_a_step_would_take_and_all_else_is_as_after_one():
    wanted = job(recipe=RECIPE)
    trainer = Trainer(DATA)
    stepped, asked = trainer.course([wanted]).rig, Trainer(DATA).course([wanted]).rig
    for rig in (stepped, asked):
        rig.begin_epoch([DATA.train], [(0,)], 0, [0.1] * STEPS, 0, 0)
    before = {name: weight.detach().clone() for name, weight in asked._named.items()}
    gradients = asked.gradients(64)
    stepped.step(64)
    for name, weight in asked._named.items():
        assert torch.equal(weight, before[name])
    assert (asked.loss_sum, asked.correct) == (stepped.loss_sum, stepped.correct)
    assert (asked._at_here, asked._tick_here) == (stepped._at_here, stepped._tick_here) == (64, 1)
    moved = asked._named["head.weight"] - stepped._named["head.weight"]
    torch.testing.assert_close(moved, 0.1 * (gradients["head.weight"] + 5e-4 * before["head.weight"]))
    statistics = [name for name in stepped.module.state_dict() if "running" in name or "tracked" in name]
    for name in statistics:
        assert torch.equal(stepped.module.state_dict()[name], asked.module.state_dict()[name])


def test_on_a_rig_whose_steps_read_from_the_device_the_mask_moves_alike():
    found = []
    for static in (False, True):
        trainer = Trainer(DATA)
        wanted = moving("rigl")
        kind = trainer._kind(wanted.network, wanted.view, 1)
        trainer.idle.append((kind, Rig(DATA, BATCHES, NETWORK, 10, static=static)))
        found.append(trainer.train(wanted))
    assert all(torch.equal(tensor, found[1].state[name]) for name, tensor in found[0].state.items())
    assert all(torch.equal(keep, found[1].observed[name]) for name, keep in found[0].observed.items())


@pytest.mark.gpu
@GPU
@pytest.mark.parametrize("wanted", [moving("set"), moving("rigl"), gradual("global")])
def test_on_a_card_graphs_hold_the_mask_as_it_moves(wanted):
    watched = Watched(DATA, "cuda")
    for step, _, (now, after, _) in watched.watch(wanted):
        assert all((after[name][~now[name]] == 0).all() for name in NAMES), step
    here, there = Trainer(DATA).train(wanted), Trainer(DATA, "cuda").train(wanted)
    for name, keep in here.observed.items():
        assert (there.state[name.removeprefix("mask.")][~there.observed[name]] == 0).all()
        assert int(keep.sum()) == int(there.observed[name].sum()) or isinstance(wanted.hooks[0], Gradual)
    assert sum(int(k.sum()) for k in here.observed.values()) == sum(int(k.sum()) for k in there.observed.values())


# Gradual pruning


@pytest.mark.parametrize("scope", ["layer", "global"])
def test_gradual_pruning_meets_its_schedule_exactly_and_revives_nothing(scope):
    wanted = gradual(scope)
    [hook] = wanted.hooks
    pools = [(name,) for name in NAMES] if scope == "layer" else [NAMES]
    for step, (was, values, _), (now, after, _) in Watched(DATA).watch(wanted):
        for pool in pools:
            total = sum(keep.numel() for keep in (now[name] for name in pool))
            alive = sum(int(now[name].sum()) for name in pool)
            if step < 2:
                assert alive == total
            elif step in (2, 5, 8, 11, 14):
                share = 0.9 * (1 - (1 - (step - 2) / 12) ** 3)
                assert alive == total - round(share * total)
                lost = torch.cat([values[name][was[name] & ~now[name]].abs() for name in pool])
                kept = torch.cat([values[name][now[name]].abs() for name in pool])
                assert not len(lost) or lost.max() <= kept.min()
            else:
                assert all(torch.equal(was[name], now[name]) for name in pool)
        assert all((now[name] <= was[name]).all() for name in NAMES)
        assert all((after[name][~now[name]] == 0).all() for name in NAMES)
    assert hook.at(14) == 0.9


@given(
    begin=st.integers(0, 50), length=st.integers(1, 50), every=st.integers(1, 30), sparsity=st.floats(0.01, 0.99),
    size=st.integers(1, 500),
)  # fmt: skip
def test_the_schedule_rises_to_its_end_whatever_the_steps_between(begin, length, every, sparsity, size):
    hook = Gradual((("a",),), sparsity, begin, begin + length, every)
    due = [step for step in range(begin + length + 60) if hook.due(step)]
    assert due[0] == begin
    assert due[-1] == begin + length
    counts = [masks.due(hook.at(step), size) for step in due]
    assert counts == sorted(counts)
    assert counts[0] == 0
    assert counts[-1] == masks.due(sparsity, size)


def test_a_step_that_prunes_is_done_as_well():
    assert Trainer(DATA).train(gradual()).images == len(DATA.train)
    told = []
    Trainer(DATA).train(gradual(), told.append)
    assert [(t.step, t.kind) for t in told[0].traces] == [(step, "sparsity") for step in (2, 5, 8, 11, 14)]
    assert told[0].traces[-1].value == pytest.approx(0.9, abs=0.01)


# As searches


LEVELS = [0.5, 0.9]
SEARCHES = {
    "set": {"method": "set", "sparsity": LEVELS, "every": 3},
    "rigl": {"method": "rigl", "sparsity": LEVELS, "every": 3, "ratios": "erk", "layers": ["conv"]},
    "gmp": {"method": "gmp", "sparsity": LEVELS, "begin": "2 steps", "end": "15 steps", "every": 4},
}


@pytest.mark.parametrize("name", SEARCHES)
def test_each_sparsity_is_a_round_and_a_training_whose_last_mask_is_the_ticket(name):
    context, tickets, asked, _ = turn(experiment(**{name: SEARCHES[name]}), name)
    total = sum(weight.count for weight in context.weights if weight.name in context.kinds)
    assert [(request.round, len(request.members)) for request in asked] == [(1, 1), (2, 1)]
    for level, ticket, request in zip(LEVELS, tickets, asked, strict=True):
        kept = masks.alive(ticket.mask)
        if name == "gmp":  # each layer's count is rounded alone
            assert abs(kept - (1 - level) * total) <= len(context.kinds)
            assert request.members[0].pruned == {}
        else:
            assert kept == total - masks.due(level, total)
            assert {n: int(m.sum()) for n, m in ticket.mask.items()} == context.counts(
                context.settings.ratios, level
            ), "the counts of every layer are those that it began with"
            assert any(not torch.equal(ticket.mask[n], m) for n, m in request.members[0].mask.items())
        state = Trainer(DATA).train(request.members[0]).state
        assert all((state[n][~keep] == 0).all() for n, keep in ticket.mask.items())
        assert torch.equal(ticket.start["conv2.weight"], context.initial()["conv2.weight"])


@pytest.mark.parametrize("name", SEARCHES)
def test_the_unchanged_arm_is_the_searchs_own_training_and_a_changed_one_holds_the_mask_it_ended_with(name):
    context, tickets, asked, _ = turn(experiment(**{name: SEARCHES[name]}), name)
    for ticket, request in zip(tickets, asked, strict=True):
        [own] = request.members
        assert searches.members(context, ticket)[0].key == own.key
        assert arm_training(context, DATA, Arm(ticket=name), ticket).key == own.key
        held = arm_training(context, DATA, Arm(ticket=name, start="init"), ticket)
        assert held.hooks == ()
        assert all(torch.equal(held.mask[layer], keep) for layer, keep in ticket.mask.items())
        assert held.start_step == 0


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_that_goes_on_takes_the_next_sparsity(name):
    spec = experiment(**{name: SEARCHES[name]})
    _, tickets, asked, _ = turn(spec, name)
    context = Context(spec, name, 0, DATA, resumed=tickets[0])
    steps = searches.start(context)
    request = steps.send(None)
    assert isinstance(request, Train)
    assert (request.round, request.members[0].key) == (2, asked[1].members[0].key)
    last = steps.send([Trainer(DATA).train(request.members[0])])
    assert isinstance(last, Ticket)
    assert all(torch.equal(keep, tickets[1].mask[layer]) for layer, keep in last.mask.items())


def test_set_and_rigl_begin_with_the_same_mask():
    spec = experiment(s=SEARCHES["set"], r=SEARCHES["set"] | {"method": "rigl"})
    own, other = (searches.start(Context(spec, name, 0, DATA)).send(None).members[0] for name in ("s", "r"))
    assert own.key != other.key
    assert all(torch.equal(own.mask[name], other.mask[name]) for name in own.mask)


@pytest.mark.parametrize("name", ["set", "rigl"])
@pytest.mark.parametrize("how", ["sparse-neuron", "sparse-layer"])
def test_a_sparse_start_is_scaled_to_the_first_mask_and_held_by_the_ticket(name, how):
    context, tickets, asked, _ = turn(experiment(**{name: SEARCHES[name] | {"start": how}}), name)
    dense = context.initial()
    for ticket, request in zip(tickets, asked, strict=True):
        [own] = request.members
        for layer, keep in own.mask.items():
            each = keep.flatten(1).float().mean(1) if how == "sparse-neuron" else keep.float().mean()
            scale = torch.as_tensor(each).rsqrt().nan_to_num(posinf=0.0)
            expected = dense[layer] * scale.view(-1, *[1] * (keep.ndim - 1))
            assert torch.allclose(own.start[layer], expected)
        assert ticket.start.keys() == own.start.keys()
        assert all(torch.equal(ticket.start[tensor], value) for tensor, value in own.start.items())
        assert searches.members(context, ticket)[0].key == own.key
        shuffled = arm_training(context, DATA, Arm(ticket=name, mask="shuffled"), ticket)
        assert torch.equal(shuffled.start["conv2.weight"], own.start["conv2.weight"])


def test_arms_from_a_sparse_start_are_counted_by_ticket_and_not_as_those_of_the_initialisation():
    spec = experiment(set=SEARCHES["set"] | {"start": "sparse-neuron"})
    paths = {("set", seed): search_forecast(spec, "set", Context(spec, "set", 0, DATA).weights).path for seed in (0, 1)}
    quick = {"lr": 0.2}
    arms = {
        "own": {"ticket": "set", "recipe": quick},
        "init": {"ticket": "set", "recipe": quick, "start": "init"},
        "whole": {"ticket": "set", "recipe": quick, "mask": "full"},
    }
    full = spec.model_validate(spec.model_dump(mode="json") | {"arms": arms})
    tickets = sum(len(path) for (_, seed), path in paths.items() if seed in full.seeds)
    found = cost(full, {"": 1000, "set": 1000}, 10, 300, paths)
    assert found.evaluation == 3 * tickets * full.recipe.epochs * 1000


def test_the_forecast_counts_a_training_a_sparsity_and_no_more_for_the_unchanged_arm():
    spec = experiment(**SEARCHES)
    counted = Context(spec, "set", 0, DATA).weights
    paths = {(name, seed): search_forecast(spec, name, counted).path for name in SEARCHES for seed in spec.seeds}
    arms = {"ticket": {"ticket": "each"}, "static": {"ticket": "each", "start": "init"}}
    full = spec.model_validate(spec.model_dump(mode="json") | {"arms": arms})
    found = cost(full, dict.fromkeys(["", *SEARCHES], 1000), 10, 300, paths)
    assert (found.search, found.evaluation) == (2 * 3 * 2 * 1000, 2 * 3 * 2 * 1000)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"data": {"fraction": 0.5}}, "the training that finds a ticket is the one that is evaluated"),
        ({"recipe": {"weights": "best"}}, "a mask that moved on"),
    ],
)
def test_what_would_part_the_mask_from_the_weights_is_refused(changes, words):
    for settings_ in SEARCHES.values():
        with pytest.raises(ValueError, match=words):
            experiment(s=settings_ | changes)
