"""Crop, flip and rotation of whole batches of bytes, on any device: every output pixel says which input pixel it shows.

All draws of an epoch are made at once on the CPU, from (seed, epoch) and by sample: a CPU and a GPU show a network the
same pixels, and trainings of one seed see a sample changed alike, whatever else they see. Positions are whole numbers
throughout, so no device rounds differently.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.draws import generator
from presets.schema import Augment

UNIT = 1 << 30
"""What stands for 1 in sines and cosines: at 512 pixels an angle so rounded moves none by more than 1e-6 of a pixel."""


FAR = -(1 << 20)
"""A row or column that stays outside whatever is added to it, mirrored or not: 2²⁰ is far above any side."""


class Augmentation:
    """What happens to each of `count` samples, drawn anew for every epoch into the same tensors.

    The order is torchvision's usual one: a window of the image padded with black, mirrored, turned about its middle.
    """

    def __init__(self, settings: Augment, count: int, device: torch.device) -> None:
        self.settings = settings
        self.window = torch.zeros(count, 2, dtype=torch.int64, device=device)
        """int64 [count, 2]: rows and columns by which the window lies off the middle."""
        self.mirrored = torch.zeros(count, dtype=torch.bool, device=device)
        self.turn = torch.zeros(count, 2, dtype=torch.int64, device=device)
        """int64 [count, 2]: cosine and sine of the angle, counterclockwise, in `UNIT`s."""

    def draw(self, key: tuple[str | int, ...], epoch: int, rows: slice = slice(None)) -> Augmentation:
        """What (key, epoch) says, for every sample or those of `rows`; what the settings do not ask for stays."""
        draw = generator(*key, "augment", epoch)
        pad, count = self.settings.crop, len(self.mirrored[rows])
        self.window[rows].copy_(torch.randint(-pad, pad + 1, (count, 2), generator=draw))
        self.mirrored[rows].copy_(torch.rand(count, generator=draw) < 0.5)
        if self.settings.rotate:
            angle = (2 * torch.rand(count, generator=draw, dtype=torch.float64) - 1) * math.radians(
                self.settings.rotate
            )
            self.turn[rows].copy_((torch.stack([angle.cos(), angle.sin()], 1) * UNIT).round().long())
        return self

    def __call__(self, images_NCHW: Tensor, samples: Tensor) -> Tensor:
        """uint8 [B, C, H, W] of `samples` (int64 [B]), each as this epoch shows it."""
        height, width = images_NCHW.shape[2:]
        framed = F.pad(images_NCHW, (1, 1, 1, 1)).flatten(2)  # a frame of black, which all that lies outside shows
        source = self.sources(samples, height, width)
        return framed.gather(2, source[:, None].expand(-1, framed.shape[1], -1)).view_as(images_NCHW)

    def sources(self, samples: Tensor, height: int, width: int) -> Tensor:
        """int64 [B, H·W]: for each output pixel the input pixel that it shows, counted in the framed image."""
        row = torch.arange(height, device=samples.device)[None, :, None]
        column = torch.arange(width, device=samples.device)[None, None, :]
        if self.settings.rotate:
            cosine, sine = self.turn[samples].T[:, :, None, None]
            # In half pixels from the middle, where pixel i of n lies at 2 i + 1 − n.
            down, right = 2 * row + 1 - height, 2 * column + 1 - width
            row = _outside_stays(_whole(sine * right + cosine * down + height * UNIT), height)
            column = _outside_stays(_whole(cosine * right - sine * down + width * UNIT), width)
        if self.settings.flip:
            column = torch.where(self.mirrored[samples][:, None, None], width - 1 - column, column)
        if self.settings.crop:
            window = self.window[samples][:, :, None, None]
            row, column = row + window[:, 0], column + window[:, 1]
        source = (row.clamp(-1, height) + 1) * (width + 2) + (column.clamp(-1, width) + 1)
        return source.expand(len(samples), height, width).flatten(1)


def _whole(half_pixels: Tensor) -> Tensor:
    return half_pixels.div(2 * UNIT, rounding_mode="floor")


def _outside_stays(place: Tensor, size: int) -> Tensor:
    """Places that a turn took from outside the window, moved so far off that no window reaches them."""
    return torch.where((place < 0) | (place >= size), FAR, place)
