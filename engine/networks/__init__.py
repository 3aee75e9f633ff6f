"""Architectures: one file each, and what every network tells of itself: its weights, their kinds, its initialisation.

A network is a plain `nn.Module` whose classifier is the attribute `head`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from engine.draws import generator
from engine.networks.conv3 import Conv3
from engine.networks.conv246 import ConvPairs
from engine.networks.densenet import DenseNet121
from engine.networks.lenet import LeNet5, LeNet300
from engine.networks.mobilenet import MobileNetV2
from engine.networks.resnet import ResNet
from engine.networks.resnet18 import ResNet18
from engine.networks.shufflenet import ShuffleNetV2
from engine.networks.vgg import VGG
from engine.networks.wrn import WideResNet
from presets.schema import SHORTCUTS, Network

State = dict[str, Tensor]
"""Everything that `load_state_dict` takes: parameters and running statistics, by name."""

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "lenet-300-100": LeNet300,
    "lenet-5": LeNet5,
    "conv3": Conv3,
    **{f"conv{2 * pairs}": partial(ConvPairs, pairs=pairs) for pairs in (1, 2, 3)},
    **{f"resnet{depth}": partial(ResNet, depth=depth) for depth in (20, 32, 44, 56)},
    "resnet18": ResNet18,
    **{f"vgg{depth}": partial(VGG, depth=depth) for depth in (11, 13, 16, 19)},
    "mobilenetv2": MobileNetV2,
    "wrn-22-2": partial(WideResNet, depth=22, factor=2),
    "densenet121": DenseNet121,
    "shufflenetv2": ShuffleNetV2,
}
"""Each takes the shape of an image, the number of classes and the width; those of `SHORTCUTS` also the shortcut."""


@dataclass(frozen=True)
class Weight:
    """A weight tensor that counts towards total sparsity: of a conv, linear or norm layer, never a bias."""

    name: str
    kind: str  # conv, linear, head or norm
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def build(network: Network, shape: tuple[int, int, int], classes: int) -> nn.Module:
    """The network for images of `shape` (C, H, W), its weights and biases all zero: load a state before use.

    Raises:
        ValueError: the images are too small for it.
        VisionMissing: it is made of torchvision's blocks, and torchvision is not there.
    """
    options = {"shortcut": network.shortcut} if network.name in SHORTCUTS else {}
    with _Undrawn():
        return BUILDERS[network.name](shape, classes, network.width, **options)


class _Undrawn(TorchFunctionMode):
    """Within it, what the framework would draw for a new layer, and nobody sees, is zero: that takes a tenth as long.

    Not on the meta device, which costs 0.3 s at first use.
    """

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in _DRAWING:
            drawn = args[0] if args else kwargs["tensor"]
            drawn.detach().zero_()
            return drawn
        return func(*args, **(kwargs or {}))


_DRAWING = {Tensor.uniform_, Tensor.normal_, nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_}
"""Those of torch.nn.init ask the mode themselves, and what they call then is not seen by it."""


def weights(module: nn.Module) -> list[Weight]:
    """The weight tensors of conv, linear and norm layers, from input to output."""
    found = []
    for name, layer in module.named_modules():
        if isinstance(layer, nn.Conv2d):
            kind = "conv"
        elif isinstance(layer, nn.Linear):
            kind = "head" if name == "head" else "linear"
        elif isinstance(layer, nn.BatchNorm2d):
            kind = "norm"
        else:
            continue
        found.append(Weight(f"{name}.weight", kind, tuple(layer.weight.shape)))
    return found


def initialise(network: Network, shape: tuple[int, int, int], classes: int, seed: int, purpose: str = "init") -> State:
    """Fresh parameters and running statistics, each tensor drawn from (seed, purpose, its name).

    So two networks that differ only in their head share every other tensor. Weights of conv and linear layers: normal
    with variance 2 / fan_in (He et al. 2015), or the framework's default, uniform within 1/√fan_in; biases: uniform
    within 1/√fan_in, the framework's default, in both; norm layers: weight 1, bias 0, statistics reset.
    """
    module = build(network, shape, classes)
    state: State = {}
    for name, layer in module.named_modules():
        own = {f"{name}.{key}": tensor for key, tensor in layer.state_dict().items() if "." not in key}
        if isinstance(layer, nn.Conv2d | nn.Linear):
            bound = layer.weight[0].numel() ** -0.5
            for key, tensor in own.items():
                draw = generator(seed, purpose, key)
                fresh = torch.empty(tensor.shape)
                if key.endswith(".weight") and network.init == "kaiming-normal":
                    state[key] = fresh.normal_(0.0, math.sqrt(2.0) * bound, generator=draw)
                else:
                    state[key] = fresh.uniform_(-bound, bound, generator=draw)
        elif isinstance(layer, nn.BatchNorm2d):
            layer.reset_parameters()
            state.update({key: tensor.clone() for key, tensor in own.items()})
    assert state.keys() == module.state_dict().keys(), "a layer of a kind that nobody has said how to draw"
    return state
