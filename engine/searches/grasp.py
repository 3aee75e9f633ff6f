"""GraSP: remove the weights of largest −w · (H g) at initialisation, all layers together (Wang et al., arXiv
2002.07376)."""

from __future__ import annotations

from engine.searches import Context, Search
from engine.searches.snip import by_saliency


def search(context: Context) -> Search:
    return by_saliency(context, "grasp")
