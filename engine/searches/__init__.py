"""How tickets are found: one file a method, each a generator of trainings that ends every round with a ticket.

A method is a function `search(context)` in a file named like it, "-" written "_". It yields requests and is sent their
answers; it never trains, measures, stores or waits itself, so the same code runs alone in a test and beside other
searches on many workers. Its state is the round and the mask: `Context.begin` gives back those of the last finished
round. A method that trains also says which trainings a round's ticket came from: `members(context, ticket)`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from engine import masks, ratios
from engine.data import Dataset, View
from engine.hooks import Hook
from engine.hooks.early_stop import EarlyStop
from engine.hooks.flow import watching
from engine.masks import Mask
from engine.measurements import Measurement
from engine.networks import State, Weight, build, initialise, weights
from engine.schedules import in_proportion, steps_in_proportion, steps_per_epoch
from engine.training import Result, Training
from presets.schema import (
    AnySearch,
    AtOnce,
    Experiment,
    Hybrid,
    Imp,
    Like,
    OneShot,
    Prac,
    Pruning,
    Recipe,
    Rewinding,
    Transfer,
    steps_of,
)


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
class Measure:
    """Take this measurement; the answer is what it came to."""

    job: Measurement


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
class Sized:
    """Wait for a round of another search of this seed; the answer is how many samples its set has of each segment, None
    without it."""

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
    samples: Tensor | None = None
    """int64: the training samples that the next round is to see, where they are chosen."""
    reasons: Tensor | None = None
    """uint8: why each of them was (`prac.CET`, `prac.CEP`); 0 where its segment's set stayed as it was. None where they
    were drawn at random."""
    hardest: tuple[tuple[tuple[int, str], ...], ...] = ()
    """By member, the samples that this round found hardest, and why, the hardest first."""


@dataclass(frozen=True)
class Given:
    """A ticket of another run, and the images that it cost there beyond the one given before."""

    round: int
    mask: Mask
    start: State
    images: int
    images_forward: int


Request = Train | Measure | Begun | Follow | Sized | Step | Point | Ticket
Search = Generator[Request, Any, None]


@dataclass
class Context:
    """What a method works with: one search of one experiment, for one seed."""

    experiment: Experiment
    name: str
    seed: int
    data: Dataset
    """That of the experiment, corrupted as the search has it."""
    resumed: Ticket | None = None
    """The last finished round, when a run goes on."""
    point: Point | None = None
    """The rewind point, when it was already found."""
    given: tuple[Given, ...] = ()
    """The tickets of another run, for a search that takes them from there."""
    whole_data: Dataset | None = None
    """That of the experiment as it is, where the search sees less of it."""

    @property
    def settings(self) -> AnySearch:
        return self.experiment.searches[self.name]

    @cached_property
    def recipe(self) -> Recipe:
        """That of the search, for all its data."""
        recipe = self.experiment.recipe_of(self.name)
        return in_proportion(recipe, steps_per_epoch(len(self.data.train), recipe.batch), self.per_whole_epoch)

    @property
    def per_whole_epoch(self) -> int:
        """Optimizer steps of an epoch of all the experiment's data."""
        whole = self.whole_data or self.data
        return steps_per_epoch(len(whole.train), self.experiment.recipe_of(self.name).batch)

    @property
    def rewind_step(self) -> int:
        """The step that every round goes back to; 0 where it is the initialisation."""
        settings = self.settings
        if not isinstance(settings, Rewinding):
            return 0
        return steps_in_proportion(settings.rewind, self.per_epoch, self.per_whole_epoch)

    @property
    def per_epoch(self) -> int:
        """Optimizer steps of an epoch of all the search's data."""
        return steps_per_epoch(len(self.data.train), self.recipe.batch)

    @property
    def pruning(self) -> Pruning:
        """The settings of a search that prunes by rounds."""
        settings = self.settings
        assert isinstance(settings, Pruning)
        return settings

    @property
    def leader(self) -> str | None:
        """The search whose counts, or sizes of sets, it takes round by round."""
        settings = self.settings
        if isinstance(settings, Prac):
            return settings.sizes.like if settings.sizes else None
        return settings.rate.like if isinstance(settings, Imp) and isinstance(settings.rate, Like) else None

    @cached_property
    def weights(self) -> list[Weight]:
        """Every weight that counts, of the network with its full head."""
        return weights(build(self.experiment.network, self.data.shape, self.data.classes))

    @cached_property
    def kinds(self) -> dict[str, str]:
        """Layer kind of every prunable weight, from input to output.

        Of a given mask they are those that it holds but the head's: that is another data set's, here it is new and
        whole.
        """
        if isinstance(self.settings, Transfer):
            held = {name for ticket in self.given[:1] for name in ticket.mask}
            return {w.name: w.kind for w in self.weights if w.name in held and w.kind != "head"}
        return prunable(self.experiment, self.name, self.weights)

    def initial(self, classes: int | None = None) -> State:
        """The common initialisation W_0 with a head of `classes` outputs, by default all."""
        return initialise(self.experiment.network, self.data.shape, classes or self.data.classes, self.seed)

    def whole(self) -> Mask:
        """The mask that prunes nothing."""
        return masks.full({w.name: w.shape for w in self.weights if w.name in self.kinds})

    def begin(self) -> tuple[int, Mask]:
        """The last finished round and its mask; 0 and the full mask at first."""
        if self.resumed:
            return self.resumed.round, self.resumed.mask
        return 0, self.whole()

    def finished(self, mask: Mask, number: int) -> bool:
        """Whether the search has reached its target after round `number`."""
        settings = self.pruning
        if settings.rounds is not None and number >= settings.rounds:
            return True
        if settings.until is None:
            return False
        pruned = sum(keep.numel() for keep in mask.values()) - masks.alive(mask)
        return reached(settings, pruned, self.kinds, self.weights)

    def training(
        self,
        start: State,
        mask: Mask,
        view: View | None = None,
        step: int = 0,
        recipe: Recipe | None = None,
        hooks: tuple[Hook, ...] = (),
    ) -> Training:
        """A training of this search: by default on all its data; `step` counts steps of the whole data's epochs.

        On a view with shorter epochs, or with a shorter recipe, it starts at the same place of the schedule, and goes
        through the same places.
        """
        view, recipe = view or self.data.all(), recipe or self.recipe
        per_epoch = steps_per_epoch(len(view.samples), recipe.batch)
        steps, whole = recipe.epochs * per_epoch, self.recipe.epochs * self.per_epoch
        step, recipe = round(step * steps / whole), in_proportion(recipe, steps, whole)
        hooks = watching(self.experiment) + hooks + self._stop(recipe, per_epoch)
        return Training(self.experiment.network, recipe, view, self.seed, start, mask, step, hooks=hooks)

    def _stop(self, recipe: Recipe, per_epoch: int) -> tuple[Hook, ...]:
        """What ends a training early, where the search asks for it."""
        settings = self.settings
        if not isinstance(settings, Rewinding | Hybrid) or settings.stop is None:
            return ()
        stop = settings.stop
        if isinstance(settings, Hybrid):
            kept = self.counts(settings.ratios, settings.sparsity[-1])
            sizes = {weight.name: weight.count for weight in self.weights}
            pools: list[tuple[float, tuple[str, ...]]] = [(1 - kept[name] / sizes[name], (name,)) for name in kept]
        elif isinstance(settings, OneShot):
            rates = dict.fromkeys(self.kinds.values(), settings.sparsity[-1])
            pools = masks.pools(self.kinds, rates, settings.scope)
        else:
            pools = masks.pools(self.kinds, self.pruning.rates(), settings.scope)
        return (EarlyStop(tuple(pools), stop.epsilon, stop.window, stop.armed, steps_of(recipe.warmup, per_epoch)),)

    def rewind_point(self) -> Generator[Request, Any, tuple[State, int]]:
        """Weights and step that every round goes back to: W_0, or W_k trained once on all the data.

        Frankle et al., arXiv 1912.05671, section 3.
        """
        step = self.rewind_step
        if step == 0:
            return self.initial(), 0
        if self.point is None:
            view = self.data.all()
            job = Training(self.experiment.network, self.recipe, view, self.seed, self.initial(), {}, end_step=step)
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

    # Searches that find all their tickets at once

    @property
    def levels(self) -> tuple[float, ...]:
        """Sparsities of their tickets."""
        settings = self.settings
        assert isinstance(settings, AtOnce)
        return settings.sparsity

    def lowest(self, scores: Mapping[str, Tensor], level: float, scope: str = "global") -> Mask:
        """The full mask without the share `level` of lowest scores, all layers together, or by kind or layer."""
        mask = self.whole()
        for rate, pool in masks.pools(self.kinds, dict.fromkeys(self.kinds.values(), level), scope):
            mask = masks.prune_lowest(scores, mask, pool, masks.due(rate, masks.alive(mask, pool)))
        return mask

    def counts(self, rule: str, level: float) -> dict[str, int]:
        """Weights that a rule keeps of each prunable layer at the sparsity `level`.

        Raises:
            ValueError: the rule cannot keep so few.
        """
        layers = [weight for weight in self.weights if weight.name in self.kinds]
        total = sum(weight.count for weight in layers)
        return ratios.counts(rule, layers, total - masks.due(level, total), self.experiment.network.name)

    def trained(self, job_of: Callable[[int], Training]) -> Generator[Request, Any, None]:
        """A training of its own for each sparsity, numbered from 1, as a round; it ends with its ticket's mask, which a
        hook has moved. Goes on after the last one found."""
        for number in range(self.begin()[0] + 1, len(self.levels) + 1):
            job = job_of(number)
            results: list[Result] = yield Train(number, (job,))
            mask = {name: results[0].observed[f"mask.{name}"] for name in self.kinds}
            yield Ticket(number, job.mask, mask, (mask,), job.start, job.start_step)

    def tickets(
        self, found: Iterable[Mask], start: State, step: int = 0, images: int | None = None
    ) -> Generator[Request, Any, None]:
        """A ticket for each mask, as rounds 1, 2 and so on; the first bears what all cost: `images`, where no training
        has begun it.

        They are asked for without a wait between them, so one transaction holds them: a run that goes on has found all
        of them, or none.
        """
        for number, mask in enumerate(found, 1):
            if number > 1 or images is not None:
                yield Train(number, (), images=(images or 0) if number == 1 else 0)
            yield Ticket(number, self.whole(), mask, (mask,), start, step)


def prunable(experiment: Experiment, name: str, weights: Sequence[Weight]) -> dict[str, str]:
    """Layer kind of every weight that a search of this network may prune, from input to output."""
    settings = experiment.searches[name]
    settings = settings if isinstance(settings, AtOnce) else leader(experiment, name)
    allowed = settings.layers if isinstance(settings, AtOnce) else settings.rates()
    spared = weights[0].name if settings.spare_first else ""
    return {weight.name: weight.kind for weight in weights if weight.kind in allowed and weight.name != spared}


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
    return _file(context).search(context)


def members(context: Context, ticket: Ticket) -> tuple[Training, ...]:
    """The trainings that a ticket was pruned from; none where its method does not train for it."""
    found = getattr(_file(context), "members", None)
    return found(context, ticket) if found else ()


def _file(context: Context) -> ModuleType:
    return import_module(f"engine.searches.{context.settings.method.replace('-', '_')}")


def removed(before: Mask, after: Mask, kinds: Mapping[str, str]) -> dict[str, int]:
    """Weights that went, by layer kind."""
    counts: dict[str, int] = dict.fromkeys(kinds.values(), 0)
    for name, kind in kinds.items():
        counts[kind] += int(torch.count_nonzero(before[name] & ~after[name]))
    return counts
