"""Every smoke preset comes to its end in the real engine, cut down to one round of one epoch; `make smoke` runs them whole.

One engine process runs them one after another, since starting it costs more than any of them.
"""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from presets.loading import load
from presets.schema import Experiment, Imp, Like, Transfer
from tests.smoke import SEARCH, giver, smokes

OF_TORCHVISION = ("resnet18", "mobilenetv2", "densenet121", "shufflenetv2")

DRIVER = """
import json, sys, torch
from pathlib import Path
torch.set_num_threads(1)  # before anything is computed: workers are forked, and threads do not survive that
from engine.data import load, prepare
from engine.devices import choose
from engine.run import run
from presets.schema import Experiment
from store.connection import connect
from store.editing import create_run
folder = Path(sys.argv[1])
conn = connect(folder / "t.db")
for line in sys.stdin:
    experiment = Experiment.model_validate_json(line)
    prepare(experiment.data, lambda words: None)
    spec = experiment.model_dump(mode="json")
    name = create_run(conn, name="smoke", preset="smoke", spec=spec, device="cpu", files=str(folder), images_planned=0)
    (folder / "runs" / name).mkdir(parents=True)
    code = run(name, folder / "t.db", folder)
    print(json.dumps([name, code, choose(experiment, load(experiment.data), "cpu").threads]), flush=True)
"""

RESULTS = {
    "message": "SELECT ifnull(message, '') FROM runs WHERE id = :run",
    "rounds": "SELECT s.name, max(r.round), count(t.round) FROM searches AS s JOIN rounds AS r ON r.search = s.id"
    " LEFT JOIN tickets AS t ON t.round = r.id WHERE s.run = :run AND r.round > 0 GROUP BY s.name",
    "arms": "SELECT a.name, count(*) FROM evaluations AS e JOIN arms AS a ON a.id = e.arm"
    " WHERE a.run = :run AND e.split = 'test' GROUP BY a.name",
    "checks": "SELECT DISTINCT name, seeds FROM checks WHERE run = :run",
}

Runs = Callable[[str], dict]


def cut(name: str, run: str = "") -> Experiment:
    """A smoke preset with one seed and one epoch, and one round of each search."""
    searches = load(name).searches
    rounds = [
        f"searches.{key}.rounds=1"
        for key, search in searches.items()
        if not isinstance(search, Transfer) and not (isinstance(search, Imp) and isinstance(search.rate, Like))
    ]
    given = [f"searches.source.run={run}", f"searches.source.search={SEARCH}"] if run else []
    return load(name, ["recipe.epochs=1", *rounds, *given], seeds=[0])


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Gives what a preset came to: id, exit code and threads, and the answers to `RESULTS`."""
    folder = tmp_path_factory.mktemp("smoke")
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"TOMBOLA_DATA": str(folder / "data")},
    )  # fmt: skip
    done: dict[str, dict] = {}

    def of(name: str) -> dict:
        if name not in done:
            source = giver(name)
            print(cut(name, of(source)["id"] if source else "").model_dump_json(), file=driver.stdin, flush=True)
            run, code, threads = json.loads(driver.stdout.readline())
            store = sqlite3.connect(folder / "t.db")
            answers = {key: store.execute(sql, {"run": run}).fetchall() for key, sql in RESULTS.items()}
            store.close()
            done[name] = {"id": run, "code": code, "threads": threads} | answers
        return done[name]

    yield of
    driver.stdin.close()
    assert driver.wait(timeout=30) == 0


def needs(name: str) -> list[pytest.MarkDecorator]:
    absent = load(name).network.name in OF_TORCHVISION and not (find_spec("torchvision") and find_spec("PIL"))
    return [pytest.mark.skipif(absent, reason="torchvision or pillow is not installed")]


@pytest.mark.parametrize("name", [pytest.param(name, marks=needs(name)) for name in smokes()])
def test_a_smoke_preset_finds_tickets_and_trains_every_arm(runs: Runs, name: str):
    experiment, done = cut(name), runs(name)
    assert done["code"] == 0, done["message"]
    assert done["rounds"] == [(search, 1, 1) for search in sorted(experiment.searches)]
    tickets = {arm: len(experiment.tickets_of(settings)) or 1 for arm, settings in experiment.arms.items()}
    assert dict(done["arms"]) == tickets
    assert dict(done["checks"]) == dict.fromkeys(experiment.checks, 1), "every question found figures to compare"
    assert done["threads"] == 1, "two threads are many times slower where something else is running too"
