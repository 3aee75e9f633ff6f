"""The digits are split evenly and for ever; views renumber classes and share nothing."""

import torch

from engine.data import expected, load
from engine.data.batches import Batches
from engine.data.dataset import Facts, constants, split_off, stand_in
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
    inputs = Batches(DATA, torch.device("cpu")).inputs
    plain = (DATA.images.double() / 16 - DATA.images[DATA.train].double().mean() / 16) / (
        DATA.images[DATA.train].double().std(correction=0) / 16
    )
    assert torch.allclose(inputs(DATA.train).double(), plain[DATA.train], atol=1e-6)
    assert abs(float(inputs(DATA.train).mean())) < 1e-5
    assert abs(float(inputs(DATA.test).mean())) > 1e-4
    assert DATA.shape == (1, 8, 8)


def test_a_view_of_classes_renumbers_them_and_holds_out_only_its_own():
    view = DATA.of_classes("odd", (1, 3, 5))
    targets = DATA.targets(view)
    assert targets[DATA.labels == 3].unique().tolist() == [1]
    assert targets[DATA.labels == 2].unique().tolist() == [-1]
    assert len(DATA.held_out(view, "test")) == len(DATA.held_out(view, "validation")) == 90
    assert DATA.of_classes("other name", (1, 3, 5)).digest == view.digest
    assert DATA.of_classes("odd", (5, 3, 1)).digest != view.digest


def test_constants_are_exact_for_every_channel():
    images = torch.randint(0, 256, (50, 3, 4, 4), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    some = torch.arange(0, 50, 2)
    mean, deviation = constants(images, some, 255.0)
    seen = images[some].double() / 255
    assert torch.allclose(torch.tensor(mean, dtype=torch.float64), seen.mean((0, 2, 3)), atol=1e-12)
    assert torch.allclose(torch.tensor(deviation, dtype=torch.float64), seen.std((0, 2, 3), correction=0), atol=1e-12)


def test_a_share_is_split_off_evenly_by_class_and_leaves_something_of_each():
    labels = torch.tensor([0] * 40 + [1] * 20 + [2] * 2)
    kept, taken = split_off(labels, torch.arange(62), 0.1, "a key")
    assert torch.bincount(labels[taken]).tolist() == [4, 2, 1]
    assert torch.equal(torch.cat([kept, taken]).sort().values, torch.arange(62))
    assert not torch.equal(taken, split_off(labels, torch.arange(62), 0.1, "another")[1])


def test_a_stand_in_has_the_shape_of_a_set_and_none_of_its_memory():
    data = stand_in("cifar10", Facts((3, 32, 32), 10, 45_000, 5_000, 10_000))
    assert data.shape == (3, 32, 32)
    assert [len(part) for part in (data.train, data.validation, data.test)] == [45_000, 5_000, 10_000]
    assert data.images.untyped_storage().nbytes() == 3 * 32 * 32
    assert Batches(data, torch.device("cpu")).inputs(data.test[:7]).shape == (7, 3, 32, 32)
    assert not data.there
    assert expected(Data()).there
