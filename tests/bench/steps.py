"""One training step with its data, step by step: the engine's and the naive loop's, on CPU."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection

import torch

from engine.data import Dataset
from engine.heap import keep_freed
from engine.training import Trainer
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
    data = images(case)
    threads = torch.get_num_threads()
    cases: dict[str, Callable[[], float]] = {}
    for precision in ("float32", "bfloat16"):
        if precision != "float32" and not processor_flags() & {"avx512_bf16", "amx_bf16"}:
            yield Skipped("steps", f"{name}: engine, {precision}", "this processor has neither avx512_bf16 nor AMX")
            continue
        cases[f"engine, {precision}"] = engine(case, precision)
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


def images(case: Case) -> Dataset:
    return noise(case.shape, case.batch * (case.steps + WARM + 1) * 4, 2 * case.batch)


def engine(case: Case, precision: str) -> Callable[[], float]:
    """Seconds a step, in a process that is set up as the engine's workers are; it trains when it is asked to only.

    It is forked from one that has imported all this and done nothing else: each would take seconds for that alone.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    ours, theirs = context.Pipe()
    context.Process(target=worker, args=(theirs, case, precision), daemon=True).start()
    theirs.close()

    def trial() -> float:
        ours.send(None)
        return ours.recv()

    return trial


def worker(pipe: Connection, case: Case, precision: str) -> None:
    keep_freed()
    data = images(case)
    wanted = job(case.network, recipe(case.batch, case.augment, precision=precision), data)
    torch.set_num_threads(plan([wanted], data, "cpu").threads)
    trainer = Trainer(data)
    with suppress(EOFError):
        while True:
            pipe.recv()
            pipe.send(timed_steps(trainer, wanted, case.steps, WARM))


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
