"""Where a run trains, and how it is laid out there: device, worker processes, threads.

The plan is chosen once, kept with the attempt, and used again on resume, since equal bits hold for one plan only.
"""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass

import torch
from torch import nn

from engine.cores import cores
from engine.data import Dataset
from engine.networks import build
from presets.schema import Experiment

# A look for cards must not start CUDA: workers are forked after it.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")

TINY_MACS = 300e6
"""Multiply-adds of one forward batch below which two one-thread workers beat one of two threads (1.7-2.1 times)."""


class DeviceError(Exception):
    """A device that is not there."""


@dataclass(frozen=True)
class Plan:
    """An execution plan; on CPU figures are equal to the bit for equal plans, processors and versions."""

    device: str
    workers: int
    threads: int
    layout: str = "channels_last"
    precision: str = "float32"

    def as_dict(self) -> dict[str, str | int]:
        return asdict(self)


def resolve(device: str) -> str:
    """ "cpu" or "cuda:N" for what a person asked for.

    Raises:
        DeviceError: no such device; says what there is.
    """
    cards = torch.cuda.device_count() if torch.cuda.is_available() else 0
    there = ["cpu", *(f"cuda:{n}" for n in range(cards))]
    name = {"auto": there[min(1, cards)], "cuda": "cuda:0"}.get(device, device)
    if name not in there:
        raise DeviceError(f"device {device!r} is not there (devices: auto, {', '.join(there)})")
    return name


def choose(experiment: Experiment, data: Dataset, device: str) -> Plan:
    """The plan for this experiment on a resolved device."""
    if device != "cpu":
        return Plan(device, 1, 1)
    work = macs(build(experiment.network, data.shape, data.classes), data.shape) * experiment.recipe.batch
    if work < TINY_MACS:
        return Plan(device, min(cores(), most_at_once(experiment)), 1)
    return Plan(device, 1, cores())


def most_at_once(experiment: Experiment) -> int:
    """Trainings that can ever be under way together: more workers would only wait."""
    members = sum(getattr(settings, "segments", 1) for settings in experiment.searches.values())
    arms = sum(max(1, len(experiment.tickets_of(arm))) for arm in experiment.arms.values())
    return len(experiment.seeds) * (members + arms)


def macs(module: nn.Module, shape: tuple[int, int, int]) -> int:
    """Multiply-adds of one image through conv and linear layers."""
    counted = 0

    def count(layer: nn.Module, inputs: object, output: torch.Tensor) -> None:
        nonlocal counted
        weight = layer.weight
        assert isinstance(weight, torch.Tensor)
        counted += weight[0].numel() * output.numel()

    hooks = [m.register_forward_hook(count) for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    with torch.no_grad():
        module.eval()(torch.zeros(1, *shape))
    for hook in hooks:
        hook.remove()
    return counted
