"""Conv-2, Conv-4 and Conv-6, small VGGs without norm (Frankle & Carbin, arXiv 1803.03635, figure 2).

Pairs of conv 3×3 of 64, 128 and 256 channels, each pair with a max pool; two linear layers of 256 units. For CIFAR-10
that makes 4.3, 2.4 and 2.26 million weights; the paper prints 4.3, 2.4 and 1.7, of which the last does not follow
from the layers that it names.
"""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.parts import Shape, need_side, scaled


class ConvPairs(nn.Module):
    def __init__(self, shape: Shape, classes: int, width: float, pairs: int) -> None:
        super().__init__()
        need_side(f"conv{2 * pairs}", shape, 2**pairs)
        inputs = shape[0]
        self.stages = nn.ModuleList()
        for channels in [scaled(count, width) for count in (64, 128, 256)[:pairs]]:
            stage = nn.Sequential()
            for _ in range(2):
                conv = nn.Conv2d(inputs, channels, 3, padding=1)
                stage.append(nn.Sequential(OrderedDict(conv=conv, relu=nn.ReLU())))
                inputs = channels
            self.stages.append(stage)
        units = scaled(256, width)
        self.linear1 = nn.Linear(inputs * (shape[1] >> pairs) * (shape[2] >> pairs), units)
        self.linear2 = nn.Linear(units, units)
        self.head = nn.Linear(units, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = images_NCHW
        for stage in self.stages:
            x = F.max_pool2d(stage(x), 2)
        x = F.relu(self.linear1(x.flatten(1)))
        return self.head(F.relu(self.linear2(x)))
