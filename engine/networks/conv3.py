"""COLT's Conv-3 (arXiv 2212.12770): three times conv 3×3, norm, max pool, ReLU; global average pool; one linear layer.

64, 128 and 256 channels at width 1: 370,368 conv weights for colour images.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.parts import Shape, need_side, scaled


class Conv3(nn.Module):
    def __init__(self, shape: Shape, classes: int, width: float) -> None:
        super().__init__()
        need_side("conv3", shape, 8)  # three pools halve it
        first, second, third = (scaled(count, width) for count in (64, 128, 256))
        self.conv1 = nn.Conv2d(shape[0], first, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(first)
        self.conv2 = nn.Conv2d(first, second, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(second)
        self.conv3 = nn.Conv2d(second, third, 3, padding=1, bias=False)
        self.norm3 = nn.BatchNorm2d(third)
        self.head = nn.Linear(third, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = images_NCHW
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2), (self.conv3, self.norm3)):
            x = F.relu(F.max_pool2d(norm(conv(x)), 2))
        return self.head(x.mean(dim=(2, 3)))
