"""A narrower network of as many weights as a ticket keeps: the small dense training of Ma et al. (arXiv 2107.00166)."""

from __future__ import annotations

from functools import cache

from engine.networks import build, weights
from presets.schema import Network

FINEST = 1e-3
"""Steps of the width: finer ones round to the same channels, or nearly."""


@cache
def narrowed(network: Network, shape: tuple[int, int, int], classes: int, target: int) -> Network:
    """The network at the width whose count of conv, linear and norm weights is nearest to `target`.

    Channels are whole, so counts go in steps: of the two widths about the target the nearer, of equal ones the smaller.
    """
    low, high = 1, round(network.width / FINEST)  # in steps; the count at `low` is taken to lie below the target
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(_at(network, middle), shape, classes) <= target else (low, middle)
    return min(
        (_at(network, steps) for steps in (low, high)),
        key=lambda one: abs(count(one, shape, classes) - target),
    )


def _at(network: Network, steps: int) -> Network:
    return network.model_copy(update={"width": round(steps * FINEST, 6)})


@cache
def count(network: Network, shape: tuple[int, int, int], classes: int) -> int:
    """Weights of conv, linear and norm layers."""
    return sum(weight.count for weight in weights(build(network, shape, classes)))
