"""LeNet-300-100 (Frankle & Carbin, arXiv 1803.03635): hidden linear layers of 300 and 100 units, ReLU, no norm."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor, nn


class LeNet300(nn.Module):
    def __init__(self, shape: tuple[int, int, int], classes: int, width: float) -> None:
        super().__init__()
        first, second = (max(1, round(count * width)) for count in (300, 100))
        self.linear1 = nn.Linear(math.prod(shape), first)
        self.linear2 = nn.Linear(first, second)
        self.head = nn.Linear(second, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = F.relu(self.linear1(images_NCHW.flatten(1)))
        return self.head(F.relu(self.linear2(x)))
