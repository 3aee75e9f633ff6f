"""Masks that move while a network trains, at a constant count of weights: SET (Mocanu et al., arXiv 1707.04780) and
RigL (Evci et al., arXiv 1911.11134, algorithm 1; google-research/rigl where the paper is silent)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from engine.draws import permutation
from engine.hooks import Acting, Hook, Trace
from engine.networks import State

if TYPE_CHECKING:
    from engine.training import Course

TURNOVER = "turnover"
ROUNDING = 1e-9  # forgives a product such as 0.29 · 100, which floats put below 29


@dataclass(frozen=True)
class Moving(Hook):
    """Every `every` steps, the first included, while t < `last`, in place of the step: each layer of `names` drops its
    k smallest weights and grows k others, `rule` "set" at random, "rigl" by the largest gradient of that batch.

    k = f(t) · (weights the layer keeps), rounded down as the authors' code does; f(t) = α/2 (1 + cos(πt/`last`)).
    Weights dropped just now may grow again and then keep their value; truly new ones start at 0 without momentum.
    Leaves "turnover", by layer: the share of its kept weights that are new. The result observes "mask.NAME".
    """

    names: tuple[str, ...]
    rule: str
    every: int
    alpha: float
    last: int
    method: ClassVar[str] = "moving"

    @property
    def masks(self) -> tuple[str, ...]:
        return self.names

    def act(self, course: Course) -> Acting:
        return _Regrowing(self, course)


class Masking(Acting):
    """A hook at work that moves the masks of these weights, which the rig holds."""

    def __init__(self, names: tuple[str, ...], course: Course) -> None:
        super().__init__()
        self.names, self.course = names, course

    def observed(self) -> State:
        return self.state()

    def state(self) -> State:
        return {f"mask.{name}": self.course.rig.mask(name).cpu() for name in self.names}

    def restore(self, state: State) -> None:
        for name in self.names:
            self.course.rig.hold_under(name, state[f"mask.{name}"])


class _Regrowing(Masking):
    def __init__(self, settings: Moving, course: Course) -> None:
        super().__init__(settings.names, course)
        self.settings = settings
        [job] = course.jobs
        self.draws = job.draws

    def instead_of_step(self, size: int) -> bool:
        settings, step, rig = self.settings, self.course.step, self.course.rig
        if step % settings.every or step >= settings.last:
            return False
        gradients = rig.gradients(size)
        self.course.mask_moves("before")
        share = fraction(settings.alpha, step, settings.last)
        for name, weight in zip(self.names, rig.named(self.names), strict=True):
            keep = rig.mask(name)
            kept = int(keep.sum())
            if settings.rule == "rigl":
                scores = gradients[name].abs()
            else:
                drawn = permutation(keep.numel(), *self.draws, "grow", name, step)
                scores = drawn.view(keep.shape).to(rig.device)
            fresh = rig.remask(name, regrown(weight.detach().abs(), keep, scores, int(share * kept + ROUNDING)))
            self.traces.append(Trace(step, TURNOVER, int(fresh) / max(1, kept), name))
        self.course.mask_moves("after")
        return True


def fraction(alpha: float, step: int, last: int) -> float:
    """f(t): the share of a layer's kept weights that an update at step t replaces."""
    return alpha / 2 * (1 + math.cos(math.pi * step / last))


def regrown(sizes: Tensor, keep: Tensor, scores: Tensor, count: int) -> Tensor:
    """`keep` (bool) without its `count` smallest of `sizes`, and with the `count` of largest score among all then left
    out, those dropped included. All of one shape; of equal ones the first in row-major order go, or grow."""
    lasting = keep.flatten()  # a view, or a copy where the layout is another
    kept = lasting.nonzero()[:, 0]
    lasting = lasting.clone()
    lasting[kept[sizes.flatten()[kept].sort(stable=True).indices[:count]]] = False
    free = lasting.logical_not().nonzero()[:, 0]
    lasting[free[scores.flatten()[free].sort(descending=True, stable=True).indices[:count]]] = True
    return lasting.view(keep.shape)
