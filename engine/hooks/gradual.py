"""Gradual magnitude pruning: a dense network loses its smallest weights while it trains (Zhu & Gupta, arXiv
1710.01878), as the pruned networks of Evci et al. do (arXiv 2010.03533)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from engine import masks
from engine.hooks import Acting, Hook, Trace
from engine.hooks.moving import Masking

if TYPE_CHECKING:
    from engine.training import Course

SPARSITY = "sparsity"


@dataclass(frozen=True)
class Gradual(Hook):
    """Before step `begin`, every `every` steps from there on, and before step `end`, the smallest weights go, so that
    in each of `pools`, layers that share a threshold, the scheduled share is pruned, exactly: s(t) = `sparsity` · (1 −
    (1 − (t − t0)/(t1 − t0))³). What went stays 0. Leaves "sparsity", over all pools; the result observes "mask.NAME".
    """

    pools: tuple[tuple[str, ...], ...]
    sparsity: float
    begin: int
    end: int
    every: int
    method: ClassVar[str] = "gradual"

    @property
    def masks(self) -> tuple[str, ...]:
        return tuple(name for pool in self.pools for name in pool)

    def due(self, step: int) -> bool:
        """Whether it prunes before this step."""
        return step == self.end or (self.begin <= step < self.end and (step - self.begin) % self.every == 0)

    def at(self, step: int) -> float:
        """s(t), for a step from `begin` on."""
        if step >= self.end:
            return self.sparsity
        return self.sparsity * (1 - (1 - (step - self.begin) / (self.end - self.begin)) ** 3)

    def act(self, course: Course) -> Acting:
        return _Pruning(self, course)


class _Pruning(Masking):
    def __init__(self, settings: Gradual, course: Course) -> None:
        super().__init__(settings.masks, course)
        self.settings = settings

    def instead_of_step(self, size: int) -> bool:
        step, rig = self.course.step, self.course.rig
        if not self.settings.due(step):
            return False
        weights = dict(zip(self.names, rig.named(self.names), strict=True))
        if not all(bool(weight.isfinite().all()) for weight in weights.values()):
            return False  # the epoch's loss, which is not finite either, ends the training
        self.course.mask_moves("before")
        mask = {name: rig.mask(name) for name in self.names}
        for pool in self.settings.pools:
            total = sum(mask[name].numel() for name in pool)
            left = total - masks.due(self.settings.at(step), total)
            mask = masks.prune(weights, mask, pool, max(0, masks.alive(mask, pool) - left))
        for name, keep in mask.items():
            rig.remask(name, keep)
        self.course.mask_moves("after")
        total = sum(keep.numel() for keep in mask.values())
        self.traces.append(Trace(step, SPARSITY, 1 - masks.alive(mask) / total))
        return False  # the step itself is done
