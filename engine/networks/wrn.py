"""Wide ResNets (Zagoruyko & Komodakis, arXiv 1605.07146, section 2), without dropout: WRN-22-2.

Norm and ReLU come before each conv; where a block changes the channels, its shortcut is a 1×1 conv of the same
normalised input (as in the authors' code), and a norm follows the last block.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.parts import Shape, scaled


class WideResNet(nn.Module):
    """`factor` times the channels of the CIFAR ResNet in its stages; the stem keeps 16."""

    def __init__(self, shape: Shape, classes: int, width: float, depth: int, factor: int) -> None:
        super().__init__()
        inputs = scaled(16, width)
        self.stem = nn.Conv2d(shape[0], inputs, 3, padding=1, bias=False)
        self.stages = nn.Sequential()
        for number, count in enumerate((16, 32, 64)):
            stage = nn.Sequential()
            for place in range((depth - 4) // 6):
                stride = 2 if number > 0 and place == 0 else 1
                stage.append(Block(inputs, scaled(count * factor, width), stride))
                inputs = scaled(count * factor, width)
            self.stages.append(stage)
        self.norm = nn.BatchNorm2d(inputs)
        self.head = nn.Linear(inputs, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = F.relu(self.norm(self.stages(self.stem(images_NCHW))))
        return self.head(x.mean(dim=(2, 3)))


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = F.relu(self.norm1(x))
        inner = self.conv2(F.relu(self.norm2(self.conv1(active))))
        return inner + (x if self.shortcut is None else self.shortcut(active))
