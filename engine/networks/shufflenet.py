"""ShuffleNetV2 1.0× (Ma et al., arXiv 1807.11164, table 5) for small images: a stem of stride 1 without max pool.

The blocks are torchvision's; they part channels in halves, so that every stage has an even number of them.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.parts import Shape, conv_norm, scaled
from engine.vision import torchvision

STAGES = ((116, 4), (232, 8), (464, 4))
"""Channels and blocks of each stage."""


class ShuffleNetV2(nn.Module):
    def __init__(self, shape: Shape, classes: int, width: float) -> None:
        super().__init__()
        block = torchvision("shufflenetv2").models.shufflenetv2.InvertedResidual
        inputs = scaled(24, width)
        self.stem = conv_norm(shape[0], inputs)
        self.stages = nn.Sequential()
        for count, blocks in STAGES:
            outputs = 2 * scaled(count // 2, width)
            stage = nn.Sequential(block(inputs, outputs, 2))
            stage.extend(block(outputs, outputs, 1) for _ in range(blocks - 1))
            self.stages.append(stage)
            inputs = outputs
        self.last = conv_norm(inputs, scaled(1024, width), kernel=1)
        self.head = nn.Linear(scaled(1024, width), classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = F.relu(self.last(self.stages(F.relu(self.stem(images_NCHW)))))
        return self.head(x.mean(dim=(2, 3)))
