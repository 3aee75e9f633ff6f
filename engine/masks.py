"""Masks: pruning by magnitude with exact counts, overlap, shuffling, and holding a mask through training.

A mask maps the name of each prunable weight to a bool tensor of the weight's shape, True where the weight lives.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import torch
from torch import Tensor

from engine.draws import permutation

Mask = dict[str, Tensor]


def full(weights: Mapping[str, Tensor] | Mapping[str, tuple[int, ...]]) -> Mask:
    """A mask that prunes nothing, for weights given as tensors or as shapes."""
    return {
        name: torch.ones(weight.shape if isinstance(weight, Tensor) else weight, dtype=torch.bool)
        for name, weight in weights.items()
    }


def alive(mask: Mask, names: Iterable[str] | None = None) -> int:
    """How many weights live, of all or of the named layers."""
    return sum(int(torch.count_nonzero(mask[name])) for name in (mask if names is None else names))


def due(rate: float, remaining: int) -> int:
    """Weights to prune this round: `rate` of those remaining, rounded to the nearest, halves to even."""
    return round(rate * remaining)


def pools(kinds: Mapping[str, str], rates: Mapping[str, float], scope: str) -> list[tuple[float, tuple[str, ...]]]:
    """Layers that share a threshold, with the rate of each such pool.

    `kinds` maps each prunable weight to its layer kind, `rates` each kind to its rate. scope "global": all kinds of
    equal rate together; "kind": by layer kind; "layer": each alone.
    """
    groups: dict[tuple[float, str], list[str]] = {}
    for name, kind in kinds.items():
        part = {"global": "", "kind": kind, "layer": name}[scope]
        groups.setdefault((rates[kind], part), []).append(name)
    return [(rate, tuple(names)) for (rate, _), names in groups.items()]


def prune(weights: Mapping[str, Tensor], mask: Mask, pool: Sequence[str], count: int) -> Mask:
    """`mask` without the `count` living weights of smallest magnitude in the layers of `pool`.

    Where magnitudes differ this is torch.nn.utils.prune.global_unstructured with an integer amount.

    Raises:
        ValueError: a living weight is not finite, or fewer than `count` live.
    """
    return prune_lowest({name: weights[name].detach().abs() for name in pool}, mask, pool, count)


def prune_lowest(scores: Mapping[str, Tensor], mask: Mask, pool: Sequence[str], count: int) -> Mask:
    """`mask` without the `count` living weights of lowest score in the layers of `pool`.

    Exactly `count` weights go; of equal scores those that come first (layers in the order of `pool`, then row-major
    index) go first.

    Raises:
        ValueError: a living weight's score is not finite, or fewer than `count` live.
    """
    living = torch.cat([mask[name].flatten() for name in pool])
    size = torch.cat([scores[name].flatten() for name in pool])
    if not living.all():  # picking out all costs as much as finding the threshold
        size = size[living]
    if not 0 <= count <= len(size):
        raise ValueError(f"cannot prune {count} of {len(size)} weights")
    if len(size) and not all(torch.isfinite(end) for end in torch.aminmax(size)):  # NaN comes through both
        raise ValueError("weights that are not finite cannot be ranked")
    pruned = dict(mask)
    if count == 0:
        return pruned
    threshold = _smallest(size, count)
    goes = size < threshold
    ties = (size == threshold).nonzero()[: count - int(torch.count_nonzero(goes)), 0]
    goes[ties] = True
    kept = living.masked_scatter(living, ~goes)
    for name, part in zip(pool, kept.split([mask[name].numel() for name in pool]), strict=True):
        pruned[name] = part.view(mask[name].shape).clone()
    return pruned


def _smallest(size: Tensor, count: int) -> Tensor:
    """The element of `size` [n] that is the `count`-th from below."""
    if size.device.type != "cpu" or size.dtype not in (torch.float32, torch.float64):
        return size.kthvalue(count).values
    return torch.from_numpy(np.partition(size.numpy(), count - 1))[count - 1]  # a fifth of the time of kthvalue


def overlap(masks: Sequence[Mask]) -> Mask:
    """The weights that live in every mask: COLT's common mask (arXiv 2212.12770, algorithm 1)."""
    common = {name: keep.clone() for name, keep in masks[0].items()}
    for mask in masks[1:]:
        for name, keep in mask.items():
            common[name] &= keep
    return common


@dataclass(frozen=True)
class Overlap:
    """How far two members agree in one layer, among the `n` weights alive when the round began.

    `expected` is the intersection by chance: of sets of these sizes placed independently, count_a · count_b / n.
    """

    layer: str
    sets: str  # "kept" or "removed"
    a: int
    b: int
    n: int
    count_a: int
    count_b: int
    both: int
    either: int
    expected: float


def overlaps(before: Mask, members: Sequence[Mask]) -> list[Overlap]:
    """Overlap of the kept and of the removed sets, by layer, for every pair of members."""
    rows = []
    for (a, first), (b, second) in combinations(enumerate(members), 2):
        for layer, living in before.items():
            n = int(torch.count_nonzero(living))
            for sets in ("kept", "removed"):
                in_a, in_b = (m[layer] if sets == "kept" else living & ~m[layer] for m in (first, second))
                count_a, count_b, both = (int(torch.count_nonzero(found)) for found in (in_a, in_b, in_a & in_b))
                expected = count_a * count_b / n if n else 0.0
                either = count_a + count_b - both
                rows.append(Overlap(layer, sets, a, b, n, count_a, count_b, both, either, expected))
    return rows


def shuffled(mask: Mask, *key: str | int) -> Mask:
    """A random mask with the same count in every layer."""
    return {name: keep.flatten()[permutation(keep.numel(), *key, name)].view(keep.shape) for name, keep in mask.items()}


def scattered(mask: Mask, *key: str | int) -> Mask:
    """A random mask with the same count over all layers together."""
    flat = torch.cat([keep.flatten() for keep in mask.values()])
    flat = flat[permutation(len(flat), *key)]
    parts = flat.split([keep.numel() for keep in mask.values()])
    return {name: part.view(keep.shape).clone() for (name, keep), part in zip(mask.items(), parts, strict=True)}


def drawn(counts: Mapping[str, int], shapes: Mapping[str, tuple[int, ...]], *key: str | int) -> Mask:
    """A random mask that keeps `counts` of each layer."""
    kept = {name: torch.arange(math.prod(shapes[name])) < count for name, count in counts.items()}
    return shuffled({name: keep.view(shapes[name]) for name, keep in kept.items()}, *key)


def largest(scores: Mapping[str, Tensor], counts: Mapping[str, int]) -> Mask:
    """The `counts` entries of largest score in each layer; of equal ones the last (layers alone, row-major index)."""
    mask = full(scores)
    for name, count in counts.items():
        mask = prune_lowest(scores, mask, (name,), scores[name].numel() - count)
    return mask


def shuffled_weights(weights: Mapping[str, Tensor], mask: Mask, *key: str | int) -> dict[str, Tensor]:
    """`weights` with the kept ones of each layer in another order among their places (Su et al., arXiv 2009.11094)."""
    moved = dict(weights)
    for name, keep in mask.items():
        kept = weights[name][keep]
        moved[name] = weights[name].clone()
        moved[name][keep] = kept[permutation(len(kept), *key, name)]
    return moved
