"""What is trained: an architecture and its size."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from presets.schema.parts import Part

NetworkName = Literal[
    "lenet-300-100", "lenet-5", "conv2", "conv3", "conv4", "conv6",
    "resnet20", "resnet32", "resnet44", "resnet56", "resnet18", "vgg11", "vgg13", "vgg16", "vgg19",
    "mobilenetv2", "wrn-22-2", "densenet121", "shufflenetv2",
]  # fmt: skip

SHORTCUTS = ("resnet20", "resnet32", "resnet44", "resnet56")
"""Networks whose shortcuts between stages have two published forms."""


class Network(Part):
    name: NetworkName = Field(description="Architecture.")
    width: float = Field(1.0, gt=0.0, le=8.0, description="Factor on every hidden channel or unit count.")
    init: Literal["kaiming-normal", "default"] = Field(
        "kaiming-normal", description="How conv and linear weights are drawn; default is the framework's own."
    )
    shortcut: Literal["conv", "pad"] = Field(
        "conv", description="Shortcut between stages of ResNet-20 to 56: 1×1 convolution and norm, or zero padding."
    )

    @model_validator(mode="after")
    def _shortcut_is_read(self) -> Network:
        if self.shortcut != "conv" and self.name not in SHORTCUTS:
            raise ValueError(f"shortcut is read with {', '.join(SHORTCUTS)} only, not with {self.name}")
        return self
