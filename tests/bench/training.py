"""One masked training of the demo, with its evaluations: the engine's, and the naive loop's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial

import torch

from engine.data import load as load_data
from engine.networks import initialise
from engine.training import Trainer, Training
from presets.loading import load
from tests.bench import naive
from tests.bench.material import half
from tests.bench.measuring import Figure, in_turn

DEMO = load("digits-demo")
NETWORK, RECIPE = DEMO.network, DEMO.recipe


def measure(trials: int) -> Iterator[Figure]:
    data = load_data(DEMO.data)
    start = initialise(NETWORK, data.shape, data.classes, seed=0)
    job = Training(NETWORK, RECIPE, data.all(), 0, start, half(NETWORK, data))
    threads = torch.get_num_threads()
    trainer = Trainer(data)
    reached: dict[str, list[float]] = {}

    def engine() -> float:
        torch.set_num_threads(1)
        began = time.perf_counter()
        result = trainer.train(job)
        seconds = time.perf_counter() - began
        reached.setdefault("engine, 1 thread", []).append(result.test.accuracy)
        return seconds

    def loop(count: int, workers: int) -> float:
        torch.set_num_threads(count)
        began = time.perf_counter()
        accuracy = naive.Loop(job, data, workers=workers).run()
        seconds = time.perf_counter() - began
        reached.setdefault(named(count, workers), []).append(accuracy)
        return seconds

    cases = {"engine, 1 thread": engine}
    for count, workers in dict.fromkeys([(1, 0), (threads, 0), (threads, naive.WORKERS)]):
        cases[named(count, workers)] = partial(loop, count, workers)
    try:
        for case, times in in_turn(cases, trials).items():
            accuracy = sum(reached[case]) / len(reached[case])
            yield Figure("training", case, "s", times, note=f"test accuracy {accuracy:.1%}")
    finally:
        torch.set_num_threads(threads)


def named(threads: int, workers: int) -> str:
    return f"naive loop, {threads} thread{'' if threads == 1 else 's'}, {workers} workers"
