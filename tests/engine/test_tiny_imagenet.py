"""Tiny ImageNet: the published zip, verified, its images decoded and its validation part sorted into classes."""

from __future__ import annotations

import hashlib
import io
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine import data as sets
from engine.data import tiny_imagenet
from engine.data.prepared import DataError, read
from presets.schema import Data
from tests.realdata import full_disk, published

TINY = Data(name="tiny-imagenet")
ROOT = "tiny-imagenet-200"
EACH = 3


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small archive, written once."""
    folder = tmp_path_factory.mktemp("stanford")
    with published("tiny-imagenet", folder, EACH):
        return folder / f"{ROOT}.zip"


@pytest.fixture(scope="module")
def fetched(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of data sets with the small one in it."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TOMBOLA_DATA", str(folder))
        with published("tiny-imagenet", archive.parent, EACH):
            sets.prepare(TINY, lambda words: None, download=True)
    return folder


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOMBOLA_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def pictures(archive: Path) -> dict[str, np.ndarray]:
    """Name → pixels of every image in the archive, by pillow alone."""
    with zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if name.endswith(".JPEG")]
        opened_images = {name: Image.open(io.BytesIO(opened.read(name))) for name in names}
        return {name: np.asarray(image.convert("RGB")).transpose(2, 0, 1) for name, image in opened_images.items()}


def test_every_labelled_image_is_in_its_part_with_its_class(
    archive: Path, fetched: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TOMBOLA_DATA", str(fetched))
    whole = sets.load(TINY)
    assert (whole.shape, whole.classes) == ((3, 64, 64), 200)
    assert [len(part) for part in (whole.train, whole.validation, whole.test)] == [400, 200, 200]
    assert torch.bincount(whole.labels[whole.validation]).tolist() == [1] * 200

    with zipfile.ZipFile(archive) as opened:
        ids = sorted(opened.read(f"{ROOT}/wnids.txt").decode().split())
        lines = opened.read(f"{ROOT}/val/val_annotations.txt").decode().splitlines()
    class_of = {f"{ROOT}/val/images/{line.split()[0]}": line.split()[1] for line in lines}
    shown = pictures(archive)
    learnt = {(ids.index(name.split("/")[2]), image.tobytes()) for name, image in shown.items() if "/train/" in name}
    tested = {(ids.index(class_of[name]), image.tobytes()) for name, image in shown.items() if "/val/" in name}

    def content(part: torch.Tensor) -> set[tuple[int, bytes]]:
        return {(int(whole.labels[sample]), whole.images[sample].numpy().tobytes()) for sample in part}

    assert content(torch.cat([whole.train, whole.validation])) == learnt
    assert content(whole.test) == tested


def test_a_grey_image_has_three_equal_channels(fetched: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOMBOLA_DATA", str(fetched))
    held = read("tiny-imagenet")
    grey = held.images[held.labels == 20]
    assert torch.equal(grey[:, 0], grey[:, 1])
    assert torch.equal(grey[:, 0], grey[:, 2])
    coloured = held.images[held.labels == 21]
    assert not torch.equal(coloured[:, 0], coloured[:, 1])


def test_its_classes_are_named_as_people_call_them_in_order_of_their_ids(
    fetched: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TOMBOLA_DATA", str(fetched))
    names = read("tiny-imagenet").card["names"]
    assert names[:2] == ["thing n00000000, also called so", "thing n00000001, also called so"]
    assert names == sorted(names)


def test_the_archive_does_not_stay(fetched: Path):
    assert sorted(path.name for path in fetched.rglob("*")) == [
        "card.json", "images.npy", "labels.npy", "tiny-imagenet",
    ]  # fmt: skip


def test_what_is_known_before_the_download_is_the_published_set(folder: Path):
    known = tiny_imagenet.facts(TINY)
    assert (known.shape, known.classes, known.train, known.validation, known.test) == (
        (3, 64, 64), 200, 90_000, 10_000, 10_000,
    )  # fmt: skip
    with pytest.raises(
        DataError, match=r"not on this machine: `tombola data tiny-imagenet --fetch` gets it \(248 MB fr"
    ):
        sets.load(TINY)


# What can go wrong


@pytest.fixture
def refusal(archive: Path, tmp_path: Path, folder: Path) -> Callable[..., str]:
    """What is said when the archive is as `change` leaves it; nothing may stay."""

    def refused(change: Callable[[Path], None], verified: bool = False) -> str:
        source = tmp_path / "published"
        source.mkdir()
        with pytest.MonkeyPatch.context() as patched, published("tiny-imagenet", source, 2):
            shutil.copy(archive, source)
            change(source / archive.name)
            if verified:
                patched.setattr(tiny_imagenet, "MD5", hashlib.md5((source / archive.name).read_bytes()).hexdigest())
            else:
                patched.setattr(tiny_imagenet, "MD5", hashlib.md5(archive.read_bytes()).hexdigest())
            with pytest.raises(DataError) as told:
                sets.prepare(TINY, lambda words: None, download=True)
        assert list(folder.iterdir()) == []
        assert "\n" not in str(told.value)
        return str(told.value)

    return refused


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1000])


def rewrite(file: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    """The archive with other members."""
    with zipfile.ZipFile(file) as opened:
        members = {name: opened.read(name) for name in opened.namelist()}
    change(members)
    with zipfile.ZipFile(file, "w") as packed:
        for name, content in members.items():
            packed.writestr(name, content)


def test_half_an_archive_is_never_kept(refusal: Callable[..., str], folder: Path):
    words = refusal(cut)
    assert "what came from cs231n.stanford.edu has not the published checksum" in words
    assert f"copy {folder / 'tiny-imagenet'} from a machine that has it" in words


def test_an_archive_that_ends_too_early_is_told_even_with_the_right_checksum(refusal: Callable[..., str]):
    assert "is not an archive of that set (File is not a zip file): try again later" in refusal(cut, verified=True)


def test_an_archive_of_something_else_is_told(refusal: Callable[..., str]):
    def change(members: dict[str, bytes]) -> None:
        del members[f"{ROOT}/val/val_annotations.txt"]

    words = refusal(lambda file: rewrite(file, change), verified=True)
    assert "is not an archive of that set" in words
    assert "val_annotations.txt" in words


def test_an_image_that_cannot_be_read_is_named(refusal: Callable[..., str]):
    name = f"{ROOT}/train/n00000007/images/n00000007_1.JPEG"

    def change(members: dict[str, bytes]) -> None:
        members[name] = members[name][:300]

    assert f"{name} cannot be read as an image" in refusal(lambda file: rewrite(file, change), verified=True)


def test_a_disk_that_runs_full_is_told(archive: Path, folder: Path):
    with published("tiny-imagenet", archive.parent, EACH), full_disk(6_000_000), pytest.raises(DataError) as told:
        sets.prepare(TINY, lambda words: None, download=True)  # the archive fits, the images do not
    assert str(told.value).endswith("File too large: make room, or choose another place with TOMBOLA_DATA")
    assert list(folder.iterdir()) == []
