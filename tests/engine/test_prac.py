"""PrAC's sets are made of what its paper says, shorten rounds by their share, and can be drawn at random instead."""

import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine import masks, searches
from engine.checks.savings import answer as saved
from engine.checks.savings import judged
from engine.data import load
from engine.hooks.best import BEST, Best
from engine.hooks.early_stop import DISTANCE
from engine.hooks.forgetting import NEVER, Forgetting
from engine.measurements import Errand, Observed
from engine.schedules import lr_at, steps_per_epoch
from engine.searches import Context, Measure, Sized, Ticket, Train, colt
from engine.searches.prac import CEP, CET, SHOWN, _training, hardest, parted, shortened, sizes, united
from engine.tensors import read
from engine.training import Result, Trainer
from presets.schema import Data, Experiment, Recipe, Savings, Side
from store.editing import delete_run, request, set_state
from store.files import object_path
from tests.engine.running import Bench, plan
from tests.engine.test_run import wait_for

DATA = load(Data())


def experiment(**prac) -> Experiment:
    return Experiment.model_validate(
        {
            "title": "test",
            "seeds": [0],
            "network": {"name": "conv3", "width": 0.1},
            "recipe": {"epochs": 2, "batch": 64, "lr": 0.05},
            "searches": {"prac": {"method": "prac", "rounds": 3} | prac},
        }
    )


WAVERING = Recipe(epochs=8, batch=64, lr=0.4)
"""At so large a rate the best epoch on validation is not the last."""


def turn(
    spec: Experiment,
    name: str = "prac",
    counts: dict[int, tuple[int, ...]] | None = None,
    resumed: Ticket | None = None,
):
    """The search to its end: tickets, what it asked to train, round by round and member by member, and what that came
    to."""
    context = Context(spec, name, 0, DATA, resumed=resumed)
    trainer, steps, answer = Trainer(DATA), searches.start(context), None
    tickets, jobs, results = [], [], {}
    while True:
        try:
            request = steps.send(answer)
        except StopIteration:
            return tickets, jobs, results
        answer = None
        if isinstance(request, Train):
            results |= {job.key: trainer.train(job) for job in request.members}
            jobs += request.members
            answer = [results[job.key] for job in request.members]
        elif isinstance(request, Measure):
            states = [held(one, results) for one in request.job.of]
            errand = Errand(trainer, request.job, states)
            while not errand.over:
                answer = errand.advance()
            [(_, answer)] = answer
        elif isinstance(request, Sized):
            answer = (counts or {}).get(request.round)
        elif isinstance(request, Ticket):
            tickets.append(request)


def held(one, results: dict[str, Result]):
    """The weights that a measurement is of."""
    if isinstance(one, Observed):
        return one.among(results[one.training.key].observed)
    return one if isinstance(one, dict) else results[one.key].state


def answers(state, mask=None, samples: torch.Tensor = DATA.train) -> torch.Tensor:
    """The likeliest class of every sample, by the engine's own network in eval mode."""
    from engine.networks import build

    module = build(experiment().network, DATA.shape, len(state["head.weight"]))
    held = {n: t * mask[n] if mask and n in mask else t for n, t in state.items()}
    module.load_state_dict(held)
    module.eval()
    mean, deviation = torch.tensor(DATA.mean)[:, None, None], torch.tensor(DATA.deviation)[:, None, None]
    with torch.no_grad():
        return module((DATA.images[samples] / DATA.white - mean) / deviation).argmax(1)


def chosen(ticket: Ticket, bit: int) -> set[int]:
    return set(ticket.samples[(ticket.reasons & bit) > 0].tolist())


@pytest.mark.parametrize("against", ["best", "first", "before"])
def test_a_set_is_what_was_forgotten_and_what_the_sparse_network_answers_otherwise(against):
    spec = experiment(against=against)
    spec = spec.model_copy(update={"recipe": WAVERING if against == "best" else spec.recipe})
    tickets, jobs, results = turn(spec)
    dense = results[jobs[0].key].state
    if against == "best":
        recipe = jobs[0].recipe.model_copy(update={"weights": "best"})
        best = Trainer(DATA).train(replace(jobs[0], recipe=recipe, hooks=()))
        assert best.epoch_used < recipe.epochs, "or it is the last, and nothing is tested"
        dense = best.state
    for number, (ticket, job) in enumerate(zip(tickets, jobs, strict=True), 1):
        result = results[job.key]
        forgotten = job.view.samples[result.observed["forgotten"] > 0]
        assert chosen(ticket, CET) == set(forgotten.tolist())
        if against != "before":
            different = DATA.train[answers(dense) != answers(result.state)]
        else:
            different = DATA.train[answers(result.state) != answers(result.state, ticket.mask)]
        if against != "before" and number == 1:
            different = different[:0]  # the first round's network is the dense one
        assert len(chosen(ticket, CEP) ^ set(different.tolist())) <= 2, "an answer may lie on an edge"
        assert torch.equal(ticket.samples, ticket.samples.sort().values)
    for ticket, job in zip(tickets, jobs[1:], strict=False):
        assert torch.equal(job.view.samples, ticket.samples), "rebuilt every round, not grown"
        assert job.hooks == (Forgetting(),)
    assert jobs[0].hooks == ((Forgetting(), Best()) if against == "best" else (Forgetting(),))


@pytest.mark.parametrize(("use", "bit"), [("training", CET), ("pruning", CEP)])
def test_one_half_of_the_rule_can_be_used_alone(use, bit):
    tickets, _, _ = turn(experiment(use=use, against="before"))
    for ticket in tickets:
        assert ticket.reasons is not None
        assert set(ticket.reasons.tolist()) == {bit}


def test_more_forgetting_events_make_a_smaller_set_within_the_larger():
    wide, narrow = (turn(experiment(use="training", forgotten=f, rounds=1))[0][0] for f in (0, 1))
    assert set(narrow.samples.tolist()) < set(wide.samples.tolist())


def test_a_round_takes_as_many_iterations_as_its_set_is_large_or_its_square():
    tickets, jobs, _ = turn(experiment())
    for ticket, job in zip(tickets, jobs[1:], strict=False):
        assert job.recipe.epochs == 2
        assert job.images == pytest.approx(2 * len(ticket.samples), abs=64)
    recipe = Recipe(epochs=180, batch=64, schedule="step", milestones=["90 epochs", "400 steps"], warmup="3 epochs")
    short = shortened(recipe, 0.5, 10)
    assert (short.epochs, short.milestones, short.warmup) == (90, ("900 steps", "400 steps"), "30 steps")
    assert shortened(recipe, 0.001, 10).epochs == 1


@pytest.mark.parametrize("length", ["linear", "quadratic"])
@pytest.mark.parametrize("unit", [("6 epochs", "9 epochs", "2 epochs"), ("114 steps", "171 steps", "38 steps")])
def test_a_shorter_round_comes_to_the_same_places_of_the_schedule(length, unit):
    recipe = {"epochs": 12, "batch": 64, "lr": 0.05, "schedule": "step", "milestones": unit[:2], "warmup": unit[2]}
    spec = Experiment.model_validate(experiment(length=length).model_dump(mode="json") | {"recipe": recipe})
    context = Context(spec, "prac", 0, DATA)
    assert context.per_epoch == 19
    samples = DATA.train[: len(DATA.train) // 2]
    job = _training(context, context.initial(), context.whole(), 0, DATA.all(), samples)
    per_epoch, steps = steps_per_epoch(len(samples), 64), job.last_step
    assert steps == (12 if length == "linear" else 6) * per_epoch
    rates = [lr_at(job.recipe, step, per_epoch) for step in range(steps)]
    cuts = [step / steps for step in range(1, steps) if rates[step] < rates[step - 1]]
    assert cuts == pytest.approx([0.5, 0.75], abs=1 / steps)
    assert rates.index(max(rates)) / steps == pytest.approx(2 / 12, abs=1.5 / steps)


def test_random_sets_are_as_large_as_anothers_and_differ_by_round():
    spec = Experiment.model_validate(
        experiment().model_dump(mode="json")
        | {"searches": {"prac": {"method": "prac", "rounds": 3},
                        "drawn": {"method": "prac", "rounds": 3, "sizes": {"like": "prac"}}}}
    )  # fmt: skip
    tickets, jobs, _ = turn(spec, "drawn", counts={1: (300,), 2: (300,), 3: (200,)})
    assert [len(job.view.samples) for job in jobs] == [len(DATA.train), 300, 300]
    assert not torch.equal(jobs[1].view.samples, jobs[2].view.samples)
    assert [len(ticket.samples) for ticket in tickets] == [300, 300, 200], "as chosen for the next round"
    assert all(ticket.reasons is None for ticket in tickets)
    tickets, jobs, _ = turn(spec, "drawn", counts={1: (300,)})
    assert len(tickets) == len(jobs) == 2, "it ends with the other search"
    assert tickets[1].samples is None, "there is no set for a round that will not be"
    assert turn(spec, "drawn", counts={1: (300,)}, resumed=tickets[1])[:2] == ([], []), "nor when it goes on"


def test_masks_are_pruned_and_weights_go_back_as_in_imp():
    tickets, jobs, results = turn(experiment())
    for ticket, job in zip(tickets, jobs, strict=True):
        before = masks.alive(ticket.before)
        assert masks.alive(ticket.mask) == before - masks.due(0.2, before)
        assert torch.equal(job.start["conv1.weight"], jobs[0].start["conv1.weight"])
        kept = torch.cat([results[job.key].state[n][ticket.mask[n]].abs() for n in ticket.mask])
        gone = torch.cat([results[job.key].state[n][ticket.before[n] & ~ticket.mask[n]].abs() for n in ticket.mask])
        assert gone.max() <= kept.min()


def test_a_search_goes_on_from_its_last_set():
    tickets, jobs, _ = turn(experiment())
    again, rest, _ = turn(experiment(against="before"), resumed=tickets[1])
    assert torch.equal(rest[0].view.samples, tickets[1].samples)
    assert rest[0].key == jobs[2].key
    assert [ticket.round for ticket in again] == [3]


def test_the_hardest_samples_come_first_with_why():
    samples, forgotten = torch.tensor([4, 9, 2, 7]), torch.tensor([1, NEVER, 0, 3])
    assert hardest(samples, forgotten) == ((9, "never learned"), (7, "forgotten 3 times"), (4, "forgotten 1 time"))


@pytest.mark.parametrize(
    ("differences", "verdict"),
    [([0.0, 0.1, -0.1], "passed"), ([-3.0, -3.1, -2.9], "failed"), ([-3.0, 3.0, 0.0], "undecided"), ([0.0], "none")],
)
def test_a_saving_counts_only_where_accuracy_is_not_inferior_within_the_margin(differences, verdict):
    check = Savings(method="savings", this=Side(arm="t", search="a"), that=Side(arm="t", search="b"), at=0.5)
    rows = [
        {"difference": d, "this_images": 25, "that_images": 100, "sparsity": 0.5, "that_sparsity": 0.52, "count": 300,
         "this_accuracy": 0.9, "that_accuracy": 0.9, "this_forward": 5000, "that_forward": 60}
        for d in differences
    ]  # fmt: skip
    head, held = judged(check, "a/b", rows, "")
    assert (head.verdict, held.verdict) == (verdict, verdict)
    assert head.figure == 75.0
    assert "at 50.0 % and 52.0 % sparsity (25 against 100; forward only 5,000 against 60); " in head.sentence
    assert held.figure == pytest.approx(sum(differences) / len(differences))


# Over COLT's segments

SPLITS = [("class", 2), ("random", 3), ("stratified", 2)]


def of(samples: torch.Tensor, part) -> set[int]:
    return set(samples.tolist()) & set(part.samples.tolist())


@pytest.mark.parametrize(("split", "segments"), SPLITS)
@pytest.mark.parametrize("against", ["best", "before"])
def test_each_segment_chooses_its_own_set_and_the_round_their_union(split, segments, against):
    spec = experiment(split=split, segments=segments, against=against, rounds=2)
    tickets, jobs, results = turn(spec)
    parts = colt.segments(DATA, spec.searches["prac"], 0)
    rounds = [jobs[:segments], jobs[segments:]]
    assert [job.view.samples.tolist() for job in rounds[0]] == [part.samples.tolist() for part in parts]
    for ticket, members, later in zip(tickets, rounds, [rounds[1], None], strict=True):
        expected = set()
        for number, (part, job) in enumerate(zip(parts, members, strict=True)):
            result = results[job.key]
            critical = set(job.view.samples[result.observed["forgotten"] > 0].tolist())
            assert of(ticket.samples[(ticket.reasons & CET) > 0], part) == critical
            if against == "best":
                first = held(Observed(rounds[0][number], BEST), results) if members is rounds[1] else result.state
                different = answers(first, samples=part.samples) != answers(result.state, samples=part.samples)
            else:
                own = answers(result.state, samples=part.samples)
                different = own != answers(result.state, ticket.mask, part.samples)
            pruned = of(ticket.samples[(ticket.reasons & CEP) > 0], part)
            assert len(pruned ^ set(part.samples[different].tolist())) <= 2, "an answer may lie on an edge"
            expected |= critical | pruned
            if later:
                assert later[number].view.samples.tolist() == sorted(critical | pruned), "its own, of its segment alone"
                assert later[number].view.classes == part.classes
        assert ticket.samples.tolist() == sorted(expected)
        assert [len(own) <= SHOWN for own in ticket.hardest] == [True] * segments
        for own, part in zip(ticket.hardest, parts, strict=True):
            assert {sample for sample, _ in own} <= set(part.samples.tolist())


def test_each_member_is_pruned_by_its_own_weights_and_the_ticket_is_the_overlap():
    tickets, jobs, results = turn(experiment(segments=2, rounds=2))
    for number, ticket in enumerate(tickets):
        members = jobs[2 * number : 2 * number + 2]
        count = masks.alive(ticket.before)
        for job, mask in zip(members, ticket.members, strict=True):
            state = results[job.key].state
            assert masks.alive(mask) == count - masks.due(0.2, count)
            kept, gone = (
                torch.cat([state[n][keep].abs() for n, keep in which.items()])
                for which in (mask, {n: ticket.before[n] & ~keep for n, keep in mask.items()})
            )
            assert gone.max() <= kept.min()
        one, other = ticket.members
        assert all(torch.equal(ticket.mask[name], one[name] & other[name]) for name in one)
        assert all(torch.equal(job.mask[name], ticket.before[name]) for job in members for name in one)
    heads = [job.start["head.weight"] for job in jobs]
    assert all(len(head) == 5 and torch.equal(head, heads[0]) for head in heads), "rewound like the rest"


def test_a_members_iterations_are_in_proportion_to_its_set_over_its_segment():
    _, jobs, _ = turn(experiment(segments=2, split="random", rounds=2, use="training"))
    for job in jobs[2:]:
        assert job.images == pytest.approx(2 * len(job.view.samples), abs=64)
    spec = experiment(segments=2, split="random", rounds=2, use="training", length="quadratic")
    spec = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"epochs": 10})})
    _, jobs, _ = turn(spec)
    for first, later in zip(jobs[:2], jobs[2:], strict=True):
        share = len(later.view.samples) / len(first.view.samples)
        assert later.recipe.epochs == max(1, round(10 * share))


def test_a_segment_with_too_small_a_set_keeps_its_own_while_others_choose():
    spec = experiment(segments=2, rounds=1)
    context = Context(spec, "prac", 0, DATA)
    parts = colt.segments(DATA, spec.searches["prac"], 0)
    steps = searches.start(context)
    request = steps.send(None)
    trainer = Trainer(DATA)
    results = [trainer.train(job) for job in request.members]
    nothing = torch.zeros(len(parts[1].samples), dtype=torch.int32)
    nothing[0] = 1  # one is too few
    results[1] = replace(results[1], observed={"forgotten": nothing})
    answer = results
    while not isinstance(request, Ticket):
        request, answer = steps.send(answer), None
    assert of(request.samples, parts[1]) == set(parts[1].samples.tolist())
    inside = torch.isin(request.samples, parts[1].samples)
    assert set(request.reasons[inside].tolist()) == {0}
    assert of(request.samples, parts[0]) == set(parts[0].samples[results[0].observed["forgotten"] > 0].tolist())
    assert set(request.reasons[~inside].tolist()) == {CET}


@settings(deadline=None)
@given(st.data())
def test_a_set_is_parted_by_segment_and_united_again(data):
    split, segments = data.draw(st.sampled_from(SPLITS))
    spec = experiment(split=split, segments=segments)
    parts = colt.segments(DATA, spec.searches["prac"], 0)
    samples = torch.tensor(sorted(data.draw(st.sets(st.sampled_from(DATA.train.tolist()), min_size=1))))
    reasons = torch.tensor(data.draw(st.lists(st.integers(0, 3), min_size=len(samples), max_size=len(samples))))
    sets = parted(samples, parts)
    for own, part in zip(sets, parts, strict=True):
        assert own.tolist() == sorted(of(samples, part))
    assert sizes(Context(spec, "prac", 0, DATA), samples) == tuple(map(len, sets))
    again, why = united([(own, reasons[torch.isin(samples, own)].to(torch.uint8)) for own in sets])
    assert torch.equal(again, samples)
    assert why.tolist() == reasons.tolist()


def test_random_sets_are_drawn_segment_by_segment_and_a_search_goes_on_from_them_parted():
    parting = {"segments": 2, "split": "random"}
    both = {"prac": {"method": "prac", "rounds": 3} | parting,
            "drawn": {"method": "prac", "rounds": 3, "sizes": {"like": "prac"}} | parting}  # fmt: skip
    spec = Experiment.model_validate(experiment().model_dump(mode="json") | {"searches": both})
    parts = colt.segments(DATA, spec.searches["drawn"], 0)
    asked = {1: (90, 200), 2: (80, 70), 3: (2, 500)}
    tickets, jobs, _ = turn(spec, "drawn", counts=asked)
    assert [len(job.view.samples) for job in jobs] == [len(parts[0].samples), len(parts[1].samples), 90, 200, 80, 70]
    for ticket in tickets:
        assert tuple(len(of(ticket.samples, part)) for part in parts) == asked[ticket.round]
        assert ticket.reasons is None
    again, rest, _ = turn(spec, "drawn", counts=asked, resumed=tickets[1])
    assert [job.key for job in rest] == [job.key for job in jobs[4:]]
    assert torch.equal(again[0].samples, tickets[2].samples)


@pytest.mark.parametrize(
    ("prac", "words"),
    [
        ({"split": "random"}, "split is read with segments of 2 or more"),
        ({"segments": 2, "rate": {"conv": 0.2, "head": 0.1}}, "heads differ in size and cannot be pruned"),
        ({"segments": 0}, "greater than or equal to 1"),
    ],
)
def test_segments_that_cannot_be_are_refused(prac, words):
    with pytest.raises(ValidationError, match=words):
        experiment(**prac)


@pytest.mark.parametrize(
    ("drawn", "words"),
    [
        ({"segments": 3}, r"sizes.like: segments must equal that of 'prac' \(2\), since sizes are taken by segment"),
        ({"segments": 2, "split": "random"}, r"sizes.like: split must equal that of 'prac' \(class\)"),
        ({}, r"sizes.like: segments must equal that of 'prac' \(2\)"),
    ],
)
def test_random_sets_by_other_segments_are_refused(drawn, words):
    both = {"prac": {"method": "prac", "rounds": 3, "segments": 2},
            "drawn": {"method": "prac", "rounds": 3, "sizes": {"like": "prac"}} | drawn}  # fmt: skip
    with pytest.raises(ValidationError, match=words):
        Experiment.model_validate(experiment().model_dump(mode="json") | {"searches": both})


def test_one_rate_for_all_does_not_reach_heads_of_their_own_size():
    assert "head" not in experiment(segments=2, rate=0.2).searches["prac"].rates()
    assert "head" in experiment(segments=2, split="random", rate=0.2).searches["prac"].rates()
    assert "head" in experiment(rate=0.2).searches["prac"].rates()


# In a run

SPEC = {
    "title": "test",
    "seeds": [0, 1, 2],
    "afresh": True,
    "network": {"name": "conv3", "width": 0.1},
    "recipe": {"epochs": 6, "batch": 64, "lr": 0.05},
    "searches": {
        "imp": {"method": "imp", "rate": {"conv": 0.2}, "rounds": 3},
        "prac": {"method": "prac", "rounds": 3, "stop": {"epsilon": 0.2, "window": 2}},
        "drawn": {"method": "prac", "rounds": 3, "sizes": {"like": "prac"}},
    },
    "arms": {"ticket": {"ticket": "each"}},
    "checks": {
        "saved": {
            "method": "savings",
            "this": {"arm": "ticket", "search": "prac"},
            "that": {"arm": "ticket", "search": "imp"},
            "at": 0.5,
            "margin": 50.0,
        }
    },
}


SEGMENTED = SPEC | {
    "seeds": [0, 1],
    "keep": "rounds",
    "recipe": {"epochs": 4, "batch": 64, "lr": 0.05},
    "searches": {
        "prac": {"method": "prac", "rounds": 3, "segments": 2, "split": "random", "rewind": "5 steps",
                 "stop": {"epsilon": 0.2, "window": 2}},
        "drawn": {"method": "prac", "rounds": 3, "segments": 2, "split": "random", "rewind": "5 steps",
                  "rate": {"conv": 0.25}, "sizes": {"like": "prac"}},
        "colt": {"method": "colt", "rounds": 1},
    },
    "checks": {"agreement": {"method": "agreement"}},
}  # fmt: skip


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("prac"))


@pytest.fixture(scope="module")
def whole(bench: Bench) -> str:
    run = bench.create(SPEC)
    bench.finish(run)
    return run


@pytest.fixture(scope="module")
def segmented(bench: Bench) -> str:
    run = bench.create(SEGMENTED)
    bench.finish(run)
    return run


def test_members_of_segments_are_rows_with_their_overlap_their_sets_and_what_was_hard_for_each(bench, segmented):
    science = bench.science(segmented)
    held = {row[:3]: read(object_path(bench.files, row[7]))[0] for row in science["sets"]}
    assert len(held) == 2 * 2 * 3
    at = "SELECT p.member, p.sample FROM samples p JOIN searches s ON s.id = p.search WHERE s.run = :run"
    for seed in (0, 1):
        known = f"{at} AND s.name = '{{}}' AND p.seed = {seed} AND p.round = {{}}"
        parts = [{n for m, n in bench.rows(known.format("prac", 0), segmented) if m == member} for member in (0, 1)]
        assert parts[0] | parts[1] == set(DATA.train.tolist())
        assert not parts[0] & parts[1]
        for number in (1, 2, 3):
            counts = [
                [len(set(held[name, seed, number]["samples"].tolist()) & part) for part in parts]
                for name in ("prac", "drawn")
            ]
            assert counts[0] == counts[1], "as large, segment by segment"
            assert all(
                sample in parts[member] for member, sample in bench.rows(known.format("prac", number), segmented)
            )
    members = {(name, number, member) for name, _, number, member, *_ in science["members"] if name != "colt"}
    assert members >= {(name, number, m) for name in ("prac", "drawn") for number in (1, 2, 3) for m in (0, 1)}
    assert {(row[0], row[2]) for row in science["overlaps"]} >= {("prac", 3), ("drawn", 3), ("colt", 1)}
    assert {row[1] for row in science["checks"]} == {"prac", "drawn", "colt"}


def test_what_members_of_segments_see_is_what_the_run_plans(bench, segmented):
    [(planned,)] = bench.rows("SELECT images_planned FROM runs WHERE id = :run", segmented)
    [(done, count)] = bench.rows("SELECT sum(images), count(*) FROM trainings WHERE run = :run", segmented)
    assert planned == pytest.approx(done, abs=10 * count), "but for the tail batches before the rewind point"
    forecast = plan(SEGMENTED)
    assert forecast.returncode == 0, forecast.stderr
    told = json.loads(forecast.stdout)
    assert told["images"]["total"] > done, "whole sets, until they are known"
    assert told["trainings"] == count


def test_sets_are_files_whose_counts_are_rows(bench, whole):
    sets = bench.science(whole)["sets"]
    assert len(sets) == 2 * 3 * 3
    for name, _, number, size, training, pruning, both, sha256 in sets:
        held = read(object_path(bench.files, sha256))[0]
        assert len(held["samples"]) == size
        if name == "prac":
            assert training + pruning + both == size
            assert int((held["reasons"] == CEP).sum()) == pruning
        else:
            assert "reasons" not in held
            assert number == 3 or size > 0
    shown = "SELECT count(*), min(reason) FROM samples p JOIN searches s ON s.id = p.search WHERE s.run = :run"
    [(count, reason)] = bench.rows(shown, whole)
    assert count > 0
    assert reason.startswith("forgotten")


def test_sets_against_the_best_epoch_differ_from_those_against_the_last_and_random_ones_end_with_theirs(bench):
    best = {"method": "prac", "rounds": 2, "use": "pruning"}
    drawn = {"method": "prac", "rounds": 4, "sizes": {"like": "best"}}
    searches = {"best": best, "first": best | {"against": "first"}, "drawn": drawn}
    recipe = {"epochs": 8, "batch": 64, "lr": 0.4}
    spec = SPEC | {"seeds": [0], "recipe": recipe, "searches": searches, "arms": {}, "checks": {}}
    run = bench.create(spec)
    bench.finish(run)
    sets = {(name, number): rest for name, _, number, *rest in bench.science(run)["sets"]}
    assert sets["best", 2][0] != sets["first", 2][0]
    assert sets["best", 1][:4] == [1197, 0, 0, 0], "there is no sparse network yet: all stay"
    assert [number for name, number in sets if name == "drawn"] == [1, 2], "no set for a round that will not be"
    assert sets["drawn", 2][:4] == [sets["best", 2][0], None, None, None]
    words = "SELECT message FROM log WHERE run = :run AND message LIKE '%which it follows'"
    assert bench.rows(words, run) == [("drawn seed 0: ends after round 3, with best, which it follows",)]


def test_runs_of_before_there_was_a_best_epoch_are_still_read():
    searches = {"prac": {"method": "prac", "rounds": 1}}
    searches["drawn"] = searches["prac"] | {"sizes": {"like": "prac"}}
    spec = experiment().model_dump(mode="json") | {"searches": searches}
    for search in spec["searches"].values():
        search["against"] = "first"
    assert Experiment.model_validate(spec).searches["drawn"].against == "first"
    spec["searches"]["drawn"]["against"] = "before"
    with pytest.raises(ValidationError, match="are not read with sizes"):
        Experiment.model_validate(spec)


def test_nothing_is_saved_over_a_search_that_trains_nothing():
    check = Savings(method="savings", this=Side(arm="t", search="a"), that=Side(arm="t", search="b"), at=0.5)
    asked = SimpleNamespace(settings=check, run="r", rows=lambda sql, values: [{"that_images": 0}])
    with pytest.raises(StopIteration) as done:
        next(saved(asked))
    [told] = done.value.value
    assert (told.verdict, told.figure) == ("none", None)
    assert "b trains nothing" in told.sentence


def test_a_training_that_ends_early_has_the_steps_that_it_took(bench):
    stop = {"epsilon": 0.99, "window": 1, "armed": False}
    imp = {"method": "imp", "rate": {"conv": 0.2}, "rounds": 1, "rewind": "5 steps", "stop": stop}
    spec = SPEC | {"seeds": [0], "searches": {"imp": imp}, "checks": {}, "afresh": False, "keep": "all"}
    run, taking = (bench.create(spec) for _ in range(2))
    bench.finish(run)
    rows = "SELECT start_step, steps, images FROM trainings WHERE run = :run ORDER BY id"
    point, ended, arm = bench.rows(rows, run)
    assert point[:2] == (0, 5)
    assert ended[:2] == (5, 2 * 19 - 5), "the first distance is that of the second epoch"
    assert ended[2] == 2 * 1197 - 5 * 64
    assert arm[:2] == (5, 6 * 19 - 5)
    bench.finish(taking)
    assert bench.rows(rows, taking) == [point, ended, arm], "and where another run takes it"
    assert bench.rows("SELECT DISTINCT taken_from FROM trainings WHERE run = :run", taking) == [(run,)]


def test_what_is_seen_is_what_is_charged_and_a_saving_is_told(bench, whole):
    charged = (
        "SELECT sum(r.images) FROM rounds r JOIN searches s ON s.id = r.search WHERE s.run = :run AND s.name = '{}'"
    )
    [(imp,)], [(prac,)] = (bench.rows(charged.format(name), whole) for name in ("imp", "prac"))
    assert prac < imp
    [(planned,)] = bench.rows("SELECT images_planned FROM runs WHERE id = :run", whole)
    [(done,)] = bench.rows("SELECT sum(images) FROM trainings WHERE run = :run", whole)
    # First tickets are found on all the data, as imp's is, and so are one training more than names can tell.
    assert planned - done in {seeds * 6 * 1197 for seeds in range(7)}
    [head] = [row for row in bench.science(whole)["checks"] if row[2] == ""]
    assert head[3] == pytest.approx(100 * (1 - prac / imp), abs=5)
    assert head[10] == "passed"
    traces = "SELECT count(*) FROM traces c JOIN trainings t ON t.id = c.training WHERE t.run = :run AND kind = '{}'"
    assert bench.rows(traces.format(DISTANCE), whole)[0][0] > 0


@pytest.mark.parametrize(("spec", "after"), [("whole", 9), ("segmented", 6), ("segmented", 11)])
def test_a_killed_run_ends_in_the_same_rows(bench, spec, after, request):
    from store.editing import set_state
    from tests.engine.test_run import wait_for

    whole = request.getfixturevalue(spec)
    run = bench.create({"whole": SPEC, "segmented": SEGMENTED}[spec])
    engine = bench.start(run)
    done = f"SELECT 1 FROM trainings WHERE run = :run AND state = 'done' GROUP BY run HAVING count(*) > {after}"
    wait_for(bench, run, done)
    engine.kill()
    engine.wait()
    engine.stdout.close()
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)


def test_the_forecast_takes_whole_sets_until_it_knows_better(bench, whole):
    done = plan(SPEC)
    assert done.returncode == 0, done.stderr
    [(images,)] = bench.rows("SELECT sum(images) FROM trainings WHERE run = :run", whole)
    assert json.loads(done.stdout)["images"]["total"] > images


def test_a_set_serves_another_run_of_another_network_which_holds_on_to_its_file(bench, whole):
    subset = {"run": whole, "search": "prac", "round": 2}
    spec = SPEC | {
        "network": {"name": "lenet-300-100", "width": 0.2},
        "searches": {"imp": {"method": "imp", "rate": {"linear": 0.2}, "rounds": 2, "data": {"subset": subset}}},
        "checks": {},
    }
    run = bench.create(spec)
    bench.finish(run)
    [(size,)] = bench.rows(
        "SELECT x.size FROM sets x JOIN rounds r ON r.id = x.round JOIN searches s ON s.id = r.search"
        " WHERE s.run = :run AND s.name = 'prac' AND r.seed = 0 AND r.round = 2",
        whole,
    )
    seen = "SELECT DISTINCT t.train_images FROM members m JOIN trainings t ON t.id = m.training WHERE t.run = :run"
    assert bench.rows(seen, run) == [(size,)], "one set, of the first seed, for all"
    arms = "SELECT DISTINCT t.train_images FROM evaluations e JOIN trainings t ON t.id = e.training WHERE t.run = :run"
    assert bench.rows(arms, run) == [(1197,)], "tickets are trained on all the data"
    held = "SELECT count(*) FROM file_uses WHERE run = :run AND role = 'samples' AND ticket IS NULL"
    assert bench.rows(held, run) == [(1,)]


def test_a_run_that_goes_on_sees_the_sets_that_it_began_with_whatever_became_of_their_run(bench):
    prac = {"method": "prac", "rounds": 2}
    giving = SPEC | {"seeds": [0], "searches": {"prac": prac}, "arms": {}, "checks": {}}
    source = bench.create(giving)
    bench.finish(source)
    imp = {"method": "imp", "rate": {"conv": 0.2}, "rounds": 4, "rewind": "5 steps"}
    searches = {
        "last": imp | {"data": {"subset": {"run": source}}},
        "first": imp | {"data": {"subset": {"run": source, "round": 1}}},
    }
    spec = SPEC | {"seeds": [0], "searches": searches, "checks": {}}
    whole, run = bench.create(spec), bench.create(spec)
    bench.finish(whole)
    engine = bench.start(run)
    wait_for(bench, run, "SELECT 1 FROM trainings WHERE run = :run AND state = 'done'")
    request(bench.conn, run, "stop")
    assert engine.wait(timeout=15) == 3
    with bench.conn:  # as if it had gone on: its last set is another now
        bench.conn.execute(
            "INSERT INTO rounds (search, seed, round, step, prunable, remaining, weights, weights_remaining, started)"
            " SELECT id, 0, 3, 'done', 10, 8, 12, 10, 'x' FROM searches WHERE run = ?", (source,)
        )  # fmt: skip
        bench.conn.execute(
            "INSERT INTO tickets (round, mask, start, start_step, samples, created)"
            " SELECT (SELECT max(id) FROM rounds), 'm', 's', 0, t.samples, 'x' FROM tickets t JOIN rounds r"
            " ON r.id = t.round JOIN searches s ON s.id = r.search WHERE s.run = ? AND r.round = 1", (source,)
        )  # fmt: skip
    assert bench.state(run) == "stopped"
    set_state(bench.conn, run, "running")
    engine = bench.start(run)
    wait_for(bench, run, "SELECT 1 FROM attempts WHERE run = :run GROUP BY run HAVING count(*) = 2")
    request(bench.conn, run, "stop")
    assert engine.wait(timeout=15) == 3
    delete_run(bench.conn, source, bench.files)
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)
    sizes = "SELECT s.name, t.train_images FROM searches s JOIN rounds r ON r.search = s.id JOIN members m"
    sizes += " ON m.round = r.id JOIN trainings t ON t.id = m.training WHERE s.run = :run GROUP BY 1, 2"
    assert len(bench.rows(sizes, run)) == 2


def test_a_run_of_before_sets_were_named_goes_on_with_the_one_that_it_holds(bench):
    prac = {"method": "prac", "rounds": 1}
    source = bench.create(SPEC | {"seeds": [0], "searches": {"prac": prac}, "arms": {}, "checks": {}})
    bench.finish(source)
    imp = {"method": "imp", "rate": {"conv": 0.2}, "rounds": 4, "data": {"subset": {"run": source}}}
    run = bench.create(SPEC | {"seeds": [0], "searches": {"imp": imp}, "checks": {}})
    engine = bench.start(run)
    wait_for(bench, run, "SELECT 1 FROM trainings WHERE run = :run AND state = 'done'")
    request(bench.conn, run, "stop")
    assert engine.wait(timeout=15) == 3
    path = '$."subset imp"'
    bench.conn.execute("UPDATE attempts SET versions = json_remove(versions, ?) WHERE run = ?", (path, run))
    delete_run(bench.conn, source, bench.files)
    bench.finish(run)
    assert bench.state(run) == "finished"


def test_a_rewind_in_steps_comes_to_the_same_place_on_a_subset(bench, whole):
    """Step 38 of 6 epochs of 19 steps is their end of the second epoch, however few samples a search sees."""
    imp = {"method": "imp", "rate": {"conv": 0.2}, "rounds": 1, "rewind": "38 steps"}
    imp["data"] = {"subset": {"run": whole, "search": "prac", "round": 2}}
    run = bench.create(SPEC | {"seeds": [0], "searches": {"imp": imp}, "checks": {}})
    bench.finish(run)
    rows = bench.rows("SELECT start_step, steps, train_images FROM trainings WHERE run = :run ORDER BY id", run)
    (_, point, samples), (begin, steps, _), (arm, left, all_of_them) = rows
    per_epoch = steps_per_epoch(samples, 64)
    assert samples < all_of_them == 1197
    assert (point, begin, steps) == (2 * per_epoch, 2 * per_epoch, 4 * per_epoch)
    assert (arm, left) == (38, 4 * 19)


@pytest.mark.parametrize(
    ("subset", "words"),
    [
        ({"run": "nobody"}, "no run has the id 'nobody'"),
        (
            {"run": "WHOLE"},
            "searches.imp.data.subset.search: WHOLE has sets of prac, drawn: name one of them, as in WHOLE@prac",
        ),
        ({"run": "WHOLE", "search": "imp"}, "has sets of prac, drawn"),
        ({"run": "WHOLE", "search": "prac", "round": 9}, "has no set of round 9 of prac (it has 1, 2, 3)"),
    ],
)
def test_a_set_that_is_not_there_is_refused_in_one_line(bench, whole, subset, words):
    subset = {key: whole if value == "WHOLE" else value for key, value in subset.items()}
    searches = {"imp": {"method": "imp", "rate": {"conv": 0.2}, "rounds": 1, "data": {"subset": subset}}}
    done = plan(SPEC | {"searches": searches, "checks": {}}, "--db", str(bench.db))
    assert done.returncode == 2
    assert words.replace("WHOLE", whole) in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_set_of_other_data_is_refused(bench, whole):
    searches = {"imp": {"method": "imp", "rate": {"conv": 0.2}, "rounds": 1}}
    searches["imp"]["data"] = {"subset": {"run": whole, "search": "prac"}}
    done = plan(SPEC | {"searches": searches, "checks": {}, "data": {"fraction": 0.5}}, "--db", str(bench.db))
    assert done.returncode == 2
    assert "chosen from other data" in done.stderr


def test_what_a_round_observed_is_taken_from_another_run_with_its_weights(bench):
    changes = {"afresh": False, "keep": "rounds", "seeds": [5], "checks": {}}
    first, second = (bench.create(SPEC, **changes) for _ in range(2))
    bench.finish(first)
    bench.finish(second)
    taken = "SELECT count(*), count(taken_from) FROM trainings WHERE run = :run"
    [(count, copied)] = bench.rows(taken, second)
    assert count == copied
    own, other = bench.science(first), bench.science(second)
    assert own == other
    assert own["traces"]
    assert own["sets"]
