"""Batches of a data set as networks take them: from bytes, wherever they fit, to normalised inputs on the device.

The images lie on the device where they fill no more than half of what is free there; else in memory, or mapped from
their file, and batches are copied through pinned buffers while the device computes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.data.augmentation import Augmentation
from engine.data.dataset import Dataset

MOST_OF_DEVICE = 0.5
"""Share of the device's free memory that images may fill; activations need the rest."""


class Batches:
    """`inputs` of a data set on one device. `place` says in words where the images lie."""

    def __init__(self, data: Dataset, device: torch.device) -> None:
        self.device, self.shape = device, data.shape
        mean, deviation = (torch.tensor(part, dtype=torch.float64) for part in (data.mean, data.deviation))
        # (x / white − mean) / deviation as one multiplication and one addition
        self._scale = (1 / (data.white * deviation)).float()[:, None, None].to(device)
        self._shift = (-mean / deviation).float()[:, None, None].to(device)
        self._images, self.place = _resident(data, device)
        if device.type == "cuda":
            torch.cuda.synchronize(device)  # trainings read them on streams of their own

    @property
    def resident(self) -> bool:
        """Whether the images lie on the device that computes."""
        return self._images.device.type == self.device.type

    def inputs(self, samples: Tensor, augmentation: Augmentation | None = None, rows: Tensor | None = None) -> Tensor:
        """float32 [B, C, H, W] of `samples` (int64 [B]), normalised, after `augmentation`.

        `rows` (int64 [B]): where in its tables the augmentation has them, if not at the samples' own numbers.
        """
        images = self._picked(samples.to(self._images.device)).view(-1, *self.shape)
        if augmentation is not None:
            images = augmentation(images, (samples if rows is None else rows).to(self.device))
        return torch.addcmul(self._shift, images.to(torch.float32), self._scale)

    def _picked(self, samples: Tensor) -> Tensor:
        """uint8 [B, C·H·W] on the device."""
        if self.resident:
            return self._images.index_select(0, samples)
        # torch keeps such a buffer until the copy is done, whoever else asks for one.
        buffer = torch.empty(len(samples), self._images.shape[1], dtype=torch.uint8, pin_memory=True)
        return torch.index_select(self._images, 0, samples, out=buffer).to(self.device, non_blocking=True)


def _resident(data: Dataset, device: torch.device) -> tuple[Tensor, str]:
    """uint8 [N, C·H·W] where it can be, and where that is."""
    if not data.there:
        return data.images[:1].flatten(1).to(device).expand(len(data.images), -1), "nowhere: a stand-in"
    flat = data.images.flatten(1)
    size = f"{flat.numel() / 1e6:,.0f} MB of images"
    if device.type == "cpu":
        return flat, f"{size} mapped from their file" if data.mapped else f"{size} in memory"
    free = torch.cuda.mem_get_info(device)[0]
    if flat.numel() <= MOST_OF_DEVICE * free:
        return flat.to(device), f"{size} on {device}"
    lies = "mapped from their file" if data.mapped else "in memory"
    return flat, f"{size} {lies}, copied through pinned buffers: too many for {device}"
