"""One masked training of the demo: the engine's, and the loop that one would write first."""

from __future__ import annotations

import time
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import prune
from torch.utils.data import DataLoader, TensorDataset

from engine.data import Dataset
from engine.data import load as load_data
from engine.masks import Mask
from engine.networks import State, build, initialise
from engine.networks import weights as weights_of
from engine.schedules import lr_at, steps_per_epoch
from engine.training import Trainer, Training
from engine.training import load as load_state
from presets.loading import load
from tests.bench.measuring import Figure, in_turn

DEMO = load("digits-demo")
NETWORK, RECIPE = DEMO.network, DEMO.recipe


def measure(trials: int) -> Iterator[Figure]:
    data = load_data(DEMO.data)
    start = initialise(NETWORK, data.shape, data.classes, seed=0)
    draw = torch.Generator().manual_seed(0)
    convs = [w for w in weights_of(build(NETWORK, data.shape, data.classes)) if w.kind == "conv"]
    mask = {weight.name: torch.rand(weight.shape, generator=draw) < 0.5 for weight in convs}
    threads = torch.get_num_threads()
    trainer = Trainer(data)
    reached: dict[str, list[float]] = {}

    def engine() -> float:
        torch.set_num_threads(1)
        began = time.perf_counter()
        result = trainer.train(Training(NETWORK, RECIPE, data.all(), 0, start, mask))
        seconds = time.perf_counter() - began
        reached.setdefault("engine, 1 thread", []).append(result.test.accuracy)
        return seconds

    def naive(count: int) -> float:
        torch.set_num_threads(count)
        began = time.perf_counter()
        accuracy = first_loop(data, start, mask)
        seconds = time.perf_counter() - began
        reached.setdefault(f"first loop, {named(count)}", []).append(accuracy)
        return seconds

    cases = {"engine, 1 thread": engine, "first loop, 1 thread": lambda: naive(1)}
    if threads > 1:
        cases[f"first loop, {named(threads)}"] = lambda: naive(threads)
    try:
        for case, times in in_turn(cases, trials).items():
            accuracy = sum(reached[case]) / len(reached[case])
            yield Figure("training", case, "s", times, note=f"test accuracy {accuracy:.1%}")
    finally:
        torch.set_num_threads(threads)


def named(threads: int) -> str:
    return f"{threads} thread{'' if threads == 1 else 's'}"


def first_loop(data: Dataset, start: State, mask: Mask) -> float:
    """Train like the engine in every choice that changes the science, and by the book in every other; test accuracy.

    Its validation after every epoch and its figures are the engine's too, so that both do the same work.
    """
    module = build(NETWORK, data.shape, data.classes)
    load_state(module, start)
    for name, keep in mask.items():
        prune.custom_from_mask(module.get_submodule(name.removesuffix(".weight")), "weight", keep)
    optimizer = torch.optim.SGD(
        module.parameters(), lr=RECIPE.lr, momentum=RECIPE.momentum, weight_decay=RECIPE.weight_decay
    )

    def loader(samples: Tensor, shuffle: bool = False) -> DataLoader:
        return DataLoader(TensorDataset(data.inputs[samples], data.labels[samples]), RECIPE.batch, shuffle=shuffle)

    def accuracy(batches: DataLoader) -> float:
        module.eval()
        correct, count = 0, 0
        with torch.no_grad():
            for images, labels in batches:
                correct += (module(images).argmax(1) == labels).sum().item()
                count += len(labels)
        return correct / count

    train, validation = loader(data.train, shuffle=True), loader(data.validation)
    per_epoch, step = steps_per_epoch(len(data.train), RECIPE.batch), 0
    for _ in range(RECIPE.epochs):
        module.train()
        losses, correct = 0.0, 0
        for images, labels in train:
            for group in optimizer.param_groups:
                group["lr"] = lr_at(RECIPE, step, per_epoch)
            optimizer.zero_grad()
            logits = module(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            optimizer.step()
            losses += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            step += 1
        accuracy(validation)
    return accuracy(loader(data.test))
