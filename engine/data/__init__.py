"""Data sets, resident as bytes: one file a source, and `load` that finds them by name.

A file of a source has `facts(data)`, what is known before the images are there; `there(data)`, whether they are;
`load(data)`, the whole set; and, where it must first be made, `prepare(data, say)`, which downloads, draws or decodes
it into a folder of `prepared.py` and says what it does. `variations` changes a set as a preset asks.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from types import ModuleType

from engine.data.dataset import Dataset, Facts, View, stand_in
from engine.data.prepared import DataError
from engine.data.variations import corrupted, varied
from presets.schema import Data

__all__ = ["DataError", "Dataset", "Facts", "View", "corrupted", "expected", "facts", "load", "prepare", "there"]

SOURCES = {
    "digits": "digits",
    "glyphs": "glyphs",
    "mnist": "downloaded",
    "fashion-mnist": "downloaded",
    "cifar10": "downloaded",
    "cifar100": "downloaded",
    "tiny-imagenet": "tiny_imagenet",
    "folder": "folder",
}
"""The file that each data set comes from."""


def load(data: Data) -> Dataset:
    """The data set that a preset names, as it asks for it.

    Raises:
        DataError: it is not there, not whole, or does not hold what the preset asks for.
    """
    return varied(_source(data).load(data), data)


def expected(data: Data) -> Dataset:
    """The data set where it is there, else a stand-in of its shape (`there` is False), to forecast with.

    Raises:
        DataError: nothing can be known of it, or it does not hold what the preset asks for.
    """
    if there(data):
        return load(data)
    return varied(stand_in(data.name, facts(data)), data)


def there(data: Data) -> bool:
    """Whether the set is on this machine, whole and up to date.

    Raises:
        DataError: it is there and of no use.
    """
    return _source(data).there(data)


def facts(data: Data) -> Facts:
    """What is known of the set that a preset names, before it is changed as the preset asks."""
    return _source(data).facts(data)


def prepare(data: Data, say: Callable[[str], None], download: bool = False) -> None:
    """Have the images on this machine, whole: made here, or downloaded where that is allowed.

    Raises:
        DataError: that cannot be done, or nobody asked for the download; says what to do.
    """
    if there(data):
        return
    needed = facts(data).download
    if needed and not download:
        raise DataError(missing(data, needed))
    _source(data).prepare(data, say)


def missing(data: Data, needed: str) -> str:
    """What to say of a set that has to be downloaded."""
    return f"{data.name} is not on this machine: `tombola data {data.name} --fetch` gets it ({needed})"


def _source(data: Data) -> ModuleType:
    return import_module(f"engine.data.{SOURCES[data.name]}")
