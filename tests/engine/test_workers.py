"""Workers train what they are given, several in turns, and go on with fewer where a device has too little room."""

import multiprocessing
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress

import pytest
import torch

from engine import workers
from engine.data import load
from engine.devices import Plan
from engine.networks import Network, initialise
from engine.run import run
from engine.training import Checkpoint, Course, Epoch, Result, Trainer, Training
from engine.workers import NoRoom, Pool, Report, _receive, _Saving
from presets.schema import Data, Recipe
from store.editing import set_state
from tests.engine.running import Bench

DATA = load(Data())
NETWORK = Network(name="conv3", width=0.05)


def job(seed: int, epochs: int = 1) -> Training:
    start = initialise(NETWORK, DATA.shape, 10, seed)
    return Training(NETWORK, Recipe(lr=0.1, epochs=epochs, batch=64), DATA.all(), seed, start, {})


class Small(Trainer):
    """A device that holds `ROOM` trainings and not one more."""

    ROOM = 2

    def __init__(self, *given, **options) -> None:
        super().__init__(*given, **options)
        self.there = 0

    def course(self, jobs: Sequence[Training], resume: Checkpoint | None = None) -> Course:
        if self.there + len(jobs) > self.ROOM:
            raise torch.OutOfMemoryError("a card that is full")
        self.there += len(jobs)
        return super().course(jobs, resume)

    def end(self, course: Course) -> None:
        super().end(course)
        self.there -= len(course.jobs)


def finished(pool: Pool, wanted: int, seconds: float = 60.0) -> Iterator[tuple[str, Report]]:
    """What comes, until so many trainings have ended in any way."""
    until = time.monotonic() + seconds
    while wanted and time.monotonic() < until:
        for key, report in pool.reports(0.2):
            wanted -= not isinstance(report, Epoch)
            yield key, report
    assert not wanted, "they never ended"


@pytest.mark.parametrize(("count", "together"), [(1, 1), (1, 3), (2, 2)])
def test_every_training_ends_alike_however_many_take_turns(count, together):
    jobs = [job(seed, 1 + seed % 2) for seed in range(4)]
    pool = Pool(lambda: Trainer(DATA), count, 1, together)
    try:
        assert pool.free == count * together
        ended: dict[str, Result] = {}
        waiting = list(jobs)
        while len(ended) < len(jobs):
            while waiting and pool.free:
                pool.submit([waiting.pop(0)])
            assert len(pool.busy) <= count * together
            ended |= {key: report for key, report in pool.reports(0.2) if isinstance(report, Result)}
        assert pool.busy == []
        assert len(pool.notes) == 1, "all workers say the same of the images"
    finally:
        pool.close()
    alone = Trainer(DATA)
    torch.set_num_threads(1)
    for wanted in jobs:
        expected = alone.train(wanted)
        assert ended[wanted.key].test == expected.test
        assert all(torch.equal(ended[wanted.key].state[name], tensor) for name, tensor in expected.state.items())


def test_a_request_to_stop_brings_a_checkpoint_of_each_that_takes_turns():
    jobs = [job(seed, 500) for seed in range(3)]
    pool = Pool(lambda: Trainer(DATA), 1, 1, 3)
    try:
        for wanted in jobs:
            pool.submit([wanted])
        next(report for _, report in finished(pool, 1) if isinstance(report, Epoch))
        pool.stop()
        stopped = {key: report for key, report in finished(pool, 3) if not isinstance(report, Epoch)}
        assert all(isinstance(report, Checkpoint) for report in stopped.values())
        assert stopped.keys() == {wanted.key for wanted in jobs}
    finally:
        pool.close()


def test_one_that_does_not_fit_beside_others_comes_back_and_fewer_are_taken():
    pool = Pool(lambda: Small(DATA), 1, 1, 4)
    try:
        jobs = [job(seed, 3) for seed in range(4)]
        for wanted in jobs:
            pool.submit([wanted])
        reports = dict(item for item in finished(pool, 4) if not isinstance(item[1], Epoch))
        back = [wanted for wanted in jobs if isinstance(reports[wanted.key], NoRoom)]
        assert back
        assert pool.together == 2
        for wanted in back:
            pool.submit([wanted])
            [report] = [report for _, report in finished(pool, 1) if not isinstance(report, Epoch)]
            assert isinstance(report, Result)
    finally:
        pool.close()


class Full(Small):
    ROOM = 0


def test_a_run_whose_trainings_do_not_fit_even_alone_fails_with_a_clear_line(tmp_path, monkeypatch, capfd):
    bench = Bench(tmp_path)
    run_id = bench.create(seeds=[0])
    monkeypatch.setattr("engine.run.Trainer", Full)
    assert run(run_id, bench.db, bench.files) == 1
    [(message,)] = bench.rows("SELECT message FROM runs WHERE id = :run", run_id)
    assert "no room even for this training alone" in message
    assert "traceback" not in message + capfd.readouterr().out


class Greedy(Trainer):
    """One that needs more memory than there is."""

    def course(self, jobs: Sequence[Training], resume: Checkpoint | None = None) -> Course:
        torch.empty(1 << 55)
        return super().course(jobs, resume)


class Lost(Trainer):
    """A device that went away."""

    def course(self, jobs: Sequence[Training], resume: Checkpoint | None = None) -> Course:
        raise torch.AcceleratorError(
            "CUDA error: unspecified launch failure\nCUDA kernel errors might be reported later"
        )


@pytest.mark.parametrize(
    ("trainer", "words"),
    [
        (Greedy, "seed 0 dense: this machine has no memory left for it; the run can go on once there is some"),
        (Lost, "seed 0 dense: the device failed (CUDA error: unspecified launch failure); the run can go on once it"),
    ],
)
def test_a_run_without_memory_or_device_fails_in_clear_words_and_goes_on_to_the_same_bits(
    tmp_path, monkeypatch, capfd, trainer, words
):
    bench = Bench(tmp_path)
    whole, run_id = (bench.create(seeds=[0], searches={}, arms={"dense": {}}, checks={}) for _ in range(2))
    bench.finish(whole)
    with monkeypatch.context() as patched:
        patched.setattr("engine.run.Trainer", trainer)
        assert run(run_id, bench.db, bench.files) == 1
    [(state, message)] = bench.rows("SELECT state, message FROM runs WHERE id = :run", run_id)
    assert state == "failed"
    assert message.startswith(words)
    assert "Traceback" not in capfd.readouterr().out
    set_state(bench.conn, run_id, "running")
    bench.finish(run_id)
    assert bench.science(run_id) == bench.science(whole)


def sends(pipe, count: list[int]) -> None:
    """Take what comes until the other end closes."""
    with suppress(EOFError):
        while True:
            count[0] += isinstance(_receive(pipe)[1], Checkpoint)


@pytest.mark.parametrize("slow", [0.0, 0.05])
def test_checkpoints_take_less_than_two_per_cent_of_the_time_also_where_the_disk_is_slow(monkeypatch, slow):
    """By a clock of its own, in which a step takes 10 ms and a checkpoint 20 ms: a busy machine has no say."""
    now, made = [0.0], [0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(workers, "LEAST_SECONDS", 0.0)
    monkeypatch.setattr(workers, "CAUTIOUS", 1e12)
    ours, theirs = multiprocessing.Pipe()
    reader = threading.Thread(target=sends, args=(ours, made))
    reader.start()
    saving = _Saving(lambda: slow)
    courses = [Trainer(DATA).course([job(seed, 10_000)]) for seed in range(2)]
    spent = 0.0
    for course in courses:
        monkeypatch.setattr(course, "checkpoints", takes(now, 0.02, course.checkpoints))
    while now[0] < 16:
        for course in courses:
            if course.settled and saving.due(course):
                at = now[0]
                saving.send(theirs, course)
                spent += now[0] - at + slow
            course.advance()
            now[0] += 0.01
    theirs.close()
    reader.join()
    assert made[0] >= 3
    assert spent - slow < 0.02 * now[0], "but for one that has just begun to pay"


def takes(now: list[float], seconds: float, act):
    def acts():
        now[0] += seconds
        return act()

    return acts


class Single(Small):
    ROOM = 1


def test_a_run_in_stacks_on_a_device_with_room_for_one_ends_well(tmp_path, monkeypatch):
    bench = Bench(tmp_path)
    run_id = bench.create()
    monkeypatch.setattr("engine.run.Trainer", Single)
    monkeypatch.setattr("engine.devices.choose", lambda *_: Plan("cpu", 1, 1, together=4, stack=4))
    assert run(run_id, bench.db, bench.files) == 0
    [(together, stack)] = bench.rows(
        "SELECT json_extract(plan, '$.together'), json_extract(plan, '$.stack') FROM attempts WHERE run = :run", run_id
    )
    assert (together, stack) == (1, 4)


def test_results_and_trainings_longer_than_a_pipe_cross_without_waiting_for_each_other():
    wide = Network(name="conv3", width=0.75)  # 0.8 MB of weights
    view = DATA.of_samples("few", DATA.train[:96])
    jobs = [
        Training(wide, Recipe(lr=0.1, epochs=1, batch=64), view, seed, initialise(wide, DATA.shape, 10, seed), {})
        for seed in range(8)
    ]
    pool = Pool(lambda: Trainer(DATA), 1, 1, 2, 2)
    try:
        ended, until = 0, time.monotonic() + 60
        while ended < 8 and time.monotonic() < until:
            while jobs and pool.free:
                pool.submit([jobs.pop(0) for _ in range(pool.most)])
            for _, report in pool.reports(0.2):
                ended += isinstance(report, Result)
        assert ended == 8
    finally:
        pool.close()


def test_a_run_on_a_device_with_too_little_room_ends_with_the_same_rows(tmp_path, monkeypatch):
    bench = Bench(tmp_path)
    roomy, narrow = bench.create(seeds=[0]), bench.create(seeds=[0])
    bench.finish(roomy)
    monkeypatch.setattr("engine.run.Trainer", Small)
    monkeypatch.setattr("engine.devices.choose", lambda *_: Plan("cpu", 1, 1, together=8))
    assert run(narrow, bench.db, bench.files) == 0
    assert bench.science(roomy) == bench.science(narrow)
    [(together, changed)] = bench.rows(
        "SELECT json_extract(plan, '$.together'), plan_changed FROM attempts WHERE run = :run", narrow
    )
    assert together <= Small.ROOM
    assert changed == 1
    told = [message for (message,) in bench.rows("SELECT message FROM log WHERE run = :run", narrow)]
    assert any("no room for" in message and "at once" in message for message in told)


def test_a_run_in_stacks_finds_as_many_tickets_of_the_same_counts(tmp_path, monkeypatch):
    bench = Bench(tmp_path)
    plain, stacked = bench.create(), bench.create()
    bench.finish(plain)
    monkeypatch.setattr("engine.devices.choose", lambda *_: Plan("cpu", 1, 1, together=8, stack=4))
    sizes: list[int] = []
    submit = Pool.submit

    def counted(pool: Pool, jobs: Sequence[Training], resume: Checkpoint | None = None) -> None:
        sizes.append(len(jobs))
        submit(pool, jobs, resume)

    monkeypatch.setattr(Pool, "submit", counted)
    assert run(stacked, bench.db, bench.files) == 0
    assert {2, 4} & set(sizes), "some were stacked"
    assert sum(sizes) == len(bench.science(plain)["trainings"])
    one, other = bench.science(plain), bench.science(stacked)
    assert one["rounds"][0][:4] == other["rounds"][0][:4]
    for table in ("rounds", "tickets", "members", "evaluations", "trainings", "epochs"):
        assert len(one[table]) == len(other[table])
    imp = [row for row in one["rounds"] if row[0] == "imp"]
    assert imp == [row for row in other["rounds"] if row[0] == "imp"], "IMP's counts do not depend on the weights"
    [(plan,)] = bench.rows("SELECT json_extract(plan, '$.stack') FROM attempts WHERE run = :run", stacked)
    assert plan == 4
