"""COLT's Conv-3 (arXiv 2212.12770): three times conv 3×3, norm, max pool, ReLU; global average pool; one linear layer.

64, 128 and 256 channels at width 1: 370,368 conv weights for colour images.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class Conv3(nn.Module):
    def __init__(self, shape: tuple[int, int, int], classes: int, width: float) -> None:
        super().__init__()
        channels = [max(1, round(count * width)) for count in (64, 128, 256)]
        sizes = zip([shape[0], *channels], channels, strict=False)
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(a, b, 3, padding=1, bias=False) for a, b in sizes)
        self.norm1, self.norm2, self.norm3 = map(nn.BatchNorm2d, channels)
        self.head = nn.Linear(channels[-1], classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = images_NCHW
        for conv, norm in ((self.conv1, self.norm1), (self.conv2, self.norm2), (self.conv3, self.norm3)):
            x = F.relu(F.max_pool2d(norm(conv(x)), 2))
        return self.head(x.mean(dim=(2, 3)))
