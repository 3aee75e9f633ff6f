"""What a training waits for: batches with augmentation, and a whole set brought into memory."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import numpy as np
import torch
from torch.utils.data import DataLoader

from engine.data import load, parted
from engine.data.augmentation import Augmentation
from engine.data.batches import Batches
from engine.data.prepared import preparing
from presets.schema import Augment, Data
from tests.bench.measuring import Figure, in_turn
from tests.bench.naive import PerImage

SHAPE, BATCH = (3, 32, 32), 128
SEEN = 10_240  # images a trial
ASKED = Augment(crop=4, flip=True)


def measure(trials: int) -> Iterator[Figure]:
    with tempfile.TemporaryDirectory() as folder, patch.dict(os.environ, {"TOMBOLA_DATA": folder}):
        write_cifar_shaped(60_000)
        yield from loading(trials)
        yield from ready(trials)


def write_cifar_shaped(count: int) -> None:
    """A prepared set called cifar10, of noise: time does not depend on what is on the images."""
    with preparing("cifar10") as draft:
        images = draft.images((count, *SHAPE))
        draw = np.random.default_rng(0)
        for start in range(0, count, 10_000):
            images[start : start + 10_000] = draw.integers(0, 256, images[start : start + 10_000].shape, np.uint8)
        labels = np.arange(count) % 10
        parted.finish(draft, images, labels, (count * 3 // 4, count // 12, count // 6), list("abcdefghij"))


def loading(trials: int) -> Iterator[Figure]:
    data = load(Data(name="cifar10"))
    device, cores = torch.device("cpu"), len(os.sched_getaffinity(0))
    batches, order = Batches(data, device), torch.randperm(len(data.train))[:SEEN]

    def engine() -> float:
        began = time.perf_counter()
        augmentation = Augmentation(ASKED, len(data.labels), device).draw(0, 0)
        for samples in data.train[order].split(BATCH):
            batches.inputs(samples, augmentation)
        return SEEN / (time.perf_counter() - began)

    one_by_one = DataLoader(
        PerImage(data, data.train[order], data.labels, ASKED),
        BATCH,
        shuffle=True,
        num_workers=cores,
        persistent_workers=True,
        multiprocessing_context="fork",
    )

    def loader() -> float:
        began = time.perf_counter()
        for _ in one_by_one:
            pass
        return SEEN / (time.perf_counter() - began)

    name = f"DataLoader, {cores} workers"
    taken = in_turn({"engine": engine, name: loader}, trials)
    ratios = tuple(ours / theirs for ours, theirs in zip(taken["engine"], taken[name], strict=True))
    for case, speeds in taken.items():
        yield Figure("loading", f"{case}: crop and flip", "img/s", speeds)
    yield Figure("loading", "engine / DataLoader", "times", ratios, least=10.0)


START = "import time; from engine.data import load; from presets.schema import Data; "
START += "began = time.perf_counter(); load(Data(name='cifar10')); print(time.perf_counter() - began)"


def ready(trials: int) -> Iterator[Figure]:
    inside: list[float] = []

    def process() -> float:
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", START], capture_output=True, text=True, check=True, cwd=Path.cwd())
        inside.append(float(done.stdout))
        return time.perf_counter() - began

    taken = in_turn({"process": process}, trials)["process"]
    yield Figure("loading", "60,000 images into memory", "s", tuple(inside[-trials:]), most=3.0)
    yield Figure("loading", "the same from process start", "s", taken, most=3.0, note="most of it imports torch")
