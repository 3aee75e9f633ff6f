"""The shipped digits are scikit-learn's, number for number, in a file small enough to ship."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from engine.data import make_digits

pytest.importorskip("sklearn")

SHIPPED = resources.files("engine.data") / "digits.npz"


def test_the_shipped_file_holds_every_image_and_label_of_the_source():
    source = make_digits.arrays()
    with SHIPPED.open("rb") as file, np.load(file, allow_pickle=False) as shipped:
        assert sorted(shipped.files) == ["images", "labels"]
        for name, array in source.items():
            assert shipped[name].dtype == np.uint8
            np.testing.assert_array_equal(shipped[name], array)


def test_the_shipped_file_has_the_shape_and_range_that_the_loader_counts_on():
    with SHIPPED.open("rb") as file, np.load(file, allow_pickle=False) as shipped:
        images, labels = shipped["images"], shipped["labels"]
    assert images.shape == (1797, 8, 8)
    assert (images.min(), images.max()) == (0, 16)
    assert labels.shape == (1797,)
    assert set(labels.tolist()) == set(range(10))


def test_the_shipped_file_is_small():
    assert len(SHIPPED.read_bytes()) <= 46_000


def test_making_the_file_twice_gives_the_same_bytes():
    source = make_digits.arrays()
    assert make_digits.packed(source) == make_digits.packed({name: array.copy() for name, array in source.items()})
