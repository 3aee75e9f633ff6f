"""Where a run trains, and how it is laid out there: device, worker processes, threads.

A device is "cpu" or the UUID of a card; a process that computes there calls `cards.pin` first. The plan is chosen once,
kept with the attempt, and used again on resume, since equal bits hold for one plan only.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import torch
from torch import nn

from engine import cards
from engine.cores import cores, threads
from engine.data import Dataset
from engine.networks import build
from engine.tuning import Way, way
from presets.schema import Experiment

# A look for cards must not start CUDA: workers are forked after it.
os.environ.setdefault("PYTORCH_NVML_BASED_CUDA_CHECK", "1")

TINY_MACS = 300e6
"""Multiply-adds of one forward batch below which two one-thread workers beat one of two threads (1.7-2.1 times)."""

WAIT_SECONDS = 2.0  # between two looks for a card that has become free


class DeviceError(Exception):
    """A device that is not there, or on which this torch cannot compute."""


class Busy(DeviceError):
    """Others compute on every card; `users` says who."""

    def __init__(self, users: str) -> None:
        ways = "wait for one with --wait, name one with --device, or take --device cpu"
        super().__init__(f"no card is free: {users}; {ways}")
        self.users = users


@dataclass(frozen=True)
class Where:
    """A device that was chosen."""

    device: str
    """"cpu", the UUID of a card, or "cuda:N" where NVML does not answer."""
    words: str
    """The same for people."""
    note: str = ""
    """What they should know of the choice."""


@dataclass(frozen=True)
class Plan:
    """An execution plan; figures are equal to the bit for equal plans, processors, cards and versions.

    `workers` processes of `threads` threads; in each, at most `together` trainings are under way, those that are alike
    in stacks of up to `stack`, where a card's last bits depend on which came together. `compiled`: networks are
    compiled for the device.
    """

    device: str
    workers: int
    threads: int
    together: int = 1
    stack: int = 1
    compiled: bool = False

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> Plan:
        """The plan that an attempt kept, maybe one of an earlier version that kept more."""
        return cls(**{part.name: stored[part.name] for part in fields(cls) if part.name in stored})

    @classmethod
    def on(cls, card: str, found: Way) -> Plan:
        return cls(card, 1, 1, found.together, found.stack, found.compiled)

    def as_dict(self) -> dict[str, str | int]:
        return asdict(self)

    @property
    def words(self) -> str:
        """How it trains, for the log."""
        if self.device == "cpu":
            return f"{self.workers} workers of {self.threads} threads"
        stacks = f", in stacks of {self.stack}" if self.stack > 1 else ""
        return f"{self.together} at once{stacks}" + (", networks compiled" if self.compiled else "")


def resolve(
    device: str,
    hold: bool = False,
    claim: str = "",
    prefer: str = "",
    wait: Callable[[str], None] | None = None,
    patience: float = 0.0,
) -> Where:
    """The device for what a person asked for: auto, cpu, cuda, cuda:N, or the first letters of a card's UUID.

    "auto" and "cuda" take the card with the most free memory of those that nobody else computes on, "auto" the CPU
    where there is no card to use. `hold` reserves the card for the life of this process, also if its forecast has
    (`claim`, of `cards.promise`). `prefer` is a card to take before the others, if it is free. With `wait`, one that
    becomes free is waited for; it is told once who uses them. Without, one is waited for at most `patience` seconds.

    Raises:
        DeviceError: no such device, or none that this torch can use; says what there is.
        Busy: somebody computes on every card.
    """
    if device == "cpu":
        return Where("cpu", "cpu")
    prefer = claim.partition(" ")[0] or prefer
    told, until = False, time.monotonic() + patience
    while True:
        seen = cards.look(by_index=device.startswith("cuda:"))
        if device == "auto" and (seen.fault or not seen.cards):
            return Where("cpu", "cpu", seen.fault or seen.note)
        if device not in ("auto", "cuda"):
            return _named(device, seen, hold)
        if seen.fault or not seen.cards:
            raise _absent(device, seen)
        try:
            return _free(seen, hold, claim, prefer)
        except Busy as busy:
            if wait is None and time.monotonic() >= until:
                raise
            if wait is not None and not told:
                wait(f"no card is free, waiting for one: {busy.users}")
                told = True
        time.sleep(WAIT_SECONDS)


def _free(seen: cards.Seen, hold: bool, claim: str, prefer: str) -> Where:
    for card in sorted(seen.cards, key=lambda card: (card.uuid != prefer, -(card.free or 0))):
        if not card.users and cards.take(card.uuid, claim, keep=hold):
            return Where(card.uuid, str(card), seen.note)
    raise Busy("; ".join(f"{card}: {', '.join(card.users) or 'taken by a run of yours'}" for card in seen.cards))


def _named(device: str, seen: cards.Seen, hold: bool) -> Where:
    found = cards.named(seen.cards, device)
    if len(found) > 1:
        raise DeviceError(f"device {device!r} can be {' or '.join(card.uuid for card in found)}: write more of it")
    if seen.fault or not found:
        raise _absent(device, seen)
    if hold:
        cards.share(found[0].uuid)
    return Where(found[0].uuid, str(found[0]), seen.note)


def _absent(device: str, seen: cards.Seen) -> DeviceError:
    there = [] if seen.fault else [f"cuda:{number} = {card}" for number, card in enumerate(seen.cards)]
    why = seen.fault or seen.note
    return DeviceError(
        f"device {device!r} is not there (devices: auto, {', '.join(['cpu', *there])})" + (f"; {why}" if why else "")
    )


def choose(experiment: Experiment, data: Dataset, device: str, images: int) -> Plan:
    """The plan for this experiment, of so many training images in all, on a resolved device."""
    if device != "cpu":
        return Plan.on(device, fastest(experiment, data, device, images))
    work = macs(build(experiment.network, data.shape, data.classes), data.shape) * experiment.recipe.batch
    if work < TINY_MACS:
        return Plan(device, min(cores(), most_at_once(experiment)), 1)
    return Plan(device, 1, threads())


def fastest(experiment: Experiment, data: Dataset, card: str, images: int) -> Way:
    """The fastest way that was found to train this experiment, of so many training images in all, on a card."""
    return way(experiment, data, card, most_at_once(experiment), most_alike(experiment), images)


def most_alike(experiment: Experiment) -> int:
    """Trainings at work together that may be of one shape: a round's members, or a ticket's arms, of every seed."""
    members = [settings.members for settings in experiment.searches.values()]
    return len(experiment.seeds) * max([1, len(experiment.arms), *members])


def most_at_once(experiment: Experiment) -> int:
    """Trainings that can ever be under way together: more workers would only wait."""
    members = sum(settings.members for settings in experiment.searches.values())
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
