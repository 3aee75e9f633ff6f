"""What guessing gives: how many held-out images a network gets right that has learnt nothing."""

from __future__ import annotations

import math
from functools import lru_cache

import torch

from engine.data import Dataset, View

CONFIDENCE = 0.999
"""Of a thousand networks that guess, one is taken for one that has learnt."""


def most_by_guessing(data: Dataset, view: View, split: str = "validation") -> int:
    """Images of a split that guessing gets right, at most, `CONFIDENCE` of the time: a one-sided binomial bound.

    A network that always gives one answer guesses, too; so an image is got right with the share of the largest of the
    view's classes.
    """
    labels = data.targets(view)[data.held_out(view, split)]
    if not len(labels):
        return 0
    return quantile(len(labels), int(torch.bincount(labels).max()) / len(labels))


@lru_cache
def quantile(count: int, share: float, confidence: float = CONFIDENCE) -> int:
    """The smallest k with P(X ≤ k) ≥ `confidence`, for X binomial: `count` draws that succeed with chance `share`."""
    if share >= 1.0:
        return count
    log_odds, constant = math.log(share / (1.0 - share)), math.lgamma(count + 1) + count * math.log1p(-share)
    below = 0.0
    for k in range(count):
        below += math.exp(constant - math.lgamma(k + 1) - math.lgamma(count - k + 1) + k * log_odds)
        if below >= confidence:
            return k
    return count
