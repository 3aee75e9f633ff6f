"""Lottery tickets as research code writes them: what the benches hold the engine against.

A DataLoader with torchvision's transforms image by image and min(8, cores) workers, torch.nn.utils.prune,
torch.optim.SGD, `.item()` at every batch, evaluation after every epoch, one training after another. Whatever changes
the science is the engine's: recipe, initial weights, segments, counts, rounds and the order of the samples. So without
augmentation both train the same networks to within rounding; with it they draw differently, from the same transforms.

`python -m tests.bench.naive colt` (or `imp`) does a whole search of a preset, here or on a card: see `--help`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import count

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.data import DataLoader

from engine import masks
from engine.data import Dataset, View
from engine.data import load as load_data
from engine.draws import permutation
from engine.masks import Mask
from engine.networks import build, initialise, weights
from engine.schedules import batch_sizes, lr_at, steps_per_epoch
from engine.training import Training
from engine.vision import torchvision
from presets.loading import load
from presets.schema import Augment, Colt, Experiment, Imp

WORKERS = min(8, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
"""Processes of a DataLoader."""


class PerImage(torch.utils.data.Dataset):
    """Samples of a data set, each brought to a network's input on its own, with its label as the view numbers it."""

    def __init__(self, data: Dataset, samples: Tensor, targets: Tensor, augment: Augment) -> None:
        transforms = torchvision("the naive loop").transforms
        steps = [transforms.ToPILImage()] if augment != Augment() else []
        if augment.crop:
            steps.append(transforms.RandomCrop(data.shape[1:], padding=augment.crop))
        if augment.flip:
            steps.append(transforms.RandomHorizontalFlip())
        if augment.rotate:
            steps.append(transforms.RandomRotation(augment.rotate))
        white = data.white / 255  # ToTensor takes 255 for white
        mean, deviation = ([white * value for value in values] for values in (data.mean, data.deviation))
        self.transform = transforms.Compose([*steps, transforms.ToTensor(), transforms.Normalize(mean, deviation)])
        self.images = data.images[samples].permute(0, 2, 3, 1).numpy()
        self.labels = targets[samples].tolist()

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), self.labels[index]


class Order(torch.utils.data.Sampler):
    """Batches of an epoch (a DataLoader with workers asks twice for its first) in the order of the engine."""

    def __init__(self, job: Training) -> None:
        self.job, self.epoch = job, 0

    def __len__(self) -> int:
        return steps_per_epoch(len(self.job.view.samples), self.job.recipe.batch)

    def __iter__(self) -> Iterator[list[int]]:
        view = self.job.view
        order = permutation(len(view.samples), self.job.seed, "order", view.digest, self.epoch)
        return iter([part.tolist() for part in order.split(batch_sizes(len(order), self.job.recipe.batch))])


class Loop:
    """One training, from its start to its end."""

    def __init__(self, job: Training, data: Dataset, device: str = "cpu", workers: int = WORKERS) -> None:
        recipe = job.recipe
        assert recipe.optimizer == "sgd"
        assert job.start_step == 0
        self.job, self.device, self.step = job, torch.device(device), 0
        self.module = build(job.network, data.shape, len(job.view.classes))
        self.module.load_state_dict(job.start)
        self.module.to(self.device)
        for name, keep in job.mask.items():
            layer = self.module.get_submodule(name.removesuffix(".weight"))
            prune.custom_from_mask(layer, "weight", keep.to(self.device))
        self.optimizer = torch.optim.SGD(
            self.module.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
        targets = data.targets(job.view)
        feeding = {
            "num_workers": workers,
            "persistent_workers": workers > 0,
            "multiprocessing_context": "fork" if workers else None,
            "pin_memory": self.device.type == "cuda",
        }
        images = PerImage(data, job.view.samples, targets, recipe.augment)
        self.order = Order(job)
        self.training = DataLoader(images, batch_sampler=self.order, **feeding)
        self.held_out = {
            split: DataLoader(
                PerImage(data, data.held_out(job.view, split), targets, Augment()), recipe.batch, **feeding
            )
            for split in ("validation", "test")
        }
        torch.manual_seed(job.seed)  # of what the transforms draw

    def run(self) -> float:
        """All epochs; the test accuracy at the end."""
        for _ in range(self.job.recipe.epochs):
            for _ in self.epoch():
                pass
            self.accuracy("validation")
        return self.accuracy("test")

    def epoch(self) -> Iterator[float]:
        """The steps of one epoch: after each its loss."""
        self.module.train()
        self.order.epoch = self.step // len(self.order)
        losses, correct = 0.0, 0
        for images, labels in self.training:
            images, labels = images.to(self.device), labels.to(self.device)
            for group in self.optimizer.param_groups:
                group["lr"] = lr_at(self.job.recipe, self.step, len(self.order))
            self.optimizer.zero_grad()
            logits = self.module(images)
            loss = F.cross_entropy(logits, labels)
            loss.backward()
            self.optimizer.step()
            losses += loss.item() * len(labels)
            correct += (logits.argmax(1) == labels).sum().item()
            self.step += 1
            yield loss.item()

    @torch.no_grad()
    def accuracy(self, split: str) -> float:
        self.module.eval()
        correct, seen = 0, 0
        for images, labels in self.held_out[split]:
            images, labels = images.to(self.device), labels.to(self.device)
            correct += (self.module(images).argmax(1) == labels).sum().item()
            seen += len(labels)
        return correct / seen


@dataclass(frozen=True)
class Found:
    """A round's ticket: the share of prunable weights that it lacks, and its test accuracy."""

    seed: int
    round: int
    sparsity: float
    accuracy: float


@dataclass(frozen=True)
class Laboratory:
    """A search of an experiment for one seed, and where it trains."""

    experiment: Experiment
    search: str
    data: Dataset
    seed: int
    device: str = "cpu"
    workers: int = WORKERS

    @property
    def settings(self) -> Colt | Imp:
        settings = self.experiment.searches[self.search]
        assert isinstance(settings, Colt | Imp)
        assert settings.rewind.startswith("0 ")  # back to the very start
        assert settings.of == "prunable"
        return settings

    def whole(self) -> Mask:
        """A mask that prunes nothing."""
        counted = weights(build(self.experiment.network, self.data.shape, self.data.classes))
        rates = self.settings.rates()
        return {w.name: torch.ones(w.shape, dtype=torch.bool) for w in counted if w.kind in rates}

    def trained(self, view: View, mask: Mask) -> tuple[nn.Module, float]:
        """The initial network under `mask`, trained on `view`, and its test accuracy."""
        start = initialise(self.experiment.network, self.data.shape, len(view.classes), self.seed)
        job = Training(self.experiment.network, self.experiment.recipe, view, self.seed, start, mask)
        loop = Loop(job, self.data, self.device, self.workers)
        accuracy = loop.run()
        return loop.module, accuracy

    def pruned(self, module: nn.Module) -> Mask:
        """The module's mask without this round's share of its smallest weights."""
        settings = self.settings
        kinds = {w.name: w.kind for w in weights(build(self.experiment.network, self.data.shape, self.data.classes))}
        kinds = {name: kind for name, kind in kinds.items() if kind in settings.rates()}
        for rate, names in masks.pools(kinds, settings.rates(), settings.scope):
            layers = [(module.get_submodule(name.removesuffix(".weight")), "weight") for name in names]
            prune.global_unstructured(layers, pruning_method=prune.L1Unstructured, amount=rate)
        return {name: module.get_buffer(f"{name}_mask").bool().cpu() for name in kinds}

    def found(self, number: int, mask: Mask, accuracy: float) -> Found:
        return Found(self.seed, number, 1 - masks.alive(mask) / sum(m.numel() for m in mask.values()), accuracy)

    def ends(self, ticket: Found) -> bool:
        settings = self.settings
        far = settings.until is not None and ticket.sparsity >= settings.until - 1e-9
        return far or ticket.round == settings.rounds


def colt(laboratory: Laboratory) -> Iterator[Found]:
    """A network a block of classes; what survives in all of them is the ticket, from the same start."""
    settings, data = laboratory.settings, laboratory.data
    assert isinstance(settings, Colt)
    assert settings.split == "class"
    blocks = torch.arange(data.classes).tensor_split(settings.segments)
    views = [data.of_classes("", block.tolist()) for block in blocks]
    mask = laboratory.whole()
    for number in count(1):
        members = [laboratory.pruned(laboratory.trained(view, mask)[0]) for view in views]
        mask = {name: torch.stack([member[name] for member in members]).all(0) for name in mask}
        ticket = laboratory.found(number, mask, laboratory.trained(data.all(), mask)[1])
        yield ticket
        if laboratory.ends(ticket):
            return


def imp(laboratory: Laboratory) -> Iterator[Found]:
    """Train, prune, rewind; the next round's training says how good the ticket is."""
    module, _ = laboratory.trained(laboratory.data.all(), laboratory.whole())
    for number in count(1):
        mask = laboratory.pruned(module)
        module, accuracy = laboratory.trained(laboratory.data.all(), mask)
        ticket = laboratory.found(number, mask, accuracy)
        yield ticket
        if laboratory.ends(ticket):
            return


METHODS: dict[str, Callable[[Laboratory], Iterator[Found]]] = {"colt": colt, "imp": imp}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.naive", description=__doc__.partition("\n")[0])
    parser.add_argument("search", choices=METHODS, help="method, and name of the search in the preset")
    parser.add_argument("--preset", default="digits-demo", help="name or file (digits-demo)")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as in tombola run")
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    parser.add_argument("--workers", type=int, default=WORKERS, help=f"processes of a DataLoader ({WORKERS} here)")
    parser.add_argument("--json", action="store_true", help="a line of JSON a ticket")
    given = parser.parse_args()
    experiment = load(given.preset, given.set)
    data = load_data(experiment.data)
    for seed in experiment.seeds:
        laboratory = Laboratory(experiment, given.search, data, seed, given.device, given.workers)
        for ticket in METHODS[given.search](laboratory):
            words = f"seed {seed} round {ticket.round}: {ticket.sparsity:.2%} sparsity, {ticket.accuracy:.2%} on test"
            print(json.dumps(asdict(ticket)) if given.json else words, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
