"""What the machine does is sampled without holding anybody up, and what a person should know is told once."""

import subprocess
import sys
import threading
import time
from fractions import Fraction
from math import comb
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine import cards, machine
from engine.cards import Load
from engine.data import load
from engine.forecast import Cost
from engine.guessing import most_by_guessing, quantile
from engine.machine import Disk, Machine, Meter
from engine.networks import build, weights
from engine.recording import Recorder
from engine.run import _Attempt
from engine.training import Training
from presets.schema import Data, Experiment
from store.writing import Writer
from tests.engine.running import SPEC, Bench
from tests.engine.test_cards import A, card, driver

__all__ = ["driver"]

TINY = {
    "seeds": [0], "network": {"name": "conv3", "width": 0.05}, "searches": {}, "arms": {"dense": {}}, "checks": {},
}  # fmt: skip


# Guessing


@given(st.integers(1, 60), st.integers(2, 12), st.sampled_from([0.7, 0.9, 0.999]))
def test_the_bound_of_guessing_is_the_exact_binomial_one(count, classes, confidence):
    share, below = Fraction(1, classes), Fraction(0)
    for most in range(count + 1):
        below += comb(count, most) * share**most * (1 - share) ** (count - most)
        if below >= Fraction(confidence):
            break
    assert quantile(count, 1 / classes, confidence) == most


def test_a_network_with_one_answer_guesses_even_where_classes_are_unequal():
    data = load(Data())
    view = data.of_classes("two", (3, 8))
    labels = data.labels[data.held_out(view, "validation")]
    largest = int(torch.bincount(labels).max())
    assert largest <= most_by_guessing(data, view) < len(labels)
    assert quantile(10, 1.0) == 10, "one class alone is always right"


# Samples


def test_energy_is_the_cards_own_counter_or_its_power_over_time():
    counted = Meter()
    assert counted.read(Load(joules=500.0, power=9.0), 0.0) == (0.0, "counter")
    assert counted.read(Load(), 1.0) == (None, None)
    assert counted.read(Load(joules=800.0), 20.0) == (300.0, "counter")
    added = Meter()
    assert added.read(Load(power=100.0), 5.0) == (0.0, "power")
    assert added.read(Load(), 10.0) == (None, None)
    assert added.read(Load(power=300.0), 15.0) == (2000.0, "power")
    assert Meter().read(Load(), 0.0) == (None, None)


def test_a_card_tells_what_it_does_and_what_it_does_not_know_is_left_out(driver):
    held = [[7, 3e9], [8, 2e9], [9, 1e9]]
    busy = {"use": 93, "milliwatts": 412_500, "temperature": 61, "millijoules": 7_000, "processes": held}
    driver.tell(card(**busy), card("GPU-b", instances=[{"uuid": "MIG-1", "free": 20e9}]))
    told = cards.load(A, [7, 8, 10])
    assert told == Load(0.93, 80e9, 10e9, 5e9, 412.5, 61, 7.0)
    assert cards.load(A, [10]).ours is None, "processes of another container have other numbers"
    assert cards.load("MIG-1", []) == Load(total=80e9, used=60e9)
    assert cards.load("GPU-none", []) == cards.load("cuda:0", []) == Load()


def test_a_driver_that_does_not_answer_costs_its_own_figures_only(tmp_path, monkeypatch):
    asked, never = [], threading.Event()
    monkeypatch.setattr(cards, "load", lambda *words: asked.append(words) or never.wait())
    monkeypatch.setattr(machine, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(machine, "LAST_SECONDS", 0.1)
    monkeypatch.setattr(machine, "EVERY_SECONDS", 0.0)
    watched = Machine("GPU-a", [machine.psutil.Process().pid], tmp_path / "t.db", tmp_path)
    found = []
    deadline = time.monotonic() + 20
    while len(found) < 3 and time.monotonic() < deadline:
        began = time.monotonic()
        found += [sample for sample in [watched.sample()] if sample]
        assert time.monotonic() - began < 5.0
        time.sleep(0.01)
    found.append(watched.last())
    assert len(asked) == 1, "a question that is open is not asked again"
    assert [sample.values["power"] for sample in found] == [None] * 4
    assert all(sample.values["memory"] > 1e6 and sample.values["free_store"] > 0 for sample in found)
    never.set()


# Runs

PATCHED = """
import sys
from pathlib import Path
from engine import machine, run
machine.EVERY_SECONDS = 0.0
run.POLL_SECONDS = 0.02
rooms = iter(map(float, sys.argv[4].split()))
last = [0.0]
def room(folder):
    if folder.name == "files":
        last[0] = next(rooms, last[0])
        return int(last[0] * 1e9), int(100e9)
    return int(50e9), int(100e9)
machine.free_and_total = room
assert run.run(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])) == 0
"""


def test_a_run_leaves_samples_and_tells_once_of_guessing_and_of_a_disk_until_it_has_recovered(tmp_path):
    bench = Bench(tmp_path)
    run = bench.create(TINY | {"title": "t", "recipe": {"epochs": 12, "batch": 64, "lr": 1e-9}}, arms={
        "dense": {}, "again": {"recipe": {"lr": 2e-9}},
    })  # fmt: skip
    rooms = "50 0.9 0.8 1.1 0.9 50 0.7 0.6"  # 1.1 is no recovery
    command = [sys.executable, "-c", PATCHED, run, bench.db, bench.files, rooms]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    samples = bench.rows(
        "SELECT m.seconds, m.images, m.memory, m.cpu, m.power FROM machine m JOIN attempts a ON a.id = m.attempt"
        " WHERE a.run = :run ORDER BY m.id",
        run,
    )
    seconds, images, memory, cpu, power = zip(*samples, strict=True)
    assert list(seconds) == sorted(seconds)
    assert list(images) == sorted(images)
    assert images[-1] == bench.rows("SELECT sum(images) FROM trainings WHERE run = :run", run)[0][0]
    assert min(memory) > 50e6
    assert all(busy >= 0 for busy in cpu)
    assert set(power) == {None}, "a processor has no meter"
    told = bench.rows("SELECT kind, subject, round, message FROM alerts WHERE run = :run ORDER BY id", run)
    disk = [message for kind, _, _, message in told if kind == "disk nearly full"]
    assert [message[:26] for message in disk] == ["0.9 GB of 100 GB are free ", "0.7 GB of 100 GB are free "]
    chance = [(subject, place, message) for kind, subject, place, message in told if kind == "chance"]
    assert sorted(subject for subject, _, _ in chance) == ["arm again", "arm dense"]
    data = load(Data())
    words = f"of 300 validation images right, and guessing gets up to {most_by_guessing(data, data.all())} (999"
    assert all(words in message for _, _, message in chance)


def test_an_alert_is_told_once_of_a_subject_and_round(tmp_path):
    bench = Bench(tmp_path)
    run = bench.create()
    with Writer(bench.db) as writer:
        record = Recorder(writer, run, Experiment.model_validate(SPEC), bench.files)
        record.round("imp", 0, 1, {}, [])
        for _ in range(2):
            record.alert("collapsed", "one", "conv1", ("imp", 0, 1))
            record.alert("collapsed", "two", "conv2", ("imp", 0, 1))
            record.alert("chance", "three", "imp")
            record.flush()
        record.alert("disk nearly full", "four", "files", again=True)
        record.alert("disk nearly full", "five", "files", again=True)
        record.flush()
    told = bench.rows("SELECT message FROM alerts WHERE run = :run ORDER BY id", run)
    assert [message for (message,) in told] == ["one", "two", "three", "four", "five"]


@pytest.mark.parametrize(
    ("data", "told"), [({}, True), ({"label_noise": 1.0}, False), ({"pixels": "scrambled"}, False)]
)
def test_guessing_is_told_of_unless_there_is_nothing_to_learn(data, told, tmp_path):
    bench = Bench(tmp_path)
    experiment = Experiment.model_validate(SPEC | TINY | {"data": {"name": "digits"} | data})
    run = bench.create(SPEC | TINY)
    own = load(experiment.data)
    with Writer(bench.db) as writer:
        attempt = _Attempt(run, experiment, own, {}, None, writer, bench.files)  # type: ignore[arg-type]
        job = Training(experiment.network, experiment.recipe, own.all(), 0, {}, {})
        assert (attempt._guessing(job) is not None) == told
        on_the_way = Training(experiment.network, experiment.recipe, own.all(), 0, {}, {}, end_step=3)
        assert attempt._guessing(on_the_way) is None


def test_a_disk_is_nearly_full_when_the_run_still_needs_more_than_is_free(tmp_path):
    bench = Bench(tmp_path)
    run = bench.create(SPEC | TINY)
    experiment = Experiment.model_validate(SPEC | TINY | {"keep": "all"})
    data = load(experiment.data)
    with Writer(bench.db) as writer:
        attempt = _Attempt(run, experiment, data, {}, None, writer, bench.files)  # type: ignore[arg-type]
        attempt.trainings = SimpleNamespace(done=1)  # type: ignore[assignment]
        needed = attempt._to_be_written(Cost(0, 0, 3), {})
        whole = sum(weight.count for weight in weights(build(experiment.network, data.shape, data.classes)))
        assert needed == 4 * whole * 3, "the start, and two trainings of three; a weight has four bytes"
        for free in (5e9, 3e9, 3.9e9, 6e9, 3e9):
            attempt._watch(Disk("files", bench.files, int(free), int(100e9)), int(4e9))
        attempt._watch(Disk("store", bench.files, int(20e9), int(2e12)), int(120e9))
        attempt.record.flush()
    words = f"3.0 GB of 100 GB are free for the files in {bench.files}, and the run still needs about 4.0 GB"
    large = f"20 GB of 2000 GB are free for the store in {bench.files}, and the run still needs about 120 GB"
    assert bench.rows("SELECT message FROM alerts WHERE run = :run", run) == [(words,), (words,), (large,)]
