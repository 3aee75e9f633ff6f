"""What holding a mask costs in a training step: the engine's way, torch.nn.utils.prune, and masked gradients."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils._python_dispatch import TorchDispatchMode

from engine.draws import generator
from engine.networks import build, initialise, weights
from engine.optimizers import Optimizer
from presets.loading import load
from presets.schema import Network
from tests.bench.measuring import Figure, in_turn

DEMO = load("digits-demo")
RECIPE = DEMO.recipe
SHAPE, CLASSES = (1, 8, 8), 10
STEPS = 100  # timed together, so that a trial is long against the clock and a scheduler's slice


class Counting(TorchDispatchMode):
    """Counts the operators that reach a kernel, forward and backward."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        self.count += 1
        return func(*args, **(kwargs or {}))


def measure(trials: int) -> Iterator[Figure]:
    """Microseconds and operators a step, for the demo's width and for the published one; one thread, as in workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for width in (DEMO.network.width, 1.0):
            network = Network(name=DEMO.network.name, width=width)
            ways = {name: way(network) for name, way in WAYS.items()}
            for name, step in ways.items():
                step()  # the first step of torch.optim makes its buffers
                with Counting() as counting:
                    step()
                yield Figure("masks", f"{name}, width {width:g}", "ops", (float(counting.count),))
            for name, times in in_turn({name: timed(step) for name, step in ways.items()}, trials).items():
                yield Figure("masks", f"{name}, width {width:g}", "µs", times)
    finally:
        torch.set_num_threads(threads)


def timed(step: Callable[[], None]) -> Callable[[], float]:
    """Microseconds a step."""

    def trial() -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            step()
        return (time.perf_counter() - began) / STEPS * 1e6

    return trial


def material(network: Network) -> tuple[nn.Module, dict[str, Tensor], Tensor, Tensor]:
    """A network, masks of its conv weights at half sparsity, and a batch."""
    module = build(network, SHAPE, CLASSES).to(memory_format=torch.channels_last)
    module.load_state_dict(initialise(network, SHAPE, CLASSES, seed=0))
    draw = generator("bench", "masks")
    masks = {
        weight.name: torch.rand(weight.shape, generator=draw) < 0.5
        for weight in weights(module)
        if weight.kind == "conv"
    }
    images = torch.randn((RECIPE.batch, *SHAPE), generator=draw).to(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (RECIPE.batch,), generator=draw)
    return module.train(), masks, images, labels


def engine(network: Network) -> Callable[[], None]:
    """As `Trainer.train` does it."""
    module, found, images, labels = material(network)
    named = dict(module.named_parameters())
    parameters, masked = list(named.values()), [named[name] for name in found]
    masks = [torch.empty_like(named[name]).copy_(keep) for name, keep in found.items()]
    optimizer = Optimizer(RECIPE, parameters)

    def step() -> None:
        loss = F.cross_entropy(module(images), labels)
        optimizer.step(torch.autograd.grad(loss, parameters), RECIPE.lr)
        with torch.no_grad():
            torch._foreach_mul_(masked, masks)

    return step


def torch_prune(network: Network) -> Callable[[], None]:
    """weight = weight_orig · mask at every forward pass, as torch.nn.utils.prune sets it up."""
    module, masks, images, labels = material(network)
    for name, keep in masks.items():
        prune.custom_from_mask(module.get_submodule(name.removesuffix(".weight")), "weight", keep)
    optimizer = sgd(module)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(module(images), labels).backward()
        optimizer.step()

    return step


def masked_gradients(network: Network) -> Callable[[], None]:
    """Gradients and weights multiplied layer by layer, as published COLT and lottery-ticket code does."""
    module, found, images, labels = material(network)
    named = dict(module.named_parameters())
    masks = {name: keep.float() for name, keep in found.items()}
    optimizer = sgd(module)

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(module(images), labels).backward()
        for name, mask in masks.items():
            named[name].grad.data = named[name].grad.data * mask
        optimizer.step()
        for name, mask in masks.items():
            named[name].data = named[name].data * mask

    return step


def sgd(module: nn.Module) -> torch.optim.SGD:
    return torch.optim.SGD(
        module.parameters(), lr=RECIPE.lr, momentum=RECIPE.momentum, weight_decay=RECIPE.weight_decay
    )


WAYS = {"engine": engine, "torch.nn.utils.prune": torch_prune, "masked gradients": masked_gradients}
