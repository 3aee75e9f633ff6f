"""Networks have the published sizes and wiring, take images of many sizes, and draw initial weights by name alone."""

from importlib.util import find_spec
from typing import get_args

import pytest
import torch
import torch.nn.functional as F

from engine.networks import BUILDERS, build, initialise, weights
from engine.networks.wrn import WideResNet
from presets.schema import Network, NetworkName

CONV3 = Network(name="conv3")
OF_TORCHVISION = ("resnet18", "mobilenetv2", "densenet121", "shufflenetv2")
VISION = pytest.mark.skipif(
    not (find_spec("torchvision") and find_spec("PIL")), reason="torchvision or pillow is not installed"
)
EVERY = [pytest.param(name, marks=VISION if name in OF_TORCHVISION else ()) for name in get_args(NetworkName)]
every_network = pytest.mark.parametrize("name", EVERY)


def small(name, init="kaiming-normal", shortcut="conv"):
    return Network(name=name, width=0.125, init=init, shortcut=shortcut)


def parameters(name, shape=(3, 32, 32), classes=10, shortcut="conv"):
    module = build(Network(name=name, shortcut=shortcut), shape, classes)
    return sum(parameter.numel() for parameter in module.parameters())


def filled(module, seed=0):
    """In float64, eval mode, nothing in it at the value that it usually starts with."""
    draw = torch.Generator().manual_seed(seed)
    for name, tensor in module.double().eval().state_dict().items():
        if tensor.dtype == torch.float64:
            spread = tensor[0].numel() ** -0.5 if tensor.ndim > 1 else 0.3
            tensor.normal_(0.0, spread, generator=draw)
            if tensor.ndim == 1 and name.endswith(("norm", "bn1", "bn2", "weight", "running_var")):
                tensor.abs_().add_(0.5)
    return module


def images(count, shape, seed=1):
    return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_every_network_of_the_presets_can_be_built():
    assert set(BUILDERS) == set(get_args(NetworkName))


@every_network
def test_a_network_that_is_only_built_draws_nothing(name):
    before = torch.get_rng_state()
    module = build(small(name), (3, 32, 32), 10)
    assert torch.equal(torch.get_rng_state(), before)
    layers = [layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d | torch.nn.Linear)]
    assert layers
    assert not any(tensor.any() for layer in layers for tensor in layer.parameters())


# Published sizes


def test_conv3_has_the_published_number_of_conv_weights():
    counted = weights(build(CONV3, (3, 32, 32), 10))
    assert sum(w.count for w in counted if w.kind == "conv") == 370_368  # COLT, arXiv 2212.12770


def test_lenet_300_100_has_the_published_number_of_weights():
    counted = weights(build(Network(name="lenet-300-100"), (1, 28, 28), 10))
    assert [w.count for w in counted] == [235_200, 30_000, 1_000]
    assert [w.kind for w in counted] == ["linear", "linear", "head"]
    assert sum(w.count for w in counted) == 266_200  # Frankle & Carbin, arXiv 1803.03635, figure 2: 266K


@pytest.mark.parametrize(("side", "count"), [(28, 44_426), (32, 61_706)])
def test_lenet_5_has_the_known_number_of_parameters(side, count):
    assert parameters("lenet-5", (1, side, side)) == count


@pytest.mark.parametrize(("name", "count"), [("conv2", 4_300_992), ("conv4", 2_425_024), ("conv6", 2_261_184)])
def test_conv_2_and_4_have_the_published_number_of_weights_and_conv_6_what_its_layers_make(name, count):
    """Frankle & Carbin, arXiv 1803.03635, figure 2, print 4.3M, 2.4M and 1.7M. The last does not follow from the layers
    named there: convs 64, 64, 128, 128, 256, 256 hold 1.1M, and the first linear layer 4·4·256·256 = 1.0M more."""
    counted = weights(build(Network(name=name), (3, 32, 32), 10))
    assert sum(w.count for w in counted) == count
    assert [w.kind for w in counted] == ["conv"] * int(name[-1]) + ["linear", "linear", "head"]


@pytest.mark.parametrize(
    ("name", "count"), [("resnet20", 269_722), ("resnet32", 464_154), ("resnet44", 658_586), ("resnet56", 853_018)]
)
def test_cifar_resnets_with_padded_shortcuts_have_the_published_number_of_parameters(name, count):
    """He et al., arXiv 1512.03385, table 6: 0.27M, 0.46M, 0.66M and 0.85M; option A has no weights in shortcuts."""
    assert parameters(name, shortcut="pad") == count
    conv_shortcuts = (16 * 32 + 2 * 32) + (32 * 64 + 2 * 64)
    assert parameters(name, shortcut="conv") == count + conv_shortcuts


def test_resnet20_with_conv_shortcuts_has_the_known_number_of_parameters():
    assert parameters("resnet20", shortcut="conv") == 272_474


@pytest.mark.parametrize(
    ("name", "published", "stem", "features"),
    [
        ("resnet18", 11_689_512, 3 * 64 * (7 * 7 - 3 * 3), 512),
        ("mobilenetv2", 3_504_872, 0, 1280),
        ("densenet121", 7_978_856, 3 * 64 * (7 * 7 - 3 * 3), 1024),
        ("shufflenetv2", 2_278_604, 0, 1024),
    ],
)
@VISION
def test_networks_of_torchvision_have_its_published_parameters_less_what_stem_and_classes_save(
    name, published, stem, features
):
    """Published with torchvision's weights for ImageNet: stems 7×7 where ours are 3×3, and 1000 classes, not 10."""
    assert parameters(name) == published - stem - 990 * (features + 1)


@VISION
def test_resnet18_for_cifar_has_the_known_number_of_parameters():
    assert parameters("resnet18") == 11_173_962


@pytest.mark.parametrize(
    ("name", "convs"), [("vgg11", 9_217_728), ("vgg13", 9_402_048), ("vgg16", 14_710_464), ("vgg19", 20_018_880)]
)
def test_vggs_have_the_published_number_of_conv_weights_and_one_linear_layer(name, convs):
    """VGG-16 and VGG-19 on CIFAR: 14.7M and 20.0M."""
    counted = weights(build(Network(name=name), (3, 32, 32), 10))
    assert sum(w.count for w in counted if w.kind == "conv") == convs
    assert [w.shape for w in counted if w.kind in ("linear", "head")] == [(10, 512)]


def test_wide_resnets_have_the_published_number_of_parameters():
    """Zagoruyko & Komodakis, arXiv 1605.07146, table 4, print 2.2M for WRN-40-2. No count of WRN-22-2 is published: of
    one class it is the smaller by three blocks a stage."""
    wide = WideResNet((3, 32, 32), 10, width=1.0, depth=40, factor=2)
    assert sum(parameter.numel() for parameter in wide.parameters()) == 2_243_546
    blocks = sum(3 * (2 * 9 * channels**2 + 2 * 2 * channels) for channels in (32, 64, 128))
    assert parameters("wrn-22-2") == 2_243_546 - blocks == 1_079_642


# Wiring


@pytest.mark.parametrize("shortcut", ["conv", "pad"])
def test_resnet20_computes_what_a_plain_reference_does(shortcut):
    module = filled(build(small("resnet20", shortcut=shortcut), (3, 16, 16), 10))
    state = module.state_dict()

    def conv_norm(x, conv, norm, stride=1):
        mean, var, gain, bias = (state[f"{norm}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
        weight = state[f"{conv}.weight"]
        return F.batch_norm(F.conv2d(x, weight, None, stride, weight.shape[-1] // 2), mean, var, gain, bias)

    x = images(4, (3, 16, 16))
    expected = F.relu(conv_norm(x, "stem.conv", "stem.norm"))
    for stage in range(3):
        for place in range(3):
            block, halves = f"stages.{stage}.{place}", stage > 0 and place == 0
            inner = F.relu(conv_norm(expected, f"{block}.conv1", f"{block}.norm1", 2 if halves else 1))
            inner = conv_norm(inner, f"{block}.conv2", f"{block}.norm2")
            if halves and shortcut == "conv":
                expected = conv_norm(expected, f"{block}.shortcut.conv", f"{block}.shortcut.norm", 2)
            elif halves:
                every_other = expected[:, :, ::2, ::2]
                expected = torch.cat([every_other, torch.zeros_like(every_other)], dim=1)
            expected = F.relu(inner + expected)
    expected = expected.mean(dim=(2, 3)) @ state["head.weight"].T + state["head.bias"]
    assert torch.allclose(module(x), expected, rtol=1e-10, atol=1e-12)


def with_small_stem(name, models):
    """torchvision's own network of 10 classes, its stem (and MobileNetV2's second stage) changed for small images."""
    if name == "resnet18":
        model = models.resnet18(num_classes=10)
        model.conv1, model.maxpool = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False), torch.nn.Identity()
    elif name == "mobilenetv2":
        model = models.mobilenet_v2(num_classes=10)
        model.features[0][0].stride = model.features[2].conv[1][0].stride = (1, 1)
    elif name == "densenet121":
        model = models.densenet121(num_classes=10)
        model.features.conv0 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.features.pool0 = torch.nn.Identity()
    else:
        model = models.shufflenet_v2_x1_0(num_classes=10)
        model.conv1[0].stride, model.maxpool = (1, 1), torch.nn.Identity()
    return model


@pytest.mark.parametrize("name", OF_TORCHVISION)
@VISION
def test_networks_of_torchvisions_blocks_compute_what_its_own_networks_do(name):
    from engine.vision import torchvision

    theirs = with_small_stem(name, torchvision("the test").models).double().eval()
    ours = filled(build(Network(name=name), (3, 16, 16), 10))
    ordered = zip(theirs.state_dict(), ours.state_dict().values(), strict=True)  # both run from input to output
    theirs.load_state_dict(dict(ordered))
    x = images(2, (3, 16, 16))
    assert torch.allclose(ours(x), theirs(x), rtol=1e-9, atol=1e-12)


@every_network
def test_weights_are_listed_in_the_order_in_which_data_flows_through_them(name):
    module = build(small(name), (3, 16, 16), 10).eval()
    ran = []
    for path, layer in module.named_modules():
        if hasattr(layer, "weight"):
            layer.register_forward_hook(lambda *_, path=path: ran.append(f"{path}.weight"))
    module(torch.zeros(1, 3, 16, 16))
    assert [weight.name for weight in weights(module)] == ran
    assert [weight.kind for weight in weights(module) if weight.name.startswith("head.")] == ["head"]


@every_network
def test_every_parameter_is_a_bias_or_is_counted_as_a_weight_of_its_kind(name):
    module = build(small(name), (3, 16, 16), 10)
    kinds = {weight.name: weight.kind for weight in weights(module)}
    for path, parameter in module.named_parameters():
        if path.endswith(".bias"):
            assert path not in kinds
        else:
            assert kinds[path] in {4: ("conv",), 2: ("linear", "head"), 1: ("norm",)}[parameter.ndim]


# Images


@every_network
def test_networks_take_images_of_many_sizes_and_of_one_and_three_channels(name):
    shapes = [(3, 8, 8), (1, 16, 16), (1, 28, 28), (3, 32, 32), (3, 64, 64)]
    for shape in shapes[name == "lenet-5" :]:  # LeNet-5 needs 16 pixels
        module = build(small(name), shape, 7)
        assert module.head.out_features == 7
        with torch.no_grad():
            assert module(torch.zeros(2, *shape)).shape == (2, 7)


@every_network
def test_images_need_not_be_square(name):
    module = build(small(name), (3, 16, 24), 10)
    assert module(torch.zeros(2, 3, 16, 24)).shape == (2, 10)


@pytest.mark.parametrize(
    ("name", "side"), [("lenet-5", 8), ("conv2", 1), ("conv4", 3), ("conv6", 7), ("conv3", 4), ("densenet121", 4)]
)
def test_images_that_are_too_small_are_refused_in_one_line_with_their_size(name, side):
    with pytest.raises(ValueError, match=rf"^{name} needs images of at least \d+×\d+ pixels: these are {side}×32$"):
        build(Network(name=name), (3, side, 32), 10)


@every_network
def test_the_layout_of_memory_changes_no_result_and_every_parameter_gets_a_gradient(name):
    module = filled(build(small(name), (3, 16, 16), 10)).train()
    last = filled(build(small(name), (3, 16, 16), 10)).train().to(memory_format=torch.channels_last)
    x = images(4, (3, 16, 16))
    logits, others = module(x), last(x.contiguous(memory_format=torch.channels_last))
    assert torch.allclose(logits, others, rtol=1e-9, atol=1e-9)
    gradients, again = (
        torch.autograd.grad(out.square().sum(), list(m.parameters())) for out, m in ((logits, module), (others, last))
    )
    for (path, _), a, b in zip(module.named_parameters(), gradients, again, strict=True):
        assert torch.allclose(a, b, rtol=1e-6, atol=1e-10), path


# Initialisation


@every_network
@pytest.mark.parametrize("init", ["kaiming-normal", "default"])
def test_networks_of_different_heads_share_every_other_initial_tensor(name, init):
    network, shape = small(name, init), (1, 16, 16)
    ten, five = (initialise(network, shape, classes, seed=3) for classes in (10, 5))
    assert list(ten) == list(build(network, shape, 10).state_dict())
    for key in ten:
        if key.startswith("head."):
            assert ten[key].shape != five[key].shape
        else:
            assert torch.equal(ten[key], five[key])


@every_network
def test_kaiming_normal_has_variance_two_over_fan_in_in_every_layer_and_norm_layers_start_reset(name):
    shape = (3, 16, 16)
    module = build(small(name), shape, 10)
    module.load_state_dict(initialise(small(name), shape, 10, seed=0))
    for weight in weights(module):
        tensor = module.get_parameter(weight.name).detach()
        if weight.kind == "norm":
            norm = module.get_submodule(weight.name.removesuffix(".weight"))
            assert (tensor == 1).all()
            assert not norm.bias.any()
            assert not norm.running_mean.any()
            assert (norm.running_var == 1).all()
            assert int(norm.num_batches_tracked) == 0
        else:
            expected = (2 / tensor[0].numel()) ** 0.5
            assert float(tensor.square().mean()) ** 0.5 == pytest.approx(expected, rel=6 * (0.5 / weight.count) ** 0.5)


def test_the_default_initialisation_is_the_frameworks():
    plain = initialise(Network(name="conv3", init="default"), (3, 32, 32), 10, 0)
    fresh = torch.nn.Conv2d(128, 256, 3)
    assert float(plain["conv3.weight"].std()) == pytest.approx(float(fresh.weight.detach().std()), rel=0.02)
    assert float(plain["conv3.weight"].abs().max()) <= (128 * 9) ** -0.5


def test_seeds_and_purposes_draw_different_weights():
    a, b, c = (initialise(CONV3, (1, 8, 8), 10, s, p) for s, p in ((0, "init"), (1, "init"), (0, "reinit")))
    assert not torch.equal(a["conv1.weight"], b["conv1.weight"])
    assert not torch.equal(a["conv1.weight"], c["conv1.weight"])
    assert torch.equal(a["conv2.weight"], initialise(CONV3, (1, 8, 8), 10, 0)["conv2.weight"])


def test_a_layer_of_an_unknown_kind_is_not_left_out_in_silence(monkeypatch):
    class Odd(torch.nn.Module):
        def __init__(self, shape, classes, width):
            super().__init__()
            self.scale = torch.nn.LayerNorm(4)
            self.head = torch.nn.Linear(4, classes)

    monkeypatch.setitem(BUILDERS, "conv3", Odd)
    with pytest.raises(AssertionError, match="how to draw"):
        initialise(CONV3, (1, 8, 8), 10, 0)


@every_network
def test_width_scales_hidden_sizes(name):
    counts = [
        sum(w.count for w in weights(build(Network(name=name, width=width), (3, 16, 16), 10)))
        for width in (0.01, 0.125, 0.25)
    ]
    assert counts[0] < counts[1] < counts[2]
