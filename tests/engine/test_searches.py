"""Searches prune what the papers say: against plain loops, exact counts, and the arithmetic of the methods."""

import pytest
import torch
from torch.nn.utils import prune as torch_prune

from engine import masks, searches
from engine.arms import arm_training, dense_training
from engine.data import load
from engine.measurements import Errand
from engine.networks import build, initialise
from engine.schedules import lr_at, steps_per_epoch
from engine.searches import Begun, Context, Follow, Measure, Point, Ticket, Train
from engine.searches.colt import segments
from engine.training import Trainer
from presets.schema import Arm, Colt, Data, Experiment

DATA = load(Data())


def experiment(**searched) -> Experiment:
    return Experiment.model_validate(
        {
            "title": "test",
            "seeds": [0, 1],
            "network": {"name": "conv3", "width": 0.1},
            "recipe": {"epochs": 1, "batch": 64, "lr": 0.1},
            "searches": searched,
        }
    )


def turn(spec: Experiment, name: str, seed: int = 0, removed: dict[int, dict[str, int]] | None = None, data=DATA):
    """Run a search to its end on one trainer; gives its tickets and what it asked to train."""
    context = Context(spec, name, seed, data)
    trainer, steps, answer = Trainer(data), searches.start(context), None
    tickets, asked, points = [], [], []
    while True:
        try:
            request = steps.send(answer)
        except StopIteration:
            return context, tickets, asked, points
        answer = None
        if isinstance(request, Train):
            asked.append(request)
            answer = [trainer.train(job) for job in request.members]
        elif isinstance(request, Measure):
            errand = Errand(trainer, request.job, request.job.of)
            while not errand.over:
                answer = errand.advance()
            [(_, answer)] = answer
        elif isinstance(request, Begun):
            answer = request.round in (removed or {})
        elif isinstance(request, Follow):
            answer = (removed or {}).get(request.round)
        elif isinstance(request, Ticket):
            tickets.append(request)
        elif isinstance(request, Point):
            points.append(request)


def test_colt_equals_a_plain_loop_with_torch_nn_utils_prune():
    spec = experiment(colt={"method": "colt", "rate": {"conv": 0.15}, "rounds": 2})
    _, tickets, asked, _ = turn(spec, "colt")
    names = ("conv1", "conv2", "conv3")
    common = {name: torch.ones_like(tickets[0].mask[f"{name}.weight"]) for name in names}
    for ticket, request in zip(tickets, asked, strict=True):
        kept = []
        for job in request.members:
            trained = Trainer(DATA).train(job).state
            module = build(spec.network, DATA.shape, 5)
            module.load_state_dict(trained)
            layers = [(getattr(module, name), "weight") for name in names]
            for name, (layer, _) in zip(names, layers, strict=True):
                torch_prune.custom_from_mask(layer, "weight", common[name])
            alive = sum(int(mask.sum()) for mask in common.values())
            torch_prune.global_unstructured(layers, torch_prune.L1Unstructured, amount=round(0.15 * alive))
            kept.append({name: getattr(module, name).weight_mask.bool() for name in names})
        common = {name: kept[0][name] & kept[1][name] for name in names}
        for name in names:
            assert torch.equal(ticket.mask[f"{name}.weight"], common[name])


def test_colt_loses_between_r_and_2r_a_round_of_two_members():
    _, tickets, _, _ = turn(experiment(colt={"method": "colt", "rate": {"conv": 0.15}, "rounds": 3}), "colt")
    for ticket in tickets:
        before, after = masks.alive(ticket.before), masks.alive(ticket.mask)
        due = masks.due(0.15, before)
        assert all(masks.alive(member) == before - due for member in ticket.members)
        assert due <= before - after <= 2 * due


def test_colt_members_and_the_dense_arm_share_every_initial_weight_but_the_heads():
    spec = experiment(colt={"method": "colt", "rounds": 1})
    _, _, [request], _ = turn(spec, "colt")
    dense = dense_training(spec, DATA, Arm(), 0)
    for job in request.members:
        assert job.start["head.weight"].shape[0] == 5
        for name, tensor in dense.start.items():
            if not name.startswith("head."):
                assert torch.equal(job.start[name], tensor)


def test_who_sees_less_comes_to_the_same_places_of_a_schedule_given_in_steps():
    """COLT's members, and a search on a part of the data: the cut at 19 of 38 steps is one in the middle."""
    half = {"method": "imp", "rate": 0.2, "rounds": 1, "data": {"fraction": 0.5}}
    colt = {"method": "colt", "rate": 0.2, "rounds": 1, "segments": 3}
    spec = experiment(half=half, colt=colt)
    recipe = spec.recipe.model_dump() | {"epochs": 2, "schedule": "step", "milestones": ["19 steps"]}
    spec = Experiment.model_validate(spec.model_dump(mode="json") | {"recipe": recipe})
    sets = {"half": load(Data(fraction=0.5)), "colt": DATA}
    for name, data in sets.items():
        context = Context(spec, name, 0, data, whole_data=DATA)
        jobs = next(searches.start(context)).members
        for job in jobs:
            per_epoch = steps_per_epoch(len(job.view.samples), 64)
            rates = [lr_at(job.recipe, step, per_epoch) for step in range(job.last_step)]
            assert rates.count(0.1) == pytest.approx(len(rates) / 2, abs=1), (name, job.view.name)


def test_an_unknown_or_unprunable_kind_is_left_alone_and_heads_are_never_in_a_colt_mask():
    _, [ticket], _, _ = turn(experiment(colt={"method": "colt", "rounds": 1}), "colt")
    assert set(ticket.mask) == {"conv1.weight", "conv2.weight", "conv3.weight"}


@pytest.mark.parametrize("scope", ["global", "kind", "layer"])
def test_imp_removes_exact_shares_and_the_smallest_by_scope(scope):
    spec = experiment(imp={"method": "imp", "rate": 0.3, "rounds": 2, "scope": scope})
    _, tickets, asked, _ = turn(spec, "imp")
    for ticket, request in zip(tickets, asked, strict=True):
        state = Trainer(DATA).train(request.members[0]).state
        kinds = {name: "head" if name.startswith("head") else "conv" for name in ticket.mask}
        for _, pool in masks.pools(kinds, {"conv": 0.3, "head": 0.3}, scope):
            before = masks.alive(ticket.before, pool)
            assert masks.alive(ticket.mask, pool) == before - masks.due(0.3, before)
            kept = torch.cat([state[n][ticket.mask[n]].abs() for n in pool])
            gone = torch.cat([state[n][ticket.before[n] & ~ticket.mask[n]].abs() for n in pool])
            assert gone.max() <= kept.min()


def test_matched_imp_removes_exactly_the_counts_it_is_told_by_kind():
    spec = experiment(
        colt={"method": "colt", "rate": {"conv": 0.15, "head": 0.1}, "split": "random", "rounds": 3},
        matched={"method": "imp", "rate": {"like": "colt"}},
    )
    context, tickets, _, _ = turn(spec, "colt")
    counts = {t.round: searches.removed(t.before, t.mask, context.kinds) for t in tickets}
    assert set(counts[1]) == {"conv", "head"}
    own, followed, _, _ = turn(spec, "matched", removed=counts)
    assert own.kinds == context.kinds
    assert [searches.removed(t.before, t.mask, own.kinds) for t in followed] == list(counts.values())


def test_late_rewinding_trains_the_point_once_and_goes_back_to_it():
    spec = experiment(
        imp={"method": "imp", "rate": {"conv": 0.2}, "rounds": 2, "rewind": "6 steps"},
        colt={"method": "colt", "rounds": 1, "rewind": "6 steps"},
    )
    _, tickets, asked, [point] = turn(spec, "imp")
    assert [request.round for request in asked] == [0, 1, 2]
    assert point.step == 6
    for request, ticket in zip(asked[1:], tickets, strict=True):
        [job] = request.members
        assert job.start_step == ticket.start_step == 6
        assert torch.equal(job.start["conv2.weight"], point.start["conv2.weight"])
    _, _, [first, second], [shared] = turn(spec, "colt")
    assert first.members[0].key == asked[0].members[0].key, "both searches ask for one training"
    init = initialise(spec.network, DATA.shape, 5, 0)
    for job in second.members:
        assert job.start_step == 3, "the same place of a schedule with half as many steps an epoch"
        assert torch.equal(job.start["conv2.weight"], shared.start["conv2.weight"])
        assert torch.equal(job.start["head.weight"], init["head.weight"])


def test_a_search_goes_on_from_its_last_ticket_as_if_it_had_never_stopped():
    spec = experiment(colt={"method": "colt", "rounds": 3})
    _, whole, _, _ = turn(spec, "colt")
    context = Context(spec, "colt", 0, DATA, resumed=whole[1])
    steps, trainer = searches.start(context), Trainer(DATA)
    request = steps.send(None)
    assert request.round == 3
    answer = [trainer.train(job) for job in request.members]
    while not isinstance(request, Ticket):
        request, answer = steps.send(answer), None
    assert all(torch.equal(request.mask[name], keep) for name, keep in whole[2].mask.items())


@pytest.mark.parametrize(
    ("until", "of", "expected"), [(0.36, "prunable", 2), (0.37, "prunable", 3), (0.36, "total", 3)]
)
def test_a_search_stops_at_the_first_round_that_reaches_its_target(until, of, expected):
    spec = experiment(imp={"method": "imp", "rate": {"conv": 0.2}, "until": until, "of": of})
    context = Context(spec, "imp", 0, DATA)
    mask, number = context.begin()[1], 0
    while not context.finished(mask, number):
        number += 1
        mask = context.prune(context.initial(), mask)
    assert number == expected


@pytest.mark.parametrize(("count", "sizes"), [(2, [5, 5]), (3, [4, 3, 3]), (10, [1] * 10)])
def test_classes_are_dealt_out_in_blocks_and_none_is_lost(count, sizes):
    views = segments(DATA, Colt(method="colt", rounds=1, segments=count), seed=0)
    assert [len(view.classes) for view in views] == sizes
    assert sum((view.classes for view in views), ()) == tuple(range(10))
    assert torch.equal(torch.cat([view.samples for view in views]).sort().values, DATA.train)
    for view in views:
        assert set(DATA.labels[view.samples].tolist()) == set(view.classes)
        assert set(DATA.targets(view)[view.samples].tolist()) == set(range(len(view.classes)))


@pytest.mark.parametrize("split", ["random", "stratified"])
@pytest.mark.parametrize("count", [2, 3])
def test_samples_are_dealt_out_evenly_and_none_is_lost(split, count):
    settings = Colt(method="colt", rounds=1, segments=count, split=split)
    views = segments(DATA, settings, seed=1)
    assert torch.equal(torch.cat([view.samples for view in views]).sort().values, DATA.train)
    assert max(len(v.samples) for v in views) - min(len(v.samples) for v in views) <= 1
    assert not torch.equal(views[0].samples, segments(DATA, settings, seed=2)[0].samples)
    if split == "stratified":
        for digit in range(10):
            shares = [int((DATA.labels[view.samples] == digit).sum()) for view in views]
            assert max(shares) - min(shares) <= 1


def test_more_segments_than_classes_are_refused():
    with pytest.raises(ValueError, match="segments = 11, but digits has 10 classes"):
        segments(DATA, Colt(method="colt", rounds=1, segments=11), seed=0)


def test_controls_change_one_ingredient_and_nothing_else():
    spec = experiment(colt={"method": "colt", "rounds": 1})
    context, [ticket], _, _ = turn(spec, "colt")
    found, shuffled, reinit = (
        arm_training(context, DATA, Arm(ticket="each", **changes), ticket)
        for changes in ({}, {"mask": "shuffled"}, {"start": "reinit"})
    )
    same = {"network", "recipe", "seed", "start_step", "end_step"}
    for other in (shuffled, reinit):
        assert all(getattr(other, name) == getattr(found, name) for name in same)
        assert other.view.digest == found.view.digest
    assert all(torch.equal(shuffled.start[n], t) for n, t in found.start.items())
    assert all(torch.equal(reinit.mask[n], m) for n, m in found.mask.items())
    assert not torch.equal(shuffled.mask["conv2.weight"], found.mask["conv2.weight"])
    assert not torch.equal(reinit.start["conv2.weight"], found.start["conv2.weight"])
    assert masks.alive(shuffled.mask) == masks.alive(found.mask)
