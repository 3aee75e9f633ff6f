"""One training step with its data, step by step: the engine's and the naive loop's, on CPU."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

import torch

from engine.training import Trainer, Training
from presets.loading import load
from presets.schema import Augment, Network
from tests.bench import naive
from tests.bench.material import CROP_FLIP, job, noise, plan, recipe, timed_steps
from tests.bench.measuring import Figure, Skipped, in_turn, processor_flags, ratios

WARM = 2  # steps that allocate


@dataclass(frozen=True)
class Case:
    """A network as it is trained, and the steps of a trial. `least` and `least_bf16` are marks of engine over naive."""

    network: Network
    shape: tuple[int, int, int]
    batch: int
    augment: Augment
    steps: int
    least: float | None = None
    least_bf16: float | None = None


CIFAR = (3, 32, 32)
CASES = {
    "digits Conv": Case(load("digits-demo").network, (1, 8, 8), 64, Augment(), 150),
    "Conv-3": Case(Network(name="conv3"), CIFAR, 128, CROP_FLIP, 12),
    "ResNet-20": Case(Network(name="resnet20"), CIFAR, 128, CROP_FLIP, 8, 1.5, 2.5),
    "ResNet-18": Case(Network(name="resnet18"), CIFAR, 128, CROP_FLIP, 2),
}
SMALL = {
    name: Case(Network(name=case.network.name, width=0.0625), case.shape, 16, case.augment, 3)
    for name, case in CASES.items()
}


def measure(trials: int, small: bool = False) -> Iterator[Figure | Skipped]:
    for name, case in (SMALL if small else CASES).items():
        yield from compared(name, case, trials)


def compared(name: str, case: Case, trials: int) -> Iterator[Figure | Skipped]:
    data = noise(case.shape, case.batch * (case.steps + WARM + 1) * 4, 2 * case.batch)
    threads = torch.get_num_threads()
    cases: dict[str, Callable[[], float]] = {}
    for precision in ("float32", "bfloat16"):
        if precision != "float32" and not processor_flags() & {"avx512_bf16", "amx_bf16"}:
            yield Skipped("steps", f"{name}: engine, {precision}", "this processor has neither avx512_bf16 nor AMX")
            continue
        wanted = recipe(case.batch, case.augment, precision=precision)
        cases[f"engine, {precision}"] = engine(job(case.network, wanted, data), case.steps, Trainer(data))
    same = job(case.network, recipe(case.batch, case.augment), data)
    cases["naive"] = loop(naive.Loop(same, data), case.steps)
    used = plan([same], data, "cpu").threads
    taken = in_turn(cases, trials)
    torch.set_num_threads(threads)
    for way, times in taken.items():
        note = f"{used} threads" if way != "naive" else f"{threads} threads, {naive.WORKERS} workers"
        yield Figure("steps", f"{name}: {way}", "ms", tuple(1000 * t for t in times), note=note)
    for way, least in (("engine, float32", case.least), ("engine, bfloat16", case.least_bf16)):
        if way in taken:
            yield Figure("steps", f"{name}: naive / {way}", "times", ratios(taken["naive"], taken[way]), least=least)


def engine(wanted: Training, steps: int, trainer: Trainer) -> Callable[[], float]:
    """Seconds a step, with as many threads as the engine would give it."""
    threads = plan([wanted], trainer.data, "cpu").threads

    def trial() -> float:
        before = torch.get_num_threads()
        torch.set_num_threads(threads)
        try:
            return timed_steps(trainer, wanted, steps, WARM)
        finally:
            torch.set_num_threads(before)

    return trial


def loop(training: naive.Loop, steps: int) -> Callable[[], float]:
    """Seconds a step, epochs following one another without evaluation."""

    def endless() -> Iterator[float]:
        while True:
            yield from training.epoch()

    going = endless()

    def trial() -> float:
        for _ in islice(going, WARM):
            pass
        began = time.perf_counter()
        for _ in islice(going, steps):
            pass
        return (time.perf_counter() - began) / steps

    return trial
