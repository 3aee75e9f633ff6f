"""Data sets, resident as tensors: one file each, and `load` that finds them by name."""

from __future__ import annotations

from engine.data import digits
from engine.data.dataset import Dataset, View
from presets.schema import Data

__all__ = ["Dataset", "View", "load"]

LOADERS = {"digits": digits.load}


def load(data: Data) -> Dataset:
    """The data set that a preset names, whole and in memory."""
    return LOADERS[data.name]()
