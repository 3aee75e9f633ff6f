"""Trainings that another run has done are taken from it: which, with what rows, and what becomes of them."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from store.editing import delete_run, request, set_state
from store.files import object_path
from tests.engine.running import Bench, python, python_alone
from tests.engine.test_run import wait_for

SPEC = {
    "title": "reuse",
    "seeds": [0],
    "keep": "rounds",
    "network": {"name": "conv3", "width": 0.1},
    "recipe": {"epochs": 2, "batch": 64, "lr": 0.1},
    "searches": {
        "colt": {"method": "colt", "rounds": 2},
        "imp": {"method": "imp", "rate": {"conv": 0.2}, "rounds": 2},
    },
    "arms": {
        "dense": {},
        "ticket": {"ticket": "each"},
        "shuffled": {"ticket": "each", "mask": "shuffled", "at": [0.3]},
    },
    "checks": {"mask": {"this": {"arm": "ticket"}, "that": {"arm": "shuffled"}, "at": 0.3}},
}
TRAININGS = 4 + 2 + 1 + 2 + 2  # members of colt and of imp, the last ticket of imp, tickets of colt, shuffled

COUNTER = """
import json, sys
from pathlib import Path
from engine import run, workers
submitted = {}
submit, end = workers.Pool.submit, run._Attempt._end
def count(pool, jobs, resume=None):
    submitted.update((job.key, job.images) for job in jobs)
    submit(pool, jobs, resume)
def ended(attempt, state, words):
    trainings = attempt.trainings
    assert trainings.images - attempt.images_at_start - trainings.carried == sum(submitted.values())
    end(attempt, state, words)
workers.Pool.submit, run._Attempt._end = count, ended
assert run.run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])) == 0
print(json.dumps(submitted))
"""
"""Runs an engine, prints what it trained, and holds against it what the time left is reckoned from."""


def trained(bench: Bench, run: str, by: Callable = python) -> int:
    """Have the run done; how many trainings it did itself."""
    done = by(COUNTER, run, bench.db, bench.files)
    assert done.returncode == 0, done.stdout + done.stderr
    return len(json.loads(done.stdout))


def origins(bench: Bench, run: str) -> dict[str | None, int]:
    sql = "SELECT taken_from, count(*) FROM trainings WHERE run = :run GROUP BY 1"
    return dict(bench.rows(sql, run))  # type: ignore[arg-type]


def attempts_of(bench: Bench, run: str, change: str) -> None:
    bench.conn.execute(f"UPDATE attempts SET {change} WHERE run = ?", (run,))


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("reuse"))


@pytest.fixture(scope="module")
def first(bench: Bench) -> str:
    """The only run of the store, to begin with."""
    run = bench.create(SPEC)
    assert trained(bench, run) == TRAININGS
    return run


def test_a_second_run_trains_nothing_has_equal_rows_and_says_so(bench, first):
    second = bench.create(SPEC)
    assert trained(bench, second) == 0
    assert bench.science(second) == bench.science(first)
    assert origins(bench, second) == {first: TRAININGS}
    spent = (
        "SELECT sum(t.seconds), sum(e.seconds), count(t.attempt) = count(*) FROM trainings t"
        " JOIN epochs e ON e.training = t.id WHERE t.run = :run"
    )
    assert bench.rows(spent, second) == [(0.0, 0.0, 1)]
    done = "SELECT a.images_done, r.images_planned FROM attempts a JOIN runs r ON r.id = a.run WHERE r.id = :run"
    assert bench.rows(done, second) == bench.rows(done, first)
    cost = "SELECT search, round, images, images_forward, images_with_evaluation FROM cost_by_round WHERE run = :run"
    assert bench.rows(cost, second) == bench.rows(cost, first), "charged in full"
    words = f"{TRAININGS} trainings were taken from {first}, done there under equal plan and versions"
    assert bench.rows("SELECT message FROM log WHERE run = :run AND message LIKE '%taken%'", second) == [(words,)]
    kept = "SELECT role, count(*), count(DISTINCT sha256) FROM file_uses WHERE run = :run GROUP BY role ORDER BY role"
    assert bench.rows(kept, second) == bench.rows(kept, first)


def test_a_run_afresh_trains_everything_to_the_same_bits(bench, first):
    afresh = bench.create(SPEC | {"afresh": True})
    assert trained(bench, afresh, python_alone) == TRAININGS
    assert bench.science(afresh) == bench.science(first)
    assert origins(bench, afresh) == {None: TRAININGS}


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ("plan = json_set(plan, '$.precision', 'bfloat16')", 0),
        ("plan = json_set(plan, '$.threads', 7)", 0),
        ("versions = json_set(versions, '$.torch', '2.8')", 0),
        ("versions = json_set(versions, '$.processor', 'another')", 0),
        ("plan = json_set(plan, '$.workers', 7)", 1),
    ],
)
def test_only_what_was_done_under_equal_plan_and_versions_is_taken(tmp_path, change, kept):
    bench = Bench(tmp_path)
    spec = SPEC | {"searches": {}, "arms": {"dense": {}}, "checks": {}}
    source, run = bench.create(spec), bench.create(spec)
    assert trained(bench, source) == 1
    attempts_of(bench, source, change)
    assert trained(bench, run) == 1 - kept
    assert origins(bench, run) == {source if kept else None: 1}
    assert bench.science(run) == bench.science(source)


def test_an_experiment_that_overlaps_takes_what_is_equal_alone(bench, first):
    searches = {"imp": SPEC["searches"]["imp"], "other": {"method": "imp", "rate": {"conv": 0.5}, "rounds": 1}}
    run = bench.create(SPEC | {"seeds": [0, 1], "searches": searches, "arms": {"dense": {}}, "checks": {}})
    mine = 2 + 0  # seed 1: the dense network, which is the first round of both searches, and round 2 of imp
    assert trained(bench, run) == mine
    assert origins(bench, run) == {first: 2, None: mine}
    assert bench.rows("SELECT DISTINCT seed FROM trainings WHERE run = :run AND taken_from IS NULL", run) == [(1,)]


def test_what_was_taken_outlives_the_run_it_came_from(tmp_path):
    bench = Bench(tmp_path)
    one, two = bench.create(SPEC), bench.create(SPEC)
    trained(bench, one)
    assert trained(bench, two) == 0
    science = bench.science(one)
    delete_run(bench.conn, one, bench.files)
    assert bench.science(two) == science
    files = [object_path(bench.files, row[0]) for row in bench.rows("SELECT sha256 FROM file_uses", two)]
    assert files
    assert all(path.exists() for path in files)
    assert bench.rows("PRAGMA foreign_key_check", two) == []
    three = bench.create(SPEC)
    assert trained(bench, three) == 0
    assert bench.science(three) == science
    assert origins(bench, three) == {one: TRAININGS}, "named by who trained them, though that one is gone"


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_bytes(b"other")])
def test_members_train_where_the_file_of_their_weights_is_gone(tmp_path, damage):
    bench = Bench(tmp_path)
    one, two = bench.create(SPEC), bench.create(SPEC)
    trained(bench, one)
    for (sha256,) in bench.rows("SELECT sha256 FROM file_uses WHERE run = :run AND role = 'trained'", one):
        damage(object_path(bench.files, sha256))
    members = 4 + 2
    assert trained(bench, two) == members
    assert bench.science(two) == bench.science(one)
    assert origins(bench, two) == {one: TRAININGS - members, None: members}


def test_where_all_weights_are_kept_those_of_arms_are_taken_or_trained(bench, first):
    run = bench.create(SPEC | {"keep": "all"})
    arms = TRAININGS - 4 - 2
    assert trained(bench, run) == arms
    again = bench.create(SPEC | {"keep": "all"})
    assert trained(bench, again) == 0
    assert bench.science(again) == bench.science(first)
    kept = "SELECT count(*) FROM file_uses WHERE run = :run AND role = 'trained'"
    assert bench.rows(kept, again) == [(TRAININGS,)]


def test_runs_that_were_interrupted_take_from_each_other_and_end_in_the_same_bits(bench, first, tmp_path):
    own = Bench(tmp_path)
    one, two = own.create(SPEC), own.create(SPEC)
    engine = own.start(one)
    some = "SELECT 1 FROM trainings WHERE run = :run AND state = 'done' GROUP BY run HAVING count(*) > 2"
    wait_for(own, one, some)
    engine.send_signal(signal.SIGKILL)
    engine.wait()
    done = own.rows("SELECT count(*) FROM trainings WHERE run = :run AND state = 'done'", one)[0][0]
    assert trained(own, two) == TRAININGS - done
    set_state(own.conn, one, "running")
    assert trained(own, one) == 0
    assert own.science(one) == own.science(two) == bench.science(first)
    assert origins(own, one) == {None: done, two: TRAININGS - done}
    assert origins(own, two) == {one: done, None: TRAININGS - done}


def test_a_training_whose_versions_changed_in_the_middle_is_not_taken(tmp_path):
    bench = Bench(tmp_path)
    spec = SPEC | {"searches": {}, "arms": {"dense": {}}, "checks": {}, "recipe": {"epochs": 40, "batch": 64}}
    mixed, even, run = (bench.create(spec) for _ in range(3))
    for source in (mixed, even):
        engine = bench.start(source)
        wait_for(bench, source, "SELECT 1 FROM epochs e JOIN trainings t ON t.id = e.training WHERE t.run = :run")
        request(bench.conn, source, "pause")
        assert engine.wait(timeout=20) == 3
        if source == mixed:
            attempts_of(bench, source, "versions = json_set(versions, '$.torch', '2.8')")
        set_state(bench.conn, source, "running")
        assert trained_on(bench, source)
    tied = "SELECT attempt = (SELECT min(id) FROM attempts WHERE run = :run) FROM trainings WHERE run = :run"
    assert bench.rows(tied, mixed) == [(None,)]
    assert bench.rows(tied, even) == [(1,)]
    assert trained(bench, run) == 0
    assert origins(bench, run) == {even: 1}


def trained_on(bench: Bench, run: str) -> bool:
    """Let an interrupted run go on; whether it trained, from its checkpoint, instead of taking."""
    bench.finish(run)
    return origins(bench, run) == {None: 1}
