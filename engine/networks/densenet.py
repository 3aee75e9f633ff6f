"""DenseNet-121 (Huang et al., arXiv 1608.06993, table 1) for small images: a stem conv 3×3 of stride 1, no max pool.

The layers are torchvision's. A stage after the first begins with the transition that halves channels and size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.parts import Shape, conv_norm, need_side, scaled
from engine.vision import torchvision

LAYERS = (6, 12, 24, 16)
"""Layers of each stage."""
GROWTH, STEM, BOTTLENECK = 32, 64, 4
"""Channels that a layer adds, those of the stem, and the factor on growth between a layer's two convs."""


class DenseNet121(nn.Module):
    def __init__(self, shape: Shape, classes: int, width: float) -> None:
        super().__init__()
        need_side("densenet121", shape, 8)  # three transitions halve it
        definitions = torchvision("densenet121").models.densenet
        channels, growth = scaled(STEM, width), scaled(GROWTH, width)
        self.stem = conv_norm(shape[0], channels)
        self.stages = nn.ModuleList()
        for number, layers in enumerate(LAYERS):
            stage = nn.ModuleList()
            if number > 0:
                stage.append(definitions._Transition(channels, max(1, channels // 2)))
                channels = max(1, channels // 2)
            for _ in range(layers):
                stage.append(definitions._DenseLayer(channels, growth, BOTTLENECK, drop_rate=0.0))
                channels += growth
            self.stages.append(stage)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = F.relu(self.stem(images_NCHW))
        for stage in self.stages:
            features = [x]
            for layer in stage.children():
                if isinstance(layer, nn.Sequential):  # the transition, first in its stage
                    features = [layer(x)]
                else:
                    features.append(layer(features))
            x = torch.cat(features, dim=1)
        return self.head(F.relu(self.norm(x)).mean(dim=(2, 3)))
