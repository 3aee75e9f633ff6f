"""COLT, cyclic overlapping lottery tickets (Hossain et al., arXiv 2212.12770).

One network a segment of the data, all from one initialisation; each is trained on its segment and pruned from its own
weights; a weight survives only where it survives in all; all are rewound under the common mask, and the cycle turns.

Unlike the published code: last-epoch weights are pruned (test accuracy chooses nothing), norm statistics are rewound
with the weights, sparsity counts prunable weights, and classes that do not divide evenly are dealt out, not dropped.
"""

from __future__ import annotations

import torch

from engine import masks
from engine.data import Dataset, View
from engine.draws import permutation
from engine.masks import Mask
from engine.networks import State
from engine.searches import Context, Search, Step, Ticket, Train
from engine.training import Training
from presets.schema import Colt, Segmented


def search(context: Context) -> Search:
    settings = context.settings
    assert isinstance(settings, Colt)
    views = segments(context.data, settings, context.seed)
    start, step = yield from context.rewind_point()
    number, mask = context.begin()
    while not context.finished(mask, number):
        number += 1
        trained = yield Train(number, _members(context, views, start, mask, step))
        yield Step("prune")
        pruned: tuple[Mask, ...] = tuple(context.prune(result.state, mask) for result in trained)
        yield Step("overlap")
        before, mask = mask, masks.overlap(pruned)
        yield Ticket(number, before, mask, pruned, start, step)


def members(context: Context, ticket: Ticket) -> tuple[Training, ...]:
    settings = context.settings
    assert isinstance(settings, Colt)
    views = segments(context.data, settings, context.seed)
    return _members(context, views, ticket.start, ticket.before, ticket.start_step)


def _members(context: Context, views: list[View], start: State, mask: Mask, step: int) -> tuple[Training, ...]:
    return tuple(context.training(with_head(context, start, view), mask, view, step) for view in views)


def segments(data: Dataset, settings: Segmented, seed: int) -> list[View]:
    """The training data in `settings.segments` parts; one is all of it.

    "class": contiguous blocks of class ids, sizes differing by at most one; "random": sizes differing by at most one;
    "stratified": every class dealt out evenly.

    Raises:
        ValueError: more segments than classes, or than samples.
    """
    count = settings.segments
    if count == 1:
        return [data.all()]
    most = data.classes if settings.split == "class" else len(data.train)
    if count > most:
        what = "classes" if settings.split == "class" else "training samples"
        raise ValueError(f"segments = {count}, but {data.name} has {most} {what}: give at most {most}")
    if settings.split == "class":
        blocks = torch.arange(data.classes).tensor_split(count)
        return [data.of_classes(f"classes {int(b[0])}-{int(b[-1])}", b.tolist()) for b in blocks]
    shuffled = data.train[permutation(len(data.train), seed, "segments")]
    if settings.split == "stratified":
        shuffled = shuffled[data.labels[shuffled].argsort(stable=True)]
    return [
        data.of_samples(f"{settings.split} {member + 1} of {count}", shuffled[member::count]) for member in range(count)
    ]


def with_head(context: Context, start: State, view: View) -> State:
    """`start` with a head for the view's classes: of the initialisation, also when `start` is rewound to a step k,
    since a segment's head was never trained on all the data."""
    if len(view.classes) == context.data.classes:
        return start
    own = context.initial(len(view.classes))
    return {name: own[name] if name.startswith("head.") else tensor for name, tensor in start.items()}
