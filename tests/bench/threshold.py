"""How long one magnitude threshold over 11 million weights takes: the engine's and torch.nn.utils.prune's."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
from torch import nn
from torch.nn.utils import prune

from engine import masks
from engine.draws import generator
from tests.bench.measuring import Figure, in_turn

# The 3×3 convolutions of ResNet-18 behind its first: where 11 million weights to rank come from.
STAGES = ((64, 64, 4), (64, 128, 1), (128, 128, 3), (128, 256, 1), (256, 256, 3), (256, 512, 1), (512, 512, 3))
SHAPES = {f"conv{i}.{j}": (b, a, 3, 3) for i, (a, b, repeats) in enumerate(STAGES) for j in range(repeats)}
RATE = 0.2


def measure(trials: int) -> Iterator[Figure]:
    draw = generator("bench", "threshold")
    weights = {name: torch.randn(shape, generator=draw) for name, shape in SHAPES.items()}
    mask, count = masks.full(weights), masks.due(RATE, sum(weight.numel() for weight in weights.values()))

    def engine() -> float:
        began = time.perf_counter()
        masks.prune(weights, mask, tuple(weights), count)
        return time.perf_counter() - began

    def torch_prune() -> float:
        layers = [nn.Module() for _ in weights]
        for layer, weight in zip(layers, weights.values(), strict=True):
            layer.weight = nn.Parameter(weight)
        began = time.perf_counter()
        prune.global_unstructured([(layer, "weight") for layer in layers], prune.L1Unstructured, amount=count)
        return time.perf_counter() - began

    total = sum(weight.numel() for weight in weights.values())
    cases = {"engine": engine, "torch.nn.utils.prune": torch_prune}
    for case, times in in_turn(cases, trials).items():
        yield Figure("threshold", case, "s", times, note=f"{count:,} of {total:,}, {torch.get_num_threads()} threads")
