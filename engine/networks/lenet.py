"""The LeNets: LeNet-300-100 of linear layers alone, and LeNet-5 with two convs; ReLU, no norm."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.parts import Shape, need_side, scaled


class LeNet300(nn.Module):
    """Hidden linear layers of 300 and 100 units (Frankle & Carbin, arXiv 1803.03635, figure 2)."""

    def __init__(self, shape: Shape, classes: int, width: float) -> None:
        super().__init__()
        first, second = (scaled(count, width) for count in (300, 100))
        self.linear1 = nn.Linear(math.prod(shape), first)
        self.linear2 = nn.Linear(first, second)
        self.head = nn.Linear(second, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = F.relu(self.linear1(images_NCHW.flatten(1)))
        return self.head(F.relu(self.linear2(x)))


class LeNet5(nn.Module):
    """Hidden sizes 6, 16, 120 and 84 (Evci et al., arXiv 2010.03533): twice conv 5×5 without padding, ReLU and max
    pool, then two linear layers. 28×28 pixels reach the first of them as 4×4, 32×32 as 5×5."""

    def __init__(self, shape: Shape, classes: int, width: float) -> None:
        super().__init__()
        need_side("lenet-5", shape, 16)  # 16 → 12 → 6 → 2 → 1
        maps1, maps2, units1, units2 = (scaled(count, width) for count in (6, 16, 120, 84))
        height, across = (((side - 4) // 2 - 4) // 2 for side in shape[1:])
        self.conv1 = nn.Conv2d(shape[0], maps1, 5)
        self.conv2 = nn.Conv2d(maps1, maps2, 5)
        self.linear1 = nn.Linear(maps2 * height * across, units1)
        self.linear2 = nn.Linear(units1, units2)
        self.head = nn.Linear(units2, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = images_NCHW
        for conv in (self.conv1, self.conv2):
            x = F.max_pool2d(F.relu(conv(x)), 2)
        x = F.relu(self.linear1(x.flatten(1)))
        return self.head(F.relu(self.linear2(x)))
