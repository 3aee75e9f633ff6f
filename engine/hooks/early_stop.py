"""End a training once the mask that pruning now would give has come to rest (You et al., arXiv 1909.11957, with the
arming rule of PrAC's authors, arXiv 2106.03225)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from engine import masks
from engine.hooks import Acting, Hook, Trace
from engine.masks import Mask
from engine.networks import State

if TYPE_CHECKING:
    from engine.training import Course

DISTANCE = "mask distance"


@dataclass(frozen=True)
class EarlyStop(Hook):
    """After each epoch d = entries in which that mask differs from the last epoch's, over the weights that were alive
    when the training began. It ends when the largest of the last `window` d is below `epsilon`; where `armed`, only
    once d has been above it and `warmup` steps are over. `pools` are layers that share a threshold, with their rates.
    """

    pools: tuple[tuple[float, tuple[str, ...]], ...]
    epsilon: float
    window: int
    armed: bool
    warmup: int
    method: ClassVar[str] = "early-stop"

    def act(self, course: Course) -> Acting:
        return _Stopping(self, course)


class _Stopping(Acting):
    def __init__(self, settings: EarlyStop, course: Course) -> None:
        super().__init__()
        self.settings, self.course = settings, course
        [job] = course.jobs
        names = [name for _, pool in settings.pools for name in pool]
        weights = dict(zip(names, course.rig.named(names), strict=True))
        self.weights = weights
        device = course.rig.device
        self.mask: Mask = {
            name: job.mask[name].to(device) if name in job.mask else torch.ones_like(weight, dtype=torch.bool)
            for name, weight in weights.items()
        }
        self.alive = masks.alive(self.mask)
        self.last: Mask | None = None
        self.recent: list[float] = []
        self.was_above = False

    def epoch_ends(self, epoch: int) -> bool:
        if not all(bool(torch.isfinite(weight).all()) for weight in self.weights.values()):
            return False  # what diverged cannot be ranked: the epoch's figures say so
        found = self.mask
        for rate, pool in self.settings.pools:
            found = masks.prune(self.weights, found, pool, masks.due(rate, masks.alive(found, pool)))
        last, self.last = self.last, found
        if last is None:
            return False
        differing = sum(int(torch.count_nonzero(found[name] ^ last[name])) for name in found)
        return self.moved(differing / max(1, self.alive))

    def moved(self, distance: float) -> bool:
        """Note how far the mask has moved; whether it has come to rest."""
        settings = self.settings
        self.traces.append(Trace(self.course.step, DISTANCE, distance))
        self.recent = [*self.recent[1 - settings.window :], distance] if settings.window > 1 else [distance]
        self.was_above |= distance > settings.epsilon
        if settings.armed and (not self.was_above or self.course.step < settings.warmup):
            return False
        return len(self.recent) == settings.window and max(self.recent) < settings.epsilon

    def state(self) -> State:
        held: dict[str, Any] = {f"last.{name}": keep.cpu() for name, keep in (self.last or {}).items()}
        recent = torch.tensor(self.recent, dtype=torch.float64)
        return held | {"recent": recent, "was_above": torch.tensor(self.was_above)}

    def restore(self, state: State) -> None:
        last = {name.removeprefix("last."): keep for name, keep in state.items() if name.startswith("last.")}
        if last and {n: keep.shape for n, keep in last.items()} != {n: keep.shape for n, keep in self.mask.items()}:
            raise ValueError("a last mask of other weights")
        self.last = {name: keep.to(self.course.rig.device) for name, keep in last.items()} or None
        self.recent, self.was_above = state["recent"].tolist(), bool(state["was_above"])
