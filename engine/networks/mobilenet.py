"""MobileNetV2 (Sandler et al., arXiv 1801.04381, table 2) for small images: stem and second stage do not halve them.

So 32 pixels reach the classifier as 4×4. The blocks are torchvision's; there is no dropout before the classifier, whose
draws would depend on what else is drawn, and channels are not rounded to multiples of 8 at other widths.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.parts import Shape, conv_norm, scaled
from engine.vision import torchvision

STAGES = ((1, 16, 1, 1), (6, 24, 2, 1), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, blocks and stride of each stage; the second's stride is 2 in the paper."""


class MobileNetV2(nn.Module):
    def __init__(self, shape: Shape, classes: int, width: float) -> None:
        super().__init__()
        block = torchvision("mobilenetv2").models.mobilenetv2.InvertedResidual
        inputs = scaled(32, width)
        self.stem = conv_norm(shape[0], inputs)
        self.stages = nn.Sequential()
        for expansion, count, blocks, stride in STAGES:
            outputs = scaled(count, width)
            stage = nn.Sequential(block(inputs, outputs, stride, expansion))
            stage.extend(block(outputs, outputs, 1, expansion) for _ in range(blocks - 1))
            self.stages.append(stage)
            inputs = outputs
        self.last = conv_norm(inputs, scaled(1280, width), kernel=1)
        self.head = nn.Linear(scaled(1280, width), classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = F.relu6(self.last(self.stages(F.relu6(self.stem(images_NCHW)))))
        return self.head(x.mean(dim=(2, 3)))
