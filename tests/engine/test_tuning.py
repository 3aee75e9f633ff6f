"""The trial of ways to train: each is really tried, the fastest is taken, and what was found is remembered."""

import json
import os
import subprocess
import sys

import pytest
import torch

from engine import tuning
from engine.data import load
from engine.tuning import Untried, Way, way
from presets.loading import load as load_preset

EXPERIMENT = load_preset("digits-demo")
DATA = load(EXPERIMENT.data)
HOUR = 3600.0


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


@pytest.fixture
def figures(monkeypatch):
    """Say what each way takes, in seconds an image, instead of trying it; what was asked for is remembered."""
    told: dict[tuple[int, int, bool], float] = {}
    asked: list[tuple[int, int, bool]] = []

    def tried(experiment, data, device, together, stack, compiled):
        asked.append((together, stack, compiled))
        if (together, stack, compiled) not in told:
            raise torch.OutOfMemoryError
        return Way(together, stack, compiled, told[together, stack, compiled], 1000)

    monkeypatch.setattr(tuning, "_tried", tried)
    monkeypatch.setattr(tuning, "_apart", lambda act: act())
    return told, asked


def test_more_at_once_is_taken_where_it_is_worthwhile(figures):
    told, asked = figures
    told |= {(1, 1, False): 8e-6, (2, 1, False): 5e-6, (4, 1, False): 4.9e-6, (2, 2, False): 6e-6, (4, 4, False): 7e-6}
    assert way(EXPERIMENT, DATA, "cpu", 8, 8, 1000).together == 2
    assert (8, 1, False) not in asked, "four were no better than two"


def test_a_stack_is_taken_where_it_beats_all_side_by_side(figures):
    told, _ = figures
    told |= {(1, 1, False): 8e-6, (2, 1, False): 6e-6, (4, 1, False): 5e-6, (8, 1, False): 4.9e-6}
    told |= {(2, 2, False): 5e-6, (4, 4, False): 4e-6, (8, 8, False): 3e-6}
    found = way(EXPERIMENT, DATA, "cpu", 8, 8, 1000)
    assert (found.together, found.stack, found.compiled) == (8, 8, False)


def test_no_more_are_tried_than_can_ever_be_at_once(figures):
    told, asked = figures
    told |= {(1, 1, False): 8e-6, (2, 1, False): 4e-6, (2, 2, False): 3e-6}
    assert way(EXPERIMENT, DATA, "cpu", 3, 8, 1000).together == 2
    assert max(together for together, _, _ in asked) == 2


def test_what_does_not_fit_is_left_out(figures):
    told, _ = figures
    told |= {(1, 1, False): 8e-6}
    assert way(EXPERIMENT, DATA, "cpu", 8, 8, 1000).together == 1


def test_compiling_is_tried_for_long_runs_and_taken_where_it_wins_its_time_back(figures):
    told, asked = figures
    told |= {(1, 1, False): 1e-5, (1, 1, True): 5e-6}
    assert not way(EXPERIMENT, DATA, "cpu", 1, 8, 1000).compiled
    assert not any(compiled for _, _, compiled in asked)
    assert way(EXPERIMENT, DATA, "cpu", 1, 8, int(HOUR / 1e-5)).compiled, "half an hour for a minute"
    assert not way(EXPERIMENT, DATA, "cpu", 1, 8, 1000).compiled, "known by now, but not worth it"
    assert [compiled for _, _, compiled in asked].count(True) == 1


def test_one_that_cannot_be_compiled_trains_without(figures, monkeypatch):
    told, _ = figures
    told |= {(1, 1, False): 1e-5}

    def failing(act):
        try:
            return act()
        except torch.OutOfMemoryError:
            raise Untried("no compiler") from None

    monkeypatch.setattr(tuning, "_apart", failing)
    assert not way(EXPERIMENT, DATA, "cpu", 1, 8, int(HOUR / 1e-5)).compiled


def test_a_network_that_cannot_be_stacked_is_tried_side_by_side_alone(figures):
    told, asked = figures
    told |= {(1, 1, False): 8e-6, (2, 1, False): 4e-6, (2, 2, False): 1e-6}
    changed = EXPERIMENT.network.model_copy(update={"name": "densenet121", "width": 0.25})
    way(EXPERIMENT.model_copy(update={"network": changed}), DATA, "cpu", 2, 8, 1000)
    assert {stack for _, stack, _ in asked} == {1}


def test_a_damaged_memory_is_as_none(figures):
    told, asked = figures
    told |= {(1, 1, False): 8e-6}
    found = way(EXPERIMENT, DATA, "cpu", 1, 8, 1000)
    [kept] = (tuning.user_cache_path("tombola") / "tuning").iterdir()
    for text in ("", "[{}]", "nonsense", json.dumps([{"together": 1}])):
        kept.write_text(text)
        assert way(EXPERIMENT, DATA, "cpu", 1, 8, 1000) == found
    assert len(asked) == 5


TRIAL = """
import sys
import torch
from engine import tuning
from engine.data.dataset import Facts, stand_in
from presets.loading import load as load_preset
experiment = load_preset("digits-demo", ["recipe.batch=512"])
# So many that torch shares the work on their labels out to several threads, of which it has some before the fork.
data = stand_in("many", Facts((1, 8, 8), 10, 60_000, 100, 100))
torch.set_num_threads(4)
torch.ones(10_000_000).exp().sum()
found = tuning.way(experiment, data, sys.argv[1], 8, 8, 100_000)
tuning._apart = None  # a second trial would call it
assert tuning.way(experiment, data, sys.argv[1], 8, 8, 100_000) == found
for way in tuning._read(tuning._path(experiment, data, sys.argv[1], [1, 2, 4, 8], 8)):
    assert way.seconds > 0
    print(way.together, way.stack)
"""


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda:0",
            marks=[
                pytest.mark.gpu,
                pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
            ],
        ),
    ],
)
def test_a_real_trial_tries_one_alone_two_side_by_side_and_two_in_a_stack(device):
    command = [sys.executable, "-c", TRIAL, device]  # a process of its own: this one may have started CUDA
    done = subprocess.run(command, env=dict(os.environ), capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {"1 1", "2 1", "2 2"} <= set(done.stdout.splitlines())
