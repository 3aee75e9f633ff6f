"""Units: the parts that a network can lose or gain whole, as structured tickets need them: blocks and channels.

Blocks follow from how every family is laid out. Channels follow from the data: the network is run once with a number of
its own for every output channel of every layer in place of values, and what is added, concatenated, split, shuffled,
padded or flattened on the way shows which layers read a channel, and where, and which channels are tied by a sum.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from engine.masks import Mask
from engine.networks.parts import Shape


@dataclass(frozen=True)
class Block:
    """A part that is carried over whole between depths of a family: a residual block, or a layer and its norm.

    `stage` is None outside the stages. The block at place 0 of a stage changes channels or size, and so carries the
    shortcut's layers (or the transition) where there are any.
    """

    name: str
    modules: tuple[str, ...]
    stage: int | None = None
    place: int = 0

    def owns(self, name: str) -> bool:
        """Whether the tensor called `name` in the state belongs to this block."""
        return any(name.startswith(f"{module}.") for module in self.modules)


@dataclass(frozen=True)
class Slices:
    """Where channels of a group lie in a layer: channel `channels[i]` at position `places[i]`. int64 [n] both.

    A channel lies at several places of a linear layer that reads flattened images, one for each pixel.
    """

    layer: str
    channels: Tensor
    places: Tensor


@dataclass(frozen=True)
class Group:
    """Channels that lie in the same layers, each of which can be cut out of the network on its own.

    `outputs` are the conv, linear and norm layers whose outputs they are: weight, bias and running statistics are cut
    along their first dimension. There are several where a sum or a depthwise conv ties channels. `inputs` are the
    layers that read them: weights are cut along their second dimension.
    """

    name: str
    size: int
    outputs: tuple[Slices, ...]
    inputs: tuple[Slices, ...]


@dataclass(frozen=True)
class Units:
    """Every block, and every group of channels: all outputs of conv and linear layers but the head's classes."""

    blocks: tuple[Block, ...]
    groups: tuple[Group, ...]
    shapes: dict[str, tuple[int, ...]]
    """Of every parameter."""

    def expand(self, keep: Mapping[str, Tensor]) -> tuple[Mask, Mask]:
        """Masks over weights of conv and linear layers, and over the other parameters (biases and norm layers).

        `keep` maps names of groups to bool [size]; groups that it lacks are kept whole. A channel that goes takes with
        it what makes it and what reads it. With what makes it at 0 the channel is 0 for every image, whatever the
        running statistics, so the masked network is the one with the channel cut out.

        Raises:
            ValueError: no such group, or a mask of another size.
        """
        mask = {name: torch.ones(shape, dtype=torch.bool) for name, shape in self.shapes.items()}
        groups = {group.name: group for group in self.groups}
        for name, kept in keep.items():
            if name not in groups or kept.shape != (groups[name].size,):
                raise ValueError(f"{name}: no group of channels of that name and size")
            for part in groups[name].outputs:
                for tensor in (f"{part.layer}.weight", f"{part.layer}.bias"):
                    if tensor in mask:
                        mask[tensor][part.places[~kept[part.channels]]] = False
            for part in groups[name].inputs:
                mask[f"{part.layer}.weight"][:, part.places[~kept[part.channels]]] = False
        weights = {name for name, shape in self.shapes.items() if len(shape) > 1}  # biases and norm layers have one
        return {n: m for n, m in mask.items() if n in weights}, {n: m for n, m in mask.items() if n not in weights}


def units(module: nn.Module, shape: Shape) -> Units:
    """The units of a network for images of `shape` (C, H, W). Runs it once on a copy; the module stays as it is."""
    shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters()}
    return Units(tuple(_blocks(module)), tuple(_groups(module, shape)), shapes)


def _blocks(module: nn.Module) -> Iterator[Block]:
    """In order from input to output. A network is laid out as layers and parts, and `stages` of blocks."""
    layer: list[str] = []  # a conv or linear layer that may be followed by its norm
    for name, child in module.named_children():
        if layer and not isinstance(child, nn.BatchNorm2d):
            yield Block(layer[0], tuple(layer))
            layer = []
        if name == "stages":
            for stage, blocks in child.named_children():
                for place, _ in blocks.named_children():
                    path = f"stages.{stage}.{place}"
                    yield Block(path, (path,), int(stage), int(place))
        elif layer or isinstance(child, nn.Conv2d | nn.Linear):
            layer.append(name)
        else:
            yield Block(name, (name,))
    if layer:
        yield Block(layer[0], tuple(layer))


UNIT = 2.0**-20
"""What labels are counted in: they stay below 6 for a million channels, so that ReLU6 lets them pass, and exact."""


class _Probe(TorchFunctionMode):
    """Sees the layers of a network, which pass labels instead of values, and the sums between them.

    Label 0 is no channel: a pixel of the input, or a zero that pads.
    """

    def __init__(self) -> None:
        super().__init__()
        self.tied = [0]  # by label: a lower label of the same channel, or itself
        self.outputs: list[tuple[str, list[int]]] = []
        self.inputs: list[tuple[str, list[int]]] = []

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        if name not in ("add", "add_", "__add__", "__iadd__"):
            return func(*args, **(kwargs or {}))
        first, second = args
        for one, other in zip(_read(first), _read(second), strict=True):
            if one and other:
                low, high = sorted((self.root(one), self.root(other)))
                self.tied[high] = low
        total = torch.where(first > 0, first, second)
        return total if name in ("add", "__add__") else first.copy_(total)

    def root(self, label: int) -> int:
        """The label that stands for all tied to this one."""
        while self.tied[label] != label:
            label = self.tied[label]
        return label

    def layer(self, name: str, layer: nn.Module, x: Tensor, output: Tensor) -> Tensor:
        """What `layer` gives for the labels `x`: labels of its own, or those it was given where it works by channel."""
        labels = _read(x)
        groups = getattr(layer, "groups", 1)
        if groups > 1 and not groups == len(labels) == output.shape[1]:
            raise NotImplementedError(f"{name}: channels of a conv in {groups} groups")
        if not isinstance(layer, nn.BatchNorm2d) and groups == 1:
            self.inputs.append((name, labels))
            if name == "head":
                return output
            labels = list(range(len(self.tied), len(self.tied) + output.shape[1]))
            self.tied += labels
        self.outputs.append((name, labels))
        values = torch.tensor(labels, dtype=output.dtype) * UNIT
        return torch.empty_like(output).copy_(values.view(1, -1, *[1] * (output.ndim - 2)))


def _read(x: Tensor) -> list[int]:
    """Labels of [1, C] or [1, C, H, W]."""
    flat = x[0].flatten(1) if x.ndim == 4 else x[0, :, None]
    assert (flat == flat[:, :1]).all(), "pixels of a channel differ in label: the probe does not know this network"
    return (flat[:, 0] / UNIT).round().long().tolist()


def _groups(module: nn.Module, shape: Shape) -> Iterator[Group]:
    """In order of the first layer whose outputs they are, channels in order of their place in it."""
    network = copy.deepcopy(module).double().eval()
    probe = _Probe()
    for name, layer in network.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            layer.register_forward_hook(lambda layer, x, output, name=name: probe.layer(name, layer, x[0], output))
    with torch.no_grad(), probe:
        network(torch.zeros(1, *shape, dtype=torch.float64))

    layers: dict[int, list[str]] = {}  # by root: the layers whose outputs it is
    for name, labels in probe.outputs:
        for root in dict.fromkeys(map(probe.root, labels)):
            layers.setdefault(root, []).append(name)
    members: dict[tuple[str, ...], list[int]] = {}
    for root in sorted(layers.keys() - {0}):
        members.setdefault(tuple(layers[root]), []).append(root)

    home = {root: (group, channel) for group, roots in members.items() for channel, root in enumerate(roots)}
    outputs, inputs = (_slices(passes, probe, home) for passes in (probe.outputs, probe.inputs))
    names: set[str] = set()
    for group, roots in members.items():
        name = group[0]
        while name in names:  # other channels of that layer, tied otherwise
            name += "+"
        names.add(name)
        yield Group(name, len(roots), tuple(outputs[group]), tuple(inputs.get(group, ())))


def _slices(
    passes: list[tuple[str, list[int]]], probe: _Probe, home: Mapping[int, tuple[tuple[str, ...], int]]
) -> dict[tuple[str, ...], list[Slices]]:
    """By group: where its channels lie in the layers that were passed, in that order."""
    found: dict[tuple[str, ...], list[Slices]] = {}
    for layer, labels in passes:
        lies: dict[tuple[str, ...], list[tuple[int, int]]] = {}
        for place, label in enumerate(labels):
            if label:
                group, channel = home[probe.root(label)]
                lies.setdefault(group, []).append((channel, place))
        for group, pairs in lies.items():
            channels, places = torch.tensor(pairs).T
            found.setdefault(group, []).append(Slices(layer, channels, places))
    return found
