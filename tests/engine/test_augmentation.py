"""Augmentation of whole batches shows the pixels that torchvision's transforms show image by image, for equal draws."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.data.augmentation import UNIT, Augmentation
from engine.vision import torchvision
from presets.schema import Augment

CPU = torch.device("cpu")
F = torchvision("a test").transforms.functional


def images(count: int, height: int = 32, width: int = 32, channels: int = 3) -> torch.Tensor:
    draw = torch.Generator().manual_seed(height * width)
    return torch.randint(1, 256, (count, channels, height, width), dtype=torch.uint8, generator=draw)


def one_by_one(batch: torch.Tensor, augmentation: Augmentation, samples: torch.Tensor) -> torch.Tensor:
    """What torchvision makes of each image with this augmentation's draws: pad and crop, mirror, turn."""
    pad, (height, width) = augmentation.settings.crop, batch.shape[2:]
    made = []
    for image, sample in zip(batch, samples.tolist(), strict=True):
        top, left = (augmentation.window[sample] + pad).tolist()
        image = F.crop(F.pad(image, [pad] * 4), top, left, height, width)
        if augmentation.settings.flip and augmentation.mirrored[sample]:
            image = F.hflip(image)
        if augmentation.settings.rotate:
            cosine, sine = (augmentation.turn[sample] / UNIT).tolist()
            image = F.rotate(image, math.degrees(math.atan2(sine, cosine)))
        made.append(image)
    return torch.stack(made)


def between_pixels(augmentation: Augmentation, height: int, width: int) -> torch.Tensor:
    """bool [samples, H, W]: what a turn takes from so near the edge of two pixels that float32 may take either."""
    if not augmentation.settings.rotate:
        return torch.zeros(len(augmentation.turn), height, width, dtype=torch.bool)
    cosine, sine = (augmentation.turn / UNIT).double().T[:, :, None, None]
    down = torch.arange(height)[:, None] - (height - 1) / 2
    right = torch.arange(width) - (width - 1) / 2
    places = sine * right + cosine * down + height / 2, cosine * right - sine * down + width / 2
    return torch.stack([(place - place.round()).abs() < 1e-5 for place in places]).any(0)


@pytest.mark.parametrize(
    "asked",
    [
        Augment(crop=4),
        Augment(flip=True),
        Augment(rotate=15.0),
        Augment(crop=4, flip=True),
        Augment(crop=4, flip=True, rotate=15.0),
        Augment(crop=8, flip=True, rotate=180.0),
    ],
)
@pytest.mark.parametrize("size", [(32, 32), (28, 28), (9, 14)])
def test_every_pixel_is_torchvisions(asked, size):
    batch, samples = images(200, *size), torch.arange(200)
    augmentation = Augmentation(asked, 200, CPU).draw((3,), epoch=7)
    differs = (augmentation(batch, samples) != one_by_one(batch, augmentation, samples)).any(1)
    assert not (differs & ~between_pixels(augmentation, *size)).any()
    assert differs.sum() <= 5


def test_an_image_is_changed_alike_in_whatever_batch_and_view_it_comes():
    batch = images(50)
    augmentation = Augmentation(Augment(crop=4, flip=True, rotate=10), 50, CPU).draw((0,), 0)
    whole = augmentation(batch, torch.arange(50))
    assert torch.equal(augmentation(batch[[7, 31]], torch.tensor([7, 31])), whole[[7, 31]])


def test_draws_belong_to_seed_and_epoch():
    def windows(seed: int, epoch: int) -> torch.Tensor:
        return Augmentation(Augment(crop=4), 100, CPU).draw((seed,), epoch).window

    assert torch.equal(windows(0, 0), windows(0, 0))
    assert not torch.equal(windows(0, 0), windows(0, 1))
    assert not torch.equal(windows(0, 0), windows(1, 0))


def test_draws_are_even():
    draws = Augmentation(Augment(crop=2, flip=True, rotate=30), 50_000, CPU).draw((0,), 0)
    counts = torch.bincount((draws.window[:, 0] + 2) * 5 + draws.window[:, 1] + 2, minlength=25)
    assert len(counts) == 25
    assert ((counts - 2000).abs() < 200).all()
    assert abs(float(draws.mirrored.double().mean()) - 0.5) < 0.01
    degrees = torch.atan2(draws.turn[:, 1].double(), draws.turn[:, 0].double()) * 180 / math.pi
    assert degrees.abs().max() <= 30
    assert abs(float(degrees.mean())) < 0.3


@settings(max_examples=50, deadline=None)
@given(
    st.integers(0, 20), st.booleans(), st.floats(0, 180), st.integers(1, 24), st.integers(1, 24), st.integers(0, 1000)
)
def test_only_pixels_of_the_image_and_black_are_shown(crop, flip, rotate, height, width, epoch):
    batch = images(3, height, width, 1)
    shown = Augmentation(Augment(crop=crop, flip=flip, rotate=rotate), 3, CPU).draw((0,), epoch)(batch, torch.arange(3))
    for before, after in zip(batch, shown, strict=True):
        assert set(after.unique().tolist()) <= set(before.unique().tolist()) | {0}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_gpu_shows_the_same_pixels():
    batch, samples, asked = images(64), torch.arange(64), Augment(crop=4, flip=True, rotate=15.0)
    cpu = Augmentation(asked, 64, CPU).draw((0,), 0)(batch, samples)
    gpu = Augmentation(asked, 64, torch.device("cuda")).draw((0,), 0)(batch.cuda(), samples.cuda())
    assert torch.equal(cpu, gpu.cpu())
