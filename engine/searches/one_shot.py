"""One-shot magnitude pruning (OMP): train once, prune once to each sparsity, go back to the start (Frankle & Carbin,
arXiv 1803.03635, section 2; Ma et al., arXiv 2107.00166, set it against IMP)."""

from __future__ import annotations

from engine.searches import Context, Search, Step, Ticket, Train
from engine.training import Training
from presets.schema import OneShot


def search(context: Context) -> Search:
    settings = context.settings
    assert isinstance(settings, OneShot)
    if context.resumed:
        return
    start, step = yield from context.rewind_point()
    [trained] = yield Train(1, (context.training(start, context.whole(), step=step),))
    yield Step("prune")
    sizes = {name: trained.state[name].abs() for name in context.kinds}
    found = (context.lowest(sizes, level, settings.scope) for level in context.levels)
    yield from context.tickets(found, start, step)


def members(context: Context, ticket: Ticket) -> tuple[Training, ...]:
    return (context.training(ticket.start, context.whole(), step=ticket.start_step),)
