"""PrAC: tickets found on the few samples that matter, pruning-aware critical ones (arXiv 2106.03225).

A round trains on its set, counting how often each sample is forgotten; the next round's set are the samples forgotten
more than a few times (CET) and those that the dense network and the sparse one answer differently (CEP). It is built
anew every round, and with `stop` a round ends when its mask has come to rest.

With segments, COLT's members (arXiv 2212.12770) each train on the samples that matter of their own segment: each is
pruned by its own weights and chooses its own next set, the ticket is the overlap, and a round's set their union.

As controls a set may be of CET or CEP alone, or drawn at random at the sizes of another search's.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from engine import masks
from engine.data import View
from engine.draws import permutation
from engine.hooks.best import BEST, Best
from engine.hooks.forgetting import NEVER, Forgetting
from engine.masks import Mask
from engine.measurements import Measured, Observed
from engine.measurements.disagreement import Disagreement
from engine.networks import State
from engine.searches import Context, Measure, Request, Search, Sized, Step, Ticket, Train
from engine.searches.colt import segments, with_head
from engine.training import Result, Training
from presets.schema import Prac, Recipe, steps_of

CET, CEP = 1, 2
"""Bits of why a sample is in a set: from training, from pruning."""

SHOWN = 100
"""Hardest samples that are written down of each member of a round."""

LEAST = 2
"""Samples that a set must have, since a norm layer needs two; a smaller one is not taken, the one before stays."""

Chosen = tuple[Tensor, Tensor]
"""A set: int64 indices in rising order, and uint8 reasons, 0 where it has none."""


def search(context: Context) -> Search:
    settings = context.settings
    assert isinstance(settings, Prac)
    parts = segments(context.data, settings, context.seed)
    start, step = yield from context.rewind_point()
    number, mask = context.begin()
    known = context.resumed.samples if context.resumed else None
    if settings.sizes and number and (yield Sized(settings.sizes.like, number)) is None:
        return
    sets = [part.samples for part in parts] if known is None else parted(known, parts)
    while not context.finished(mask, number):
        number += 1
        jobs = tuple(
            _dense(context, start, step, part) if number == 1 else _training(context, start, mask, step, part, samples)
            for part, samples in zip(parts, sets, strict=True)
        )
        results: list[Result] = yield Train(number, jobs)
        yield Step("prune")
        pruned = tuple(context.prune(result.state, mask) for result in results)
        if len(parts) > 1:
            yield Step("overlap")
        before, mask = mask, masks.overlap(pruned)
        hard = tuple(
            hardest(job.view.samples, result.observed["forgotten"]) for job, result in zip(jobs, results, strict=True)
        )
        chosen: list[Chosen] = []
        if settings.sizes:
            counts = yield Sized(settings.sizes.like, number)
            if counts is None:  # the other search ended before: there is no size to take any more
                yield Ticket(number, before, mask, pruned, start, step, hardest=hard)
                return
            for member, (part, count) in enumerate(zip(parts, counts, strict=True)):
                drawn = permutation(len(part.samples), context.seed, "subset", context.name, number, member)
                chosen.append(_without_reasons(part.samples[drawn[:count]].sort().values))
        else:
            for part, job, result in zip(parts, jobs, results, strict=True):
                chosen.append((yield from _critical(context, part, job, result, mask, number)))
        sets = [samples for samples, _ in chosen]
        samples, reasons = united(chosen)
        yield Ticket(number, before, mask, pruned, start, step, samples, None if settings.sizes else reasons, hard)


def sizes(context: Context, samples: Tensor) -> tuple[int, ...]:
    """How many samples of a round's set (int64 indices) each segment has."""
    assert isinstance(context.settings, Prac)
    return tuple(map(len, parted(samples, segments(context.data, context.settings, context.seed))))


def parted(samples: Tensor, parts: Sequence[View]) -> list[Tensor]:
    """Of each part the samples (int64 indices in rising order) that lie in it."""
    return [samples[torch.isin(samples, part.samples)] for part in parts]


def united(sets: Sequence[Chosen]) -> Chosen:
    """Disjoint sets as one."""
    samples, order = torch.cat([samples for samples, _ in sets]).sort()
    return samples, torch.cat([reasons for _, reasons in sets])[order]


def _without_reasons(samples: Tensor) -> Chosen:
    return samples, torch.zeros(len(samples), dtype=torch.uint8)


def _dense(context: Context, start: State, step: int, part: View) -> Training:
    """A member's training of the first round: one for all searches of equal settings, whether they use CEP or not."""
    assert isinstance(context.settings, Prac)
    job = _training(context, start, context.whole(), step, part, part.samples)
    return replace(job, hooks=(*job.hooks, Best())) if context.settings.against == "best" else job


def _training(context: Context, start: State, mask: Mask, step: int, part: View, samples: Tensor) -> Training:
    """A member's training on its set, which it counts forgetting in. A set of a share of its segment takes that share
    of the iterations, since its epochs are so much shorter; "quadratic" makes them as much fewer, too."""
    settings = context.settings
    assert isinstance(settings, Prac)
    view, recipe = part, context.recipe
    if len(samples) < len(part.samples):
        view = replace(part, name=f"part of {part.name}", samples=samples)
        if settings.length == "quadratic":
            recipe = shortened(recipe, len(samples) / len(part.samples), context.per_epoch)
    return context.training(with_head(context, start, part), mask, view, step, recipe=recipe, hooks=(Forgetting(),))


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


def shortened(recipe: Recipe, share: float, per_epoch: int) -> Recipe:
    """The recipe with `share` of its epochs, at least one. Its milestones and warmup are given in steps, of epochs of
    `per_epoch`: `Context.training` brings them to the same places of the shorter training."""

    def length(text: str) -> str:
        return f"{steps_of(text, per_epoch)} steps"

    lengths = {"milestones": tuple(map(length, recipe.milestones)), "warmup": length(recipe.warmup)}
    return recipe.model_copy(update={"epochs": max(1, round(recipe.epochs * share))} | lengths)


def _critical(
    context: Context, part: View, job: Training, trained: Result, after: Mask, number: int
) -> Generator[Request, Any, Chosen]:
    """A member's next set, of its segment: `after` is the round's ticket, which the next round trains under."""
    settings = context.settings
    assert isinstance(settings, Prac)
    why = torch.zeros(len(context.data.labels), dtype=torch.uint8)
    if settings.use != "pruning":
        forgotten = trained.observed["forgotten"]
        why[job.view.samples[forgotten > settings.forgotten]] |= CET
    if settings.use != "training" and (settings.against == "before" or number > 1):  # the first is the dense network
        dense: Training | Observed | State = trained.state
        sparse: Training | State = {n: t * after[n] if n in after else t for n, t in trained.state.items()}
        if settings.against != "before":
            start, step = yield from context.rewind_point()
            first = _dense(context, start, step, part)
            dense = Observed(first, BEST) if settings.against == "best" else first
            sparse = trained.state
        different: Measured = yield Measure(
            Disagreement(context.seed, (dense, sparse), context.experiment.network, context.recipe, part)
        )
        why[part.samples[different.tensors["different"]]] |= CEP
    samples = why.nonzero()[:, 0]
    return (samples, why[samples]) if len(samples) >= LEAST else _without_reasons(job.view.samples)
