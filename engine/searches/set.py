"""SET: a sparse network from the first step on, whose smallest weights give way to others at random (Mocanu et al.,
arXiv 1707.04780, with the schedule of Evci et al., arXiv 1911.11134).

Each sparsity is a training of its own, from a random mask of the rule's counts and the initialisation, or that scaled
to this mask (Evci et al., arXiv 2010.03533, section 3.1); its ticket is the mask that it ended with and that start.
`rigl` differs in what grows.
"""

from __future__ import annotations

from functools import partial

from engine import masks
from engine.hooks.moving import Moving
from engine.networks.sparse import SCALED
from engine.searches import Context, Search, Ticket
from engine.training import Training
from presets.schema import Rigl, Set


def search(context: Context) -> Search:
    yield from context.trained(partial(_training, context))


def members(context: Context, ticket: Ticket) -> tuple[Training, ...]:
    return (_training(context, ticket.round),)


def _training(context: Context, number: int) -> Training:
    """That of the `number`-th sparsity, from 1. SET and RigL of equal settings begin with the same mask."""
    settings = context.settings
    assert isinstance(settings, Set | Rigl)
    level = context.levels[number - 1]
    counts = context.counts(settings.ratios, level)
    shapes = {weight.name: weight.shape for weight in context.weights}
    mask = masks.drawn(counts, shapes, context.seed, "moving", number)
    last = round(settings.until * context.recipe.epochs * context.per_epoch)
    hook = Moving(tuple(context.kinds), settings.method, settings.every, settings.alpha, last)
    start = context.initial()
    if settings.start != "init":
        start = SCALED[settings.start](start, mask)
    return context.training(start, mask, hooks=(hook,))
