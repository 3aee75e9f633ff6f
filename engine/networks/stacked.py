"""Several networks of one architecture as one: their channels side by side, convolutions in groups, one group a member.

A card needs the same number of kernels for all of them as for one. Of B images with C channels a stack of K members
takes [B, K·C, H, W], member by member, and gives [B, K·classes]. Its tensors hold the members' one after another: of
parameter or running statistic `t`, member i's is `parts(t, K)[i]`.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn


class Linears(nn.Module):
    """K linear layers side by side: [B, K·inputs] → [B, K·outputs]."""

    def __init__(self, single: nn.Linear, members: int) -> None:
        super().__init__()
        self.members = members
        self.weight = nn.Parameter(torch.empty(members * single.out_features, single.in_features))
        self.bias = nn.Parameter(torch.empty(members * single.out_features)) if single.bias is not None else None

    def forward(self, x: Tensor) -> Tensor:
        by_member = x.unflatten(1, (self.members, -1)).transpose(0, 1)  # [K, B, inputs]
        weight = self.weight.unflatten(0, (self.members, -1)).transpose(1, 2)  # [K, inputs, outputs]
        y = torch.bmm(by_member, weight).transpose(0, 1).flatten(1)
        return y if self.bias is None else y + self.bias


def stacked(single: nn.Module, members: int) -> nn.Module:
    """`members` networks of the architecture of `single` as one, with weights of no meaning.

    Right only where `can_stack` says so: elsewhere members would see one another's channels.
    """
    module = copy.deepcopy(single)
    for name, layer in list(module.named_modules()):
        wide: nn.Module
        if isinstance(layer, nn.Conv2d):
            wide = nn.Conv2d(
                members * layer.in_channels,
                members * layer.out_channels,
                layer.kernel_size,  # type: ignore[arg-type]
                layer.stride,  # type: ignore[arg-type]
                layer.padding,  # type: ignore[arg-type]
                layer.dilation,  # type: ignore[arg-type]
                members * layer.groups,
                layer.bias is not None,
            )
        elif isinstance(layer, nn.BatchNorm2d):
            wide = nn.BatchNorm2d(members * layer.num_features, layer.eps, layer.momentum)
        elif isinstance(layer, nn.Linear):
            wide = Linears(layer, members)
        else:
            continue
        owner, _, own = name.rpartition(".")
        setattr(module.get_submodule(owner), own, wide)
    return module


def parts(tensor: Tensor, members: int) -> Tensor:
    """[K, ...]: each member's share of a stack's tensor, as a view; a count of steps is everyone's."""
    return tensor.unflatten(0, (members, -1)) if tensor.ndim else tensor.expand(members)


@torch.no_grad()
def can_stack(single: nn.Module, shape: tuple[int, int, int]) -> bool:
    """Whether a stack of this network computes what its members would: found by trying, in float64.

    Not so where channels are joined, split or padded in an order that mixes those of several members.
    """
    draw = torch.Generator().manual_seed(0)
    twins = [copy.deepcopy(single).double().train() for _ in range(2)]
    pair = stacked(single, 2).double().train()
    for name, tensor in pair.state_dict().items():
        if tensor.is_floating_point():
            for twin, part in zip(twins, parts(tensor, 2), strict=True):
                own = twin.state_dict()[name]
                own.copy_(torch.randn(own.shape, generator=draw, dtype=own.dtype) * max(1, own[0].numel()) ** -0.5)
                part.copy_(own)
    images = torch.randn(2, 3, *shape, generator=draw, dtype=torch.float64)
    try:
        together = pair(torch.cat(list(images), 1)).chunk(2, 1)
    except RuntimeError:
        return False
    return all(torch.allclose(y, twin(x)) for y, twin, x in zip(together, twins, images, strict=True))
