"""A folder of one's own: what lies where decides, what is split off stays split, what has changed is decoded anew."""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
from collections import Counter
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from engine import data as sets
from engine.data import decoding, folder
from engine.data.prepared import DataError, read
from engine.vision import VisionMissing
from presets.schema import Data
from tests.realdata import class_folders, full_disk

PETS = ("cat", "dog", "newt")


@pytest.fixture(autouse=True)
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TOMBOLA_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    return tmp_path / "my pets"


def of(path: Path, size: int | None = 16) -> Data:
    return Data(name="folder", path=str(path), size=size)


def prepare(path: Path, size: int | None = 16) -> list[str]:
    told: list[str] = []
    sets.prepare(of(path, size), told.append)
    return told


def loaded(path: Path, size: int | None = 16) -> sets.Dataset:
    prepare(path, size)
    return sets.load(of(path, size))


def sizes(whole: sets.Dataset) -> list[int]:
    return [len(part) for part in (whole.train, whole.validation, whole.test)]


def parts_of(path: Path) -> dict[str, str]:
    """File → part, as the engine splits it."""
    return {image.path: image.part for image in folder._split(folder._listing(of(path)))}


def refusal(path: Path) -> str:
    with pytest.raises(DataError) as refused:
        prepare(path)
    assert "\n" not in str(refused.value)
    return str(refused.value)


# What decides


def test_class_folders_are_split_evenly_by_class(pets: Path):
    class_folders(pets, PETS, 30)
    whole = loaded(pets)
    assert (whole.name, whole.shape, whole.classes) == ("my pets", (3, 16, 16), 3)
    assert sizes(whole) == [3 * 22, 3 * 3, 3 * 5]  # a tenth for validation, a sixth for the test
    for part, each in ((whole.train, 22), (whole.validation, 3), (whole.test, 5)):
        assert torch.bincount(whole.labels[part]).tolist() == [each] * 3
    known = folder.facts(of(pets))
    assert [known.train, known.validation, known.test] == sizes(whole)


@pytest.mark.parametrize("validation", ["val", "valid", "validation"])
@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((), [3 * 22, 3 * 3, 3 * 5]),
        (("validation",), [3 * 25, 3 * 4, 3 * 5]),
        (("test",), [3 * 27, 3 * 3, 3 * 4]),
        (("validation", "test"), [3 * 30, 3 * 4, 3 * 4]),
    ],
)
def test_parts_that_have_a_folder_are_kept_and_the_others_split_off(
    pets: Path, validation: str, given: tuple[str, ...], expected: list[int]
):
    class_folders(pets / "train", PETS, 30, side=8)
    for part in given:
        class_folders(pets / (validation if part == "validation" else part), PETS, 4, side=8)
    assert sizes(loaded(pets)) == expected
    where = {path.split("/")[0]: part for path, part in parts_of(pets).items() if not path.startswith("train/")}
    assert where == {(validation if part == "validation" else part): part for part in given}


def test_classes_are_numbered_by_their_sorted_names(pets: Path):
    class_folders(pets, ("b", "C", "a"), 4)
    whole = loaded(pets)
    assert read(folder._name(of(pets))).card["names"] == ["C", "a", "b"]
    expected = np.asarray(Image.open(pets / "C/000.png").convert("RGB").resize((16, 16), Image.Resampling.BICUBIC,
                                                                              box=(10, 0, 50, 40)))  # fmt: skip
    number = next(n for n in range(12) if np.array_equal(whole.images[n], expected.transpose(2, 0, 1)))
    assert whole.labels[number] == 0


def test_a_class_may_be_called_train(pets: Path):
    class_folders(pets, ("car", "train"), 4)
    assert loaded(pets).classes == 2


def test_a_test_folder_without_classes_is_not_a_test(pets: Path):
    class_folders(pets / "train", PETS, 6)
    (pets / "test").mkdir()
    shutil.copy(pets / "train/cat/000.png", pets / "test/unlabelled.png")
    assert sizes(loaded(pets)) == [12, 3, 3]


def test_hidden_files_and_what_is_no_image_are_left_out_and_deeper_folders_are_not(pets: Path):
    class_folders(pets, PETS, 6)
    (pets / ".git").mkdir()
    (pets / "cat/._000.png").write_text("what a Mac leaves")
    (pets / "cat/notes.txt").write_text("purrs")
    (pets / "cat/older").mkdir()
    shutil.copy(pets / "cat/000.png", pets / "cat/older/000.PNG")
    assert Counter(path.split("/")[0] for path in parts_of(pets)) == {"cat": 7, "dog": 6, "newt": 6}


# How images are decoded


def test_the_shorter_side_is_resized_and_the_middle_cut_out(pets: Path):
    class_folders(pets, PETS, 3)
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = (10, 100, 200)  # the square in the middle
    for name, pixels in (("wide", wide), ("tall", wide.transpose(1, 0, 2))):
        Image.fromarray(pixels).resize((pixels.shape[1] * 4, pixels.shape[0] * 4), 0).save(pets / f"cat/{name}.png")
        seen = decoding.decoded(pets / f"cat/{name}.png", 20, name)
        assert (seen.shape, seen.dtype) == ((3, 20, 20), np.uint8)
        assert seen[:, 3:-3, 3:-3].reshape(3, -1).T.tolist() == [[10, 100, 200]] * 14 * 14


def test_an_image_of_the_right_size_stays_as_it_is(tmp_path: Path):
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "one.png")
    assert np.array_equal(decoding.decoded(tmp_path / "one.png", 16, "one"), pixels.transpose(2, 0, 1))


def test_a_smaller_image_shows_no_pattern_that_was_too_fine(tmp_path: Path):
    fine = np.indices((64, 64)).sum(0) % 2 * 255
    Image.fromarray(fine.astype(np.uint8)).save(tmp_path / "chequered.png")
    seen = decoding.decoded(tmp_path / "chequered.png", 8, "chequered")
    assert abs(seen.astype(int) - 127).max() <= 3


@pytest.mark.parametrize("suffix", folder.SUFFIXES)
def test_every_format_and_usual_mode_becomes_rgb(tmp_path: Path, suffix: str):
    half = np.full((32, 32, 3), 255, np.uint8)
    half[:, :16] = 0
    written = 0
    for mode in ("RGB", "L", "P", "1", "RGBA"):
        file = tmp_path / f"{mode}{suffix}"
        with suppress(OSError):  # pillow writes not every mode to every format
            Image.fromarray(half).convert(mode).save(file)
            seen = decoding.decoded(file, 32, file.name).astype(int)
            assert abs(seen - half.transpose(2, 0, 1)).max() < 30
            written += 1
    assert written


def test_a_large_photograph_is_decoded_small_and_looks_the_same(tmp_path: Path):
    coarse = Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8))
    coarse.resize((1024, 1024), Image.Resampling.BICUBIC).save(tmp_path / "large.jpg", quality=95)
    seen = decoding.decoded(tmp_path / "large.jpg", 16, "large").astype(int)
    whole = Image.open(tmp_path / "large.jpg").resize((16, 16), Image.Resampling.BICUBIC)
    assert abs(seen - np.asarray(whole).transpose(2, 0, 1)).max() <= 4


def test_a_photograph_is_turned_as_its_camera_says(tmp_path: Path):
    upright = np.zeros((16, 16, 3), np.uint8)
    upright[:8] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    Image.fromarray(upright[::-1, ::-1].copy()).save(tmp_path / "one.png", exif=exif)
    assert np.array_equal(decoding.decoded(tmp_path / "one.png", 16, "one"), upright.transpose(2, 0, 1))


# What is remembered


def test_a_file_keeps_its_part_when_others_join_it(pets: Path):
    class_folders(pets, PETS, 12)
    first = loaded(pets)
    before = parts_of(pets)
    for name in PETS:
        for number in range(18):
            shutil.copy(pets / name / "000.png", pets / name / f"a{number:03}.png")  # they sort before and between
    second = loaded(pets)
    after = parts_of(pets)
    assert {path: after[path] for path in before} == before
    assert sizes(first) == [3 * 9, 3 * 1, 3 * 2]
    assert sizes(second) == [3 * 22, 3 * 3, 3 * 5]
    assert first.identity != second.identity


def test_a_part_is_the_same_at_every_size_and_after_the_prepared_set_was_deleted(pets: Path, prepared: Path):
    class_folders(pets, PETS, 12)
    prepare(pets)
    before = parts_of(pets)
    for name in PETS:
        shutil.copy(pets / name / "000.png", pets / name / "0000.png")
    prepare(pets)
    grown = parts_of(pets)
    assert {path: grown[path] for path in before} == before
    prepare(pets, 8)
    shutil.rmtree(prepared / folder._name(of(pets)))
    assert parts_of(pets) == grown


def test_one_that_was_split_off_is_trained_on_once_its_part_has_a_folder(pets: Path):
    class_folders(pets / "train", PETS, 12)
    assert sizes(loaded(pets)) == [27, 3, 6]
    class_folders(pets / "test", PETS, 2)
    assert sizes(loaded(pets)) == [33, 3, 6]
    assert all(
        part == "train" or path.startswith("test/") or part == "validation" for path, part in parts_of(pets).items()
    )


def test_a_memory_that_is_damaged_is_told(pets: Path, prepared: Path):
    class_folders(pets, PETS, 4)
    prepare(pets)
    memory = folder._memory(pets)
    assert memory.parent == prepared
    memory.write_text("[")
    os.utime(pets / "cat/000.png", (1, 1))
    assert f"{memory} does not hold a split: delete it" in refusal(pets)


def test_what_is_prepared_stays_until_the_listing_changes(pets: Path, prepared: Path):
    class_folders(pets, PETS, 4)
    assert not folder.there(of(pets))
    told = prepare(pets)
    assert told[0] == f"decoding 12 images of 3 classes from {pets}"
    assert told[1] == "validation and test split off the training images"
    assert folder.there(of(pets))
    assert not folder.there(of(pets, 32))
    assert prepare(pets) == []

    first = sets.load(of(pets)).identity
    os.utime(pets / "cat/000.png", (1, 1))
    assert not folder.there(of(pets))
    assert prepare(pets)
    assert sets.load(of(pets)).identity == first  # a new time, the same content

    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(pets / "cat/000.png")
    assert prepare(pets)
    assert sets.load(of(pets)).identity != first
    assert len([path for path in prepared.iterdir() if path.is_dir()]) == 1


def test_a_folder_that_was_moved_is_the_same_set(pets: Path, tmp_path: Path):
    class_folders(pets, PETS, 4)
    first = loaded(pets).identity
    pets.rename(tmp_path / "elsewhere")
    second = loaded(tmp_path / "elsewhere")
    assert second.identity == first
    assert second.name == "elsewhere"


def test_folders_of_one_name_are_told_apart(tmp_path: Path):
    class_folders(tmp_path / "one/pets", PETS, 4)
    class_folders(tmp_path / "other/pets", PETS, 5)
    assert sizes(loaded(tmp_path / "one/pets")) != sizes(loaded(tmp_path / "other/pets"))
    assert folder.there(of(tmp_path / "one/pets"))


def test_a_failed_attempt_leaves_what_was_prepared_before(pets: Path):
    class_folders(pets, PETS, 4)
    first = loaded(pets).identity
    (pets / "cat/new.png").write_bytes(b"no image")
    refusal(pets)
    assert sets.load(of(pets)).identity == first


def test_the_default_size_is_64(pets: Path):
    class_folders(pets, PETS, 3)
    assert loaded(pets, None).shape == folder.facts(of(pets, None)).shape == (3, 64, 64)


def test_the_identity_is_a_digest_of_images_labels_and_parts(pets: Path):
    class_folders(pets, PETS, 3)
    whole = loaded(pets)
    content = hashlib.sha256(repr(((9, 3, 16, 16), 3, 3, 3)).encode())
    content.update(whole.labels.numpy().tobytes() + whole.images.numpy().tobytes())
    assert whole.identity == content.hexdigest()[:32]


# What can go wrong


def test_a_folder_that_is_not_there_is_told(pets: Path):
    assert (
        refusal(pets) == f"data.path: {pets} does not exist: name a folder that holds a folder of images for each class"
    )
    pets.write_text("a file")
    assert f"data.path: {pets} is a file: name a folder" in refusal(pets)
    with pytest.raises(DataError, match=r"^data\.path: pets is not a whole path: write it from / on$"):
        prepare(Path("pets"))


def test_images_without_class_folders_are_told(pets: Path):
    pets.mkdir()
    (pets / "cat.png").write_bytes(b"")
    assert f"{pets} holds no folders: put the images of each class into a folder of its own" in refusal(pets)


def test_one_class_is_told(pets: Path):
    class_folders(pets, ("cat",), 9)
    assert f"{pets} holds one class, cat: there must be two to tell apart" in refusal(pets)


def test_a_class_without_images_is_told(pets: Path):
    class_folders(pets, PETS, 4)
    (pets / "owl").mkdir()
    (pets / "owl/notes.txt").write_text("none yet")
    words = refusal(pets)
    assert f"{pets / 'owl'} holds no images (.bmp .gif .jpeg .jpg" in words
    assert "add some, or remove the folder" in words


def test_classes_that_differ_between_parts_are_told(pets: Path):
    class_folders(pets / "train", PETS, 4)
    class_folders(pets / "test", ("cat", "dog"), 4)
    words = "has no counterpart in"
    assert f"{pets / 'train/newt'} {words} {pets / 'test'}: every part needs the same classes" in refusal(pets)
    class_folders(pets / "test", ("newt", "owl"), 4)
    assert f"{pets / 'test/owl'} {words} {pets / 'train'}: every part needs the same classes" in refusal(pets)


def test_two_folders_for_validation_are_told(pets: Path):
    for name in ("train", "val", "valid"):
        class_folders(pets / name, PETS, 4)
    assert f"{pets} holds val and valid: keep one of them" in refusal(pets)


def test_parts_without_one_to_train_on_are_told(pets: Path):
    class_folders(pets / "test", PETS, 4)
    assert f"{pets} holds test/ but no train/ with a folder of images for each class: add it" in refusal(pets)


@pytest.mark.parametrize(
    ("given", "needed"), [((), "training and validation and test"), (("test",), "training and val")]
)
def test_too_few_images_to_split_are_told(pets: Path, given: tuple[str, ...], needed: str):
    class_folders(pets / "train", PETS, 3)
    for part in given:
        class_folders(pets / part, PETS, 1)
    for file in sorted((pets / "train/dog").iterdir())[1 if given else 2 :]:
        file.unlink()
    words = refusal(pets)
    assert f"{pets}: too few images to split: dog has {1 if given else 2}, and {needed}" in words
    assert words.endswith("take one each at least: add some")


def test_a_part_that_lost_its_last_image_of_a_class_is_told(pets: Path):
    class_folders(pets, PETS, 4)
    prepare(pets)
    (held,) = (path for path, part in parts_of(pets).items() if part == "test" and path.startswith("dog"))
    (pets / held).unlink()
    words = refusal(pets)
    assert f"{pets}: dog has no image left in test: add some, or delete {folder._memory(pets)}" in words


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
def test_an_image_that_cannot_be_read_is_named(pets: Path, prepared: Path, content: bytes | None):
    class_folders(pets, PETS, 4)
    file = pets / "dog/001.png"
    file.write_bytes(file.read_bytes()[:200] if content is None else content)
    words = refusal(pets)
    assert words.startswith(f"{file} cannot be read as an image (")
    assert words.endswith("): remove or replace it")
    assert list(prepared.iterdir()) == []


def test_an_image_with_more_than_8_bits_is_named(pets: Path):
    class_folders(pets, PETS, 4)
    Image.fromarray(np.full((40, 40), 40_000, np.uint16)).save(pets / "dog/xray.png")
    assert refusal(pets) == f"{pets / 'dog/xray.png'} has more than 8 bits a channel: save it with 8"


def test_a_link_to_nothing_is_named(pets: Path):
    class_folders(pets, PETS, 4)
    (pets / "cat/broken.png").symlink_to(pets / "gone.png")
    assert f"{pets / 'cat/broken.png'}: No such file or directory" in refusal(pets)


def test_a_full_disk_is_told(pets: Path, prepared: Path):
    class_folders(pets, PETS, 12)
    with full_disk(), pytest.raises(DataError, match=r"File too large: make room, or choose another place .*DATA$"):
        prepare(pets, 64)
    assert list(prepared.iterdir()) == []


def test_without_pillow_it_says_what_to_install(pets: Path, monkeypatch: pytest.MonkeyPatch):
    class_folders(pets, PETS, 4)
    monkeypatch.setitem(sys.modules, "PIL", None)
    monkeypatch.delitem(sys.modules, "PIL.Image")
    with pytest.raises(
        VisionMissing, match=r"^a folder of images \(.*my pets\) needs pillow, which is not installed: pip"
    ):
        prepare(pets)


def test_loading_what_was_not_prepared_says_so(pets: Path):
    class_folders(pets, PETS, 4)
    with pytest.raises(DataError, match=rf"^{pets} is not prepared at 16 × 16 pixels"):
        sets.load(of(pets))
