"""RigL: a sparse network from the first step on, whose smallest weights give way to those of largest gradient (Evci et
al., arXiv 1911.11134). All but what grows is as in `set`."""

from engine.searches.set import members, search

__all__ = ["members", "search"]
