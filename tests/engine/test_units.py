"""Units are what can go whole: a channel with what makes and reads it changes nothing else; blocks own all there is."""

from functools import cache

import pytest
import torch

from engine.networks import build
from engine.networks.units import units
from presets.schema import SHORTCUTS, Network
from tests.engine.test_networks import EVERY, OF_TORCHVISION, VISION, filled, images

SHAPE = (3, 16, 16)
WIDTHS = {"lenet-5": 1.0, "resnet18": 0.0625, "vgg16": 0.0625, "vgg19": 0.0625}
"""Small, and with more than one channel in every layer."""
EVERY_FORM = [
    *(pytest.param(p.values[0], "conv", marks=p.marks) for p in EVERY),
    *((name, "pad") for name in SHORTCUTS),
]
every_form = pytest.mark.parametrize(("name", "shortcut"), EVERY_FORM)


def network(name, shortcut="conv", width=None, shape=SHAPE):
    return build(Network(name=name, width=width or WIDTHS.get(name, 0.125), shortcut=shortcut), shape, 10)


@cache
def units_of(name, shortcut):
    return units(network(name, shortcut), SHAPE)


def readers(module, group, channel):
    """Weights and the columns of them that read the channel."""
    for part in group.inputs:
        yield module.get_parameter(f"{part.layer}.weight"), part.places[part.channels == channel]


@torch.no_grad()
def silence(module, group, channel):
    """Everything that makes the channel at 0, except statistics."""
    for part in group.outputs:
        for parameter in module.get_submodule(part.layer).parameters():
            parameter[part.places[part.channels == channel]] = 0.0


@torch.no_grad()
def disturb(module, group, channel):
    for weight, columns in readers(module, group, channel):
        weight[:, columns] += torch.randn_like(weight[:, columns])


def most_read(module, groups, x):
    """The channel of each group on whose reading weights the logits depend most, and how much they do."""
    module(x).square().sum().backward()
    found = []
    for group in groups:
        felt = torch.zeros(group.size, dtype=torch.float64)
        for part in group.inputs:
            gradient = module.get_parameter(f"{part.layer}.weight").grad.abs().transpose(0, 1).flatten(1).sum(1)
            felt.index_add_(0, part.channels, gradient[part.places])
        found.append((int(felt.argmax()), float(felt.max())))
    return found


@every_form
def test_a_silenced_channel_is_read_by_nobody_else_and_a_living_one_is_read(name, shortcut):
    module, found = filled(network(name, shortcut)), units_of(name, shortcut)
    x = images(4, SHAPE)
    chosen = most_read(module, found.groups, x)
    assert all(felt > 0 for _, felt in chosen)  # before: the reading weights matter, in every group
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}

    def is_deaf(pairs):
        """Whether logits stay the same to the bit when the reading weights of silenced channels are disturbed."""
        module.load_state_dict(before)
        with torch.no_grad():
            for group, channel in pairs:
                silence(module, group, channel)
            silent = module(x)
            for group, channel in pairs:
                disturb(module, group, channel)
            return torch.equal(module(x), silent)

    pairs = [(group, channel) for group, (channel, _) in zip(found.groups, chosen, strict=True)]
    assert is_deaf(pairs)
    for number in torch.randperm(len(pairs), generator=torch.Generator().manual_seed(0))[:2].tolist():
        assert is_deaf(pairs[number : number + 1])
        with torch.no_grad():
            module.load_state_dict(before)
            silence(module, *pairs[number])
            silent = module(x)
            other = found.groups[number - 1], chosen[number - 1][0]
            disturb(module, *other)
            assert not torch.equal(module(x), silent)  # the network is not deaf as such


@every_form
def test_groups_part_all_outputs_but_the_heads_and_all_inputs_but_the_images(name, shortcut):
    module, found = network(name, shortcut), units_of(name, shortcut)
    made, read = (
        {n: torch.zeros(shape[dim], dtype=torch.int64) for n, shape in found.shapes.items() if len(shape) > dim}
        for dim in (0, 1)
    )
    for group in found.groups:
        for part in group.outputs:
            assert set(part.channels.tolist()) == set(range(group.size))
            made[f"{part.layer}.weight"][part.places] += 1
        for part in group.inputs:
            read[f"{part.layer}.weight"][part.places] += 1
        assert group.inputs
    first = {"lenet-300-100": "linear1"}.get(name, next(iter(found.shapes)).removesuffix(".weight"))
    for layer in {key.removesuffix(".weight") for key in made if key.endswith(".weight")}:
        assert (made[f"{layer}.weight"] == (0 if layer == "head" else 1)).all(), layer
        depthwise = getattr(module.get_submodule(layer), "groups", 1) > 1
        if f"{layer}.weight" in read:
            assert (read[f"{layer}.weight"] == (0 if layer == first or depthwise else 1)).all(), layer


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("lenet-300-100", 2),
        ("lenet-5", 4),
        ("conv3", 3),
        ("conv6", 8),
        ("resnet20", 3 + 9),  # a sum for each stage, the first with the stem; the inside of each block
        ("resnet56", 3 + 27),
        ("vgg16", 13),
        ("wrn-22-2", 1 + 3 + 9),  # here the first stage has twice the stem's channels
        pytest.param("resnet18", 4 + 8, marks=VISION),
        pytest.param("mobilenetv2", 1 + 7 + 16 + 1, marks=VISION),  # stem, stages, expansions, last conv
        pytest.param("densenet121", 1 + 2 * 58 + 3, marks=VISION),  # stem, two convs a layer, transitions
    ],
)
def test_no_more_channels_are_tied_than_sums_tie(name, count):
    assert len(units(network(name), SHAPE).groups) == count


def test_padded_shortcuts_tie_the_first_channels_of_all_stages():
    found = units(network("resnet20", "pad", width=1.0), SHAPE)
    sums = [group for group in found.groups if len(group.outputs) > 2]
    assert [(group.name, group.size) for group in sums] == [
        ("stem.conv", 16),
        ("stages.1.0.conv2", 16),
        ("stages.2.0.conv2", 32),
    ]
    for group, first in zip(sums, (0, 16, 32), strict=True):
        last = group.outputs[-1]
        assert last.layer == "stages.2.2.norm2"
        assert last.places.tolist() == list(range(first, first + group.size))


def test_a_flattened_channel_is_read_pixel_by_pixel():
    found = units(network("conv2", width=0.0625), SHAPE)
    group = next(group for group in found.groups if group.name == "stages.0.1.conv")
    (part,) = group.inputs
    assert part.layer == "linear1"
    assert part.places[part.channels == 2].tolist() == list(range(2 * 64, 3 * 64))


@VISION
def test_a_dense_layers_channels_are_read_at_their_place_in_every_concatenation():
    found = units(network("densenet121"), SHAPE)  # 8 channels of the stem, 4 a layer
    group = next(group for group in found.groups if group.name == "stages.0.1.conv2")
    assert [part.layer for part in group.inputs] == [*(f"stages.0.{n}.conv1" for n in (2, 3, 4, 5)), "stages.1.0.conv"]
    assert all(part.places.tolist() == [12, 13, 14, 15] for part in group.inputs)
    assert [part.layer for part in group.outputs][1:] == [
        *(f"stages.0.{n}.norm1" for n in (2, 3, 4, 5)),
        "stages.1.0.norm",
    ]


@pytest.mark.parametrize(
    ("name", "shortcut"),
    [
        *(("lenet-300-100", "conv"), ("lenet-5", "conv"), ("conv4", "conv"), ("conv3", "conv"), ("vgg11", "conv")),
        *(("resnet20", "conv"), ("resnet20", "pad"), ("wrn-22-2", "conv")),
        *(pytest.param(name, "conv", marks=VISION) for name in OF_TORCHVISION if name != "shufflenetv2"),
    ],
)
def test_a_network_cut_to_half_its_channels_is_the_network_of_half_the_width_and_computes_what_the_mask_does(
    name, shortcut
):
    wide = 1.0 if name.startswith("lenet") else 0.25  # every size there is even
    whole, half = network(name, shortcut, wide), network(name, shortcut, wide / 2).double().eval()
    filled(whole)
    found = units(whole, SHAPE)
    keep = {group.name: torch.arange(group.size) % 2 == 1 for group in found.groups}

    stays = {key: [torch.ones(size, dtype=torch.bool) for size in t.shape] for key, t in whole.state_dict().items()}
    for group in found.groups:
        for part in group.outputs:
            for key in stays:
                if key.startswith(f"{part.layer}.") and stays[key]:
                    stays[key][0][part.places[~keep[group.name][part.channels]]] = False
        for part in group.inputs:
            stays[f"{part.layer}.weight"][1][part.places[~keep[group.name][part.channels]]] = False
    state = {}
    for key, tensor in whole.state_dict().items():
        for dim, kept in enumerate(stays[key]):
            tensor = tensor.index_select(dim, kept.nonzero()[:, 0])
        state[key] = tensor
    half.load_state_dict(state)

    weights, others = found.expand(keep)
    with torch.no_grad():
        for key, mask in {**weights, **others}.items():
            whole.get_parameter(key).mul_(mask)
        x = images(4, SHAPE)
        assert torch.allclose(whole(x), half(x), rtol=1e-10, atol=1e-12)


def test_a_mask_of_channels_expands_to_weights_and_to_other_parameters_apart():
    module = network("resnet20")
    found = units(module, SHAPE)
    keep = {"stages.0.0.conv1": torch.tensor([True, False])}
    weights, others = found.expand(keep)
    assert {key: tuple(mask.shape) for key, mask in {**weights, **others}.items()} == found.shapes
    assert set(weights) == {key for key, shape in found.shapes.items() if len(shape) > 1}
    assert weights["stages.0.0.conv1.weight"].flatten(1).all(1).tolist() == [True, False]
    assert weights["stages.0.0.conv2.weight"].transpose(0, 1).flatten(1).any(1).tolist() == [True, False]
    assert others["stages.0.0.norm1.bias"].tolist() == [True, False]
    assert all(mask.all() for key, mask in weights.items() if not key.startswith("stages.0.0."))


@pytest.mark.parametrize("keep", [{"nobody": torch.ones(2, dtype=torch.bool)}, {"conv1": torch.ones(3)}])
def test_masks_of_unknown_groups_and_of_other_sizes_are_refused(keep):
    with pytest.raises(ValueError, match="no group of channels of that name and size"):
        units(network("conv3"), SHAPE).expand(keep)


@every_form
def test_every_tensor_belongs_to_exactly_one_block_and_blocks_follow_the_data(name, shortcut):
    module = network(name, shortcut)
    blocks = units_of(name, shortcut).blocks
    owners = [[block.name for block in blocks if block.owns(key)] for key in module.state_dict()]
    assert all(len(owner) == 1 for owner in owners)
    assert list(dict.fromkeys(owner[0] for owner in owners)) == [block.name for block in blocks]
    assert blocks[-1].modules == ("head",)


def test_blocks_are_numbered_by_stage_and_the_first_of_a_stage_carries_the_shortcut():
    blocks = units(network("resnet32"), SHAPE).blocks
    assert [(b.name, b.stage, b.place) for b in (blocks[0], blocks[6], blocks[-1])] == [
        ("stem", None, 0),
        ("stages.1.0", 1, 0),
        ("head", None, 0),
    ]
    assert [sum(block.stage == stage for block in blocks) for stage in range(3)] == [5, 5, 5]
    carrying = [b for b in blocks if any(b.owns(key) and "shortcut" in key for key in network("resnet32").state_dict())]
    assert [(block.stage, block.place) for block in carrying] == [(1, 0), (2, 0)]


def test_a_layer_and_its_norm_are_one_block_where_a_network_has_no_stages():
    blocks = units(network("conv3"), SHAPE).blocks
    assert [block.modules for block in blocks] == [
        ("conv1", "norm1"),
        ("conv2", "norm2"),
        ("conv3", "norm3"),
        ("head",),
    ]


def test_asking_for_units_leaves_the_network_as_it_was():
    module = filled(network("resnet20")).train()
    before = {key: tensor.clone() for key, tensor in module.state_dict().items()}
    units(module, SHAPE)
    assert module.training
    assert all(torch.equal(before[key], tensor) for key, tensor in module.state_dict().items())
    assert not any(layer._forward_hooks for layer in module.modules())
