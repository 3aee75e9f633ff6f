"""Tickets of one run on another's data: what is carried over, what is new, what it costs, and what does not fit."""

import json

import pytest
import torch

from engine.arms import arm_training
from engine.data import load
from engine.networks import initialise
from engine.searches import Context, Given
from engine.searches.transfer import search
from engine.tensors import read
from presets.schema import Experiment, Network
from store.editing import delete_run
from store.files import object_path
from tests.engine.running import SPEC, Bench, plan

THERE = SPEC | {
    "data": {"only": [0, 1, 2, 3, 4, 5]},
    "seeds": [0, 1, 2],
    "searches": {
        "imp": {"method": "imp", "rate": {"conv": 0.4, "head": 0.1}, "rewind": "5 steps", "rounds": 3},
        "other": {"method": "imp", "rate": {"conv": 0.5}, "rounds": 1},
    },
    "arms": {"ticket": {"ticket": "each"}},
    "checks": {},
}
HERE = SPEC | {
    "data": {"only": [6, 7, 8, 9]},
    "seeds": [0, 2],
    "arms": {
        "dense": {},
        "ticket": {"ticket": "each"},
        "reinit": {"ticket": "each", "start": "reinit"},
        "shuffled": {"ticket": "each", "mask": "shuffled"},
        "random": {"ticket": "each", "mask": "random"},
        "from-start": {"ticket": "each", "mask": "full"},
    },
    "checks": {"mask": {"this": {"arm": "ticket"}, "that": {"arm": "random"}, "at": 0.5}},
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("transfer"))


@pytest.fixture(scope="module")
def source(bench) -> str:
    run = bench.create(THERE)
    bench.finish(run)
    return run


def taking(source: str, **settings) -> dict:
    return HERE | {"searches": {"source": {"method": "transfer", "run": source, "search": "imp"} | settings}}


@pytest.fixture(scope="module")
def target(bench, source) -> str:
    run = bench.create(taking(source))
    bench.finish(run)
    return run


def tickets(bench: Bench, run: str, search: str) -> dict[tuple[int, int], tuple[dict, dict]]:
    """(seed, round) → (mask, start)."""
    rows = bench.rows(
        "SELECT r.seed, r.round, t.mask, t.start FROM tickets t JOIN rounds r ON r.id = t.round"
        f" JOIN searches s ON s.id = r.search WHERE s.run = :run AND s.name = '{search}'",
        run,
    )
    return {
        (seed, number): tuple(read(object_path(bench.files, sha256))[0] for sha256 in (mask, start))
        for seed, number, mask, start in rows
    }


def test_masks_and_starts_are_the_sources_but_for_the_head_and_the_norm_statistics(bench, source, target):
    there, here = tickets(bench, source, "imp"), tickets(bench, target, "source")
    assert set(here) == {(seed, number) for seed in (0, 2) for number in (1, 2, 3)}
    for key, (mask, start) in here.items():
        mask_there, start_there = there[key]
        fresh = initialise(Network(**SPEC["network"]), (1, 8, 8), 4, key[0])
        assert set(mask_there) - set(mask) == {"head.weight"}
        assert all(torch.equal(keep, mask_there[layer]) for layer, keep in mask.items())
        for name, tensor in start.items():
            new = name.startswith("head.") or "running" in name or "batches" in name
            assert torch.equal(tensor, (fresh if new else start_there)[name]), name
        assert not torch.equal(start_there["norm1.running_mean"], start["norm1.running_mean"])


def test_one_new_head_serves_all_arms():
    experiment = Experiment.model_validate(taking("there"))
    data = load(experiment.data)
    there = initialise(experiment.network, data.shape, 7, 5)
    context = Context(experiment, "source", 0, data)
    mask = {"conv2.weight": torch.rand(there["conv2.weight"].shape) < 0.5}
    context.given = (Given(1, mask, there, 0, 0),)
    [_, ticket] = list(search(context))
    jobs = {name: arm_training(context, data, arm, ticket) for name, arm in experiment.arms.items()}
    heads = [job.start["head.weight"] for name, job in jobs.items() if name != "dense"]
    assert all(torch.equal(head, heads[0]) for head in heads)
    assert not torch.equal(jobs["reinit"].start["conv1.weight"], jobs["ticket"].start["conv1.weight"])


def test_what_the_search_cost_there_is_charged_here_and_nothing_is_trained_for_it(bench, source, target):
    cost = "SELECT seed, round, images, images_forward FROM cost_by_round WHERE run = :run AND search = '{}'"
    there = {tuple(row[:2]): row[2:] for row in bench.rows(cost.format("imp"), source)}
    here = {tuple(row[:2]): row[2:] for row in bench.rows(cost.format("source"), target)}
    assert here == {key: there[key] for key in here}
    assert bench.rows("SELECT count(*) FROM members JOIN rounds r ON r.id = members.round"
                      " JOIN searches s ON s.id = r.search WHERE s.run = :run", target) == [(0,)]  # fmt: skip


def test_every_arm_is_trained_and_the_dense_one_from_the_start_once_a_seed(bench, target):
    rows = bench.rows(
        "SELECT a.name, e.seed, count(*), count(DISTINCT e.training) FROM evaluations e JOIN arms a ON a.id = e.arm"
        " WHERE a.run = :run AND e.split = 'test' GROUP BY 1, 2 ORDER BY 1, 2",
        target,
    )
    assert rows == [
        (arm, seed, *((1, 1) if arm == "dense" else (3, 1) if arm == "from-start" else (3, 3)))
        for arm in ("dense", "from-start", "random", "reinit", "shuffled", "ticket")
        for seed in (0, 2)
    ]
    [(count,)] = bench.rows("SELECT count(*) FROM trainings WHERE run = :run", target)
    assert count == 2 * (1 + 1 + 4 * 3)


def test_total_sparsity_is_that_of_the_network_with_its_new_head(bench, source, target):
    weights = "SELECT DISTINCT weights, prunable FROM rounds r JOIN searches s ON s.id = r.search WHERE s.run = :run"
    there = bench.rows(f"{weights} AND s.name = 'imp'", source)
    channels = 26  # of the last layer at this width
    assert bench.rows(weights, target) == [(there[0][0] - 2 * channels, there[0][1] - 6 * channels)]


def test_a_plan_knows_what_it_will_cost(bench, source, target):
    done = plan(taking(source), "--db", str(bench.db))
    assert done.returncode == 0, done.stderr
    forecast = json.loads(done.stdout)
    [(images, trainings)] = bench.rows("SELECT sum(images), count(*) FROM trainings WHERE run = :run", target)
    assert (forecast["images"]["total"], forecast["trainings"]) == (images, trainings)
    assert forecast["images"]["search"] == 0
    assert forecast["searches"]["source"]["rounds"] == 3


def test_one_round_alone_carries_the_cost_of_those_before_it(bench, source):
    run = bench.create(taking(source, round=2) | {"arms": {"ticket": {"ticket": "each"}}, "checks": {}})
    bench.finish(run)
    [(images,)] = bench.rows(
        "SELECT sum(r.images) FROM rounds r JOIN searches s ON s.id = r.search"
        " WHERE s.run = :run AND s.name = 'imp' AND r.seed = 0 AND r.round <= 2",
        source,
    )
    sql = "SELECT r.seed, r.round, r.images FROM rounds r JOIN searches s ON s.id = r.search WHERE s.run = :run"
    assert bench.rows(f"{sql} ORDER BY 1", run) == [(0, 2, images), (2, 2, images)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"run": ""}, "searches.source.run is missing: name the run whose tickets are taken, such as --ticket RUN"),
        ({"run": "gone-abcd"}, "searches.source.run: no run has the id 'gone-abcd'"),
        ({"search": "colt"}, "has no search 'colt': name one of imp, other"),
        ({"search": None}, "has more than one search: name one of imp, other"),
        ({"round": 4}, "has no round 4 of imp (it has 1, 2, 3)"),
    ],
)
def test_a_ticket_that_is_not_there_is_named_with_what_is(bench, source, changes, message):
    done = plan(taking(source, **changes), "--db", str(bench.db))
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seeds": [0, 7]}, "has no tickets of seed 7 (it has 0, 1, 2)"),
        (
            {"network": {"name": "conv3", "width": 0.2}},
            "searches.source.conv1.weight is 6×1×3×3 there and 13×1×3×3 here",
        ),
        ({"network": {"name": "lenet-300-100"}}, "searches.source.conv1.weight is 6×1×3×3 there and not there here"),
    ],
)
def test_a_shape_that_does_not_fit_is_refused_with_both_shapes(bench, source, changes, message):
    done = plan(taking(source) | changes, "--db", str(bench.db))
    assert done.returncode == 2
    assert message in done.stderr


def test_a_run_goes_on_when_the_one_it_took_its_tickets_from_is_deleted(bench, target):
    run = bench.create(THERE | {"seeds": [0], "data": {"only": [0, 1]}})
    bench.finish(run)
    taken = bench.create(taking(run) | {"seeds": [0]})
    bench.finish(taken)
    delete_run(bench.conn, run, bench.files)
    bench.conn.execute("DELETE FROM evaluations WHERE arm IN (SELECT id FROM arms WHERE run = ?)", (taken,))
    bench.conn.execute("UPDATE attempts SET ended = started WHERE run = ?", (taken,))
    bench.finish(taken)
    [(count,)] = bench.rows("SELECT count(*) FROM evaluations e JOIN arms a ON a.id = e.arm WHERE a.run = :run", taken)
    assert count == 2 * (1 + 5 * 3)
    [(words,)] = bench.rows("SELECT message FROM log WHERE run = :run AND level = 'warning'", taken)
    assert "going on with the tickets taken before" in words
