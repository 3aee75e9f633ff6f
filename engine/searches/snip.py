"""SNIP: keep the weights of largest |w · g| at initialisation, all layers together (Lee et al., arXiv 1810.02340)."""

from __future__ import annotations

from engine.measurements import Measured
from engine.measurements.saliency import Saliency
from engine.searches import Context, Measure, Search
from presets.schema import Grasp, Snip


def search(context: Context) -> Search:
    return by_saliency(context, "snip")


def by_saliency(context: Context, rule: str) -> Search:
    """A ticket for each sparsity by scores at initialisation, which are taken once."""
    settings = context.settings
    assert isinstance(settings, Snip | Grasp)
    if context.resumed:
        return
    start, view, names = context.initial(), context.data.all(), tuple(context.kinds)
    network, recipe = context.experiment.network, context.recipe
    job = Saliency(context.seed, (start,), network, recipe, view, names, settings.images, rule)
    scores: Measured = yield Measure(job)
    found = (context.lowest(scores.tensors, level) for level in context.levels)
    yield from context.tickets(found, start, images=scores.images)
