"""Gradual magnitude pruning: a dense network loses its smallest weights while it trains (Zhu & Gupta, arXiv
1710.01878). Each sparsity is a training of its own; its ticket is the mask that it ended with."""

from __future__ import annotations

from functools import partial

from engine import masks
from engine.hooks.gradual import Gradual
from engine.searches import Context, Search, Ticket
from engine.training import Training
from presets.schema import Gmp, steps_of


def search(context: Context) -> Search:
    yield from context.trained(partial(_training, context))


def members(context: Context, ticket: Ticket) -> tuple[Training, ...]:
    return (_training(context, ticket.round),)


def _training(context: Context, number: int) -> Training:
    """That of the `number`-th sparsity, from 1."""
    settings = context.settings
    assert isinstance(settings, Gmp)
    level = context.levels[number - 1]
    rates = dict.fromkeys(context.kinds.values(), level)
    pools = tuple(names for _, names in masks.pools(context.kinds, rates, settings.scope))
    begin, end = (steps_of(length, context.per_epoch) for length in (settings.begin, settings.end))
    hook = Gradual(pools, level, begin, end, settings.every)
    return context.training(context.initial(), context.whole(), hooks=(hook,))
