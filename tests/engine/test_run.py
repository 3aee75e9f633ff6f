"""A run as a process: what it writes, that it does nothing twice, and that it ends alike however often it stops."""

import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
import torch

from engine.cores import cores
from engine.tensors import read
from store.editing import request, set_state
from store.files import object_path, run_folder
from tests.engine.running import SPEC, Bench, plan, python


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def whole(bench: Bench) -> str:
    """A run that was never interrupted."""
    run = bench.create()
    bench.finish(run)
    return run


def test_a_run_ends_finished_with_a_row_for_all_it_did(bench, whole):
    assert bench.state(whole) == "finished"
    science = bench.science(whole)
    assert len(science["rounds"]) == len(science["tickets"]) == 3 * 2 * 2
    assert {row[3] for row in science["rounds"]} == {"done"}
    assert {row[2] for row in science["trainings"]} == {"done"}
    dense, tickets, shuffled = 2, 3 * 2 * 2, 3 * 2 * 2
    assert len(science["evaluations"]) == 2 * (dense + tickets + shuffled)
    assert {row[6] for row in science["evaluations"]} == {300}
    assert [row[:2] for row in science["checks"]] == [("mask", name) for name in ("colt", "imp", "matched")]
    assert {row[10] for row in science["checks"]} == {"none"}, "two seeds give no verdict"
    [attempt] = bench.rows(
        "SELECT outcome, images_done, doing, json_extract(plan, '$.threads') FROM attempts WHERE run = :run", whole
    )
    [planned] = bench.rows(
        "SELECT images_planned, (SELECT sum(images) FROM trainings WHERE run = :run) FROM runs WHERE id = :run", whole
    )
    assert attempt == ("finished", planned[1], "", 1)
    assert planned[0] == planned[1], "the forecast counts what is left exactly once every search has ended"


def test_equal_trainings_are_done_once_and_charged_to_all_who_use_them(bench, whole):
    users = bench.rows(
        "SELECT t.key, count(DISTINCT m.rowid) + count(DISTINCT e.id) FROM trainings t"
        " LEFT JOIN members m ON m.training = t.id LEFT JOIN evaluations e ON e.training = t.id AND e.split = 'test'"
        " WHERE t.run = :run GROUP BY t.key",
        whole,
    )
    shared = [count for _, count in users if count > 1]
    # Per seed: the dense network is also the first round of imp and of matched; the first tickets of both are also
    # their second rounds; everything else is used once, so nothing is trained that nobody uses.
    assert sorted(shared) == [2, 2, 2, 2, 3, 3]
    assert min(count for _, count in users) == 1
    charged = bench.rows(
        "SELECT sum(r.images) FROM rounds r JOIN searches s ON s.id = r.search WHERE s.run = :run", whole
    )
    assert charged == [(3 * 2 * 2 * 2 * 1197,)]


COUNTER = """
import collections, json, sys
from pathlib import Path
from engine import run, workers
submitted = collections.Counter()
submit = workers.Pool.submit
def count(pool, jobs, resume=None):
    submitted.update(job.key for job in jobs)
    submit(pool, jobs, resume)
workers.Pool.submit = count
assert run.run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])) == 0
print(json.dumps(submitted))
"""


@pytest.mark.parametrize("order", [("colt", "imp", "matched"), ("matched", "colt", "imp")])
def test_no_training_is_done_twice_not_even_for_a_search_that_follows_another(bench, whole, order):
    run = bench.create(searches={name: SPEC["searches"][name] for name in order})
    done = python(COUNTER, run, bench.db, bench.files)
    assert done.returncode == 0, done.stderr
    submitted = json.loads(done.stdout)
    assert set(submitted.values()) == {1}
    assert set(submitted) == {row[0] for row in bench.science(whole)["trainings"]}


def test_masks_in_files_equal_the_counts_in_rows_and_starts_are_shared(bench, whole):
    for name, seed, number, mask, *_ in bench.science(whole)["tickets"]:
        tensors, _ = read(object_path(bench.files, mask))
        [(remaining,)] = bench.rows(
            "SELECT r.remaining FROM rounds r JOIN searches s ON s.id = r.search WHERE s.run = :run"
            f" AND s.name = '{name}' AND r.seed = {seed} AND r.round = {number}",
            whole,
        )
        assert sum(int(keep.sum()) for keep in tensors.values()) == remaining
        assert all(keep.dtype == torch.bool for keep in tensors.values())
    assert len({row[4] for row in bench.science(whole)["tickets"]}) == 2, "one initialisation a seed"


def test_nothing_is_left_behind_but_the_files_that_rows_name(bench, whole):
    folder = run_folder(bench.files, whole)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    used = {row[0] for row in bench.rows("SELECT sha256 FROM file_uses WHERE run = :run", whole)}
    assert {path.stem for path in (bench.files / "objects").rglob("*.safetensors")} >= used


def test_two_runs_of_one_spec_give_the_same_bits(bench, whole):
    again = bench.create()
    bench.finish(again, alone=True)
    assert bench.science(again) == bench.science(whole)


def wait_for(bench: Bench, run: str, sql: str, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not bench.rows(sql, run):
        assert time.monotonic() < deadline, "nothing came"
        time.sleep(0.02)


@pytest.mark.parametrize("action", ["pause", "stop"])
def test_a_run_stopped_on_request_and_resumed_ends_in_the_same_bits(bench, whole, action):
    run = bench.create()
    engine = bench.start(run)
    wait_for(bench, run, "SELECT 1 FROM rounds r JOIN searches s ON s.id = r.search WHERE s.run = :run AND r.round = 2")
    request(bench.conn, run, action)
    assert engine.wait(timeout=10) == 3
    assert bench.state(run) == {"pause": "paused", "stop": "stopped"}[action]
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)
    assert bench.rows("SELECT count(*) FROM attempts WHERE run = :run", run) == [(2,)]


@pytest.mark.parametrize("moment", [0.15, 0.5, 0.85])
def test_a_killed_run_resumed_ends_in_the_same_bits(bench, whole, moment):
    run = bench.create()
    engine = bench.start(run)
    wait_for(
        bench,
        run,
        f"SELECT 1 FROM trainings WHERE run = :run AND state = 'done' GROUP BY run HAVING count(*) > {moment * 34}",
    )
    os.kill(engine.pid, signal.SIGKILL)
    engine.wait()
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)


def test_late_rewinding_and_segments_survive_a_kill(bench):
    searches = {
        "colt": {"method": "colt", "rounds": 2, "rewind": "7 steps", "split": "random", "segments": 3},
        "imp": {"method": "imp", "rate": {"conv": 0.2}, "rounds": 2, "rewind": "7 steps"},
    }
    changes = {"searches": searches, "seeds": [0], "checks": {}, "keep": "rounds"}
    first = bench.create(**changes)
    bench.finish(first)
    second = bench.create(**changes)
    engine = bench.start(second)
    wait_for(
        bench,
        second,
        "SELECT 1 FROM tickets t JOIN rounds r ON r.id = t.round JOIN searches s ON s.id = r.search WHERE s.run = :run",
    )
    engine.kill()
    engine.wait()
    set_state(bench.conn, second, "running")
    bench.finish(second)
    assert bench.science(second) == bench.science(first)
    rounds = {row[:3]: row[7] for row in bench.science(first)["rounds"]}
    assert rounds["imp", 0, 0] == rounds["colt", 0, 0] == 7 * 64, "the way to step k is charged to both"
    samples = (
        "SELECT member, count(*), count(DISTINCT sample) FROM samples p JOIN searches s ON s.id = p.search"
        " WHERE s.run = :run GROUP BY member"
    )
    assert bench.rows(samples, first) == [(0, 399, 399), (1, 399, 399), (2, 399, 399)] == bench.rows(samples, second)
    kept = "SELECT role, count(*) FROM file_uses WHERE run = :run GROUP BY role ORDER BY role"
    assert bench.rows(kept, first) == bench.rows(kept, second)


def test_a_network_that_trains_on_several_threads_comes_to_its_end(bench, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS")  # one for each core, as where nobody says how many
    recipe = {"epochs": 1, "batch": 598, "lr": 0.1}
    run = bench.create(
        recipe=recipe, network={"name": "conv3", "width": 0.5}, searches={}, arms={"dense": {}}, checks={}
    )
    bench.finish(run)
    [(workers, threads)] = bench.rows(
        "SELECT json_extract(plan, '$.workers'), json_extract(plan, '$.threads') FROM attempts WHERE run = :run", run
    )
    assert workers == 1
    assert threads == cores()


def test_a_signal_to_the_whole_group_stops_the_run_and_loses_nothing(bench):
    run = bench.create(recipe={"epochs": 50, "batch": 64})
    command = [sys.executable, "-P", "-m", "engine", "run", run, "--db", str(bench.db), "--files", str(bench.files)]
    engine = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    wait_for(bench, run, "SELECT 1 FROM epochs e JOIN trainings t ON t.id = e.training WHERE t.run = :run")
    os.killpg(engine.pid, signal.SIGTERM)
    assert engine.wait(timeout=10) == 3
    assert bench.state(run) == "stopped"
    assert list(run_folder(bench.files, run).glob("live/*.safetensors"))


def test_a_second_engine_on_a_live_run_is_refused(bench):
    run = bench.create(recipe={"epochs": 50, "batch": 64})
    first = bench.start(run)
    wait_for(bench, run, "SELECT 1 FROM attempts WHERE run = :run")
    second = bench.start(run)
    output, _ = second.communicate(timeout=30)
    assert second.returncode == 2
    assert f"{run} is being trained by process {first.pid}" in output
    first.send_signal(signal.SIGTERM)
    assert first.wait(timeout=10) == 3
    assert bench.state(run) == "stopped"


def test_a_loss_that_is_not_finite_fails_the_run_and_says_where(bench):
    hot = {"epochs": 2, "batch": 64, "lr": 100.0, "momentum": 0.99}
    run = bench.create(
        recipe=hot, network={"name": "lenet-300-100"}, searches={}, arms={"dense": {}}, checks={}, seeds=[0]
    )
    engine = bench.start(run)
    engine.communicate(timeout=60)
    assert engine.returncode == 1
    [(state, message)] = bench.rows("SELECT state, message FROM runs WHERE id = :run", run)
    assert state == "failed"
    assert "seed 0 dense: the training loss is not finite in epoch" in message
    assert bench.rows("SELECT kind, message FROM alerts WHERE run = :run", run) == [("not finite", message)]


def test_a_worker_that_is_killed_fails_the_run_and_says_so(bench):
    import psutil

    run = bench.create(recipe={"epochs": 50, "batch": 64})
    engine = bench.start(run)
    wait_for(bench, run, "SELECT 1 FROM trainings WHERE run = :run AND state = 'running'")
    psutil.Process(engine.pid).children()[0].kill()
    engine.communicate(timeout=30)
    assert engine.returncode == 1
    [(message,)] = bench.rows("SELECT message FROM runs WHERE id = :run", run)
    assert message.startswith("a training process ended by signal 9")


def test_a_run_whose_worker_was_killed_as_for_a_lack_of_memory_goes_on_to_the_same_bits(bench, whole):
    import psutil

    run = bench.create()
    engine = bench.start(run)
    done = "SELECT 1 FROM trainings WHERE run = :run AND state = 'done' GROUP BY run HAVING count(*) > 9"
    wait_for(bench, run, done)
    psutil.Process(engine.pid).children()[0].kill()
    engine.communicate(timeout=30)
    assert bench.state(run) == "failed"
    [(message,)] = bench.rows("SELECT message FROM runs WHERE id = :run", run)
    assert message.endswith("by signal 9; signal 9 is often the system's answer to a lack of memory")
    set_state(bench.conn, run, "running")
    bench.finish(run)
    assert bench.science(run) == bench.science(whole)


DIVERGING = """
import sys
from engine import workers
from engine.__main__ import main
workers.LEAST_SECONDS, workers.CAUTIOUS = 0.0, 1e12
sys.exit(main())
"""


def test_a_loss_that_is_not_finite_is_told_with_round_member_step_and_the_last_good_checkpoint(bench):
    hot = {"epochs": 2, "batch": 64, "lr": 100.0, "momentum": 0.99}
    imp = {"searches": {"imp": {"method": "imp", "rate": {"linear": 0.2}, "rounds": 1}}, "arms": {}, "checks": {}}
    run = bench.create(recipe=hot, network={"name": "lenet-300-100"}, seeds=[0], **imp)
    done = python(DIVERGING, *bench.running(run))
    assert done.returncode == 1
    [(state, message)] = bench.rows("SELECT state, message FROM runs WHERE id = :run", run)
    assert state == "failed"
    told = re.fullmatch(
        r"imp seed 0 round 1 member 0: the training loss is not finite in epoch (\d), by step (\d+): lower the learning"
        r" rate; its last good checkpoint is of step (\d+)",
        message,
    )
    assert told, message
    assert 0 <= int(told[3]) < int(told[2])
    newest = "SELECT c.path, max(c.step) FROM checkpoints c JOIN trainings t ON t.id = c.training WHERE t.run = :run"
    [(path, step)] = bench.rows(newest, run)
    assert step == int(told[3])
    held, _ = read(run_folder(bench.files, run) / path)
    assert all(tensor.isfinite().all() for tensor in held.values())


def test_a_plan_forecasts_what_the_run_then_costs(bench, whole):
    done = plan(SPEC)
    assert done.returncode == 0, done.stderr
    forecast = json.loads(done.stdout)
    [(images, trainings)] = bench.rows("SELECT sum(images), count(*) FROM trainings WHERE run = :run", whole)
    assert forecast["images"]["total"] == images
    assert forecast["trainings"] == trainings
    assert forecast["searches"]["imp"] | {"highest_total_sparsity": 0} == {
        "rounds": 2, "rounds_low": 2, "rounds_high": 2, "highest_total_sparsity": 0
    }  # fmt: skip
    assert forecast["seconds"] > 0
    assert forecast["prunable"] == sum(layer["weights"] for layer in forecast["layers"] if layer["prunable"])


def imp(**settings) -> dict:
    return {"searches": {"imp": {"method": "imp"} | settings}}


def test_a_recipe_that_diverges_is_still_forecast_since_the_run_says_where():
    hot = {"recipe": {"epochs": 2, "lr": 100.0, "momentum": 0.99}, "network": {"name": "lenet-300-100"}}
    done = plan(SPEC | hot | {"searches": {}, "arms": {"dense": {}}, "checks": {}})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["seconds"] > 0


@pytest.mark.parametrize(
    ("changes", "arguments", "message"),
    [
        (imp(rate={"conv": 0.2}, until=0.97, of="total"), (), "the highest is 0.9"),
        ({"searches": {"colt": {"method": "colt", "rounds": 1, "segments": 11}}}, (), "searches.colt.segments = 11"),
        (imp(rate={"linear": 0.2}, rounds=1), (), "no linear layers"),
        (imp(rate={"conv": 0.2}, rounds=1, rewind=2), (), "searches.imp.rewind: 2 epochs is not before the end"),
        (imp(rate={"conv": 0.001}, until=0.99999), (), "cannot be reached"),
        ({}, ("--device", "cuda:7"), "device 'cuda:7' is not there"),
    ],
)  # fmt: skip
def test_what_cannot_run_is_refused_in_one_line(changes, arguments, message):
    done = plan(SPEC | {"arms": {"dense": {}}, "checks": {}} | changes, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stdout == ""


def test_the_store_is_a_plain_sqlite_file(bench, whole):
    plain = sqlite3.connect(bench.db)
    assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
