"""PrAC: tickets found on the few samples that matter, pruning-aware critical ones (arXiv 2106.03225).

A round trains on its set, counting how often each sample is forgotten; the next round's set are the samples forgotten
more than a few times (CET) and those that the dense network and the sparse one answer differently (CEP). It is built
anew every round, and with `stop` a round ends when its mask has come to rest.

As controls a set may be of CET or CEP alone, or drawn at random at the sizes of another search's.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
from torch import Tensor

from engine.draws import permutation
from engine.hooks.forgetting import NEVER, Forgetting
from engine.masks import Mask
from engine.measurements import Measured
from engine.measurements.disagreement import Disagreement
from engine.networks import State
from engine.searches import Context, Measure, Request, Search, Sized, Step, Ticket, Train
from engine.training import Result, Training
from presets.schema import Prac, Recipe

CET, CEP = 1, 2
"""Bits of why a sample is in a set: from training, from pruning."""

SHOWN = 100
"""Hardest samples that are written down of each round."""

LEAST = 2
"""Samples that a set must have, since a norm layer needs two; a smaller one is not taken, the one before stays."""


def search(context: Context) -> Search:
    settings = context.settings
    assert isinstance(settings, Prac)
    start, step = yield from context.rewind_point()
    number, mask = context.begin()
    samples = context.resumed.samples if context.resumed and context.resumed.samples is not None else context.data.train
    while not context.finished(mask, number):
        number += 1
        job = _training(context, start, mask, step, samples)
        results: list[Result] = yield Train(number, (job,))
        yield Step("prune")
        before, mask = mask, context.prune(results[0].state, mask)
        count, reasons = None, None
        if settings.sizes:
            count = yield Sized(settings.sizes.like, number)
            drawn = permutation(len(context.data.train), context.seed, "subset", context.name, number)[:count]
            samples = context.data.train[drawn].sort().values
        else:
            samples, reasons = yield from _critical(context, job, results[0], mask, number)
        shown = hardest(job.view.samples, results[0].observed["forgotten"])
        yield Ticket(number, before, mask, (mask,), start, step, samples, reasons, shown)
        if settings.sizes and count is None:  # the other search ended before: there is no size to take any more
            return


def _training(context: Context, start: State, mask: Mask, step: int, samples: Tensor) -> Training:
    """A round's training on its set, which it counts forgetting in. A set of a share of the data takes that share of
    the iterations, since its epochs are so much shorter; "quadratic" makes them as much fewer, too."""
    settings, data = context.settings, context.data
    assert isinstance(settings, Prac)
    whole = len(samples) == len(data.train)
    view = data.all() if whole else data.of_samples("critical", samples)
    recipe = context.recipe
    if settings.length == "quadratic" and not whole:
        recipe = shortened(recipe, len(samples) / len(data.train))
    return context.training(start, mask, view, step, recipe=recipe, hooks=(Forgetting(),))


def hardest(samples: Tensor, forgotten: Tensor) -> tuple[tuple[int, str], ...]:
    """The samples forgotten most often, of equal ones the first, with why in words; those never forgotten are not
    hard."""
    order = forgotten.sort(descending=True, stable=True).indices[:SHOWN]
    found = []
    for sample, times in zip(samples[order].tolist(), forgotten[order].tolist(), strict=True):
        if times:
            words = "never learned" if times == NEVER else f"forgotten {times} time{'s' * (times > 1)}"
            found.append((sample, words))
    return tuple(found)


def shortened(recipe: Recipe, share: float) -> Recipe:
    """The recipe with its epochs, milestones and warmup at `share` of their length, at least one epoch."""

    def length(text: str) -> str:
        count, unit = text.split()
        return f"{round(int(count) * share)} {unit}"

    changes = {
        "epochs": max(1, round(recipe.epochs * share)),
        "milestones": tuple(length(text) for text in recipe.milestones),
        "warmup": length(recipe.warmup),
    }
    return recipe.model_copy(update=changes)


def _critical(
    context: Context, job: Training, trained: Result, after: Mask, number: int
) -> Generator[Request, Any, tuple[Tensor, Tensor | None]]:
    """The next round's set: int64 indices in rising order, and uint8 reasons."""
    settings = context.settings
    assert isinstance(settings, Prac)
    why = torch.zeros(len(context.data.labels), dtype=torch.uint8)
    if settings.use != "pruning":
        forgotten = trained.observed["forgotten"]
        why[job.view.samples[forgotten > settings.forgotten]] |= CET
    if settings.use != "training" and (settings.against == "before" or number > 1):  # the first is the dense network
        dense: Training | State = trained.state
        sparse: Training | State = {n: t * after[n] if n in after else t for n, t in trained.state.items()}
        if settings.against == "first":
            start, step = yield from context.rewind_point()
            dense, sparse = _training(context, start, context.whole(), step, context.data.train), trained.state
        different: Measured = yield Measure(
            Disagreement(context.seed, (dense, sparse), context.experiment.network, context.recipe, context.data.all())
        )
        why[context.data.train[different.tensors["different"]]] |= CEP
    samples = why.nonzero()[:, 0]
    return (samples, why[samples]) if len(samples) >= LEAST else (job.view.samples, None)
