"""What a preset changes about a data set is drawn once, touches what it names, and nothing else."""

import pytest
import torch

from engine.data import DataError, load
from presets.schema import Data

WHOLE = load(Data())


def test_nothing_asked_leaves_the_set_itself():
    assert load(Data(draw=0)).identity == WHOLE.identity == "digits"


def test_classes_are_kept_in_every_split_and_renumbered_in_their_order():
    data = load(Data(only=(7, 2)))
    assert data.classes == 2
    for part in (data.train, data.validation, data.test):
        assert WHOLE.labels[part].unique().tolist() == [2, 7]
        assert torch.equal(data.labels[part] == 0, WHOLE.labels[part] == 7)
    assert len(data.test) == 60
    assert data.all().samples.equal(data.train)


def test_samples_are_places_in_the_training_split():
    data = load(Data(samples=(3, "10-19", "15-21")))
    assert data.train.equal(WHOLE.train[[3, *range(10, 22)]])
    assert data.test.equal(WHOLE.test)


def test_a_fraction_is_even_by_class_and_nested_in_nothing_but_the_training_split():
    data = load(Data(fraction=0.25))
    kept, before = (torch.bincount(WHOLE.labels[part]) for part in (data.train, WHOLE.train))
    assert (kept == (before * 0.25).round()).all()
    assert torch.isin(data.train, WHOLE.train).all()
    assert not data.train.equal(load(Data(fraction=0.25, draw=1)).train)
    assert data.train.equal(load(Data(fraction=0.25)).train)


def test_noise_redraws_a_share_of_the_training_labels_and_no_other():
    data = load(Data(label_noise=0.5))
    changed = data.labels != WHOLE.labels
    assert not changed[torch.cat([WHOLE.validation, WHOLE.test])].any()
    # Of half the labels a tenth is drawn as it was.
    assert 0.40 < changed[WHOLE.train].double().mean() < 0.50
    everything = load(Data(label_noise=1.0))
    assert 0.85 < (everything.labels != WHOLE.labels)[WHOLE.train].double().mean() < 0.95


def test_one_permutation_of_pixels_serves_all_images():
    data = load(Data(pixels="permuted"))
    moved, plain = data.images.flatten(2), WHOLE.images.flatten(2)
    assert not moved.equal(plain)
    assert moved.sort(2).values.equal(plain.sort(2).values)
    # Where pixel p of every image went: one column of the moved images equals it throughout.
    assert all((moved == plain[:, :, p, None]).all(0).any() for p in range(64))


def test_scrambled_pixels_differ_from_image_to_image():
    data = load(Data(pixels="scrambled"))
    moved, plain = data.images.flatten(2), WHOLE.images.flatten(2)
    assert moved.sort(2).values.equal(plain.sort(2).values)
    assert not any((moved == plain[:, :, p, None]).all(0).any() for p in (20, 28, 35))


def test_every_change_gives_the_set_another_identity():
    changes = [
        {"only": (0, 1)},
        {"samples": ("0-99",)},
        {"fraction": 0.5},
        {"label_noise": 0.1},
        {"pixels": "permuted"},
    ]
    assert len({load(Data(**change)).identity for change in changes} | {WHOLE.identity}) == 6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"only": (3, 10)}, "classes 0 to 9, no 10"),
        ({"samples": ("0-1197",)}, "no training sample 1197: they are numbered 0 to 1196"),
        ({"samples": (5,)}, "1 training samples are left of 1197"),
    ],
)
def test_what_is_not_there_is_named(change, words):
    with pytest.raises(DataError, match=words):
        load(Data(**change))
