"""What several families are made of: sizes at a width, a conv with its norm, and the smallest image that fits."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""


def scaled(count: int, width: float) -> int:
    """Channels or units of a hidden layer that has `count` at width 1: at least one, halves to even."""
    return max(1, round(count * width))


def conv_norm(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A conv that keeps the size (over the stride), then batch norm, which makes a bias of the conv pointless."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(outputs)))


def need_side(network: str, shape: Shape, side: int) -> None:
    """Refuse images that the network would shrink to nothing.

    Raises:
        ValueError: height or width is below `side`.
    """
    if min(shape[1:]) < side:
        raise ValueError(f"{network} needs images of at least {side}×{side} pixels: these are {shape[1]}×{shape[2]}")
