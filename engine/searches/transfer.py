"""Tickets of another run on this experiment's data, with a fresh head (COLT, arXiv 2212.12770, on transfer).

Nothing is searched here: masks and starts are those found there, and their cost is that search's. The head, and its
mask where it was pruned, stays behind; norm statistics, which describe the other data, begin anew. Where the start was
rewound to W_k it has seen the other data: compare with arms of mask = "full" and mask = "random" from the same start.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from engine.networks import State
from engine.searches import Context, Search, Ticket, Train


def search(context: Context) -> Search:
    number, mask = context.begin()
    for given in context.given:
        if given.round > number:
            yield Train(given.round, (), given.images, given.images_forward)
            before, mask = mask, {name: given.mask[name] for name in context.kinds}
            yield Ticket(given.round, before, mask, (mask,), fitted(given.start, context.initial()), 0)


def fitted(start: State, here: State) -> State:
    """`start` with the head and the norm statistics of `here`.

    Raises:
        ValueError: a tensor of the body is missing or has another shape; gives both shapes.
    """
    body = {name for name in here if not name.startswith("head.")}
    for name in sorted(body | {name for name in start if not name.startswith("head.")}):
        if _shape(start, name) != _shape(here, name):
            raise ValueError(f"{name} is {_shape(start, name)} there and {_shape(here, name)} here")
    statistics = ("running_mean", "running_var", "num_batches_tracked")
    return {name: start[name] if name in body and not name.endswith(statistics) else here[name] for name in here}


def path(context: Context) -> dict[int, float]:
    """Sparsity of each ticket, over the weights that can be pruned here."""
    kept = {given.round: [given.mask[name] for name in context.kinds] for given in context.given}
    return {
        number: 1 - sum(int(mask.sum()) for mask in masks) / sum(mask.numel() for mask in masks)
        for number, masks in kept.items()
    }


def _shape(tensors: Mapping[str, Tensor], name: str) -> str:
    if name not in tensors:
        return "not there"
    return "×".join(map(str, tensors[name].shape)) or "one number"
