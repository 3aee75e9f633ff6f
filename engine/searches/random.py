"""Random tickets: counts by a rule that looks at no data, positions at random; nothing is trained to find them.

With smart-ratio these are the random tickets of Su et al. (arXiv 2009.11094, section 4). Each sparsity is drawn anew.
"""

from __future__ import annotations

from engine import masks
from engine.searches import Context, Search
from presets.schema import RandomTickets


def search(context: Context) -> Search:
    settings = context.settings
    assert isinstance(settings, RandomTickets)
    if context.resumed:
        return
    shapes = {weight.name: weight.shape for weight in context.weights}
    found = (
        masks.drawn(context.counts(settings.ratios, level), shapes, context.seed, "random", context.name, number)
        for number, level in enumerate(context.levels, 1)
    )
    yield from context.tickets(found, context.initial(), images=0)
