"""The digits are split evenly and for ever; views renumber classes and share nothing."""

import torch

from engine.data import load
from presets.schema import Data

DATA = load(Data())


def test_the_split_is_disjoint_even_by_class_and_fixed():
    parts = [DATA.train, DATA.validation, DATA.test]
    assert [len(part) for part in parts] == [1197, 300, 300]
    assert torch.equal(torch.cat(parts).sort().values, torch.arange(1797))
    for part in parts[1:]:
        assert torch.bincount(DATA.labels[part]).tolist() == [30] * 10
    assert DATA.test[:5].tolist() == [5, 7, 19, 20, 27]


def test_inputs_are_normalised_by_the_training_split_alone():
    seen = DATA.inputs[DATA.train]
    assert abs(float(seen.mean())) < 1e-5
    assert abs(float(seen.std()) - 1) < 1e-5
    assert abs(float(DATA.inputs[DATA.test].mean())) > 1e-4
    assert DATA.shape == (1, 8, 8)


def test_a_view_of_classes_renumbers_them_and_holds_out_only_its_own():
    view = DATA.of_classes("odd", (1, 3, 5))
    targets = DATA.targets(view)
    assert targets[DATA.labels == 3].unique().tolist() == [1]
    assert targets[DATA.labels == 2].unique().tolist() == [-1]
    assert len(DATA.held_out(view, "test")) == len(DATA.held_out(view, "validation")) == 90
    assert DATA.of_classes("other name", (1, 3, 5)).digest == view.digest
    assert DATA.of_classes("odd", (5, 3, 1)).digest != view.digest
