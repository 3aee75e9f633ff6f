"""Every smoke preset runs: one round of each, with one seed, by the real engine. `make smoke` runs them whole."""

import json
import os
import subprocess
import sys

import pytest

from presets.loading import load
from presets.schema import Experiment
from tests.smoke import SEARCH, giver, in_order, smokes

DRIVER = """
import json, sys, torch
from pathlib import Path
from engine.data import prepare
from engine.run import run
from presets.schema import Experiment
from store.connection import connect
from store.editing import create_run
torch.set_num_threads(1)
folder = Path(sys.argv[1])
conn = connect(folder / "t.db")
for line in sys.stdin:
    experiment = Experiment.model_validate_json(line)
    prepare(experiment.data, lambda words: None)
    spec = experiment.model_dump(mode="json")
    name = create_run(conn, name="smoke", preset="smoke", spec=spec, device="cpu", files=str(folder), images_planned=0)
    (folder / "runs" / name).mkdir(parents=True)
    code = run(name, folder / "t.db", folder)
    row = conn.execute("SELECT state, message FROM runs WHERE id = ?", (name,)).fetchone()
    arms = "SELECT count(DISTINCT a.id) FROM arms a JOIN evaluations e ON e.arm = a.id WHERE a.run = ?"
    print(json.dumps([name, code, *row, conn.execute(arms, (name,)).fetchone()[0]]), flush=True)
"""


def short(name: str, source: str = "") -> Experiment:
    """The preset with one seed, one epoch of few images and one round of every search.

    `source` is the run that tickets are taken of.
    """
    spec = load(name).model_dump(mode="json", exclude_none=True)
    spec["seeds"] = spec["seeds"][:1]
    spec["recipe"] |= {"epochs": 1, "warmup": "0 epochs"}
    if spec["recipe"]["milestones"]:
        spec["recipe"]["milestones"] = ["1 steps"]
    if spec["data"]["name"] == "glyphs":
        spec["data"]["images"] = max(120, 6 * spec["data"].get("classes", 10))
        if spec["data"]["fraction"] == 1.0:
            spec["data"]["fraction"] = 0.5
            spec["recipe"]["batch"] //= 2  # as many steps of half the samples
    else:
        spec["data"]["fraction"] = 0.1
    for arm in spec["arms"].values():
        if "epochs" in arm["recipe"]:
            arm["recipe"] |= {"epochs": 2, "milestones": ["1 steps"]}
    for check in spec["checks"].values():
        if "points" in check:
            check["points"] = 3
    for search in spec["searches"].values():
        if search.get("rewind", "0 epochs") != "0 epochs":
            search["rewind"] = "1 steps"
        if search["method"] == "transfer":
            search |= {"run": source, "search": SEARCH}
        elif "sparsity" in search:
            search["sparsity"] = search["sparsity"][-1:]
            search |= {"begin": "0 steps", "end": "2 steps"} if search["method"] == "gmp" else {}
        elif not isinstance(search["rate"], dict) or "like" not in search["rate"]:
            search["rounds"] = 1
    return Experiment.model_validate(spec)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory):
    """(id, exit code, state, message, arms evaluated) of a preset, from one engine process that runs one by one."""
    folder = tmp_path_factory.mktemp("smoke")
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"TOMBOLA_DATA": str(folder / "data")},
    )
    ended: dict[str, tuple[str, int, str, str, int]] = {}

    def of(name: str) -> tuple[str, int, str, str, int]:
        for one in in_order([name]):
            if one not in ended:
                source = giver(one)
                print(short(one, ended[source][0] if source else "").model_dump_json(), file=driver.stdin, flush=True)
                ended[one] = json.loads(driver.stdout.readline())
        return ended[name]

    yield of
    driver.stdin.close()
    driver.wait(timeout=30)


@pytest.mark.parametrize("name", smokes())
def test_one_round_of_a_smoke_preset_ends_well_with_all_its_arms(run, name):
    _, code, state, message, arms = run(name)
    assert (code, state, message) == (0, "finished", "")
    assert arms == len(load(name).arms)
