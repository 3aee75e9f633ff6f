"""A data set in memory, and views of it: which samples a training sees and how their classes are numbered.

N images, C channels, H × W pixels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor


@dataclass(frozen=True)
class Dataset:
    """Images with a fixed split. `train`, `validation` and `test` are int64 indices, sorted and disjoint."""

    name: str
    images: Tensor  # uint8 [N, C, H, W]
    labels: Tensor  # int64 [N], 0 .. classes - 1
    classes: int
    white: float  # the pixel value that stands for 1.0 before normalising
    train: Tensor
    validation: Tensor
    test: Tensor

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W) of one image."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @cached_property
    def inputs(self) -> Tensor:
        """float32 [N, C, H, W]: every channel with mean 0 and deviation 1 over the training split."""
        scaled = self.images.float() / self.white
        seen = scaled[self.train]
        mean = seen.mean(dim=(0, 2, 3), keepdim=True)
        deviation = seen.std(dim=(0, 2, 3), keepdim=True)
        return (scaled - mean) / deviation

    def all(self) -> View:
        """Every training sample, every class."""
        return View(self.name, "all", tuple(range(self.classes)), self.train)

    def of_classes(self, name: str, classes: Sequence[int]) -> View:
        """The training samples of `classes`, which are renumbered from 0 in the order given."""
        inside = torch.isin(self.labels[self.train], torch.tensor(list(classes)))
        return View(self.name, name, tuple(classes), self.train[inside])

    def of_samples(self, name: str, samples: Tensor) -> View:
        """The training samples at these indices of the whole set, all classes kept."""
        return View(self.name, name, tuple(range(self.classes)), samples.sort().values)

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
