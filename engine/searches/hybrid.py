"""Hybrid tickets: each layer's count by a rule that looks at no data, its largest weights after training; what they are
then is the start, with the schedule from its beginning (Su et al., arXiv 2009.11094, section 5)."""

from __future__ import annotations

from engine import masks
from engine.searches import Context, Search, Step, Train
from presets.schema import Hybrid


def search(context: Context) -> Search:
    settings = context.settings
    assert isinstance(settings, Hybrid)
    if context.resumed:
        return
    [trained] = yield Train(1, (context.training(context.initial(), context.whole()),))
    yield Step("prune")
    sizes = {name: trained.state[name].abs() for name in context.kinds}
    found = (masks.largest(sizes, context.counts(settings.ratios, level)) for level in context.levels)
    yield from context.tickets(found, trained.state)
