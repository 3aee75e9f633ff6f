"""Trainings of the digits that a round asks for at once: the engine's workers together, against one after another."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from engine.data import load as load_data
from engine.devices import Plan
from engine.training import Result, Training
from engine.workers import Pool
from presets.loading import load
from tests.bench.material import job, plan, pool, train
from tests.bench.measuring import Figure, in_turn, ratios

DEMO = load("digits-demo")
COUNTS = (2, 4, 8)
LEAST = {8: 1.7}  # times faster together


def measure(trials: int, small: bool = False) -> Iterator[Figure]:
    torch.set_num_threads(1)  # threads of OpenMP would not survive the fork
    data = load_data(DEMO.data)
    recipe = DEMO.recipe.model_copy(update={"epochs": 1}) if small else DEMO.recipe
    network = DEMO.network.model_copy(update={"width": 0.0625}) if small else DEMO.network
    for count in COUNTS:
        jobs = [job(network, recipe, data, seed) for seed in range(count)]
        chosen = plan(jobs, data, "cpu")
        single = Plan("cpu", 1, 1)
        alone, side_by_side = pool(data, single), pool(data, chosen)
        results: dict[str, list[Result]] = {}
        try:
            cases = {
                "one after another": timed(alone, jobs, results, "one after another"),
                "together": timed(side_by_side, jobs, results, "together"),
            }
            taken = in_turn(cases, trials)
        finally:
            alone.close()
            side_by_side.close()
        for case, times in taken.items():
            reached = sum(result.test.accuracy for result in results[case]) / count
            layout = (chosen if case == "together" else single).words
            yield Figure("members", f"{count} {case}", "s", times, note=f"{layout}, mean test accuracy {reached:.2%}")
        gained = ratios(taken["one after another"], taken["together"])
        yield Figure("members", f"{count}: together is faster", "times", gained, least=LEAST.get(count))


def timed(workers: Pool, jobs: list[Training], results: dict[str, list[Result]], case: str) -> Callable[[], float]:
    def trial() -> float:
        began = time.perf_counter()
        results[case] = train(workers, jobs)
        return time.perf_counter() - began

    return trial
