"""Every key that a preset may hold changes a row, or is refused: no option is read by nobody.

The real engine runs one tiny experiment, then the same with one key changed, for every key of the schema. What is
compared are all rows that it computes; the spec itself and the settings that are merely copied do not count.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from presets import schema
from presets.schema import Arm, Colt, Contrast, Data, Experiment, Imp, Like, Network, Recipe, Side

BASE: dict[str, Any] = {
    "title": "base",
    "seeds": [0],
    "network": {"name": "conv3", "width": 0.05},
    "recipe": {"epochs": 2, "batch": 100, "lr": 0.05},
    "searches": {
        "colt": {"method": "colt", "rounds": 2},
        "imp": {"method": "imp", "rate": {"conv": 0.3, "head": 0.1}, "rounds": 2},
        "other": {"method": "imp", "rate": {"conv": 0.25}, "rounds": 1},
        "matched": {"method": "imp", "rate": {"like": "imp"}},
    },
    "arms": {
        "dense": {},
        "ticket": {"ticket": ["colt", "imp"]},
        "control": {"ticket": ["colt", "imp"], "mask": "shuffled", "at": [0.3]},
    },
    "checks": {
        "c": {
            "this": {"arm": "ticket", "search": "imp"},
            "that": {"arm": "control", "search": "imp"},
            "at": 0.1,
        }
    },
}

# Dotted key: one or more pairs of changes; the first is made to both sides, the second is what is flipped.
# A context is needed where a key is read only beside another.
FLIPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "title": ({}, {"title": "other"}),
    "paper": ({}, {"paper": "a paper"}),
    "expect": ({}, {"expect": "something"}),
    "seeds": ({}, {"seeds": [1]}),
    "keep": ({}, {"keep": "rounds"}),
    "network.name": ({}, {"network.name": "lenet-300-100", "searches.colt.rate": {"linear": 0.15},
                          "searches.imp.rate": {"linear": 0.3}, "searches.other.rate": {"linear": 0.25}}),
    "network.width": ({}, {"network.width": 0.06}),
    "network.init": ({}, {"network.init": "default"}),
    "recipe.optimizer": ({}, {"recipe.optimizer": "adam"}),
    "recipe.lr": ({}, {"recipe.lr": 0.06}),
    "recipe.momentum": ({}, {"recipe.momentum": 0.8}),
    "recipe.nesterov": ({}, {"recipe.nesterov": True}),
    "recipe.weight_decay": ({}, {"recipe.weight_decay": 0.01}),
    "recipe.epochs": ({}, {"recipe.epochs": 1}),
    "recipe.batch": ({}, {"recipe.batch": 120}),
    "recipe.schedule": ({}, {"recipe.schedule": "cosine"}),
    "recipe.milestones": ({"recipe.schedule": "step", "recipe.milestones": [1]}, {"recipe.milestones": ["5 steps"]}),
    "recipe.gamma": ({"recipe.schedule": "step", "recipe.milestones": [1]}, {"recipe.gamma": 0.5}),
    "recipe.warmup": ({}, {"recipe.warmup": "3 steps"}),
    "recipe.weights": ({"recipe.lr": 2.0, "recipe.epochs": 4}, {"recipe.weights": "best"}),
    "searches.colt.rate": ({}, {"searches.colt.rate": {"conv": 0.3}}),
    "searches.colt.rewind": ({}, {"searches.colt.rewind": "2 steps"}),
    "searches.colt.until": ({}, {"searches.colt.until": 0.1}),
    "searches.colt.of": ({"searches.colt.until": 0.22}, {"searches.colt.of": "total"}),
    "searches.colt.rounds": ({}, {"searches.colt.rounds": 1}),
    "searches.colt.scope": ({}, {"searches.colt.scope": "layer"}),
    "searches.colt.segments": ({}, {"searches.colt.segments": 3}),
    "searches.colt.split": ({}, {"searches.colt.split": "stratified"}),
    "searches.imp.rate": ({}, {"searches.imp.rate": {"conv": 0.3}}),
    "searches.imp.rate.like": ({}, {"searches.matched.rate.like": "other"}),
    "searches.imp.rewind": ({}, {"searches.imp.rewind": "2 steps", "searches.matched.rewind": "2 steps"}),
    "searches.imp.until": ({}, {"searches.imp.until": 0.1}),
    "searches.imp.of": ({"searches.imp.until": 0.2, "searches.imp.rate": {"conv": 0.22}}, {"searches.imp.of": "total"}),
    "searches.imp.rounds": ({}, {"searches.imp.rounds": 1}),
    "searches.imp.scope": ({}, {"searches.imp.scope": "layer"}),
    "searches.method": ({}, {"searches.colt": {"method": "imp", "rate": {"conv": 0.15}, "rounds": 2}}),
    "arms.ticket": ({}, {"arms.ticket.ticket": "each"}),
    "arms.start": ({}, {"arms.control.start": "reinit"}),
    "arms.mask": ({}, {"arms.control.mask": "random"}),
    "arms.at": ({}, {"arms.control.at": [0.9]}),
    "checks.question": ({}, {"checks.c.question": "why?"}),
    "checks.this.arm": ({}, {"checks.c.this.arm": "control", "checks.c.that.arm": "ticket"}),
    "checks.this.search": ({}, {"checks.c.this.search": "colt"}),
    "checks.that.arm": ({"checks.c.that": {"arm": "ticket", "search": "colt"}}, {"checks.c.that.arm": "control"}),
    "checks.that.search": ({}, {"checks.c.that.search": "colt"}),
    "checks.at": ({"arms.control.at": None}, {"checks.c.at": 0.9}),
    "checks.tolerance": ({}, {"checks.c.tolerance": 1.5}),
}  # fmt: skip

ONE_VALUE = {"data.name"}
"""Keys with a single allowed value so far: any other is refused."""

DRIVER = """
import json, sys, torch
from pathlib import Path
from engine.run import run
from presets.schema import Experiment
from store.connection import connect
from store.editing import create_run
torch.set_num_threads(1)
folder = Path(sys.argv[1])
conn = connect(folder / "t.db")
for line in sys.stdin:
    spec = Experiment.model_validate_json(line).model_dump(mode="json")
    name = create_run(conn, name="flip", preset="flip", spec=spec, device="cpu", files=str(folder), images_planned=0)
    (folder / "runs" / name).mkdir(parents=True)
    assert run(name, folder / "t.db", folder) == 0
    print(json.dumps(name), flush=True)
"""

ROWS = {
    "runs": "SELECT title, paper, expect FROM runs WHERE id = :run",
    "epochs": "SELECT t.seed, e.epoch, e.step, e.lr, e.train_loss FROM epochs e JOIN trainings t ON t.id = e.training"
    " WHERE t.run = :run ORDER BY t.key, e.epoch",
    "rounds": "SELECT s.name, s.method, r.seed, r.round, r.remaining, r.images FROM rounds r"
    " JOIN searches s ON s.id = r.search WHERE s.run = :run ORDER BY 1, 3, 4",
    "layers": "SELECT s.name, r.round, l.member, l.layer, l.alive FROM layers l JOIN rounds r ON r.id = l.round"
    " JOIN searches s ON s.id = r.search WHERE s.run = :run ORDER BY 1, 2, 3, 4",
    "evaluations": "SELECT a.name, r.round, s.name, e.split, e.correct, e.loss, g.epoch_used FROM evaluations e"
    " JOIN arms a ON a.id = e.arm JOIN trainings g ON g.id = e.training LEFT JOIN tickets t ON t.id = e.ticket"
    " LEFT JOIN rounds r ON r.id = t.round LEFT JOIN searches s ON s.id = r.search WHERE a.run = :run"
    " ORDER BY 1, 2, 3, 4",
    "checks": "SELECT name, search, question, figure, threshold, verdict FROM checks WHERE run = :run ORDER BY 1, 2",
    "files": "SELECT role, count(*) FROM file_uses WHERE run = :run GROUP BY 1 ORDER BY 1",
}


def changed(spec: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    spec = json.loads(json.dumps(spec))
    for key, value in changes.items():
        *path, last = key.split(".")
        table = spec
        for part in path:
            table = table.setdefault(part, {})
        if value is None:
            table.pop(last, None)
        else:
            table[last] = value
    return spec


def keys_of(model: type[BaseModel], prefix: str) -> set[str]:
    return {f"{prefix}{name}" for name in model.model_fields}


def test_every_key_of_the_schema_is_flipped_here():
    expected = keys_of(Experiment, "") - {"data", "network", "recipe", "searches", "arms", "checks"}
    expected |= keys_of(Data, "data.") | keys_of(Network, "network.") | keys_of(Recipe, "recipe.")
    expected |= (keys_of(Imp, "searches.imp.") | keys_of(Colt, "searches.colt.")) - {
        "searches.imp.method",
        "searches.colt.method",
    }
    expected |= {"searches.method", *keys_of(Like, "searches.imp.rate.")}
    expected |= keys_of(Arm, "arms.") | (keys_of(Contrast, "checks.") - {"checks.this", "checks.that"})
    expected |= keys_of(Side, "checks.this.") | keys_of(Side, "checks.that.")
    assert set(FLIPS) | ONE_VALUE == expected
    assert {model.__name__ for model in get_args(get_args(schema.AnySearch)[0])} == {"Imp", "Colt"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory):
    """Rows of a spec, from one engine process that runs them one after another."""
    import sqlite3

    folder: Path = tmp_path_factory.mktemp("flips")
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    seen: dict[str, dict[str, list[tuple]]] = {}

    def of(spec: dict[str, Any]) -> dict[str, list[tuple]]:
        text = json.dumps(spec)
        if text not in seen:
            print(text, file=driver.stdin, flush=True)
            run = json.loads(driver.stdout.readline())
            conn = sqlite3.connect(folder / "t.db")
            seen[text] = {name: conn.execute(sql, {"run": run}).fetchall() for name, sql in ROWS.items()}
            conn.close()
        return seen[text]

    yield of
    driver.stdin.close()
    assert driver.wait(timeout=30) == 0


@pytest.mark.parametrize("key", FLIPS)
def test_a_key_changes_a_row(rows, key):
    context, flip = FLIPS[key]
    before, after = changed(BASE, context), changed(changed(BASE, context), flip)
    assert rows(before) != rows(after)


def test_a_value_that_is_not_allowed_is_refused():
    for key in ONE_VALUE:
        with pytest.raises(ValueError, match="digits"):
            Experiment.model_validate(changed(BASE, {key: "other"}))
