"""A data set as trainings see it, and views of it: which samples, and how their classes are numbered.

N images, C channels, H × W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from engine.draws import permutation


@dataclass(frozen=True)
class Facts:
    """What is known of a data set before it is on this machine: (C, H, W), classes, and images of each split."""

    shape: tuple[int, int, int]
    classes: int
    train: int
    validation: int
    test: int
    download: str = ""
    """Size and origin of what has to be downloaded; empty where the images are made here or ship with the engine."""


@dataclass(frozen=True)
class Dataset:
    """Images with a fixed split. `train`, `validation` and `test` are int64 indices, sorted and disjoint.

    Inputs of networks are (images / white − mean) / deviation, channel by channel.
    """

    name: str
    identity: str
    """Equal for equal content, whatever it is called and wherever it lies; part of every training's key."""
    images: Tensor  # uint8 [N, C, H, W]; may be mapped from a file
    labels: Tensor  # int64 [N], 0 .. classes - 1
    classes: int
    white: float  # the pixel value that stands for 1.0 before normalising
    mean: tuple[float, ...]  # [C], of the training split, white being 1.0
    deviation: tuple[float, ...]  # [C]
    train: Tensor
    validation: Tensor
    test: Tensor
    mapped: bool = False
    there: bool = True
    """False for a stand-in of the right shape, with which only time and memory can be measured."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    def all(self) -> View:
        """Every training sample, every class."""
        return View(self.identity, "all", tuple(range(self.classes)), self.train)

    def of_classes(self, name: str, classes: Sequence[int]) -> View:
        """The training samples of `classes`, which are renumbered from 0 in the order given."""
        inside = torch.isin(self.labels[self.train], torch.tensor(list(classes)))
        return View(self.identity, name, tuple(classes), self.train[inside])

    def of_samples(self, name: str, samples: Tensor) -> View:
        """The training samples at these indices of the whole set, all classes kept."""
        return View(self.identity, name, tuple(range(self.classes)), samples.sort().values)

    def held_out(self, view: View, split: str) -> Tensor:
        """int64 indices of the "validation" or "test" split, only those of the view's classes."""
        samples = {"validation": self.validation, "test": self.test}[split]
        if len(view.classes) == self.classes:
            return samples
        return samples[torch.isin(self.labels[samples], torch.tensor(view.classes))]

    def targets(self, view: View) -> Tensor:
        """int64 [N]: labels as the view numbers them; -1 for classes that it does not hold."""
        renumber = torch.full((self.classes,), -1)
        renumber[torch.tensor(view.classes)] = torch.arange(len(view.classes))
        return renumber[self.labels]


@dataclass(frozen=True)
class View:
    """Part of a data set: a name for people, its classes in their new order, and its training samples."""

    data: str
    name: str
    classes: tuple[int, ...]
    samples: Tensor

    @cached_property
    def digest(self) -> str:
        """What the view holds, as 16 hex digits: equal for equal content, whatever the name."""
        content = hashlib.sha256(repr(self.classes).encode())
        content.update(self.samples.numpy().tobytes())
        return content.hexdigest()[:16]


def split_off(labels: Tensor, samples: Tensor, share: float, *key: str | int) -> tuple[Tensor, Tensor]:
    """`samples` in two sorted parts: without, and with, `share` of every class (rounded), drawn by `key`.

    Of a class with at least two samples each part gets one.
    """
    kept, taken = [], []
    for label in labels[samples].unique().tolist():
        own = samples[labels[samples] == label]
        own = own[permutation(len(own), *key, label)]
        count = min(max(round(share * len(own)), 1), len(own) - 1)
        taken.append(own[:count])
        kept.append(own[count:])
    return torch.cat(kept).sort().values, torch.cat(taken).sort().values


def constants(images: Tensor, samples: Tensor, white: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of each channel over `samples`, white being 1.0, from exact counts of every byte value."""
    counts = torch.zeros(images.shape[1], 256, dtype=torch.float64)
    for part in samples.split(10_000):  # mapped images are never in memory as a whole
        for channel, pixels in enumerate(images[part].transpose(0, 1)):
            counts[channel] += torch.bincount(pixels.flatten(), minlength=256)
    share = counts / counts.sum(1, keepdim=True)
    values = torch.arange(256, dtype=torch.float64) / white
    mean = (share * values).sum(1)
    deviation = (share * (values - mean[:, None]) ** 2).sum(1).sqrt()
    return tuple(mean.tolist()), tuple(deviation.clamp(min=1 / 255).tolist())  # a channel of one colour


def stand_in(name: str, facts: Facts) -> Dataset:
    """A data set of this shape without content: its images are one black one, seen again and again."""
    count = facts.train + facts.validation + facts.test
    channels = facts.shape[0]
    train, validation, test = torch.arange(count).split([facts.train, facts.validation, facts.test])
    images = torch.zeros(1, *facts.shape, dtype=torch.uint8).expand(count, *facts.shape)
    half = (0.5,) * channels
    return Dataset(
        name, name, images, torch.arange(count) % facts.classes, facts.classes, 255.0, half, half,
        train, validation, test, there=False,
    )  # fmt: skip
