"""A rig: one network on one device with all that a step of its training touches, at addresses that never change.

So a step can be captured once as a CUDA graph and replayed through all epochs, rounds and trainings of its shape: new
weights, masks and orders are copied into the same tensors. Several rigs train side by side on a card, each on a stream
of its own. Where nothing is captured the same steps are plain calls.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.data import Dataset
from engine.data.augmentation import Augmentation
from engine.data.batches import Batches
from engine.networks import State, build
from engine.networks.stacked import parts, stacked
from engine.optimizers import Optimizer
from presets.schema import Augment, Network, Recipe

EVALUATION_BATCH = 1000  # images a forward pass when only evaluating; a memory bound, the figures do not depend on it
WARM_STEPS = 3  # before a capture: libraries choose kernels and allocate their workspaces in the first ones
AHEAD = 32
"""Steps that may be queued on a device before the first is done: enough to hide the host, few enough to stop soon."""


class Rig:
    """A network of one architecture for one number of classes, or a stack of `members` of them, and its training.

    `static`: steps read their samples and learning rate from buffers on the device, as a captured graph must; the
    default is to do so in a stack, and where the images lie on a card. `capture`: whether such steps become graphs.
    """

    def __init__(
        self,
        data: Dataset,
        batches: Batches,
        network: Network,
        classes: int,
        members: int = 1,
        compiled: bool = False,
        static: bool | None = None,
        capture: bool | None = None,
    ) -> None:
        self.device, self.batches, self.members = batches.device, batches, members
        on_card = self.device.type == "cuda"
        self.static = members > 1 or (on_card and batches.resident) if static is None else static
        self.capture = on_card and self.static and batches.resident if capture is None else capture
        self.plain_because = "" if self.capture or not on_card else f"no graphs: {batches.place}"
        """Why steps on a card are plain calls; empty where they are not."""
        self.stream = torch.cuda.Stream(self.device) if on_card else None
        with self.turn():
            self._allocate(data, network, classes, compiled)

    def _allocate(self, data: Dataset, network: Network, classes: int, compiled: bool) -> None:
        module = build(network, data.shape, classes)
        module = (stacked(module, self.members) if self.members > 1 else module).to(self.device)
        fastest = memory_format(module, self.device)
        self.module: nn.Module = module.to(memory_format=fastest)  # type: ignore[call-overload]
        self._whole: Callable[[Tensor], Tensor] = self.module
        """The forward pass of a whole batch."""
        if compiled:
            self._whole = torch.compile(self.module, dynamic=False)
        self._named = dict(self.module.named_parameters())
        self.parameters: list[Tensor] = list(self._named.values())
        self._masks: dict[str, Tensor] = {}
        self._optimizers: dict[tuple[Any, ...], Optimizer] = {}
        self._augmentations: dict[Augment, Augmentation] = {}
        self._graphs: dict[tuple[Any, ...], torch.cuda.CUDAGraph] = {}
        self._replays: dict[int, torch.cuda.CUDAGraph] = {}
        """Those of the training that it was set up for, by the size of the batch."""
        self._pool = torch.cuda.graph_pool_handle() if self.capture else None
        self._count = len(data.labels)
        everything = self.members * self._count
        self.targets = torch.zeros(everything, dtype=torch.int64, device=self.device)
        """int64 [K·N]: class of every sample as each member numbers them."""
        self.loss_sum = torch.zeros(self.members, dtype=torch.float64, device=self.device)
        self.correct = torch.zeros(self.members, dtype=torch.int64, device=self.device)
        # Where a member's rows begin in tables of every sample for every member.
        self._rows = torch.arange(self.members, device=self.device)[:, None] * self._count
        self.watched = torch.zeros(3, everything, dtype=torch.int32, device=self.device)
        """int32 [3, K·N], of every sample that is watched: whether it was right when last seen, whether it ever was,
        how often it was wrong after it had been right."""
        if self.static:
            self._order = torch.zeros(self.members, self._count, dtype=torch.int64, device=self.device)
            self._rates = torch.zeros(self._count, device=self.device)
            self._at, self._tick = (torch.zeros(1, dtype=torch.int64, device=self.device) for _ in range(2))

    def turn(self) -> AbstractContextManager[Any]:
        """Within it, what is asked of the device comes after what was asked of this rig before, and of no other."""
        return torch.cuda.stream(self.stream) if self.stream else nullcontext()

    # A training begins

    def set_up(self, recipe: Recipe, masked: tuple[str, ...], sizes: set[int], watch: bool = False) -> None:
        """Be ready for steps of this recipe on batches of these sizes, the named weights masked. State is lost.

        With `watch` every step notes in `watched` how its samples did.

        Raises:
            torch.OutOfMemoryError: the device has too little room.
        """
        self.recipe, self._masked, self._watch = recipe, masked, watch
        for name in masked:
            self._masks.setdefault(name, torch.ones_like(self._named[name]))
        self._weights_masked = [self._named[name] for name in masked]
        self._masks_held = [self._masks[name] for name in masked]
        kind = (recipe.optimizer, recipe.momentum, recipe.nesterov, recipe.weight_decay)
        if kind not in self._optimizers:
            self._optimizers[kind] = Optimizer(recipe, self.parameters)
        self.optimizer = self._optimizers[kind]
        self.augmentation = None
        if recipe.augment != Augment():
            if recipe.augment not in self._augmentations:
                self._augmentations[recipe.augment] = Augmentation(recipe.augment, len(self.targets), self.device)
            self.augmentation = self._augmentations[recipe.augment]
        self.module.train()
        self._replays = {}
        for size in sorted(sizes, reverse=True):  # what a smaller one needs fits into what the largest left
            if self.capture and (graph := self._captured(size)):
                self._replays[size] = graph

    @torch.no_grad()
    def begin(self, member: int, start: State, mask: dict[str, Tensor], targets: Tensor) -> None:
        """A member's weights as in `start` under its mask (of names that `set_up` was given); all momentum at zero."""
        self.load(member, start)
        for name in self._masked:
            held = self._part(self._masks[name], member)
            if name in mask:
                held.copy_(mask[name])
            else:
                held.fill_(1.0)
        hold(self._weights_masked, self._masks_held)
        self._part(self.targets, member).copy_(targets)
        self.optimizer.reset()
        self.reset_counts()

    def _part(self, tensor: Tensor, member: int) -> Tensor:
        return parts(tensor, self.members)[member] if self.members > 1 else tensor

    def snapshot(self, member: int) -> State:
        """A copy of a member's parameters and running statistics, on the CPU."""
        state = self.module.state_dict()
        return {name: self._part(tensor.detach(), member).to("cpu", copy=True) for name, tensor in state.items()}

    @torch.no_grad()
    def load(self, member: int, state: State) -> None:
        """Copy a state into a member's own, laid-out tensors: `load_state_dict` without its bookkeeping."""
        for name, tensor in self.module.state_dict().items():
            self._part(tensor, member).copy_(state[name])

    def named(self, names: Iterable[str]) -> list[Tensor]:
        """The parameters of these names."""
        return [self._named[name] for name in names]

    @property
    def normed(self) -> bool:
        """Whether there are norm layers, with running statistics."""
        return any(isinstance(layer, nn.BatchNorm2d) for layer in self.module.modules())

    @torch.no_grad()
    def renew_statistics(self, samples: Tensor) -> None:
        """Running statistics of norm layers anew: the mean over equal batches of `samples` (int64), as they are."""
        layers = [layer for layer in self.module.modules() if isinstance(layer, nn.BatchNorm2d)]
        if not layers:
            return
        self.module.eval()
        usual = [layer.momentum for layer in layers]
        try:
            for layer in layers:
                layer.reset_running_stats()
                layer.momentum = None  # a plain mean over batches
                layer.train()
            size = len(samples) // -(-len(samples) // EVALUATION_BATCH)
            for batch in samples.split(size):
                if len(batch) == size:
                    with arithmetic(self.recipe, self.device):
                        self.module(self._inputs(batch[None], None))
        finally:
            for layer, momentum in zip(layers, usual, strict=True):
                layer.momentum = momentum

    @contextmanager
    def statistics_kept(self) -> Iterator[None]:
        """Within it norm layers in train mode take the statistics of a batch without a trace in their running ones."""
        layers = [layer for layer in self.module.modules() if isinstance(layer, nn.BatchNorm2d)]
        try:
            for layer in layers:
                layer.track_running_stats = False
            yield
        finally:
            for layer in layers:
                layer.track_running_stats = True

    def living(self, gradients: Sequence[Tensor]) -> list[Tensor]:
        """Gradients, given for every parameter in order, with 0 for pruned weights."""
        held = dict(zip(self._masked, self._masks_held, strict=True))
        return [g * held[name] if name in held else g for name, g in zip(self._named, gradients, strict=True)]

    def answers(self, samples: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (float32 [B, classes], with their graph) and classes (int64 [B]) of `samples`, as in training."""
        self.module.train()
        with arithmetic(self.recipe, self.device):
            logits = self.module(self._inputs(samples[None], None))
        return logits.float(), self._wanted(samples[None])[0]

    @torch.no_grad()
    def classes(self, samples: Tensor) -> Tensor:
        """int64, on the device: the likeliest class of each of `samples` (int64), as `logits` has it."""
        return self.logits(samples).argmax(1)

    @torch.no_grad()
    def logits(self, samples: Tensor) -> Tensor:
        """float32 [B, classes], on the device: answers to `samples` (int64), seen as they are, in eval mode."""
        self.module.eval()
        found = []
        for batch in samples.split(EVALUATION_BATCH):
            with arithmetic(self.recipe, self.device):
                found.append(self.module(self._inputs(batch[None], None)).float())
        return torch.cat(found)

    @torch.no_grad()
    def remask(self, name: str, keep: Tensor) -> Tensor:
        """Give a weight that `set_up` was told of another mask (bool, of its shape), in place.

        A weight that was not kept before is 0, and begins without momentum. Gives the count of these, on the device.
        """
        held, weight = self._masks[name], self._named[name]
        fresh = keep & (held == 0)
        held.copy_(keep)
        weight.mul_(held)
        for average in self.optimizer.averages_of(weight):
            average.masked_fill_(fresh, 0.0)
        return fresh.sum()

    def hold_under(self, name: str, keep: Tensor) -> None:
        """As `remask`, of weights and momentum that have been under this mask already."""
        self._masks[name].copy_(keep)

    def mask(self, name: str) -> Tensor:
        """The mask that a weight is held under now: bool, of its shape."""
        return self._masks[name] != 0

    def optimizer_state(self, member: int) -> State:
        """Views of a member's share of the optimizer's averages, and the counts of steps."""
        state = self.optimizer.state()
        return {name: self._part(tensor, member) for name, tensor in state.items()}

    def reset_counts(self) -> None:
        """Summed loss and correct answers of the epoch back to zero."""
        self.loss_sum.zero_()
        self.correct.zero_()

    # Steps

    def begin_epoch(
        self,
        orders: list[Tensor],
        draws: list[tuple[str | int, ...]],
        epoch: int,
        rates: list[float],
        offset: int,
        step: int,
    ) -> None:
        """Each member's samples of an epoch (int64, on the CPU) in their order, the key of its augmentation's draws,
        and the learning rates of the epoch's steps.

        The first step to be done is the `step`-th, and its batch begins at the `offset`-th sample.
        """
        self._order_here, self._rates_here = orders[0], rates
        self._at_here, self._tick_here = offset, step
        if self.augmentation:
            for member, key in enumerate(draws):
                self.augmentation.draw(key, epoch, slice(member * self._count, (member + 1) * self._count))
        if self.static:
            for member, order in enumerate(orders):
                self._order[member, : len(order)].copy_(order)
            self._rates[: len(rates)].copy_(torch.tensor(rates, dtype=torch.float32))
            self._at.fill_(offset)
            self._tick.fill_(step)
        self.module.train()

    def step(self, size: int) -> None:
        """One update from the next `size` samples: forward, backward, update, mask."""
        if not self.static:
            self._update(self._next(size), self._rates_here[self._tick_here])
        elif size in self._replays:
            self._replays[size].replay()
        else:
            self._static_step(size)
        self._at_here += size
        self._tick_here += 1

    def gradients(self, size: int) -> State:
        """What a step on the next `size` samples would take, without the update: dense gradients of the mean loss, by
        name of the parameter; of pruned weights, too. All else is as after a step."""
        gradients = dict(zip(self._named, self._gradients(self._next(size)), strict=True))
        if self.static:
            self._at += size
            self._tick += 1
        self._at_here += size
        self._tick_here += 1
        return gradients

    def _next(self, size: int) -> Tensor:
        """int64 [K, B]: each member's next samples."""
        if not self.static:
            return self._order_here[None, self._at_here : self._at_here + size]
        return self._order.index_select(1, torch.arange(size, device=self.device) + self._at)

    def _static_step(self, size: int) -> None:
        """A step without a value from the host."""
        self._update(self._next(size), self._rates.index_select(0, self._tick).squeeze(0))
        self._at += size
        self._tick += 1

    def _update(self, samples: Tensor, rate: float | Tensor) -> None:
        """One update of every member, from its row of `samples` (int64 [K, B])."""
        self.optimizer.step(self._gradients(samples), rate)
        hold(self._weights_masked, self._masks_held)

    def _gradients(self, samples: Tensor) -> Sequence[Tensor]:
        """Gradients of every parameter, each member's from its row of `samples` (int64 [K, B]), which are counted."""
        wanted = self._wanted(samples)
        with arithmetic(self.recipe, self.device):
            # What is compiled is compiled for one shape: a tail, one step an epoch, is not worth it.
            forward = self._whole if samples.shape[1] == self.recipe.batch else self.module
            logits = self._by_member(forward(self._inputs(samples, self.augmentation)))
            if self.members == 1:  # the same in fewer operations, which tiny networks feel
                loss = losses = F.cross_entropy(logits[0], wanted[0])
            else:
                losses = self._losses(logits, wanted).mean(1)
                loss = losses.sum()
        gradients = torch.autograd.grad(loss, self.parameters)
        with torch.no_grad():
            self.loss_sum += losses * samples.shape[1]
            right = logits.argmax(2) == wanted
            self.correct += right.sum(1)
            if self._watch:
                self._note(samples, right)
        return gradients

    def _note(self, samples: Tensor, right: Tensor) -> None:
        """Keep how samples (int64 [K, B], none twice) did (bool [K, B])."""
        rows = (samples.to(self.device) + self._rows).flatten()
        now = right.flatten().to(torch.int32)
        before, ever, forgotten = self.watched.index_select(1, rows)
        self.watched.index_copy_(1, rows, torch.stack([now, ever | now, forgotten + before * (1 - now)]))

    def _wanted(self, samples: Tensor) -> Tensor:
        """int64 [K, B]: the classes of each member's samples."""
        if self.members == 1:
            return self.targets.index_select(0, samples[0].to(self.device))[None]
        return self.targets[samples.to(self.device) + self._rows]

    def _inputs(self, samples: Tensor, augmentation: Augmentation | None) -> Tensor:
        """float32 [B, K·C, H, W]: each member's images, its channels beside the others'."""
        if self.members == 1:
            return self.batches.inputs(samples[0], augmentation)
        rows = (samples + self._rows).flatten()
        images = self.batches.inputs(samples.flatten(), augmentation, rows)
        return images.unflatten(0, samples.shape).transpose(0, 1).flatten(1, 2)

    def _by_member(self, logits: Tensor) -> Tensor:
        """[K, B, classes] of a stack's [B, K·classes]."""
        if self.members == 1:
            return logits.float()[None]
        return logits.float().unflatten(1, (self.members, -1)).transpose(0, 1)

    @staticmethod
    def _losses(logits: Tensor, wanted: Tensor) -> Tensor:
        """Cross-entropy of every answer: float32 [K, B]."""
        return F.cross_entropy(logits.flatten(0, 1), wanted.flatten(), reduction="none").view(wanted.shape)

    def _captured(self, size: int) -> torch.cuda.CUDAGraph | None:
        """The graph of a step of `size` samples, captured now where there is none; None where that cannot be done."""
        recipe = self.recipe
        settings = (recipe.optimizer, recipe.momentum, recipe.nesterov, recipe.weight_decay)
        key = (size, self._masked, settings, recipe.augment, recipe.precision, self._watch)
        if key not in self._graphs:
            for buffer in (self._order, self._rates, self._at, self._tick, self.targets):
                buffer.zero_()
            for _ in range(WARM_STEPS):
                self._static_step(size)
                self._at.zero_()
                self._tick.zero_()
            graph = torch.cuda.CUDAGraph()
            collecting = gc.isenabled()
            gc.collect()  # an older graph or event that is destroyed during a capture spoils it
            gc.disable()
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self.stream, capture_error_mode="thread_local"):
                    self._static_step(size)
            except RuntimeError as error:
                if _is_lack_of_memory(error):
                    raise torch.OutOfMemoryError("no room for a graph") from error
                self.capture = False
                self.plain_because = f"no graphs: {' '.join(str(error).split())[:200]}"
                return None
            finally:
                if collecting:
                    gc.enable()
            self._graphs[key] = graph
        return self._graphs[key]

    # Figures

    @torch.no_grad()
    def evaluate(self, samples: list[Tensor]) -> Tensor:
        """float64 [2, K], on the device: of each member's samples the number classified correctly, and summed loss."""
        self.module.eval()
        figures = torch.zeros(2, self.members, dtype=torch.float64, device=self.device)
        longest = max(map(len, samples))
        table = torch.stack([F.pad(rows, (0, longest - len(rows)), value=-1) for rows in samples])
        for batch in table.split(max(1, EVALUATION_BATCH // self.members), 1):
            counts = (batch >= 0).to(self.device)
            batch = batch.clamp(min=0)
            wanted = self._wanted(batch).clamp(min=0)  # what fills up may be of a class that the member has not
            with arithmetic(self.recipe, self.device):
                logits = self._by_member(self.module(self._inputs(batch, None)))
                losses = self._losses(logits, wanted)
            figures[0] += ((logits.argmax(2) == wanted) & counts).sum(1)
            figures[1] += (losses * counts).sum(1)
        return figures

    def mark(self) -> torch.cuda.Event:
        """An event that is over when all asked of this rig so far is done."""
        event = torch.cuda.Event()
        event.record(self.stream)
        return event


def arithmetic(recipe: Recipe, device: torch.device) -> AbstractContextManager[Any]:
    """Convolutions and matrix products in the recipe's precision; master weights and all else stay float32.

    Kernels are deterministic, so equal plans give equal bits on a card too.
    """
    if device.type == "cuda":
        torch.backends.cudnn.deterministic = True
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = recipe.precision == "tf32"
    if recipe.precision == "bfloat16":
        return torch.autocast(device.type, torch.bfloat16)
    return nullcontext()


def _is_lack_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it hides (the end of a spoilt capture raises another), is about memory."""
    while error is not None:
        if isinstance(error, torch.OutOfMemoryError):
            return True
        error = error.__context__
    return False


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


@torch.no_grad()
def hold(weights: list[Tensor], masks: list[Tensor]) -> None:
    """Multiply weights by their masks (1.0 or 0.0) in place: pruned weights are exactly 0 afterwards."""
    if weights:
        torch._foreach_mul_(weights, masks)
