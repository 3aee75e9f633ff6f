"""How tickets are found: one file a method, each a generator of trainings that ends every round with a ticket.

A method is a function `search(context)` in a file named like it, "-" written "_". It yields requests and is sent their
answers; it never trains, stores or waits itself, so the same code runs alone in a test and beside other searches on
many workers. Its state is the round and the mask: `Context.begin` gives back those of the last finished round.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

import torch
from torch import Tensor

from engine import masks
from engine.data import Dataset, View
from engine.masks import Mask
from engine.networks import State, Weight, build, initialise, weights
from engine.schedules import steps_per_epoch
from engine.training import Result, Training
from presets.schema import AnySearch, Experiment, Like, Pruning, Transfer, steps_of


@dataclass(frozen=True)
class Train:
    """Do these trainings, one a member; the answer is a list of their `Result`s.

    A round whose ticket was paid for elsewhere has no members and says what that cost.
    """

    round: int
    members: tuple[Training, ...]
    images: int = 0
    images_forward: int = 0


@dataclass(frozen=True)
class Follow:
    """Wait for a round that another search of this seed has begun; the answer is what it removed, by layer kind."""

    search: str
    round: int


@dataclass(frozen=True)
class Begun:
    """Wait until another search of this seed begins a round; the answer is whether it does, False if it ended before.

    Asked before the round's training, so that a training both share is under way for both at once.
    """

    search: str
    round: int


@dataclass(frozen=True)
class Step:
    """The round has come to its next step: "prune" or "overlap"."""

    name: str


@dataclass(frozen=True)
class Point:
    """The end of round 0: the weights at step k that later rounds go back to (late rewinding)."""

    start: State
    step: int


@dataclass(frozen=True)
class Ticket:
    """The end of a round: the mask found, each member's own, and the weights and step to start from."""

    round: int
    before: Mask
    mask: Mask
    members: tuple[Mask, ...]
    start: State
    start_step: int


@dataclass(frozen=True)
class Given:
    """A ticket of another run, and the images that its search saw for it since the one given before."""

    round: int
    mask: Mask
    start: State
    images: int
    images_forward: int


Request = Train | Begun | Follow | Step | Point | Ticket
Search = Generator[Request, Any, None]


@dataclass
class Context:
    """What a method works with: one search of one experiment, for one seed."""

    experiment: Experiment
    name: str
    seed: int
    data: Dataset
    resumed: Ticket | None = None
    """The last finished round, when a run goes on."""
    point: Point | None = None
    """The rewind point, when it was already found."""
    given: tuple[Given, ...] = ()
    """The tickets of another run, for a search that takes them from there."""

    @property
    def settings(self) -> AnySearch:
        return self.experiment.searches[self.name]

    @property
    def pruning(self) -> Pruning:
        """The settings of a search that prunes."""
        settings = self.settings
        assert isinstance(settings, Pruning)
        return settings

    @cached_property
    def weights(self) -> list[Weight]:
        """Every weight that counts, of the network with its full head."""
        return weights(build(self.experiment.network, self.data.shape, self.data.classes))

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Layer kind of every prunable weight: those whose kind has a rate above 0, or that a given mask holds.

        A given mask's head is another data set's: here the head is new and whole.
        """
        if isinstance(self.settings, Transfer):
            held = {name for ticket in self.given[:1] for name in ticket.mask}
            return {w.name: w.kind for w in self.weights if w.name in held and w.kind != "head"}
        rates = leader(self.experiment, self.name).rates()
        return {weight.name: weight.kind for weight in self.weights if weight.kind in rates}

    def initial(self, classes: int | None = None) -> State:
        """The common initialisation W_0 with a head of `classes` outputs, by default all."""
        return initialise(self.experiment.network, self.data.shape, classes or self.data.classes, self.seed)

    def begin(self) -> tuple[int, Mask]:
        """The last finished round and its mask; 0 and the full mask at first."""
        if self.resumed:
            return self.resumed.round, self.resumed.mask
        return 0, masks.full({w.name: w.shape for w in self.weights if w.name in self.kinds})

    def finished(self, mask: Mask, number: int) -> bool:
        """Whether the search has reached its target after round `number`."""
        settings = self.pruning
        if settings.rounds is not None and number >= settings.rounds:
            return True
        if settings.until is None:
            return False
        pruned = sum(keep.numel() for keep in mask.values()) - masks.alive(mask)
        return reached(settings, pruned, self.kinds, self.weights)

    def training(self, start: State, mask: Mask, view: View | None = None, step: int = 0) -> Training:
        """A training of this search: by default on all the data; `step` counts steps of the whole data's epochs.

        On a view with shorter epochs it starts at the same place of the schedule.
        """
        view = view or self.data.all()
        recipe = self.experiment.recipe
        whole, part = (steps_per_epoch(len(v.samples), recipe.batch) for v in (self.data.all(), view))
        return Training(
            self.experiment.network, recipe, view, self.seed, start, mask, start_step=round(step * part / whole)
        )

    def rewind_point(self) -> Generator[Request, Any, tuple[State, int]]:
        """Weights and step that every round goes back to: W_0, or W_k trained once on all the data.

        Frankle et al., arXiv 1912.05671, section 3.
        """
        recipe, view = self.experiment.recipe, self.data.all()
        step = steps_of(self.pruning.rewind, steps_per_epoch(len(view.samples), recipe.batch))
        if step == 0:
            return self.initial(), 0
        if self.point is None:
            job = Training(self.experiment.network, recipe, view, self.seed, self.initial(), {}, end_step=step)
            results: list[Result] = yield Train(0, (job,))
            self.point = Point(results[0].state, step)
            yield self.point
        return self.point.start, step

    def prune(self, state: Mapping[str, Tensor], mask: Mask) -> Mask:
        """`mask` without this round's share of its smallest weights, by the search's own rates and scope."""
        settings = self.pruning
        for rate, pool in masks.pools(self.kinds, settings.rates(), settings.scope):
            mask = masks.prune(state, mask, pool, masks.due(rate, masks.alive(mask, pool)))
        return mask


def reached(settings: Pruning, pruned: int, kinds: Iterable[str], weights: list[Weight]) -> bool:
    """Whether `pruned` weights meet `settings.until`, as a share of the prunable or of all counted weights."""
    assert settings.until is not None
    prunable = sum(weight.count for weight in weights if weight.name in kinds)
    base = prunable if settings.of == "prunable" else sum(weight.count for weight in weights)
    return pruned >= settings.until * base - 1e-6  # a count is whole; 1e-6 forgives the product's rounding


def leader(experiment: Experiment, name: str) -> Pruning:
    """The search itself, or the one whose counts it copies."""
    settings = experiment.searches[name]
    assert isinstance(settings, Pruning)
    found = experiment.searches[settings.rate.like] if isinstance(settings.rate, Like) else settings
    assert isinstance(found, Pruning)
    return found


def start(context: Context) -> Search:
    """The generator of the context's method."""
    method = context.settings.method
    return import_module(f"engine.searches.{method.replace('-', '_')}").search(context)


def removed(before: Mask, after: Mask, kinds: Mapping[str, str]) -> dict[str, int]:
    """Weights that went, by layer kind."""
    counts: dict[str, int] = dict.fromkeys(kinds.values(), 0)
    for name, kind in kinds.items():
        counts[kind] += int(torch.count_nonzero(before[name] & ~after[name]))
    return counts
