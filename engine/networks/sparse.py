"""Initialisation that knows the mask: fewer inputs, larger weights (Evci et al., arXiv 2010.03533, section 3.1).

Both scale the draws of a dense initialisation, so that a sparse start is paired with the dense one; where that has
variance 2 / fan_in, a neuron with n inputs left gets N(0, 2 / n). What no mask thins out stays as it is.
"""

from __future__ import annotations

import torch

from engine.masks import Mask
from engine.networks import State


def by_neuron(state: State, mask: Mask) -> State:
    """Each output's weights times √(fan_in / its own unmasked inputs); one without inputs is 0.

    Weights are [out, in] or [out, in, height, width]; a conv's inputs are counted over channels and kernel.
    """
    scaled = dict(state)
    for name, keep in mask.items():
        inputs = keep.flatten(1).sum(1)
        scale = torch.where(inputs > 0, (keep[0].numel() / inputs.clamp(min=1)).sqrt(), 0.0)
        scaled[name] = state[name] * scale.view(-1, *[1] * (keep.ndim - 1))
    return scaled


def by_layer(state: State, mask: Mask) -> State:
    """Each layer's weights over √density; one without weights is 0."""
    scaled = dict(state)
    for name, keep in mask.items():
        kept = int(keep.sum())
        scaled[name] = state[name] * ((keep.numel() / kept) ** 0.5 if kept else 0.0)
    return scaled


SCALED = {"sparse-neuron": by_neuron, "sparse-layer": by_layer}
"""Starts that are the initialisation, scaled to the mask."""
