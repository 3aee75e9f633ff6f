"""The verb `samples`: which samples of a round it gives, in what order, and that their images are those of the data."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from engine import tensors
from engine.data import load
from engine.gallery import gallery
from presets.schema import Data, Experiment
from store import editing
from store.files import object_path
from store.writing import Writer
from tests.engine.running import SPEC

SHA = "ab" * 32


@pytest.fixture
def place(tmp_path: Path) -> tuple[Path, Path]:
    """A store and a folder of files with a set of three samples in round 1, and one without a file in round 2."""
    db, files = tmp_path / "tombola.db", tmp_path / "files"
    samples, reasons = torch.tensor([10, 20, 30]), torch.tensor([1, 2, 3], dtype=torch.uint8)
    tensors.write(object_path(files, SHA), tensors.encode({"samples": samples, "reasons": reasons}))
    spec = Experiment.model_validate(SPEC).model_dump(mode="json")
    with Writer(db) as writer:
        run = editing.create_run(
            writer.conn, name="demo", preset="p", spec=spec, device="cpu", files=str(files), images_planned=1
        )
        search = writer.insert("searches", {"run": run, "name": "prac", "method": "prac", "settings": {}})
        for number, sha in ((1, SHA), (2, None)):
            row = {"search": search, "seed": 3, "round": number, "step": "done", "started": "x", "prunable": 10}
            round_id = writer.insert("rounds", {**row, "remaining": 8, "weights": 12, "weights_remaining": 10})
            writer.insert("sets", {"round": round_id, "size": 3})
            ticket = {"round": round_id, "mask": "m", "start": "s", "start_step": 0, "created": "x", "samples": sha}
            writer.insert("tickets", ticket)
    return db, files


def hard(db: Path, number: int, **why: str) -> None:
    with Writer(db) as writer:
        key = {"search": 1, "seed": 3, "round": number, "member": 0}
        writer.insert_all("samples", [key | {"sample": int(n[1:]), "reason": words} for n, words in why.items()])


def reasons(answer: dict[str, Any]) -> list[tuple[int, str, int | None]]:
    return [(one["index"], one["reason"], one["forgotten"]) for one in answer["samples"]]


def test_without_hardest_samples_the_first_of_the_set_come_with_why_they_are_in_it(place: tuple[Path, Path]):
    db, _ = place
    answer = gallery(db, "demo", number=1)
    assert reasons(answer) == [
        (10, "forgotten in training", None), (20, "changed by pruning", None), (30, "both", None),
    ]  # fmt: skip
    assert (answer["search"], answer["seed"], answer["round"], answer["size"]) == ("prac", 3, 1, 3)
    assert len(gallery(db, "demo", number=1, count=2)["samples"]) == 2


def test_the_hardest_come_first_never_learned_before_often_forgotten(place: tuple[Path, Path]):
    db, _ = place
    hard(db, 1, s20="forgotten 1 time", s5="forgotten 12 times", s6="forgotten 9 times", s40="never learned")
    answer = gallery(db, "demo", number=1)
    assert reasons(answer) == [
        (40, "never learned", None), (5, "forgotten 12 times", 12), (6, "forgotten 9 times", 9),
        (20, "forgotten 1 time", 1), (10, "forgotten in training", None), (30, "both", None),
    ]  # fmt: skip
    assert [one["index"] for one in gallery(db, "demo", number=1, count=2)["samples"]] == [40, 5]


def test_images_are_the_data_sets_own_scaled_to_bytes(place: tuple[Path, Path]):
    db, _ = place
    data = load(Data(name="digits"))
    answer = gallery(db, "demo", number=1, count=1)
    (one,) = answer["samples"]
    image = torch.frombuffer(bytearray(base64.b64decode(one["image"])), dtype=torch.uint8).view(answer["shape"])
    assert tuple(answer["shape"]) == data.shape
    assert one["label"] == data.labels[10]
    assert torch.equal(image, (data.images[10] * (255 / data.white)).round().byte())


def test_the_verb_prints_json_of_the_last_round_and_refuses_in_one_line(place: tuple[Path, Path]):
    db, files = place
    hard(db, 2, s4="never learned")
    command = [sys.executable, "-P", "-m", "engine", "samples", "demo", "--db", str(db), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    answer = json.loads(done.stdout)
    assert (answer["round"], reasons(answer)) == (2, [(4, "never learned", None)])
    refused = subprocess.run([*command, "--search", "imp"], capture_output=True, text=True)
    assert (refused.returncode, refused.stderr) == (2, "no set of search imp (there are: prac)\n")
    moved = files.rename(files.with_name("moved"))
    for options, code in (([], 2), (["--files", str(moved)], 0)):
        assert subprocess.run([*command, "--round", "1", *options], capture_output=True).returncode == code
