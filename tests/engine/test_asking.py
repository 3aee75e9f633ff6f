"""Checks that look at weights, in real runs: asked with the preset or later, interrupted or not, alike."""

import json
import os
import signal

import pytest

from store.editing import ask, request, set_state
from store.files import run_folder
from tests.engine.running import Bench, plan, python
from tests.engine.test_run import wait_for

SPEC = {
    "title": "test",
    "seeds": [0, 1, 2],
    "afresh": True,
    "keep": "all",
    "network": {"name": "conv3", "width": 0.1},
    "recipe": {"epochs": 2, "batch": 64, "lr": 0.1},
    "searches": {
        "colt": {"method": "colt", "rounds": 2},
        "imp": {"method": "imp", "rate": {"conv": 0.4}, "rounds": 3, "rewind": "5 steps"},
        "omp": {"method": "one-shot", "sparsity": [0.5, 0.8], "recipe": {"lr": 0.05}},
        "noise": {"method": "snip", "sparsity": [0.8], "data": {"label_noise": 1.0}},
        "hybrid": {"method": "hybrid", "sparsity": [0.8]},
    },
    "arms": {
        "ticket": {"ticket": "each"},
        "rewound": {"ticket": ["imp", "omp"], "start": "trained", "begin": 0, "at": [0.7]},
        "small": {"ticket": ["imp"], "network": "small", "at": [0.7]},
    },
    "checks": {
        "stability": {"method": "stability", "steps": [0, "10 steps"], "points": 4, "searches": ["imp"], "at": [0.7]},
        "correlation": {"method": "correlation", "searches": ["imp", "omp", "hybrid"]},
        "successive": {"method": "successive", "points": 3},
        "agreement": {"method": "agreement"},
    },
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("asking"))


@pytest.fixture(scope="module")
def whole(bench: Bench) -> str:
    """A run that was never interrupted, its checks asked with it."""
    run = bench.create(SPEC)
    bench.finish(run)
    return run


def answers(bench: Bench, run: str) -> dict[tuple[str, str, str], tuple]:
    return {row[:3]: row[3:] for row in bench.science(run)["checks"]}


def test_every_check_has_a_headline_for_each_search_or_for_all(bench, whole):
    heads = [place[:2] for place in answers(bench, whole) if not place[2]]
    assert heads == [
        ("agreement", "colt"),
        ("correlation", "hybrid"),
        ("correlation", "imp"),
        ("correlation", "omp"),
        ("stability", ""),
        ("successive", "colt"),
        ("successive", "imp"),
    ]


def test_every_figure_can_be_traced_to_a_measurement_of_its_seed(bench, whole):
    measured = {}
    for (method,) in bench.rows("SELECT DISTINCT method FROM measurements WHERE run = :run", whole):
        measured[method] = len(
            bench.rows(f"SELECT 1 FROM measurements WHERE run = :run AND method = '{method}'", whole)
        )
    seeds = 3
    # Two steps of the dense network and a ticket; successive rounds of imp and of colt's two members.
    assert measured["interpolation"] == seeds * (3 + 2 + 2)
    assert measured["angle"] == seeds * (2 + 2)
    assert measured["correlation"] == seeds * 3
    assert measured["saliency"] == seeds
    found = answers(bench, whole)
    told = "SELECT query, figure FROM checks WHERE run = :run AND name = 'agreement' AND part = ''"
    [(query, figure)] = bench.rows(told, whole)
    by_seed = [[] for _ in range(seeds)]
    for row in bench.conn.execute(query):
        by_seed[row["seed"]].append(100 * (row["iou"] - row["chance"]))
    assert figure == pytest.approx(sum(sum(own) / len(own) for own in by_seed) / seeds)
    assert found["correlation", "imp", "init/trained"][0] > found["correlation", "imp", "init/reinit"][0]


def test_the_forecast_counts_what_checks_and_every_arm_will_train(bench, whole):
    done = plan(SPEC)
    assert done.returncode == 0, done.stderr
    forecast = json.loads(done.stdout)["images"]
    trained = "SELECT sum(images), count(*) FROM trainings WHERE run = :run"
    [(images, count)] = bench.rows(trained, whole)
    [(measured,)] = bench.rows("SELECT sum(images) FROM measurements WHERE run = :run", whole)
    # To within what a rewind point's share of an epoch rounds to, for each training that starts there.
    assert forecast["total"] == pytest.approx(images + measured, abs=10 * count)
    assert json.loads(done.stdout)["trainings"] == count + 3, "the three gradients of snip are counted as such"


def test_a_dense_copy_is_shared_with_whoever_trains_the_dense_network(bench, whole):
    names = "SELECT json_extract(about, '$.what'), count(*) FROM trainings WHERE run = :run GROUP BY 1 ORDER BY 1"
    counts = dict(bench.rows(names, whole))
    # Asked for by checks alone: W_10 and a copy from there, twice; the copy from 0; the copies of the ticket; networks
    # with fresh weights for three searches.
    assert counts["check"] == 3 * (1 + 2 + 1 + 1 + 3)
    # Of members: the way to W_5 is "point".
    assert counts["point"] == 3


@pytest.mark.parametrize("action", ["stop", "kill"])
def test_a_run_interrupted_in_its_checks_and_resumed_ends_in_the_same_rows(bench, whole, action):
    run = bench.create(SPEC)
    engine = bench.start(run)
    wait_for(bench, run, "SELECT 1 FROM measurements WHERE run = :run AND method = 'interpolation'")
    if action == "stop":
        request(bench.conn, run, "stop")
        assert engine.wait(timeout=10) == 3
    else:
        os.kill(engine.pid, signal.SIGKILL)
        engine.wait()
    engine.stdout.close()
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)


def test_a_run_killed_before_its_checks_ends_in_the_same_rows(bench, whole):
    run = bench.create(SPEC)
    engine = bench.start(run)
    wait_for(
        bench, run, "SELECT 1 FROM trainings WHERE run = :run AND state = 'done' GROUP BY run HAVING count(*) > 20"
    )
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    engine.stdout.close()
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)


@pytest.mark.parametrize("keep", ["all", "tickets"])
def test_a_check_asked_after_the_run_answers_alike_from_what_was_kept(bench, whole, keep):
    run = bench.create(SPEC, keep=keep, checks={})
    bench.finish(run)
    assert not (run_folder(bench.files, run) / "trained").exists(), "nothing is left aside"
    trained = "SELECT count(*) FROM trainings WHERE run = :run"
    [before] = bench.rows(trained, run)
    ask(bench.conn, run, {"successive": SPEC["checks"]["successive"]})
    bench.finish(run)
    assert bench.rows(trained, run) == [before], "only what the search has trained is looked at"
    ended = "SELECT count(DISTINCT attempt) FROM trainings WHERE run = :run"
    assert bench.rows(ended, run) == [(1 if keep == "all" else 2,)]
    told = bench.rows("SELECT message FROM log WHERE run = :run AND message LIKE '%not kept%'", run)
    assert len(told) == (keep == "tickets"), "whoever waits is told once why"
    expected = {place: row for place, row in answers(bench, whole).items() if place[0] == "successive"}
    assert answers(bench, run) == expected
    assert bench.state(run) == "finished"


FAULTY = """
import sys
from pathlib import Path
from engine.checks import agreement
from engine.run import run
def answer(asked):
    raise ZeroDivisionError("a fault of ours")
    yield
agreement.answer = answer
sys.exit(run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])))
"""


def test_a_fault_in_one_check_is_its_answer_and_takes_nothing_from_the_run(bench):
    checks = {"agreement": {"method": "agreement"}, "mask": {"method": "correlation", "searches": ["omp"]}}
    searches = {name: SPEC["searches"][name] for name in ("colt", "omp")}
    run = bench.create(SPEC, searches=searches, checks=checks, arms={}, seeds=[0])
    done = python(FAULTY, run, bench.db, bench.files)
    assert done.returncode == 0, done.stderr
    assert "ZeroDivisionError" in done.stdout, "the traceback is in engine.log"
    assert bench.state(run) == "finished"
    found = answers(bench, run)
    assert "fault in the engine: ZeroDivisionError" in found["agreement", "", ""][-1]
    assert ("mask", "omp", "init/trained") in found
