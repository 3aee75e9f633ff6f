"""The benches compare the same work: the naive searches find the engine's tickets; and every new bench runs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from engine import masks, searches
from engine.arms import arm_training
from engine.data import load as load_data
from engine.searches import Context, Ticket, Train
from engine.training import Trainer
from presets.loading import load
from tests.bench import naive

ROOT = Path(__file__).parents[2]
SETS = (
    *("recipe.epochs=2", "recipe.warmup=0", "network.width=0.0625"),
    *("searches.colt.rounds=3", "searches.colt.rate.conv=0.3", "searches.imp.rounds=3", "searches.imp.rate.conv=0.3"),
)


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def by_the_engine(experiment, name: str, data) -> list[naive.Found]:
    """The tickets of the engine's own search, each trained."""
    trainer = Trainer(data)
    context = Context(experiment, name, 1, data)
    turning, answer, found = searches.start(context), None, []
    while True:
        try:
            request = turning.send(answer)
        except StopIteration:
            return found
        answer = [trainer.train(job) for job in request.members] if isinstance(request, Train) else None
        if isinstance(request, Ticket):
            job = arm_training(context, data, experiment.arms["ticket"], request)
            prunable = sum(keep.numel() for keep in request.mask.values())
            sparsity = 1 - masks.alive(request.mask) / prunable
            found.append(naive.Found(1, request.round, sparsity, trainer.train(job).test.accuracy))


@pytest.mark.parametrize("name", ["colt", "imp"])
def test_the_naive_search_finds_the_engines_tickets(name: str):
    experiment = load("digits-demo", SETS)
    data = load_data(experiment.data)
    ours = by_the_engine(experiment, name, data)
    theirs = list(naive.METHODS[name](naive.Laboratory(experiment, name, data, 1, workers=0)))
    assert [ticket.round for ticket in theirs] == [ticket.round for ticket in ours] == [1, 2, 3]
    # Another layout in memory rounds otherwise, so that a weight at the threshold may go here and stay there.
    assert [ticket.sparsity for ticket in theirs] == pytest.approx([t.sparsity for t in ours], abs=0.005)
    assert [ticket.accuracy for ticket in theirs] == pytest.approx([t.accuracy for t in ours], abs=0.03)


def test_the_naive_script_finds_the_same_with_worker_processes():
    options = [word for text in (*SETS, "seeds=[1]") for word in ("--set", text)]
    command = [sys.executable, "-m", "tests.bench.naive", "imp", "--workers", "2", "--json", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    experiment = load("digits-demo", SETS)
    here = naive.imp(naive.Laboratory(experiment, "imp", load_data(experiment.data), 1, workers=0))
    there = [naive.Found(**json.loads(line)) for line in done.stdout.splitlines()]
    for one, other in zip(here, there, strict=True):
        assert (other.round, other.sparsity) == (one.round, one.sparsity)
        assert other.accuracy == pytest.approx(one.accuracy, abs=0.03)


def test_every_bench_with_a_small_size_runs_to_its_end():
    command = [sys.executable, "-m", "tests.bench", "steps", "members", "searches", "gpu", "--small"]
    done = subprocess.run([*command, "--repeats", "1", "--json", "-"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    written = json.loads(done.stdout)
    assert {"processor", "cores", "extensions", "card", "torch", "torchvision"} <= written["machine"].keys()
    measured = {(figure["bench"], figure["case"]) for figure in written["figures"] if "trials" in figure}
    assert {
        ("steps", "ResNet-20: naive / engine, float32"),
        ("members", "8: together is faster"),
        ("searches", "colt: naive / tombola"),
        ("gpu", "resnet20 b128 × 8 in a stack, float32"),
        ("gpu", "naive / conv3 b128 × 8, float32"),
    } <= measured
    for figure in written["figures"]:  # what was measured is all there, and what was not says why
        assert figure.get("trials") or figure["reason"]
    (a, b, *_) = [f["note"] for f in written["figures"] if f["case"].startswith("colt: ") and f["unit"] == "s"]
    assert a.split(",")[0] == b.split(",")[0]  # rounds, and sparsity at the last
