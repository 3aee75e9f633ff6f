"""Iterative magnitude pruning (Frankle & Carbin, arXiv 1803.03635, section 2), with late rewinding (arXiv 1912.05671).

Train, prune the smallest of the remaining weights, rewind, repeat. With `rate.like` it prunes each round exactly as
many weights of each layer kind as another search did: the control that tells which weights from how many.
"""

from __future__ import annotations

from engine import masks
from engine.searches import Begun, Context, Follow, Search, Step, Ticket, Train
from engine.training import Training
from presets.schema import Like


def search(context: Context) -> Search:
    start, step = yield from context.rewind_point()
    number, mask = context.begin()
    rate = context.pruning.rate
    while not context.finished(mask, number):
        number += 1
        if isinstance(rate, Like) and not (yield Begun(rate.like, number)):
            return
        [trained] = yield Train(number, (context.training(start, mask, step=step),))
        yield Step("prune")
        before = mask
        if isinstance(rate, Like):
            counts = yield Follow(rate.like, number)
            for kind, count in counts.items():
                pool = tuple(name for name, own in context.kinds.items() if own == kind)
                mask = masks.prune(trained.state, mask, pool, count)
        else:
            mask = context.prune(trained.state, mask)
        yield Ticket(number, before, mask, (mask,), start, step)


def members(context: Context, ticket: Ticket) -> tuple[Training, ...]:
    return (context.training(ticket.start, ticket.before, step=ticket.start_step),)
