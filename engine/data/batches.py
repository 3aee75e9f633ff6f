"""Batches of a data set as networks take them: from bytes, wherever they fit, to normalised inputs on the device.

The images lie on the device where they fill no more than half of what is free there; else in pinned memory, from which
batches are copied while the device computes; images that are mapped from their file are read as they are needed.
"""

from __future__ import annotations

import psutil
import torch
from torch import Tensor

from engine.data.augmentation import Augmentation
from engine.data.dataset import Dataset
from engine.data.prepared import MOST_OF_MEMORY

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

    def inputs(self, samples: Tensor, augmentation: Augmentation | None = None) -> Tensor:
        """float32 [B, C, H, W] of `samples` (int64 [B]), normalised, after `augmentation`."""
        images = self._images.index_select(0, samples.to(self._images.device)).view(-1, *self.shape)
        images = images.to(self.device)
        if augmentation is not None:
            images = augmentation(images, samples.to(self.device))
        return torch.addcmul(self._shift, images.to(torch.float32), self._scale)


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
    if not data.mapped and flat.numel() <= MOST_OF_MEMORY * psutil.virtual_memory().available:
        return flat.pin_memory(), f"{size} in pinned memory: too many for {device}"
    return flat, f"{size} {'mapped from their file' if data.mapped else 'in memory'}: too many for {device}"
