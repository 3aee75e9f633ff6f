"""Networks have the published sizes, and initial weights depend on their names alone."""

import pytest
import torch

from engine.networks import build, initialise, weights
from presets.schema import Network

CONV3 = Network(name="conv3")


def test_conv3_has_the_published_number_of_conv_weights():
    counted = weights(build(CONV3, (3, 32, 32), 10))
    assert sum(w.count for w in counted if w.kind == "conv") == 370_368  # COLT, arXiv 2212.12770


def test_lenet_300_100_has_the_published_number_of_weights():
    counted = weights(build(Network(name="lenet-300-100"), (1, 28, 28), 10))
    assert [w.count for w in counted] == [235_200, 30_000, 1_000]
    assert [w.kind for w in counted] == ["linear", "linear", "head"]


@pytest.mark.parametrize("name", ["conv3", "lenet-300-100"])
@pytest.mark.parametrize("init", ["kaiming-normal", "default"])
def test_networks_of_different_heads_share_every_other_initial_tensor(name, init):
    network = Network(name=name, width=0.25, init=init)
    ten, five = (initialise(network, (1, 8, 8), classes, seed=3) for classes in (10, 5))
    assert set(ten) == set(build(network, (1, 8, 8), 10).state_dict())
    for key in ten:
        if key.startswith("head."):
            assert ten[key].shape != five[key].shape
        else:
            assert torch.equal(ten[key], five[key])


def test_seeds_and_purposes_draw_different_weights():
    a, b, c = (initialise(CONV3, (1, 8, 8), 10, s, p) for s, p in ((0, "init"), (1, "init"), (0, "reinit")))
    assert not torch.equal(a["conv1.weight"], b["conv1.weight"])
    assert not torch.equal(a["conv1.weight"], c["conv1.weight"])
    assert torch.equal(a["conv2.weight"], initialise(CONV3, (1, 8, 8), 10, 0)["conv2.weight"])


def test_kaiming_normal_has_variance_two_over_fan_in_and_the_default_is_the_frameworks():
    state = initialise(CONV3, (3, 32, 32), 10, 0)
    assert float(state["conv3.weight"].std()) == pytest.approx((2 / (128 * 9)) ** 0.5, rel=0.02)
    plain = initialise(Network(name="conv3", init="default"), (3, 32, 32), 10, 0)
    fresh = torch.nn.Conv2d(128, 256, 3)
    assert float(plain["conv3.weight"].std()) == pytest.approx(float(fresh.weight.detach().std()), rel=0.02)
    assert float(plain["conv3.weight"].abs().max()) <= (128 * 9) ** -0.5


def test_norm_layers_start_with_reset_statistics():
    state = initialise(CONV3, (1, 8, 8), 10, 0)
    assert state["norm1.running_mean"].abs().sum() == 0
    assert (state["norm1.running_var"] == 1).all()
    assert int(state["norm1.num_batches_tracked"]) == 0


@pytest.mark.parametrize("name", ["conv3", "lenet-300-100"])
def test_width_scales_hidden_sizes_and_leaves_classes(name):
    small = build(Network(name=name, width=0.25), (1, 8, 8), 7)
    assert small.head.out_features == 7
    assert small(torch.zeros(2, 1, 8, 8)).shape == (2, 7)
