"""On a card: seconds an epoch, beside the card's own ceilings, the floors they set, and the naive loop; memory.

This process never starts CUDA, since it forks the engine's workers: ceilings and naive loop have another.
"""

from __future__ import annotations

import multiprocessing as mp
import statistics
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice, pairwise, repeat
from typing import Any

import torch

from engine.data import Dataset
from engine.devices import Plan
from engine.workers import WorkerDied
from presets.schema import Network, Recipe
from tests.bench import naive
from tests.bench.material import CROP_FLIP, job, noise, pool, recipe, train
from tests.bench.measuring import Figure, Skipped, apart

SECONDS = 150  # for everything; what would begin later is skipped
IMAGES, HELD_OUT = 50_000, 1_000  # of an epoch, and of each evaluation
NAIVE_STEPS = 32
LEAST_LEFT = 5  # seconds below which nothing more is begun
LEAST = 10.0  # times faster than the naive loop, where a case has a mark at all
FLOPS, BYTES = 788e12, 4.3e12  # a second, of the card that the floors were reckoned for


@dataclass(frozen=True)
class Case:
    """A network and batch, `members` at once, in stacks of `stack`. Floors are seconds an epoch at `FLOPS` and `BYTES`:
    of the arithmetic, and of reading and writing every tensor of a bfloat16 step once. `most` is the mark of a bfloat16
    member-epoch."""

    network: str
    batch: int
    arithmetic: float
    traffic: float
    members: int = 1
    stack: int = 1
    most: float | None = None

    @property
    def name(self) -> str:
        how = f" × {self.members}" if self.members > 1 else ""
        return f"{self.network} b{self.batch}{how}" + (" in a stack" if self.stack > 1 else "")


CASES = (
    Case("conv3", 128, 0.015, 0.039, members=8, most=0.1),
    Case("resnet20", 128, 0.016, 0.083, members=8, stack=8, most=0.2),
    Case("resnet18", 256, 0.21, 0.26, members=2, most=0.7),
    Case("resnet20", 128, 0.016, 0.083, members=8),
    Case("conv3", 128, 0.015, 0.039),
    Case("resnet20", 128, 0.016, 0.083),
    Case("resnet18", 128, 0.21, 0.26),
    Case("resnet18", 256, 0.21, 0.26),
    Case("vgg16", 128, 0.12, 0.11),
    Case("mobilenetv2", 128, 0.035, 0.60),
)
"""The most wanted first: time may run out."""


@dataclass(frozen=True)
class Size:
    """How large everything is, and where."""

    device: str = "cuda:0"
    images: int = IMAGES
    held_out: int = HELD_OUT
    width: float = 1.0
    matrix: int = 8192
    copied: int = 1 << 30  # bytes
    naive_steps: int = NAIVE_STEPS
    batch: int | None = None  # instead of each case's own

    def network(self, case: Case) -> Network:
        return Network(name=case.network, width=self.width)

    def of(self, case: Case) -> int:
        return self.batch or case.batch

    def data(self) -> Dataset:
        return noise((3, 32, 32), self.images, self.held_out)


SMALL = Size("cpu", images=48, held_out=16, width=0.0625, matrix=64, copied=1 << 16, naive_steps=1, batch=16)


def measure(trials: int, small: bool = False, most_seconds: float = SECONDS) -> Iterator[Figure | Skipped]:
    size = SMALL if small else Size()
    if size.device != "cpu" and not torch.cuda.is_available():
        yield Skipped("gpu", "everything", "there is no card that torch can use")
        return
    torch.set_num_threads(1)  # threads of OpenMP would not survive the fork
    until = time.monotonic() + most_seconds
    cases = CASES[:2] if small else CASES
    outside = apart(without_engine, size, cases)
    flops, copied = next(outside)
    yield Figure("gpu", f"matmul ceiling, bf16 {size.matrix}³", "TFLOP/s", tuple(f / 1e12 for f in flops))
    yield Figure("gpu", "copy ceiling, read and written", "TB/s", tuple(c / 1e12 for c in copied))
    ceiling = statistics.median(flops), statistics.median(copied)
    by_hand: dict[tuple[str, int], float] = {}
    for case, told in outside:
        name = f"naive {case.network} b{case.batch}, float32"
        if isinstance(told, str):
            yield Skipped("gpu", name, told)
            continue
        by_hand[case.network, case.batch] = told
        note = f"an epoch, reckoned from {size.naive_steps} steps"
        yield Figure("gpu", name, "s", (told,), note=note)
    data = size.data()
    ways = [(case, "bfloat16", False) for case in cases]
    ways += [(case, "bfloat16", True) for case in cases if case.most is not None and size.device != "cpu"]
    ways += [(case, "float32", False) for case in cases]
    for case, precision, compiled in ways:
        name = f"{case.name}, {precision}" + (", compiled" if compiled else "")
        marked = precision == "bfloat16" and case.most is not None
        epochs = 1 + (trials if precision == "bfloat16" else 1)  # the first one captures, and does not count
        left = until - time.monotonic()
        if left < LEAST_LEFT:
            yield Skipped("gpu", name, f"{most_seconds:.0f} s are over")
            continue
        try:
            wanted = recipe(size.of(case), CROP_FLIP, epochs, precision)
            seconds, bytes_held, notes = engine(case, wanted, compiled, size, data, left)
        except (RuntimeError, TimeoutError, WorkerDied) as error:
            traceback.print_exc()
            yield Skipped("gpu", name, " ".join(str(error).split())[-200:])
            continue
        median = statistics.median(seconds)
        beside = {
            "% of the arithmetic floor": 100 * case.arithmetic * FLOPS / ceiling[0] / median,
            "% of the traffic floor": 100 * case.traffic * BYTES / ceiling[1] / median,
            "MB": bytes_held / 1e6,
        }
        yield Figure("gpu", name, "s", seconds, most=case.most if marked else None, beside=beside, note=notes)
        if by_naive := by_hand.get((case.network, case.batch)):
            gained = tuple(by_naive / own for own in seconds)
            yield Figure("gpu", f"naive / {name}", "times", gained, least=LEAST if marked else None)


def engine(
    case: Case, wanted: Recipe, compiled: bool, size: Size, data: Dataset, patience: float
) -> tuple[tuple[float, ...], float, str]:
    """Seconds a member-epoch, the first left out; the most bytes of memory that the worker had; and what it noted.

    Epochs of members are counted as they end, whoever's they are: members that take turns end theirs together.

    Raises:
        RuntimeError, WorkerDied, TimeoutError: they failed, or took longer than `patience` seconds.
    """
    jobs = [job(size.network(case), wanted, data, seed) for seed in range(case.members)]
    ended: list[float] = []
    peak = mp.get_context("fork").Value("d", 0.0)
    workers = pool(data, Plan(size.device, 1, 1, together=case.members, stack=case.stack, compiled=compiled), peak)
    try:
        train(workers, jobs, patience, lambda: ended.append(time.perf_counter()))
    finally:
        workers.close()
    marks = ended[case.members - 1 :: case.members]
    seconds = tuple((after - before) / case.members for before, after in pairwise(marks))
    return seconds, peak.value, "; ".join(workers.notes)


def without_engine(size: Size, cases: Sequence[Case]) -> Iterator[Any]:
    """The card's ceilings; then each network and batch with the seconds of its epoch in the naive loop, or why not."""
    yield ceilings(size)
    data = size.data()
    for case in {(case.network, case.batch): case for case in cases}.values():
        try:
            yield case, naive_epoch(case, size, data)
        except RuntimeError as error:  # too little memory, shared memory or processes
            yield case, " ".join(str(error).split())[-200:]


def ceilings(size: Size) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Operations a second of a bfloat16 matrix product, and bytes a second that a copy reads and writes."""
    n = size.matrix
    a, b = (torch.randn(n, n, device=size.device, dtype=torch.bfloat16) for _ in range(2))
    product = torch.empty_like(a)
    source = torch.zeros(size.copied, dtype=torch.uint8, device=size.device)
    target = torch.empty_like(source)
    return (
        tuple(2 * n**3 / s for s in timed(lambda: torch.matmul(a, b, out=product), size.device)),
        tuple(2 * size.copied / s for s in timed(lambda: target.copy_(source), size.device)),
    )


def naive_epoch(case: Case, size: Size, data: Dataset) -> float:
    """Seconds, reckoned from some steps after those whose batches were loaded ahead."""
    same = job(size.network(case), recipe(size.of(case), CROP_FLIP), data)
    loop = naive.Loop(same, data, size.device)
    steps = chain.from_iterable(loop.epoch() for _ in repeat(None))
    for _ in islice(steps, 2 * naive.WORKERS + 4):
        pass
    began = time.perf_counter()
    for _ in islice(steps, size.naive_steps):
        pass
    return (time.perf_counter() - began) / size.naive_steps * len(loop.order)


def timed(work: Callable[[], object], device: str, trials: int = 5, calls: int = 20) -> tuple[float, ...]:
    """Seconds a call, of several in a row."""
    taken = []
    for _ in range(1 + trials):
        began = time.perf_counter()
        for _ in range(calls):
            work()
        if device != "cpu":
            torch.cuda.synchronize()
        taken.append((time.perf_counter() - began) / calls)
    return tuple(taken[1:])
