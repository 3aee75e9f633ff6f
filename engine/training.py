"""One training: network, view of the data, start, mask and recipe in; weights and figures out.

`Training` is the request, complete in itself, so that it can be sent to a worker, and named by its content, so that
equal trainings are done once. `Trainer` does it, one step at a time on whole tensors, and stops between any two steps
when asked, giving back what it needs to go on in the same bits.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data import Dataset, View
from engine.data.augmentation import Augmentation
from engine.data.batches import Batches
from engine.draws import permutation
from engine.masks import Mask
from engine.networks import State, build
from engine.optimizers import Optimizer
from engine.schedules import batches, lr_at, steps_per_epoch
from engine.tensors import digest
from presets.schema import Augment, Network, Recipe

EVALUATION_BATCH = 1000  # images a forward pass when only evaluating; a memory bound, the figures do not depend on it


@dataclass(frozen=True)
class Training:
    """What to train. `start_step` and `end_step` count optimizer steps of this view's recipe: a training that starts
    late goes on with the schedule and the data order from there; one with an `end_step` stops there (to find W_k)."""

    network: Network
    recipe: Recipe
    view: View
    seed: int
    start: State
    mask: Mask
    start_step: int = 0
    end_step: int | None = None

    @cached_property
    def key(self) -> str:
        """32 hex digits, equal for equal trainings: every ingredient that can change a bit of the result is in it."""
        ingredients = {
            # Without what is left at its default: a setting that comes later must not rename what was trained before.
            "network": self.network.model_dump(mode="json", exclude_defaults=True),
            "recipe": self.recipe.model_dump(mode="json", exclude_defaults=True),
            "view": self.view.digest,
            "data": self.view.data,
            "seed": self.seed,
            "start": digest(self.start),
            "mask": digest(self.pruned),
            "steps": [self.start_step, self.end_step],
        }
        return hashlib.sha256(json.dumps(ingredients, sort_keys=True).encode()).hexdigest()[:32]

    @cached_property
    def pruned(self) -> Mask:
        """The mask's layers that lack a weight: a full mask is no mask, whatever could have been pruned."""
        return {name: keep for name, keep in self.mask.items() if not keep.all()}

    @property
    def last_step(self) -> int:
        """The step at which it ends."""
        if self.end_step is not None:
            return self.end_step
        return self.recipe.epochs * steps_per_epoch(len(self.view.samples), self.recipe.batch)

    @property
    def images(self) -> int:
        """Training images it sees, forward and backward, to within a batch."""
        samples = len(self.view.samples)
        return (self.last_step - self.start_step) * samples // steps_per_epoch(samples, self.recipe.batch)


@dataclass(frozen=True)
class Score:
    """Figures over one held-out split: images classified correctly, images in all, mean cross-entropy."""

    correct: int
    count: int
    loss: float

    @property
    def accuracy(self) -> float:
        return self.correct / self.count


@dataclass(frozen=True)
class Epoch:
    """Figures of one epoch: training loss and accuracy over the augmented batches as they came, before each update."""

    epoch: int
    step: int
    lr: float
    train_loss: float
    train_accuracy: float
    validation: Score
    seconds: float


@dataclass(frozen=True)
class Result:
    """A finished training. `images` were seen forward and backward, `images_forward` forward only."""

    state: State
    epoch_used: int
    validation: Score
    test: Score
    images: int
    images_forward: int
    seconds: float


@dataclass
class Checkpoint:
    """A training interrupted between two steps: tensors by name, and plain figures that JSON can hold."""

    tensors: dict[str, Tensor]
    figures: dict[str, Any] = field(default_factory=dict)


class Stopped(Exception):
    """Raised between two steps when the training was asked to stop; holds the checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        super().__init__("stopped on request")
        self.checkpoint = checkpoint


class NotFinite(Exception):
    """The loss of an epoch was not a finite number."""


class Trainer:
    """Trains on one data set and device; keeps its networks between trainings and copies weights into them."""

    def __init__(self, data: Dataset, device: str = "cpu") -> None:
        self.data = data
        self.device = torch.device(device)
        if self.device.type == "cuda":  # the plan says float32 and equal bits: no TF32, no choice of kernel by timing
            torch.backends.cudnn.allow_tf32 = False
            torch.backends.cudnn.deterministic = True
        self.batches = Batches(data, self.device)
        self._networks: dict[str, nn.Module] = {}

    def network(self, network: Network, classes: int) -> nn.Module:
        """A module of this architecture, laid out as is fastest, its weights those of its last use."""
        name = f"{network.model_dump_json()} {classes}"
        if name not in self._networks:
            module = build(network, self.data.shape, classes).to(self.device)
            fastest = memory_format(module, self.device)
            self._networks[name] = module.to(memory_format=fastest)  # type: ignore[call-overload]
        return self._networks[name]

    def train(
        self,
        job: Training,
        on_epoch: Callable[[Epoch], None] = lambda epoch: None,
        should_stop: Callable[[], bool] = lambda: False,
        resume: Checkpoint | None = None,
    ) -> Result:
        """Do the training, from the beginning or from where it was interrupted.

        After every step the pruned weights are 0, momentum and weight decay notwithstanding.

        Raises:
            Stopped: `should_stop` said so between two steps.
            NotFinite: an epoch's training loss was not finite.
        """
        course = _Course(self, job, resume)
        while course.step < job.last_step:
            for batch in course.batches_left():
                if should_stop():
                    raise Stopped(course.checkpoint())
                course.update(batch)
            on_epoch(course.end_epoch())
        return course.result()

    @torch.no_grad()
    def evaluate(self, module: nn.Module, view: View, split: str) -> Score:
        """Accuracy and loss in eval mode over the split's images of the view's classes."""
        module.eval()
        targets = self.data.targets(view)
        correct, loss = 0, 0.0
        samples = self.data.held_out(view, split)
        for batch in samples.split(EVALUATION_BATCH):
            wanted = targets[batch].to(self.device)
            logits = module(self.batches.inputs(batch))
            correct += int((logits.argmax(1) == wanted).sum())
            loss += float(F.cross_entropy(logits, wanted, reduction="sum"))
        return Score(correct, len(samples), loss / len(samples))


def memory_format(module: nn.Module, device: torch.device) -> torch.memory_format:
    """Channels last, unless the CPU library computes wrong gradients so.

    oneDNN's gradient of a 1×1 convolution with a stride writes beyond its workspace where there are fewer input
    channels than fill a vector register (uxlfoundation/oneDNN#6035, torch 2.13 included): wrong weights, or a crash.
    """
    fills = 16  # float32 in a register of 512 bits
    if device.type == "cpu" and any(
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size == (1, 1)
        and layer.stride != (1, 1)
        and layer.in_channels // layer.groups < fills
        for layer in module.modules()
    ):
        return torch.contiguous_format
    return torch.channels_last


class _Course:
    """A training under way: what changes from step to step, and how."""

    def __init__(self, trainer: Trainer, job: Training, resume: Checkpoint | None) -> None:
        self.trainer, self.job = trainer, job
        self.per_epoch = steps_per_epoch(len(job.view.samples), job.recipe.batch)
        self.targets = trainer.data.targets(job.view).to(trainer.device)
        self.module = trainer.network(job.network, len(job.view.classes))
        named = dict(self.module.named_parameters())
        self.parameters: list[Tensor] = list(named.values())
        self.masked: list[Tensor] = [named[name] for name in job.pruned]
        self.masks = [torch.empty_like(named[name]).copy_(keep) for name, keep in job.pruned.items()]
        self.optimizer = Optimizer(job.recipe, self.parameters)
        # W_k is the weights at step k, whatever their accuracy: there nothing is chosen.
        self.chooses = job.recipe.weights == "best" and job.end_step is None
        self.step, self.seen, self.images, self.forward = job.start_step, 0, 0, 0
        self.lr = 0.0
        self.augmentation: Augmentation | None = None
        self.loss_sum = torch.zeros((), dtype=torch.float64, device=trainer.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=trainer.device)
        self.used: tuple[int, Score] | None = None
        self.best_state: State = {}
        self.began, self.seconds_before = time.monotonic(), 0.0
        if resume:
            self._restore(resume)
        else:
            load(self.module, job.start)
            hold(self.masked, self.masks)
        self.epoch_began = self.began
        self.module.train()

    def batches_left(self) -> Iterator[Tensor]:
        """Sample indices of the steps that are left in this epoch, at most to the training's last step."""
        epoch, offset = divmod(self.step, self.per_epoch)
        samples = self.job.view.samples
        if (settings := self.job.recipe.augment) != Augment():
            count = len(self.trainer.data.labels)
            self.augmentation = Augmentation(settings, count, self.job.seed, epoch, self.trainer.device)
        order = permutation(len(samples), self.job.seed, "order", self.job.view.digest, epoch)
        parts = batches(samples[order], self.job.recipe.batch)
        return iter(parts[offset : offset + self.job.last_step - self.step])

    def update(self, samples: Tensor) -> None:
        """One step: forward, backward, update, mask."""
        wanted = self.targets[samples.to(self.trainer.device)]
        logits = self.module(self.trainer.batches.inputs(samples, self.augmentation))
        loss = F.cross_entropy(logits, wanted)
        gradients = torch.autograd.grad(loss, self.parameters)
        self.lr = lr_at(self.job.recipe, self.step, self.per_epoch)
        self.optimizer.step(gradients, self.lr)
        hold(self.masked, self.masks)
        with torch.no_grad():
            self.loss_sum += loss * len(samples)
            self.correct += (logits.argmax(1) == wanted).sum()
        self.seen += len(samples)
        self.images += len(samples)
        self.step += 1

    def end_epoch(self) -> Epoch:
        """Validate, keep the weights if they are to be used, and begin the next epoch's counts."""
        number = (self.step - 1) // self.per_epoch + 1
        mean_loss = float(self.loss_sum) / self.seen
        if not math.isfinite(mean_loss):
            raise NotFinite(f"the training loss is not finite in epoch {number}: lower the learning rate")
        validation = self.trainer.evaluate(self.module, self.job.view, "validation")
        self.forward += validation.count
        if not self.chooses or self.used is None or validation.correct > self.used[1].correct:
            self.used = number, validation
            if self.chooses:
                self.best_state = snapshot(self.module)
        now = time.monotonic()
        accuracy = int(self.correct) / self.seen
        row = Epoch(number, self.step, self.lr, mean_loss, accuracy, validation, now - self.epoch_began)
        self.epoch_began = now
        self.loss_sum.zero_()
        self.correct.zero_()
        self.seen = 0
        self.module.train()
        return row

    def result(self) -> Result:
        """Final weights and figures."""
        if self.best_state:
            load(self.module, self.best_state)
        if self.used is None:  # no step was asked for: W_0 itself
            self.used = 0, self.trainer.evaluate(self.module, self.job.view, "validation")
            self.forward += self.used[1].count
        test = self.trainer.evaluate(self.module, self.job.view, "test")
        self.forward += test.count
        return Result(snapshot(self.module), *self.used, test, self.images, self.forward, self._seconds())

    def _seconds(self) -> float:
        return self.seconds_before + time.monotonic() - self.began

    def checkpoint(self) -> Checkpoint:
        """All that a new process needs to go on in the same bits."""
        tensors = {f"state.{name}": tensor for name, tensor in snapshot(self.module).items()}
        tensors |= {f"optimizer.{name}": t.cpu().clone() for name, t in self.optimizer.state().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best_state.items()}
        tensors |= {"loss_sum": self.loss_sum.cpu(), "correct": self.correct.cpu()}
        figures: dict[str, Any] = {name: getattr(self, name) for name in ("step", "seen", "images", "forward")}
        figures["seconds"] = self._seconds()
        figures["used"] = [self.used[0], *vars(self.used[1]).values()] if self.used else None
        return Checkpoint(tensors, figures)

    def _restore(self, saved: Checkpoint) -> None:
        def part(prefix: str) -> State:
            return {k.removeprefix(prefix): v for k, v in saved.tensors.items() if k.startswith(prefix)}

        load(self.module, part("state."))
        self.optimizer.load(part("optimizer."))
        self.best_state = part("best.")
        self.loss_sum.copy_(saved.tensors["loss_sum"])
        self.correct.copy_(saved.tensors["correct"])
        self.step, self.seen, self.images, self.forward = (
            saved.figures[name] for name in ("step", "seen", "images", "forward")
        )
        self.seconds_before = saved.figures["seconds"]
        if saved.figures["used"]:
            epoch, *score = saved.figures["used"]
            self.used = epoch, Score(*score)


def snapshot(module: nn.Module) -> State:
    """A copy of the module's parameters and running statistics, on the CPU."""
    return {name: tensor.detach().to("cpu", copy=True) for name, tensor in module.state_dict().items()}


@torch.no_grad()
def hold(weights: list[Tensor], masks: list[Tensor]) -> None:
    """Multiply weights by their masks (1.0 or 0.0) in place: pruned weights are exactly 0 afterwards."""
    if weights:
        torch._foreach_mul_(weights, masks)


@torch.no_grad()
def load(module: nn.Module, state: State) -> None:
    """Copy a state into the module's own, laid-out tensors: `load_state_dict` without its bookkeeping."""
    for name, tensor in module.state_dict().items():
        tensor.copy_(state[name])
