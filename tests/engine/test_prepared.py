"""A prepared data set is there whole or not at all, and says so when somebody has damaged it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from engine.data import parted, prepared
from engine.data.prepared import DataError, place, preparing, read, there
from tests.realdata import full_disk

IMAGES = np.random.default_rng(0).integers(0, 256, (10, 3, 4, 5), dtype=np.uint8)
LABELS = [0, 1] * 5


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOMBOLA_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def prepare(name: str = "mine", counts: tuple[int, int, int] = (6, 2, 2)) -> None:
    with preparing(name) as draft:
        images = draft.images(IMAGES.shape)
        images[:] = IMAGES
        parted.finish(draft, images, LABELS, counts, ["cat", "dog"], note="kept")


def test_what_was_prepared_is_read_as_it_was(data: Path):
    prepare()
    held = read("mine")
    assert np.array_equal(held.images, IMAGES)
    assert held.labels.tolist() == LABELS
    assert held.labels.dtype == torch.int64
    assert (held.card["names"], held.card["note"], held.mapped) == (["cat", "dog"], "kept", False)
    assert [path.name for path in data.iterdir()] == ["mine"]


def test_its_parts_lie_one_after_the_other_and_the_training_part_alone_gives_the_constants():
    prepare()
    whole = parted.dataset("mine", "my set")
    assert (whole.name, whole.classes, whole.shape) == ("my set", 2, (3, 4, 5))
    assert [part.tolist() for part in (whole.train, whole.validation, whole.test)] == [[*range(6)], [6, 7], [8, 9]]
    learnt = IMAGES[:6].transpose(1, 0, 2, 3).reshape(3, -1) / 255
    assert whole.mean == pytest.approx(learnt.mean(1))
    assert whole.deviation == pytest.approx(learnt.std(1))
    assert parted.facts("mine").shape == (3, 4, 5)
    assert (parted.facts("mine").train, parted.facts("mine").test) == (6, 2)


def test_its_identity_is_that_of_its_content_whatever_it_is_called():
    prepare("one")
    prepare("other")
    prepare("split-otherwise", (5, 3, 2))
    one, other, third = (parted.dataset(name, name).identity for name in ("one", "other", "split-otherwise"))
    assert one == other != third


@pytest.mark.parametrize("end", [ValueError, KeyboardInterrupt])
def test_an_unfinished_one_leaves_nothing(data: Path, end: type[BaseException]):
    def stumble() -> None:
        with preparing("mine") as draft:
            draft.images(IMAGES.shape)
            raise end

    with pytest.raises(end):
        stumble()
    assert not there("mine")
    assert list(data.iterdir()) == []


def test_of_two_that_prepare_the_same_the_second_drops_its_own(data: Path, monkeypatch: pytest.MonkeyPatch):
    with preparing("mine") as draft:
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr(os, "getpid", lambda: 1)
            prepare()
        stamp = (place("mine") / "card.json").stat().st_ino
        parted.finish(draft, draft.images(IMAGES.shape), LABELS, (6, 2, 2), ["cat", "dog"])
    assert (place("mine") / "card.json").stat().st_ino == stamp
    assert [path.name for path in data.iterdir()] == ["mine"]


def test_images_too_large_for_memory_stay_in_their_file(monkeypatch: pytest.MonkeyPatch):
    prepare()
    monkeypatch.setattr(prepared, "MOST_OF_MEMORY", 0.0)
    whole = parted.dataset("mine", "mine")
    assert whole.mapped
    assert np.array_equal(whole.images, IMAGES)


@pytest.mark.parametrize("file", ["images.npy", "labels.npy"])
def test_a_truncated_file_is_told_with_its_place_and_what_to_do(file: str):
    prepare()
    path = place("mine") / file
    whole = path.read_bytes()
    path.write_bytes(whole[:-7])
    words = f"{path} has {len(whole) - 7} bytes where {len(whole)} were written: delete {place('mine')} and prepare"
    with pytest.raises(DataError, match=words):
        read("mine")


def test_a_missing_file_is_told_with_its_place():
    prepare()
    (place("mine") / "labels.npy").unlink()
    with pytest.raises(
        DataError, match=rf"mine/labels.npy: No such file.*: delete {place('mine')} and prepare it again"
    ):
        read("mine")


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"bytes": {"images.npy": 728, "labels.npy": 208}}'])
def test_a_card_that_is_not_ours_is_told_in_one_line(card: str):
    prepare()
    (place("mine") / "card.json").write_text(card)
    for ask in (parted.facts, lambda name: parted.dataset(name, name)):
        with pytest.raises(
            DataError, match=rf"{place('mine')} does not hold what was prepared .*delete .*prepare it ag"
        ):
            ask("mine")


def test_a_full_disk_is_told_before_anything_is_drawn_into_it(data: Path):
    words = "File too large: make room, or choose another place"
    with full_disk(), pytest.raises(DataError, match=words), preparing("mine") as draft:
        draft.images((1000, 3, 10, 10))
    assert list(data.iterdir()) == []


def test_the_room_for_the_images_is_taken_at_once():
    """A mapped file with holes would end the process by a signal when the disk is full and a hole is written."""
    with preparing("mine") as draft:
        parted.finish(draft, draft.images((1000, 3, 10, 10)), [0, 1] * 500, (998, 1, 1), ["cat", "dog"])
        assert (draft.folder / "images.npy").stat().st_blocks * 512 >= 300_000


def test_a_place_that_cannot_be_written_is_told(data: Path):
    data.write_text("a file where the folder should be")
    with pytest.raises(DataError, match=rf"{data}.*choose another place with TOMBOLA_DATA"):
        prepare()


def test_the_card_is_plain_json():
    prepare()
    assert json.loads((place("mine") / "card.json").read_text())["parts"] == {"train": 6, "validation": 2, "test": 2}
