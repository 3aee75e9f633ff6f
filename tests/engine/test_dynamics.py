"""Moving masks, gradient flow and solutions in real runs: rows for all of it, alike however often it is interrupted."""

import json
import os
import signal

import pytest
import torch

from engine.given import tickets_of
from engine.measurements.ensemble import Ensemble
from engine.networks import build, initialise
from engine.rig import Rig
from presets.schema import Transfer
from store.editing import request, set_state
from tests.engine.running import Bench, plan
from tests.engine.test_measurements import taken
from tests.engine.test_run import wait_for
from tests.engine.test_training import BATCHES, DATA, INPUTS, NETWORK, RECIPE

SPEC = {
    "title": "test",
    "seeds": [0, 1, 2],
    "afresh": True,
    "flow": 1,
    "network": {"name": "conv3", "width": 0.1},
    "recipe": {"epochs": 2, "batch": 64, "lr": 0.1},
    "searches": {
        "imp": {"method": "imp", "rate": {"conv": 0.4}, "rounds": 2, "rewind": "5 steps"},
        "omp": {"method": "one-shot", "sparsity": [0.5]},
        "gmp": {"method": "gmp", "sparsity": [0.5, 0.8], "begin": "3 steps", "end": 1, "every": 5},
        "set": {"method": "set", "sparsity": [0.5, 0.8], "every": 6},
        "rigl": {"method": "rigl", "sparsity": [0.8], "every": 6, "ratios": "erk", "start": "sparse-layer"},
    },
    "arms": {
        "ticket": {"ticket": "each"},
        "static": {"ticket": ["gmp", "set", "rigl"], "start": "init"},
        "fresh": {"ticket": ["gmp"], "start": "reinit"},
        "neuron": {"ticket": ["gmp", "rigl"], "start": "sparse-neuron"},
        "tuned": {"ticket": ["rigl"], "start": "trained", "recipe": {"lr": 0.01}},
    },
    "checks": {"solutions": {"method": "solutions", "points": 3}},
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("dynamics"))


@pytest.fixture(scope="module")
def whole(bench: Bench) -> str:
    """A run that was never interrupted."""
    run = bench.create(SPEC)
    bench.finish(run)
    return run


def test_a_ticket_of_a_moving_mask_costs_one_training_and_its_arm_no_more(bench, whole):
    science = bench.science(whole)
    keys = {(row[0], row[1], row[2]): row[5] for row in science["members"]}
    evaluated = {(row[1], row[2], row[3]): row[8] for row in science["evaluations"] if row[0] == "ticket"}
    for name, rounds in (("gmp", 2), ("set", 2), ("rigl", 1)):
        for seed in range(3):
            for number in range(1, rounds + 1):
                assert evaluated[name, seed, number] == keys[name, seed, number]
    assert {row[7] for row in science["rounds"] if row[0] in ("gmp", "set", "rigl")} == {2 * 1197}
    cost = "SELECT DISTINCT images, images_with_evaluation FROM cost_by_round WHERE run = :run AND search = '{}'"
    for name in ("gmp", "set", "rigl"):
        assert bench.rows(cost.format(name), whole) == [(2 * 1197, 2 * 1197)], "whatever other sparsities there are"


def test_a_layer_that_a_moving_mask_leaves_empty_is_told_of(bench):
    recipe = {"epochs": 1, "batch": 64, "lr": 0.1}
    searches = {"set": {"method": "set", "sparsity": [0.9999], "every": 6}}
    spec = SPEC | {"seeds": [0], "flow": None, "recipe": recipe, "searches": searches, "arms": {}, "checks": {}}
    run = bench.create(spec)
    bench.finish(run)
    alerts = bench.rows("SELECT subject, message FROM alerts WHERE run = :run AND kind = 'collapsed'", run)
    assert alerts
    assert all("has no weight left" in message for _, message in alerts)


def test_who_takes_such_a_ticket_is_charged_with_its_training_alone(bench, whole):
    taking = Transfer(method="transfer", run=whole, search="set")
    assert [ticket.images for ticket in tickets_of(taking, 0, bench.db)] == [2 * 1197, 0], (
        "for both so far, and for each"
    )
    [alone] = tickets_of(taking.model_copy(update={"round": 2}), 0, bench.db)
    assert alone.images == 2 * 1197


def test_a_mask_that_moves_at_equal_counts_removes_nothing(bench, whole):
    rows = "SELECT s.name, r.round, sum(l.before), sum(l.alive), r.remaining FROM rounds r JOIN searches s"
    rows += " ON s.id = r.search JOIN layers l ON l.round = r.id AND l.member IS NULL AND l.prunable"
    found = bench.rows(f"{rows} WHERE s.run = :run AND s.method IN ('set', 'rigl', 'gmp') GROUP BY r.id", whole)
    assert len(found) == 3 * 5
    for name, _, before, alive, remaining in found:
        assert alive == remaining
        assert (before > alive) if name == "gmp" else (before == alive)


def test_the_forecast_is_what_was_trained(bench, whole):
    done = plan(SPEC)
    assert done.returncode == 0, done.stderr
    forecast = json.loads(done.stdout)
    [(images, count)] = bench.rows("SELECT sum(images), count(*) FROM trainings WHERE run = :run", whole)
    assert forecast["trainings"] == count
    assert forecast["images"]["total"] == pytest.approx(images, abs=10 * count)


def test_turnover_and_gradient_flow_are_rows_of_their_trainings(bench, whole):
    kinds = "SELECT c.kind, c.layer, min(c.step), max(c.step), count(DISTINCT t.id) FROM traces c JOIN trainings t"
    kinds += " ON t.id = c.training WHERE t.run = :run AND c.value IS NOT NULL GROUP BY 1, 2"
    rows = {row[:2]: row[2:] for row in bench.rows(kinds, whole)}
    assert {kind for kind, _ in rows} == {
        "turnover", "sparsity", "gradient flow", "gradient flow before", "gradient flow after"
    }  # fmt: skip
    [(trainings, points)] = bench.rows(
        "SELECT count(*), sum(steps = 5) FROM trainings WHERE run = :run", whole
    )  # what is trained to a rewind point alone is not watched
    assert rows["gradient flow", ""] == (0, 38, trainings - points)
    assert rows["turnover", "conv2.weight"] == (0, 24, 3 * (2 + 1)), "until three quarters of 38 steps"
    assert rows["sparsity", ""] == (3, 19, 3 * 2)
    assert rows["gradient flow before", ""] == rows["gradient flow after", ""] == (0, 24, 3 * (2 + 1 + 2))


def test_solutions_are_compared_for_every_search_that_prunes_one_trained_network(bench, whole):
    found = {row[1:3]: row for row in bench.science(whole)["checks"]}
    heads = [search for search, part in found if not part]
    assert sorted(heads) == ["gmp", "imp", "omp"]
    names = ("ticket/pruned", "ticket/scratch", "pruned/scratch")
    for search in heads:
        for pair in names:
            shown = {what: found[search, f"{pair} {what}"] for what in ("disagreement", "ensemble gain", "barrier")}
            assert all(row[3] is not None and row[4] <= row[3] <= row[5] for row in shown.values())
            assert shown["barrier"][10] in ("stable", "unstable", "undecided")
            assert 0 < shown["disagreement"][3] < 100
        near, far = (found[search, f"{pair} disagreement"][3] for pair in ("ticket/pruned", "pruned/scratch"))
        assert found[search, ""][3] == pytest.approx(far - near)
    curves = {row[3] for row in bench.science(whole)["points"]}
    assert curves == set(names)


@pytest.mark.parametrize("moment", [12])
def test_a_run_of_moving_masks_that_is_killed_or_stopped_ends_in_the_same_bits(bench, whole, moment):
    run = bench.create(SPEC)
    engine = bench.start(run)
    done = "SELECT 1 FROM trainings WHERE run = :run AND state = 'done' GROUP BY run HAVING count(*) > "
    wait_for(bench, run, f"{done}{moment}")
    if moment == 12:
        request(bench.conn, run, "pause")
        assert engine.wait(timeout=10) == 3
    else:
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)


def test_with_gradient_flow_off_every_figure_is_the_same(bench, whole):
    run = bench.create(SPEC | {"flow": None})
    bench.finish(run)
    for table, place in (("evaluations", 8), ("rounds", None), ("checks", None)):
        with_, without = (bench.science(one)[table] for one in (whole, run))
        assert [row[:place] for row in with_] == [row[:place] for row in without]
    keys = [{row[0] for row in bench.science(one)["trainings"]} for one in (whole, run)]
    assert len(keys[0] & keys[1]) == 3, "but those to the rewind points have names of their own"


@pytest.mark.parametrize(
    ("search", "words"),
    [
        ({"method": "gmp", "sparsity": [0.5], "begin": 0, "end": 2}, "searches.s.end: 2 epochs is not before the end"),
        ({"method": "gmp", "sparsity": [0.5], "begin": "20 steps", "end": 1}, "searches.s.begin: 20 steps is not"),
        ({"method": "rigl", "sparsity": [0.5], "layers": ["linear"]}, "has no linear layers to prune"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_the_start(search, words):
    done = plan(SPEC | {"searches": {"s": search}, "arms": {}, "checks": {}})
    assert done.returncode != 0
    assert words in done.stderr + done.stdout


def test_disagreement_and_the_gain_of_an_ensemble_by_hand():
    first, second = (initialise(NETWORK, DATA.shape, 10, seed) for seed in (0, 1))
    job = Ensemble(0, (first, second), NETWORK, RECIPE, DATA.all())
    figures = taken(job).figures
    shares = []
    for state in (first, second):
        rig = Rig(DATA, BATCHES, NETWORK, 10)
        rig.set_up(RECIPE, (), set())
        rig.load(0, state)
        rig.renew_statistics(DATA.train)  # as both get theirs
        module = build(NETWORK, DATA.shape, 10).eval()
        module.load_state_dict(rig.snapshot(0))
        with torch.no_grad():
            shares.append(module(INPUTS(DATA.test)).softmax(1))
    answers = [one.argmax(1) for one in (*shares, sum(shares) / 2)]
    right = [float((one == DATA.labels[DATA.test]).double().mean()) for one in answers]
    assert list(figures) == ["different", "first", "second", "together"]
    worth = 1.01 / len(DATA.test)  # an image may lie on an edge
    assert list(figures.values())[1:] == pytest.approx(right, abs=worth)
    assert figures["different"] == pytest.approx(float((answers[0] != answers[1]).double().mean()), abs=worth)
    assert taken(Ensemble(0, (first, first), NETWORK, RECIPE, DATA.all())).figures["different"] == 0.0
