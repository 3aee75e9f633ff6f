"""Searches that find tickets of all their sparsities at once: exact counts, the right weights, the cost borne once."""

import itertools

import pytest
import torch

from engine import masks, ratios, searches
from engine.data import corrupted, load
from engine.networks import initialise
from engine.searches import Context, Ticket, Train
from engine.training import Trainer
from engine.turning import Turning
from presets.schema import Corruption, Data
from tests.engine.test_searches import DATA, experiment, turn

LEVELS = [0.5, 0.8, 0.95]


def found(context, tickets):
    """The sparsity of each ticket over all that may be pruned."""
    total = sum(weight.count for weight in context.weights if weight.name in context.kinds)
    return [
        masks.alive(ticket.mask) - (total - masks.due(level, total))
        for ticket, level in zip(tickets, LEVELS, strict=True)
    ]


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "one-shot"},
        {"method": "one-shot", "layers": ["conv"], "spare_first": True},
        {"method": "snip"},
        {"method": "grasp", "images": 3},
        {"method": "random"},
        {"method": "random", "ratios": "erk"},
        {"method": "random", "ratios": "smart-ratio"},
        {"method": "hybrid"},
    ],
)
def test_every_ticket_keeps_exactly_what_its_sparsity_says(settings):
    context, tickets, asked, _ = turn(experiment(s=settings | {"sparsity": LEVELS}), "s")
    assert found(context, tickets) == [0, 0, 0]
    assert [ticket.round for ticket in tickets] == [request.round for request in asked] == [1, 2, 3]
    assert set(tickets[0].mask) == set(context.kinds)
    assert ("conv1.weight" in context.kinds) != settings.get("spare_first", False)
    trained = [len(request.members) for request in asked]
    images = [request.images for request in asked]
    assert trained == ([1, 0, 0] if settings["method"] in ("one-shot", "hybrid") else [0, 0, 0])
    cost = {"snip": 10 * 10, "grasp": 2 * 3 * 10}.get(settings["method"], 0)
    assert images == [cost, 0, 0], "the first ticket bears what finding all of them cost"


@pytest.mark.parametrize("scope", ["global", "layer"])
def test_one_shot_keeps_the_largest_trained_weights_and_goes_back_to_the_start(scope):
    spec = experiment(s={"method": "one-shot", "sparsity": [0.6], "scope": scope, "rewind": "4 steps"})
    context, [ticket], [_, request], [point] = turn(spec, "s")
    state = Trainer(DATA).train(request.members[0]).state
    pools = [tuple(context.kinds)] if scope == "global" else [(name,) for name in context.kinds]
    for pool in pools:
        kept = torch.cat([state[name][ticket.mask[name]].abs() for name in pool])
        gone = torch.cat([state[name][~ticket.mask[name]].abs() for name in pool])
        assert len(gone) == masks.due(0.6, len(gone) + len(kept))
        assert gone.max() <= kept.min()
    assert (ticket.start_step, request.members[0].start_step) == (4, 4)
    assert torch.equal(ticket.start["conv2.weight"], point.start["conv2.weight"])


def test_hybrid_keeps_each_layers_largest_at_the_rules_counts_and_starts_from_what_was_trained():
    spec = experiment(s={"method": "hybrid", "sparsity": [0.7]})
    context, [ticket], [request], _ = turn(spec, "s")
    state = Trainer(DATA).train(request.members[0]).state
    layers = [weight for weight in context.weights if weight.name in context.kinds]
    total = sum(weight.count for weight in layers)
    expected = ratios.counts("smart-ratio", layers, total - masks.due(0.7, total), "conv3")
    for name, count in expected.items():
        assert int(ticket.mask[name].sum()) == count
        if 0 < count < state[name].numel():
            assert state[name][~ticket.mask[name]].abs().max() <= state[name][ticket.mask[name]].abs().min()
    assert torch.equal(ticket.start["conv2.weight"], state["conv2.weight"])
    assert ticket.start_step == 0, "its schedule begins anew"


def test_a_hybrids_training_ends_when_the_mask_that_its_counts_would_keep_rests():
    stop = {"epsilon": 0.5, "window": 2, "armed": False}
    spec = experiment(s={"method": "hybrid", "sparsity": [0.5, 0.7], "stop": stop})
    context, tickets, [request, _], _ = turn(spec, "s")
    [hook] = request.members[0].hooks
    expected = context.counts("smart-ratio", 0.7)
    assert {name: masks.alive(context.whole(), [name]) for name in expected} == {
        name: masks.due(rate, masks.alive(context.whole(), [name])) + expected[name] for rate, [name] in hook.pools
    }
    assert len(tickets) == 2


def test_random_tickets_differ_between_seeds_and_sparsities_and_start_from_the_initialisation():
    spec = experiment(s={"method": "random", "sparsity": [0.5, 0.6]})
    _, [first, second], _, _ = turn(spec, "s")
    _, [other, _], _, _ = turn(spec, "s", seed=1)
    assert not (second.mask["conv3.weight"] <= first.mask["conv3.weight"]).all(), "not one within the other"
    assert not torch.equal(first.mask["conv3.weight"], other.mask["conv3.weight"])
    init = initialise(spec.network, DATA.shape, DATA.classes, 0)
    assert torch.equal(first.start["conv2.weight"], init["conv2.weight"])


def test_snip_tickets_of_higher_sparsity_lie_within_those_of_lower():
    _, tickets, _, _ = turn(experiment(s={"method": "snip", "sparsity": LEVELS}), "s")
    for wide, narrow in itertools.pairwise(tickets):
        assert all((narrow.mask[name] <= wide.mask[name]).all() for name in wide.mask)


def test_a_run_that_goes_on_has_found_all_of_them():
    spec = experiment(s={"method": "one-shot", "sparsity": LEVELS})
    _, tickets, _, _ = turn(spec, "s")
    context = Context(spec, "s", 0, DATA, resumed=tickets[-1])
    assert list(searches.start(context)) == []


def test_members_say_what_a_ticket_was_pruned_from():
    spec = experiment(
        imp={"method": "imp", "rate": {"conv": 0.3}, "rounds": 2},
        colt={"method": "colt", "rounds": 2},
        omp={"method": "one-shot", "sparsity": LEVELS},
        random={"method": "random", "sparsity": LEVELS},
    )
    for name in spec.searches:
        context, tickets, asked, _ = turn(spec, name)
        for ticket in tickets:
            [request] = [one for one in asked if one.round == (ticket.round if name in ("imp", "colt") else 1)]
            assert [job.key for job in searches.members(context, ticket)] == [job.key for job in request.members]


# Searches on corrupted data


def test_a_search_sees_corrupted_data_and_its_ticket_does_not():
    spec = experiment(s={"method": "imp", "rate": {"conv": 0.3}, "rounds": 1, "data": {"label_noise": 1.0}})
    noisy = corrupted(DATA, spec.data, spec.searches["s"].data)
    context = Context(spec, "s", 0, noisy)
    trainer, steps = Trainer(DATA, corrupted=[noisy]), searches.start(context)
    request = steps.send(None)
    [job] = request.members
    assert job.view.data == noisy.identity != DATA.identity
    answer = [trainer.train(job)]
    while not isinstance(request, Ticket):
        request, answer = steps.send(answer), None
    assert isinstance(request, Ticket)
    alone = Trainer(noisy).train(job)
    assert torch.equal(alone.state["conv1.weight"], trainer.train(job).state["conv1.weight"])


def test_a_trainer_keeps_the_forms_of_a_data_set_apart():
    plain = experiment(s={"method": "imp", "rate": {"conv": 0.3}, "rounds": 1})
    forms = [corrupted(DATA, Data(), c) for c in (Corruption(label_noise=1.0), Corruption(pixels="scrambled"))]
    trainer = Trainer(DATA, corrupted=forms)
    jobs = [
        Context(plain, "s", 0, form).training(initialise(plain.network, DATA.shape, 10, 0), {})
        for form in (DATA, *forms)
    ]
    assert len({job.likeness for job in jobs}) == 3, "they are never stacked"
    for form, job in zip((DATA, *forms), jobs, strict=True):
        expected, result = Trainer(form).train(job), trainer.train(job)
        assert torch.equal(expected.state["conv2.weight"], result.state["conv2.weight"])
        assert expected.test == result.test
    assert len(trainer.idle) == 2, "noisy labels lie on the same images"


def test_nothing_to_corrupt_is_the_data_itself_and_a_draw_says_how():
    assert corrupted(DATA, Data(), Corruption()) is DATA
    first, second = (corrupted(DATA, Data(draw=draw), Corruption(fraction=0.5)) for draw in (0, 1))
    assert len(first.train) == len(second.train) < len(DATA.train)
    assert not torch.equal(first.train, second.train)
    assert torch.equal(first.test, DATA.test)


def test_half_the_data_makes_epochs_half_as_long():
    spec = experiment(s={"method": "one-shot", "sparsity": [0.5], "data": {"fraction": 0.5}})
    half = corrupted(DATA, spec.data, spec.searches["s"].data)
    context = Context(spec, "s", 0, half)
    request = searches.start(context).send(None)
    assert isinstance(request, Train)
    assert context.per_epoch == request.members[0].last_step == 10


def test_corruption_is_drawn_apart_from_what_the_data_set_itself_has():
    noisy = load(Data(label_noise=0.3))
    again = corrupted(noisy, Data(label_noise=0.3), Corruption(label_noise=0.3))
    assert not torch.equal(again.labels, noisy.labels)


def test_a_first_level_that_removes_nothing_leaves_the_others_their_tickets():
    spec = experiment(s={"method": "one-shot", "sparsity": [1e-9, 0.8]})
    context, tickets, _, _ = turn(spec, "s")
    turning = Turning(context)
    turning.note(tickets[0])
    assert masks.alive(tickets[0].mask) == masks.alive(tickets[0].before)
    assert not turning.stuck
    assert len(tickets) == 2
