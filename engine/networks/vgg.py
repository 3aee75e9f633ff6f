"""VGG-11 to VGG-19 for small images (Simonyan & Zisserman, arXiv 1409.1556, table 1, in the form used on CIFAR).

Conv 3×3 with batch norm throughout; max pools between the five stages, a global average pool after the last, and one
linear layer, as in open_lth: 32 pixels leave the convs as 2×2. A pool is skipped where a side is 1 already.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.parts import Shape, conv_norm, scaled

CHANNELS = (64, 128, 256, 512, 512)
LAYERS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convs of each stage by depth, which counts them and the published three linear layers."""


class VGG(nn.Module):
    def __init__(self, shape: Shape, classes: int, width: float, depth: int) -> None:
        super().__init__()
        inputs = shape[0]
        self.stages = nn.ModuleList()
        for count, layers in zip(CHANNELS, LAYERS[depth], strict=True):
            stage = nn.Sequential()
            for _ in range(layers):
                stage.append(conv_norm(inputs, scaled(count, width)).append(nn.ReLU()))
                inputs = scaled(count, width)
            self.stages.append(stage)
        self.head = nn.Linear(inputs, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = images_NCHW
        for number, stage in enumerate(self.stages):
            if number > 0 and min(x.shape[2:]) > 1:
                x = F.max_pool2d(x, 2)
            x = stage(x)
        return self.head(x.mean(dim=(2, 3)))
