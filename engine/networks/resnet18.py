"""ResNet-18 (He et al., arXiv 1512.03385, table 1) for small images: its stem is a conv 3×3 of stride 1, no max pool.

The blocks are torchvision's, shortcuts between stages 1×1 conv and norm (option B).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.parts import Shape, conv_norm, scaled
from engine.vision import torchvision


class ResNet18(nn.Module):
    def __init__(self, shape: Shape, classes: int, width: float) -> None:
        super().__init__()
        block = torchvision("resnet18").models.resnet.BasicBlock
        inputs = scaled(64, width)
        self.stem = conv_norm(shape[0], inputs)
        self.stages = nn.Sequential()
        for number, count in enumerate((64, 128, 256, 512)):
            outputs, stride = scaled(count, width), 1 if number == 0 else 2
            shortcut = conv_norm(inputs, outputs, kernel=1, stride=stride) if number > 0 else None
            self.stages.append(nn.Sequential(block(inputs, outputs, stride, shortcut), block(outputs, outputs)))
            inputs = outputs
        self.head = nn.Linear(inputs, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = self.stages(F.relu(self.stem(images_NCHW)))
        return self.head(x.mean(dim=(2, 3)))
