"""Pruning takes exactly what it should, and overlap counts what it says."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import prune as torch_prune

from engine import masks


def weights_and_mask(seed: int, sizes: list[tuple[int, ...]], density: float, levels: int | None = None):
    draw = torch.Generator().manual_seed(seed)
    weights, mask = {}, {}
    for index, shape in enumerate(sizes):
        weight = torch.randn(shape, generator=draw)
        if levels:  # few distinct magnitudes: many ties
            weight = (weight * levels).round() / levels
        weights[f"layer{index}"] = weight
        mask[f"layer{index}"] = torch.rand(shape, generator=draw) < density
    return weights, mask


shapes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), min_size=1, max_size=4)


@given(st.integers(0, 10**6), shapes, st.floats(0, 1), st.floats(0, 1), st.sampled_from([None, 1, 2]))
@settings(max_examples=150, deadline=None)
def test_exactly_the_count_goes_smallest_first_ties_by_index(seed, sizes, density, part, levels):
    weights, mask = weights_and_mask(seed, sizes, density, levels)
    pool = tuple(weights)
    living = masks.alive(mask)
    count = int(part * living)
    pruned = masks.prune(weights, mask, pool, count)

    flat = [
        (abs(float(w)), position)
        for position, (w, keep) in enumerate(
            (w, keep)
            for name in pool
            for w, keep in zip(weights[name].flatten().double(), mask[name].flatten(), strict=True)
        )
        if keep
    ]
    goes = {position for _, position in sorted(flat)[:count]}
    kept = torch.cat([pruned[name].flatten() for name in pool])
    before = torch.cat([mask[name].flatten() for name in pool])
    assert masks.alive(pruned) == living - count
    assert {i for i in range(len(kept)) if before[i] and not kept[i]} == goes
    assert not (kept & ~before).any()


@pytest.mark.parametrize("amount", [0, 1, 57, 199, 400])
def test_without_ties_masks_equal_those_of_torch_nn_utils_prune(amount):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(2, 5, 3), nn.Linear(30, 20))
    weights = {"0.weight": module[0].weight.detach().clone(), "1.weight": module[1].weight.detach().clone()}
    torch_prune.global_unstructured(
        [(module[0], "weight"), (module[1], "weight")], torch_prune.L1Unstructured, amount=amount
    )
    ours = masks.prune(weights, masks.full(weights), tuple(weights), amount)
    for name, layer in (("0.weight", module[0]), ("1.weight", module[1])):
        assert torch.equal(ours[name], layer.weight_mask.bool())


def test_a_count_is_a_share_of_the_remaining_rounded_half_to_even():
    assert [masks.due(0.5, n) for n in (1, 3, 5, 7)] == [0, 2, 2, 4]
    assert masks.due(0.2, 23_184) == 4637


def test_layers_share_a_threshold_by_scope():
    kinds = {"a": "conv", "b": "conv", "c": "linear"}
    same = {"conv": 0.2, "linear": 0.2}
    assert masks.pools(kinds, same, "global") == [(0.2, ("a", "b", "c"))]
    assert masks.pools(kinds, same, "kind") == [(0.2, ("a", "b")), (0.2, ("c",))]
    assert masks.pools(kinds, same, "layer") == [(0.2, ("a",)), (0.2, ("b",)), (0.2, ("c",))]
    assert masks.pools(kinds, {"conv": 0.1, "linear": 0.2}, "global") == [(0.1, ("a", "b")), (0.2, ("c",))]


def test_weights_that_are_not_finite_or_too_few_are_refused():
    weights = {"a": torch.tensor([1.0, float("nan")])}
    with pytest.raises(ValueError, match="not finite"):
        masks.prune(weights, masks.full(weights), ("a",), 1)
    with pytest.raises(ValueError, match="cannot prune 3 of 2"):
        masks.prune({"a": torch.ones(2)}, masks.full({"a": (2,)}), ("a",), 3)


def test_a_weight_survives_only_where_it_survives_in_all():
    a = {"w": torch.tensor([True, True, False, False])}
    b = {"w": torch.tensor([True, False, True, False])}
    assert masks.overlap([a, b])["w"].tolist() == [True, False, False, False]
    assert a["w"].tolist() == [True, True, False, False]


@given(st.integers(0, 10**6), shapes, st.integers(2, 4))
@settings(max_examples=50, deadline=None)
def test_overlap_rows_equal_a_plain_count_of_sets(seed, sizes, members):
    _, before = weights_and_mask(seed, sizes, 0.7)
    parts = [
        {
            name: keep & (torch.rand(keep.shape, generator=torch.Generator().manual_seed(seed + m)) < 0.6)
            for name, keep in before.items()
        }
        for m in range(members)
    ]
    rows = masks.overlaps(before, parts)
    assert len(rows) == members * (members - 1) // 2 * len(before) * 2
    for row in rows:
        living = {i for i, keep in enumerate(before[row.layer].flatten().tolist()) if keep}
        sets = []
        for member in (row.a, row.b):
            kept = {i for i, keep in enumerate(parts[member][row.layer].flatten().tolist()) if keep}
            sets.append(kept if row.sets == "kept" else living - kept)
        first, second = sets
        assert (row.n, row.count_a, row.count_b) == (len(living), len(first), len(second))
        assert (row.both, row.either) == (len(first & second), len(first | second))
        assert row.expected == pytest.approx(len(first) * len(second) / len(living) if living else 0.0)


def test_overlap_of_independent_sets_comes_out_at_chance():
    before = {"w": torch.ones(200_000, dtype=torch.bool)}
    draw = torch.Generator().manual_seed(1)
    a, b = ({"w": torch.rand(200_000, generator=draw) < 0.85} for _ in range(2))
    kept, removed = masks.overlaps(before, [a, b])
    assert kept.both / kept.either == pytest.approx(0.739, abs=0.005)  # figures of shared arithmetic, P = 2, 15 %
    assert removed.both / removed.either == pytest.approx(0.081, abs=0.005)
    assert removed.both == pytest.approx(removed.expected, rel=0.05)


def test_shuffling_keeps_the_count_of_each_layer_and_scattering_that_of_all():
    _, mask = weights_and_mask(3, [(40, 5), (300,), (7, 9)], 0.3)
    shuffled = masks.shuffled(mask, 0, "shuffled", "colt", 1)
    assert {n: int(m.sum()) for n, m in shuffled.items()} == {n: int(m.sum()) for n, m in mask.items()}
    assert not torch.equal(shuffled["layer0"], mask["layer0"])
    assert torch.equal(shuffled["layer1"], masks.shuffled(mask, 0, "shuffled", "colt", 1)["layer1"])
    assert not torch.equal(shuffled["layer1"], masks.shuffled(mask, 1, "shuffled", "colt", 1)["layer1"])
    scattered = masks.scattered(mask, 0, "random", "colt", 1)
    assert masks.alive(scattered) == masks.alive(mask)
    assert all(scattered[name].shape == keep.shape for name, keep in mask.items())
