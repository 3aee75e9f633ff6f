"""Glyphs: the same bytes wherever and however they are drawn, an even split, and characters that can be told apart."""

import hashlib
from itertools import combinations

import numpy as np
import pytest
import torch

from engine import data as sets
from engine.data import DataError, glyphs, strokes
from presets.schema import Data


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("TOMBOLA_DATA", str(tmp_path))
    return tmp_path


def asked(**keys):
    return Data(name="glyphs", **keys)


def made(**keys):
    sets.prepare(asked(**keys), lambda line: None)
    return sets.load(asked(**keys))


def digest(images):
    return hashlib.sha256(images.tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("size", "classes", "pinned"),
    [
        (32, 10, "cdcc7db3df6e8b3fe87b2d83c7c47f059c7895df0a1bb6f6d38164e20a17f421"),
        (64, 200, "8a0e4a53331b94e92f3dde086a1bf66e25fd8ce69471211f26b4970547534ecd"),
    ],
)
def test_the_bytes_of_a_draw_never_change(size, classes, pinned):
    assert digest(glyphs.draw(np.arange(100), size, classes, 0)) == pinned  # a change is a new glyphs.DRAWING


def test_an_image_does_not_depend_on_those_drawn_beside_it():
    numbers = np.array([7, 70_001, 3, 12, 999_999, 0, 64, 65])
    together = glyphs.draw(numbers, 32, 100, 5)
    for number, image in zip(numbers, together, strict=True):
        assert np.array_equal(glyphs.draw(np.array([number]), 32, 100, 5)[0], image)


def test_the_first_images_of_many_are_those_of_few():
    few, many = made(images=150), made(images=400)
    assert torch.equal(few.images, many.images[:150])
    assert torch.equal(few.labels, many.labels[:150])


def test_another_draw_gives_other_images_of_the_same_classes_and_another_split():
    one, other = made(images=240), made(images=240, draw=1)
    assert torch.equal(one.labels, other.labels)
    assert (one.images != other.images).flatten(1).float().mean(1).min() > 0.9
    assert not torch.equal(one.test, other.test)
    assert one.identity != other.identity


@pytest.mark.parametrize(("images", "classes"), [(100, 10), (1003, 10), (777, 100), (1200, 200)])
def test_the_split_is_disjoint_even_by_class_and_forecast_exactly(images, classes):
    facts = glyphs.facts(asked(images=images, classes=classes))
    data = made(images=images, classes=classes)
    parts = [data.train, data.validation, data.test]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(images))
    assert [len(part) for part in parts] == [facts.train, facts.validation, facts.test]
    assert (data.shape, data.classes) == (facts.shape, facts.classes) == ((3, 32, 32), classes)
    for part in parts:
        counts = torch.bincount(data.labels[part], minlength=classes)
        assert counts.min() >= 1
        assert counts.max() - counts.min() <= 1


def test_shares_by_default():
    facts = glyphs.facts(asked())
    assert (facts.train, facts.validation, facts.test) == (9000, 1000, 2000)


def test_large_images_of_many_classes():
    data = made(images=1200, size=64, classes=200)
    assert data.images.shape == (1200, 3, 64, 64)
    assert data.images.dtype == torch.uint8
    assert data.labels.dtype == torch.int64
    assert data.labels.unique().tolist() == list(range(200))
    assert len(set(glyphs.names(200))) == 200


def test_inputs_are_normalised_by_the_training_split():
    data = made(images=240)
    seen = data.images[data.train].double() / 255
    assert torch.allclose(seen.mean((0, 2, 3)), torch.tensor(data.mean).double(), atol=1e-6)
    assert torch.allclose(seen.std((0, 2, 3)), torch.tensor(data.deviation).double(), atol=1e-3)


def test_every_two_characters_differ_by_more_than_a_wobble():
    traces = [[strokes.trace(shape) for shape in shapes] for shapes in strokes.characters(200)]
    for (i, some), (j, others) in combinations(enumerate(traces), 2):
        least = strokes.APART if j >= glyphs.KNOWN else 3  # 6 and 8 differ by little, as everywhere
        assert min(one.unshared(others) for one in some) >= least, (i, j)


def test_many_classes_begin_with_the_few():
    assert strokes.characters(200)[:100] == strokes.characters(100)
    assert strokes.characters(100)[:10] == strokes.characters(10)


def test_the_alphabet_changes_nothing_but_the_classes():
    """A character looks the same however many others there are: only clutter may use more of them."""
    few, many = strokes.outlines(10), strokes.outlines(200)
    count = len(few.points)
    assert np.array_equal(few.pieces, many.pieces[:count])
    assert np.array_equal(few.points, many.points[:count, : few.points.shape[1]])


def test_images_are_drawn_once(monkeypatch):
    first = made(images=120)

    def never(*arguments):
        raise AssertionError("drawn again")

    monkeypatch.setattr(glyphs, "draw", never)
    again = made(images=120)
    assert again.identity == first.identity
    assert torch.equal(again.images, first.images)


def test_one_line_says_what_is_drawn():
    said = []
    sets.prepare(asked(images=1000), said.append)
    assert said == ["drawing 1,000 glyphs of 10 characters, 32 × 32"]


def test_an_interrupted_drawing_leaves_nothing(monkeypatch, place):
    real = glyphs.draw

    def interrupted(numbers, *rest):
        if numbers[0] > 0:
            raise KeyboardInterrupt
        return real(numbers, *rest)

    monkeypatch.setattr(glyphs, "draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        sets.prepare(asked(images=200), lambda line: None)
    assert list(place.iterdir()) == []
    assert not glyphs.there(asked(images=200))


def test_too_few_images_for_the_classes_are_refused():
    with pytest.raises(DataError, match=r"200 classes need at least 1,200 images, not 1,000"):
        glyphs.facts(asked(images=1000, classes=200))


def test_glyphs_that_are_not_there_are_said_not_to_be():
    with pytest.raises(
        DataError, match=r"^300 glyphs of 10 characters, 32 × 32 are not on this machine: a run with them"
    ):
        sets.load(asked(images=300))
