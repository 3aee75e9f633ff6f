"""ResNet-20 to ResNet-56, the CIFAR networks of He et al. (arXiv 1512.03385, section 4.2): 16, 32 and 64 channels.

Between stages the shortcut takes one of two forms: "pad", the published one (option A): every other pixel, and zeros
for the new channels, which come last (as in fb.resnet.torch); or "conv" (option B): 1×1 conv and norm, as in open_lth.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from engine.networks.parts import Shape, conv_norm, scaled


class ResNet(nn.Module):
    def __init__(self, shape: Shape, classes: int, width: float, depth: int, shortcut: str) -> None:
        super().__init__()
        inputs = scaled(16, width)
        self.stem = conv_norm(shape[0], inputs)
        self.stages = nn.Sequential()
        for number, count in enumerate((16, 32, 64)):
            stage = nn.Sequential()
            for place in range((depth - 2) // 6):
                stride = 2 if number > 0 and place == 0 else 1
                stage.append(Block(inputs, scaled(count, width), stride, shortcut))
                inputs = scaled(count, width)
            self.stages.append(stage)
        self.head = nn.Linear(inputs, classes)

    def forward(self, images_NCHW: Tensor) -> Tensor:
        """float32 [N, C, H, W] → logits [N, classes]."""
        x = self.stages(F.relu(self.stem(images_NCHW)))
        return self.head(x.mean(dim=(2, 3)))


class Block(nn.Module):
    """Two convs 3×3 and a shortcut round them, which is plain where size and channels stay."""

    def __init__(self, inputs: int, outputs: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module
        if stride == 1 and inputs == outputs:
            self.shortcut = nn.Identity()
        elif shortcut == "pad":
            self.shortcut = Pad(stride, outputs - inputs)
        else:
            self.shortcut = conv_norm(inputs, outputs, kernel=1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.norm2(self.conv2(F.relu(self.norm1(self.conv1(x)))))
        return F.relu(inner + self.shortcut(x))


class Pad(nn.Module):
    """Every `stride`-th pixel, and `channels` more channels of zeros behind."""

    def __init__(self, stride: int, channels: int) -> None:
        super().__init__()
        self.stride, self.channels = stride, channels

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.channels))
