"""What several benches train: data of noise, half-pruned networks, recipes, and trainings through the engine's doors.

The engine is entered here alone: `timed_steps` through its Trainer, `pool` and `train` through its worker processes.
"""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Iterable
from functools import cache
from threading import Thread
from typing import Any

import numpy as np
import torch

from engine.cards import pin
from engine.data import Dataset
from engine.devices import Plan, choose
from engine.draws import generator
from engine.masks import Mask
from engine.networks import build, initialise, weights
from engine.training import Epoch, Result, Stopped, Trainer, Training
from engine.workers import NoRoom, Pool
from presets.schema import Augment, Experiment, Network, Recipe

CROP_FLIP = Augment(crop=4, flip=True)


def noise(shape: tuple[int, int, int], train: int, held_out: int, classes: int = 10) -> Dataset:
    """Images of noise: time does not depend on what is on them. Validation and test have `held_out` images each."""
    count = train + 2 * held_out
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, *shape), np.uint8))
    parts = torch.arange(count).split([train, held_out, held_out])
    half, deviation = (0.5,) * shape[0], (0.25,) * shape[0]
    return Dataset("noise", "noise", images, torch.arange(count) % classes, classes, 255.0, half, deviation, *parts)


@cache
def counted(network: Network, shape: tuple[int, int, int], classes: int) -> list[Any]:
    return weights(build(network, shape, classes))


def half(network: Network, data: Dataset) -> Mask:
    """Half of the conv weights, at random."""
    draw = generator("bench", "half")
    found = [weight for weight in counted(network, data.shape, data.classes) if weight.kind == "conv"]
    return {weight.name: torch.rand(weight.shape, generator=draw) < 0.5 for weight in found}


def recipe(batch: int, augment: Augment, epochs: int = 1, precision: str = "float32") -> Recipe:
    """SGD with momentum and weight decay, as the papers train."""
    values = {"lr": 0.01, "momentum": 0.9, "weight_decay": 5e-4, "epochs": epochs, "batch": batch, "augment": augment}
    return Recipe.model_validate(values | {"precision": precision})


def job(network: Network, wanted: Recipe, data: Dataset, seed: int = 0) -> Training:
    """A training of the half-pruned network on all the data."""
    start = initialise(network, data.shape, data.classes, seed)
    return Training(network, wanted, data.all(), seed, start, half(network, data))


def plan(jobs: Iterable[Training], data: Dataset, device: str) -> Plan:
    """The engine's own plan for an experiment that has these trainings to do side by side."""
    jobs = list(jobs)
    seeds, network, recipe = tuple(job.seed for job in jobs), jobs[0].network, jobs[0].recipe
    experiment = Experiment(title="bench", seeds=seeds, network=network, recipe=recipe, arms={"dense": {}})
    return choose(experiment, data, device, sum(job.images for job in jobs))


def timed_steps(trainer: Trainer, wanted: Training, steps: int, warm: int) -> float:
    """Seconds a step of a training, over `steps` of them after `warm` that do not count; within the first epoch."""
    marks: list[float] = []  # before every step

    def should_stop() -> bool:
        marks.append(time.perf_counter())
        return len(marks) > warm + steps

    try:
        trainer.train(wanted, should_stop=should_stop)
    except Stopped:
        return (marks[-1] - marks[warm]) / steps
    raise ValueError(f"the epoch has fewer than {warm + steps} steps")


def pool(data: Dataset, plan: Plan, peak: Any = None) -> Pool:
    """The engine's workers. To be made before this process starts CUDA or computes on several threads.

    `peak` is a shared value that gets the most bytes of memory that a worker has had.
    """

    def make() -> Trainer:
        device = pin(plan.device)
        if peak is not None:
            Thread(target=watch_memory, args=(torch.device(device), peak), daemon=True).start()
        return Trainer(data, device, plan.compiled)

    return Pool(make, plan.workers, plan.threads, plan.together, plan.stack)


def watch_memory(device: torch.device, peak: Any) -> None:
    """In a worker: keep its largest memory in `peak`, that of the card where it trains on one."""
    while True:
        if device.type != "cuda":
            kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            peak.value = max(peak.value, kilobytes * (1 if sys.platform == "darwin" else 1024))
        elif torch.cuda.is_initialized():
            peak.value = max(peak.value, torch.cuda.max_memory_reserved(device))
        time.sleep(0.05)


def train(
    workers: Pool,
    jobs: Iterable[Training],
    patience: float = float("inf"),
    on_epoch: Callable[[], None] = lambda: None,
) -> list[Result]:
    """Do the trainings, alike ones, on these workers, each as soon as one is free.

    Raises:
        TimeoutError: they took longer than `patience` seconds.
        RuntimeError: one failed.
    """
    waiting, results = list(jobs), {}
    order = [job.key for job in waiting]
    by_key = {job.key: job for job in waiting}
    until = time.monotonic() + patience
    while len(results) < len(order):
        while waiting and workers.free:
            size = 1 << (min(workers.most, len(waiting)).bit_length() - 1)
            workers.submit([waiting.pop(0) for _ in range(size)])
        for key, report in workers.reports(0.2):
            if isinstance(report, Epoch):
                on_epoch()
            elif isinstance(report, Result):
                results[key] = report
            elif isinstance(report, NoRoom):  # the pool has taken back how many it does at once
                waiting.append(by_key[key])
            else:
                raise RuntimeError(str(report))
        if time.monotonic() > until:
            raise TimeoutError(f"no end after {patience:.0f} s")
    return [results[key] for key in order]
