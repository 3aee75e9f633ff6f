"""Every key that a preset may hold changes a row, or is refused: no option is read by nobody.

The real engine runs one tiny experiment, then the same with one key changed, for every key of the schema. What is
compared are all rows that it computes; the spec itself and the settings that are merely copied do not count.
"""

import json
import os
import subprocess
import sys
from copy import deepcopy
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from presets import schema
from presets.explaining import METHODS, METHODS_OF
from presets.schema import (
    Arm,
    Augment,
    Corruption,
    Data,
    Experiment,
    Like,
    Network,
    Published,
    Recipe,
    RecipeChange,
    Side,
    Stop,
    Subset,
)
from store.report import published
from tests.realdata import class_folders

BASE: dict[str, Any] = {
    "title": "base",
    "seeds": [0],
    "afresh": True,  # both sides of a comparison train
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

# A key is flipped in what it needs beside it and no more: one search and its arms, or only what its context adds. A
# quarter of the samples is enough where no accuracy is judged, since losses differ in their last digits.
FEW = BASE | {"data": {"fraction": 0.25}}
ONE = FEW | {
    "searches": {"imp": BASE["searches"]["imp"]},
    "arms": {"dense": {}, "ticket": {"ticket": "imp"}, "control": {"ticket": "imp", "mask": "shuffled", "at": [0.3]}},
}
COLT = FEW | {"searches": {"colt": BASE["searches"]["colt"]}, "arms": {"ticket": {"ticket": "colt"}}, "checks": {}}
NONE = FEW | {"searches": {}, "arms": {}, "checks": {}}

GLYPHS = {"data": {"name": "glyphs", "images": 300}}
FOLDER = {"data": {"name": "folder", "path": "FOLDER/one", "size": 8}}
TAKEN = {"searches.taken": {"method": "transfer", "run": "SOURCE1", "search": "imp"},
         "arms.taken": {"ticket": "taken"}}  # fmt: skip

PUBLISHED = {"published.p": {"label": "a", "source": "a paper", "sparsity": [0, 0.8], "accuracy": [0.7, 0.5]}}

OTHER_SEARCH = {"checks.c": {"this": {"arm": "ticket", "search": "colt"}, "that": {"arm": "ticket", "search": "imp"},
                            "at": 0.4}}  # fmt: skip

# Searches that find all their tickets at once: each beside those of BASE, with what only it reads.
AT_ONCE: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one-shot": ({}, {"rewind": "2 steps", "scope": "layer"}),
    "snip": ({}, {"images": 3}),
    "grasp": ({}, {"images": 3}),
    "random": ({}, {"ratios": "erk"}),
    "hybrid": ({"ratios": "erk"}, {"ratios": "uniform"}),
}

# Of three seeds, so that there are verdicts; the arms that every check asks for.
THREE: dict[str, Any] = BASE | {
    "seeds": [0, 1, 2],
    "recipe": {"epochs": 1, "batch": 100, "lr": 0.05},
    "searches": {
        "imp": {"method": "imp", "rate": {"conv": 0.4}, "rounds": 3},
        "low": {"method": "imp", "rate": {"conv": 0.4}, "rounds": 3, "recipe": {"lr": 0.01}},
        "colt": {"method": "colt", "rate": {"conv": 0.3}, "rounds": 2},
        "dealt": {"method": "colt", "rate": {"conv": 0.3}, "rounds": 1, "split": "random"},
    },
    "arms": {
        "ticket": {"ticket": "each"},
        "reinit": {"ticket": ["imp", "low"], "start": "reinit"},
        "dense": {"ticket": ["imp", "low"], "mask": "full", "start": "init"},
        "longer": {"ticket": ["imp", "low"], "mask": "full", "start": "init", "recipe": {"epochs": 2}},
        "small": {"ticket": ["imp", "low"], "network": "small"},
    },
}
WINNING = {"method": "winning-ticket", "searches": ["imp", "low"], "at": 0.78}
SIDES = {"this": {"arm": "ticket", "search": "imp"}, "against": {"fresh": {"arm": "reinit"}}, "at": 0.7}

# A check of each method, with what is flipped of it.
CHECKS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "winning-ticket": (WINNING, {
        "question": "why?", "at": 0.4, "searches": ["low"], "ticket": "reinit", "reinit": "dense", "dense": "small",
        "longer": "small", "small": "reinit", "sparsity": 0.9, "gap": 30.0, "drop": 60.0,
    }),
    "sanity": (SIDES, {
        "question": "why?", "this": {"arm": "small", "search": "imp"}, "against": {"a": {"arm": "small"}}, "at": 0.4,
        "tolerance": 99.0,
    }),
    "correlation": ({}, {"question": "why?", "searches": ["imp"], "at": 0.4, "share": 0.4, "tolerance": 99.0}),
    "stability": ({"steps": [0], "points": 5}, {
        "question": "why?", "steps": ["5 steps"], "searches": ["imp"], "at": [0.4], "points": 4, "error": "train",
        "threshold": 99.0,
    }),
    "successive": ({"points": 4}, {
        "question": "why?", "searches": ["colt"], "points": 3, "error": "train", "threshold": 99.0,
    }),
    "savings": ({"this": {"arm": "ticket", "search": "imp"}, "that": {"arm": "ticket", "search": "low"}, "at": 0.7}, {
        "question": "why?", "this": {"arm": "reinit", "search": "imp"}, "that": {"arm": "reinit", "search": "low"},
        "at": 0.4, "margin": 99.0,
    }),
    "solutions": ({"points": 3, "at": 0.6}, {
        "question": "why?", "searches": ["low"], "at": 0.4, "points": 4, "error": "train", "threshold": 99.0,
        "tolerance": 99.0,
    }),
    "agreement": ({}, {"question": "why?", "searches": ["dealt"], "tolerance": 99.0}),
}  # fmt: skip

# Dotted key: one or more pairs of changes; the first is made to both sides, the second is what is flipped.
# A context is needed where a key is read only beside another.
FLIPS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "title": ({}, {"title": "other"}),
    "paper": ({}, {"paper": "a paper"}),
    "expect": ({}, {"expect": "something"}),
    "seeds": ({}, {"seeds": [1]}),
    "keep": ({}, {"keep": "rounds"}),
    "afresh": (TAKEN | {"afresh": False}, {"afresh": True}),
    "flow": ({}, {"flow": 2}),
    "data.name": ({}, GLYPHS),
    "data.path": (FOLDER, {"data.path": "FOLDER/two"}),
    "data.size": (FOLDER, {"data.size": 9}),
    "data.classes": ({"data": {"name": "glyphs", "images": 600}}, {"data.classes": 100}),
    "data.images": (GLYPHS, {"data.images": 330}),
    "data.draw": ({"data.fraction": 0.5}, {"data.draw": 1}),
    "data.only": ({}, {"data.only": [1, 0, 2, 3, 4, 5, 6, 7, 8, 9]}),
    "data.samples": ({}, {"data.samples": ["0-599", 700]}),
    "data.fraction": ({}, {"data.fraction": 0.5}),
    "data.label_noise": ({}, {"data.label_noise": 0.2}),
    "data.pixels": ({}, {"data.pixels": "permuted"}),
    "network.shortcut": ({"network": {"name": "resnet20", "width": 0.25}}, {"network.shortcut": "pad"}),
    "recipe.augment.crop": ({}, {"recipe.augment.crop": 1}),
    "recipe.augment.flip": ({}, {"recipe.augment.flip": True}),
    "recipe.augment.rotate": ({}, {"recipe.augment.rotate": 20.0}),
    "network.name": ({}, {"network.name": "lenet-300-100", "searches.imp.rate": {"linear": 0.3}}),
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
    "recipe.warmup": ({}, {"recipe.warmup": "2 steps"}),
    "recipe.precision": ({}, {"recipe.precision": "bfloat16"}),
    "recipe.validate_every": ({}, {"recipe.validate_every": 2}),
    "recipe.weights": ({"recipe.lr": 2.0, "recipe.epochs": 4}, {"recipe.weights": "best"}),
    "searches.colt.rate": ({}, {"searches.colt.rate": {"conv": 0.3}}),
    "searches.colt.rewind": ({}, {"searches.colt.rewind": "2 steps"}),
    "searches.colt.until": ({}, {"searches.colt.until": 0.1}),
    "searches.colt.of": ({"searches.colt.until": 0.22, "data.fraction": 1.0}, {"searches.colt.of": "total"}),
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
    "searches.transfer.run": (TAKEN, {"searches.taken.run": "SOURCE2"}),
    "searches.transfer.search": (TAKEN, {"searches.taken.search": "other"}),
    "searches.transfer.round": (TAKEN, {"searches.taken.round": 2}),
    "searches.method": ({}, {"searches.colt": {"method": "imp", "rate": {"conv": 0.15}, "rounds": 2}}),
    "arms.ticket": ({}, {"arms.ticket.ticket": "each"}),
    "arms.start": ({}, {"arms.control.start": "reinit"}),
    "arms.weights": ({}, {"arms.control.weights": "shuffled"}),
    "arms.mask": ({}, {"arms.control.mask": "random"}),
    "arms.network": ({"arms.control.mask": "found"}, {"arms.control.network": "small"}),
    "arms.recipe": ({}, {"arms.control.recipe": {"lr": 0.2}}),
    "arms.begin": ({}, {"arms.control.begin": 1}),
    "arms.at": ({}, {"arms.control.at": [0.9]}),
    "published.label": (PUBLISHED, {"published.p.label": "other"}),
    "published.source": (PUBLISHED, {"published.p.source": "another paper"}),
    "published.sparsity": (PUBLISHED, {"published.p.sparsity": [0.1, 0.8]}),
    "published.accuracy": (PUBLISHED, {"published.p.accuracy": [0.7, 0.6]}),
    "checks.contrast.method": ({}, {"checks.c": {"method": "agreement"}}),
    "checks.contrast.question": ({}, {"checks.c.question": "why?"}),
    "checks.contrast.match": (OTHER_SEARCH, {"checks.c.match": "images-with-tickets"}),
    "checks.contrast.this.arm": ({}, {"checks.c.this.arm": "control", "checks.c.that.arm": "ticket"}),
    "checks.contrast.this.search": ({}, {"checks.c.this.search": "colt"}),
    "checks.contrast.that.arm": (OTHER_SEARCH, {"checks.c.that.arm": "control"}),
    "checks.contrast.that.search": ({}, {"checks.c.that.search": "colt"}),
    "checks.contrast.at": ({"arms.control.at": None}, {"checks.c.at": 0.9}),
    "checks.contrast.tolerance": ({}, {"checks.c.tolerance": 1.5}),
}  # fmt: skip

for name in ("set", "rigl"):
    AT_ONCE[name] = ({"every": 2}, {"ratios": "erk", "every": 1, "alpha": 0.5, "until": 0.3, "start": "sparse-neuron"})
PRUNES = {"begin": "1 steps", "end": "5 steps", "every": 2}
AT_ONCE["gmp"] = (PRUNES, {"begin": "2 steps", "end": 1, "every": 1, "scope": "global"})
REFUSED = {f"searches.{name}.data" for name in ("random", "set", "rigl", "gmp")}

for name, (settings, own) in AT_ONCE.items():
    context = {"searches.x": {"method": name, "sparsity": [0.3, 0.6]} | settings, "arms.x": {"ticket": "x"}}
    flips = {"sparsity": [0.4], "layers": ["conv"], "spare_first": True, "recipe": {"lr": 0.2}} | own
    flips |= {} if f"searches.{name}.data" in REFUSED else {"data": {"fraction": 0.5}}
    FLIPS |= {f"searches.{name}.{key}": (context, {f"searches.x.{key}": value}) for key, value in flips.items()}
for name in ("imp", "colt"):
    for key, value in {"recipe": {"lr": 0.2}, "spare_first": True, "data": {"fraction": 0.5}}.items():
        FLIPS[f"searches.{name}.{key}"] = ({}, {f"searches.{name}.{key}": value})
PRAC = {"searches.x": {"method": "prac", "rounds": 3}}
ANOTHER = {"searches.y": {"method": "prac", "rounds": 3, "use": "training"}}
for key, value in {
    "recipe": {"lr": 0.2}, "spare_first": True, "data": {"fraction": 0.5}, "rate": {"conv": 0.4}, "rewind": "2 steps",
    "stop": {"epsilon": 0.9, "window": 1, "armed": False}, "until": 0.1, "rounds": 1, "scope": "layer",
    "use": "training", "forgotten": 1, "against": "before", "length": "quadratic", "sizes": {"like": "y"},
    "segments": 2,
}.items():  # fmt: skip
    beside = {"sizes": ANOTHER, "length": {"data.fraction": 1.0}}.get(key, {})
    FLIPS[f"searches.prac.{key}"] = (PRAC | beside, {f"searches.x.{key}": value})
UNTIL = {"searches.x.until": 0.2, "searches.x.rate": {"conv": 0.22}}
FLIPS["searches.prac.split"] = (PRAC | {"searches.x.segments": 2}, {"searches.x.split": "random"})
FLIPS["searches.prac.of"] = (PRAC | UNTIL, {"searches.x.of": "total"})
RESTS = {"epsilon": 0.9, "window": 1, "armed": False}
STOPS = {"searches.imp.stop": RESTS, "recipe.epochs": 4}
for name, search in (("imp", "imp"), ("colt", "colt"), ("one-shot", "x"), ("hybrid", "x")):
    beside = {"searches.x": {"method": name, "sparsity": [0.5]}} if search == "x" else {}
    beside |= {"recipe.epochs": 4}
    FLIPS[f"searches.{name}.stop"] = (beside, {f"searches.{search}.stop": RESTS})
for key, value in {"epsilon": 0.0001, "window": 2, "armed": True}.items():
    FLIPS[f"searches.stop.{key}"] = (STOPS, {f"searches.imp.stop.{key}": value})
GIVEN = FEW | {"searches": {"prac": {"method": "prac", "rounds": 3}}}
GIVEN["searches"]["other"] = {"method": "prac", "rounds": 1, "forgotten": 1}
GIVEN |= {"arms": {}, "checks": {}, "seeds": [0, 1]}
"""The run whose sets are taken."""
TAKING = {"searches.imp.data.subset": {"run": "CHOSEN1", "search": "prac", "round": 1}}
FLIPS["searches.data.subset"] = ({}, TAKING)
for key, value in {"run": "CHOSEN2", "search": "other", "round": 2}.items():
    FLIPS[f"searches.data.subset.{key}"] = (TAKING, {f"searches.imp.data.subset.{key}": value})
for key, value in {"label_noise": 1.0, "pixels": "scrambled", "fraction": 0.5}.items():
    FLIPS[f"searches.data.{key}"] = ({}, {f"searches.imp.data.{key}": value})
ASKED: dict[str, dict[str, Any]] = {}
"""Every check, and every check with one key flipped: all are asked of one run."""
for name, (settings, flips) in CHECKS.items():
    ASKED[name] = {"method": name} | settings
    ASKED |= {f"{name}--{key}": {"method": name} | settings | {key: value} for key, value in flips.items()}
THREE["checks"] = ASKED

DRIVER = """
import json, sys, torch
from pathlib import Path
from engine.run import run
from engine.data import prepare
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
    name = create_run(conn, name="flip", preset="flip", spec=spec, device="cpu", files=str(folder), images_planned=0)
    (folder / "runs" / name).mkdir(parents=True)
    assert run(name, folder / "t.db", folder) == 0
    print(json.dumps(name), flush=True)
"""

ROWS = {
    "runs": "SELECT title, paper, expect FROM runs WHERE id = :run",
    "epochs": "SELECT t.seed, e.epoch, e.step, e.lr, e.train_loss FROM epochs e JOIN trainings t ON t.id = e.training"
    " WHERE t.run = :run ORDER BY t.key, e.epoch",
    "traces": "SELECT t.seed, c.kind, c.layer, c.step, c.value FROM traces c JOIN trainings t ON t.id = c.training"
    " WHERE t.run = :run ORDER BY t.key, 2, 3, 4",
    "rounds": "SELECT s.name, s.method, r.seed, r.round, r.remaining, r.images FROM rounds r"
    " JOIN searches s ON s.id = r.search WHERE s.run = :run ORDER BY 1, 3, 4",
    "layers": "SELECT s.name, r.round, l.member, l.layer, l.alive FROM layers l JOIN rounds r ON r.id = l.round"
    " JOIN searches s ON s.id = r.search WHERE s.run = :run ORDER BY 1, 2, 3, 4",
    "evaluations": "SELECT a.name, r.round, s.name, e.split, e.correct, e.loss, g.epoch_used FROM evaluations e"
    " JOIN arms a ON a.id = e.arm JOIN trainings g ON g.id = e.training LEFT JOIN tickets t ON t.id = e.ticket"
    " LEFT JOIN rounds r ON r.id = t.round LEFT JOIN searches s ON s.id = r.search WHERE a.run = :run"
    " ORDER BY 1, 2, 3, 4",
    "checks": "SELECT name, search, part, question, figure, threshold, verdict, sentence FROM checks WHERE run = :run"
    " ORDER BY 1, 2, 3",
    "measurements": "SELECT seed, method, figures FROM measurements WHERE run = :run ORDER BY 1, 2, 3",
    "published": published("run").replace("'run'", ":run"),
    "taken": "SELECT count(taken_from) FROM trainings WHERE run = :run",
    "files": "SELECT role, count(*) FROM file_uses WHERE run = :run GROUP BY 1 ORDER BY 1",
}


def changed(spec: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    spec = deepcopy(spec)
    for key, value in changes.items():
        *path, last = key.split(".")
        table = spec
        for part in path:
            table = table.setdefault(part, {})
        if value is None:
            table.pop(last, None)
        else:
            table[last] = deepcopy(value)  # a later key may lie in it
    return spec


def keys_of(model: type[BaseModel], prefix: str) -> set[str]:
    return {f"{prefix}{name}" for name in model.model_fields}


def test_every_key_of_the_schema_is_flipped_here():
    expected = keys_of(Experiment, "") - {"data", "network", "recipe", "searches", "arms", "checks", "published"}
    expected |= keys_of(Data, "data.") | keys_of(Network, "network.") | keys_of(Recipe, "recipe.")
    expected |= keys_of(Augment, "recipe.augment.") - {"recipe.augment"}
    for name, model in METHODS_OF["searches"].items():
        expected |= keys_of(model, f"searches.{name}.") - {f"searches.{name}.method"}
    for name, model in METHODS_OF["checks"].items():
        expected |= keys_of(model, f"checks.{name}.") - {f"checks.{name}.method"}
    expected -= REFUSED | {"checks.contrast.this", "checks.contrast.that"}
    expected |= {"searches.method", "checks.contrast.method", *keys_of(Like, "searches.imp.rate.")}
    expected |= keys_of(Arm, "arms.") | keys_of(Corruption, "searches.data.") | keys_of(Stop, "searches.stop.")
    expected |= keys_of(Subset, "searches.data.subset.")
    expected |= keys_of(Side, "checks.contrast.this.") | keys_of(Side, "checks.contrast.that.")
    expected |= keys_of(Published, "published.")
    flipped = {f"checks.{name.replace('--', '.')}" for name in ASKED if "--" in name}
    assert set(FLIPS) | flipped == expected - {"recipe.augment"}
    assert RecipeChange.model_fields.keys() == Recipe.model_fields.keys()
    assert len(METHODS) == len(get_args(schema.Searching)) + len(get_args(get_args(schema.AnyCheck)[0]))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory):
    """Rows of a spec, from one engine process that runs them one after another."""
    import sqlite3

    folder: Path = tmp_path_factory.mktemp("flips")
    for name, each in (("one", 14), ("two", 16)):
        class_folders(folder / name, "abcdefghij", each, side=10)
    environment = os.environ | {"TOMBOLA_DATA": str(folder / "data")}
    driver = subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    sources: dict[str, str] = {}
    seen: dict[str, dict[str, list[tuple]]] = {}

    def run(text: str) -> str:
        print(text, file=driver.stdin, flush=True)
        return json.loads(driver.stdout.readline())

    def of(spec: dict[str, Any]) -> dict[str, list[tuple]]:
        text = json.dumps(spec).replace("FOLDER", str(folder))
        for number, name in enumerate(("SOURCE1", "SOURCE2")):
            if name in text:
                if name not in sources:
                    sources[name] = run(json.dumps(changed(FEW, {"recipe.lr": 0.05 + number / 100, "seeds": [0, 1]})))
                text = text.replace(name, sources[name])
        for number, name in enumerate(("CHOSEN1", "CHOSEN2")):
            if name in text:
                if name not in sources:
                    sources[name] = run(json.dumps(changed(GIVEN, {"recipe.lr": 0.05 + number / 100})))
                text = text.replace(name, sources[name])
        if text not in seen:
            name = run(text)
            conn = sqlite3.connect(folder / "t.db")
            seen[text] = {name_: conn.execute(sql, {"run": name}).fetchall() for name_, sql in ROWS.items()}
            conn.close()
        return seen[text]

    yield of
    driver.stdin.close()
    assert driver.wait(timeout=30) == 0


def around(key: str) -> dict[str, Any]:
    """The least that a key is flipped in: whole where searches are compared, none where its context brings its own."""
    context, _ = FLIPS[key]
    if any(name.startswith("searches.x") for name in context):
        return NONE
    if key.startswith("checks."):
        return BASE
    compared = ("searches.imp.rate.like", "searches.imp.rewind", "searches.method", "arms.ticket")
    return COLT if key.startswith("searches.colt") else FEW if key.startswith(compared) else ONE


@pytest.mark.parametrize("key", FLIPS)
def test_a_key_changes_a_row(rows, key):
    context, flip = FLIPS[key]
    before = changed(around(key), context)
    after = changed(before, flip)
    assert rows(before) != rows(after)


@pytest.mark.parametrize("name", [name for name in ASKED if "--" in name])
def test_a_key_of_a_check_changes_its_answer(rows, name):
    found = rows(THREE)
    answers, again = (
        [row[1:] for row in found["checks"] if row[0] == asked] for asked in (name.partition("--")[0], name)
    )
    assert answers
    assert again
    assert answers != again
