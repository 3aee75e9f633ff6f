"""Counts by layer follow the rules of the papers, and meet the total exactly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.networks import Weight
from engine.ratios import apportion, counts, erdos_renyi, smart

CONV = [Weight("a", "conv", (8, 3, 3, 3)), Weight("b", "conv", (16, 8, 3, 3)), Weight("c", "conv", (32, 16, 3, 3))]
HEAD = Weight("head.weight", "head", (10, 32))
LAYERS = [*CONV, HEAD]
TOTAL = sum(weight.count for weight in LAYERS)

layers = st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 3)), min_size=1, max_size=6).map(
    lambda shapes: [Weight(f"w{i}", "conv", (o, n, k, k)) for i, (o, n, k) in enumerate(shapes)]
)


@given(layers, st.sampled_from(["uniform", "erk", "smart-ratio"]), st.sampled_from(["conv3", "vgg16"]), st.floats(0, 1))
def test_every_rule_keeps_exactly_the_total_and_of_no_layer_more_than_it_has(weights, rule, network, share):
    keep = round(share * sum(weight.count for weight in weights))
    kept = counts(rule, weights, keep, network)
    assert list(kept) == [weight.name for weight in weights]
    assert sum(kept.values()) == keep
    assert all(0 <= kept[weight.name] <= weight.count for weight in weights)


def test_uniform_keeps_the_same_share_of_every_layer():
    kept = counts("uniform", LAYERS, TOTAL // 4, "conv3")
    assert all(abs(kept[weight.name] - weight.count / 4) < 1 for weight in LAYERS)


def test_erk_keeps_in_proportion_to_the_sum_of_dimensions_and_fills_small_layers_first():
    weights = [
        Weight("small", "conv", (2, 2, 1, 1)),
        Weight("b", "conv", (16, 8, 3, 3)),
        Weight("c", "conv", (32, 16, 3, 3)),
    ]
    wish = erdos_renyi(weights, 600)
    assert wish["small"] == 4.0, "its share would be above one"
    # The rest in the ratio of 16 + 8 + 3 + 3 to 32 + 16 + 3 + 3.
    assert wish["b"] / wish["c"] == pytest.approx(30 / 54)
    assert sum(wish.values()) == pytest.approx(600)


def test_smart_ratio_falls_with_depth_and_fixes_the_classifier():
    keep = 500
    wish = smart(LAYERS, keep, "conv3")
    assert wish["head.weight"] == pytest.approx(0.3 * 320)
    # L = 3: shares in the ratio 3² + 3 : 2² + 2 : 1² + 1.
    shares = [wish[weight.name] / weight.count for weight in CONV]
    assert [share / shares[2] for share in shares] == pytest.approx([6.0, 3.0, 1.0])
    assert sum(wish.values()) == pytest.approx(keep)


def test_smart_ratio_of_vgg_is_divided_by_the_square_of_the_depth():
    wish = smart(LAYERS, 300, "vgg19")
    shares = [wish[weight.name] / weight.count for weight in CONV]
    assert [share / shares[2] for share in shares] == pytest.approx([12 / (2 / 9), 6 / 4 / (2 / 9), 1.0])


def test_what_a_layer_cannot_hold_spills_into_the_next():
    weights = [Weight("a", "conv", (10,)), Weight("b", "conv", (100,))]
    # 12 and 6 parts... L = 2: ratio 6 : 2, so a wants 6·10 of (60 + 200) parts of 66: 15.2, of which it holds 10.
    wish = smart(weights, 66, "conv3")
    assert wish == {"a": 10.0, "b": pytest.approx(56.0)}


def test_a_classifier_that_is_larger_than_all_that_may_be_kept_is_refused():
    with pytest.raises(ValueError, match=r"smart-ratio keeps 0\.3 of the classifier, which is more than 50"):
        counts("smart-ratio", LAYERS, 50, "conv3")


def test_the_largest_remainders_are_rounded_up_and_of_equal_ones_the_first():
    assert apportion({"a": 1.5, "b": 1.5, "c": 2.0}, {"a": 9, "b": 9, "c": 9}, 5) == {"a": 2, "b": 1, "c": 2}
    assert apportion({"a": 0.2, "b": 0.7, "c": 0.1}, {"a": 9, "b": 9, "c": 9}, 1) == {"a": 0, "b": 1, "c": 0}
