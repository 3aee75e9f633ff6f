"""How many weights each layer keeps, by a rule that looks at no data: uniform, ERK, smart-ratio.

Each rule gives a wish for every layer; `apportion` turns wishes into whole counts that meet the total exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.networks import Weight

HEAD = 0.3
"""Share of the classifier that smart-ratio keeps (Su et al., arXiv 2009.11094, section 4)."""


def counts(ratios: str, weights: Sequence[Weight], keep: int, network: str) -> dict[str, int]:
    """Weights to keep of each prunable layer, in the order from input to output, `keep` in all.

    `network` is the architecture's name: smart-ratio has a form of its own for VGG.

    Raises:
        ValueError: the rule cannot keep so few.
    """
    sizes = {weight.name: weight.count for weight in weights}
    if not 0 <= keep <= sum(sizes.values()):
        raise ValueError(f"cannot keep {keep} of {sum(sizes.values())} weights")
    if not sizes:
        return {}
    if ratios == "uniform":
        share = keep / sum(sizes.values())
        return apportion({name: share * size for name, size in sizes.items()}, sizes, keep)
    if ratios == "erk":
        return apportion(erdos_renyi(weights, keep), sizes, keep)
    return apportion(smart(weights, keep, network), sizes, keep)


def erdos_renyi(weights: Sequence[Weight], keep: int) -> dict[str, float]:
    """Erdős-Rényi-kernel: shares in proportion to the sum of a layer's dimensions over their product; what would be
    more than a whole layer is one, and the others share the rest (Evci et al., arXiv 1911.11134, section 3)."""
    raw = {weight.name: sum(weight.shape) / weight.count for weight in weights}
    sizes = {weight.name: weight.count for weight in weights}
    whole: set[str] = set()
    while True:
        left = keep - sum(sizes[name] for name in whole)
        scale = left / (sum(raw[name] * sizes[name] for name in sizes if name not in whole) or 1.0)
        above = {name for name in sizes if name not in whole and scale * raw[name] > 1.0}
        if not above:
            return {name: float(size) if name in whole else scale * raw[name] * size for name, size in sizes.items()}
        whole |= above


def smart(weights: Sequence[Weight], keep: int, network: str) -> dict[str, float]:
    """Smart-ratio: the l-th of L layers keeps a share in proportion to (L − l + 1)² + (L − l + 1), in VGG divided by
    l²; the classifier 0.3; what would be more than a whole layer spills into the next (Su et al., arXiv 2009.11094,
    section 4).

    Raises:
        ValueError: the classifier's share alone is more than `keep`.
    """
    body = [weight for weight in weights if weight.kind != "head"]
    wish = {weight.name: HEAD * weight.count for weight in weights if weight.kind == "head"}
    left = keep - sum(wish.values())
    if left < 0:
        raise ValueError(f"smart-ratio keeps {HEAD:g} of the classifier, which is more than {keep} weights in all")
    depth = len(body)
    raw = [float((depth - place) ** 2 + (depth - place)) for place in range(depth)]
    if network.startswith("vgg"):
        raw = [value / (place + 1) ** 2 for place, value in enumerate(raw)]
    total = sum(value * weight.count for value, weight in zip(raw, body, strict=True)) or 1.0
    spilt = 0.0
    for value, weight in zip(raw, body, strict=True):
        wanted = left * value * weight.count / total + spilt
        wish[weight.name] = min(wanted, float(weight.count))
        spilt = wanted - wish[weight.name]
    return {weight.name: wish[weight.name] for weight in weights}


def apportion(wishes: Mapping[str, float], sizes: Mapping[str, int], total: int) -> dict[str, int]:
    """Whole counts near `wishes`, none above its size, `total` in all: the largest remainders are rounded up, of equal
    ones the first. What the wishes leave over or overdraw goes to the layers in proportion to what they have room for.
    """
    wished = sum(wishes.values())
    if wished < total:
        room = sum(sizes[name] - wish for name, wish in wishes.items()) or 1.0
        wishes = {name: wish + (total - wished) * (sizes[name] - wish) / room for name, wish in wishes.items()}
    elif wished > total:
        wishes = {name: wish * total / wished for name, wish in wishes.items()}
    found = {name: min(int(wish), sizes[name]) for name, wish in wishes.items()}
    order = sorted(wishes, key=lambda name: found[name] - wishes[name])  # the largest remainder first
    short = total - sum(found.values())
    while short:  # a second time round only where rounding of floats left more than a layer's one
        step = 1 if short > 0 else -1
        for name in order if short > 0 else reversed(order):
            if short and 0 <= found[name] + step <= sizes[name]:
                found[name] += step
                short -= step
    return found
