"""Prepared sets whose images lie in the order of their parts: those to train on, for validation, for the test.

So nothing has to be drawn when a set is read, and training on a mapped file goes through one stretch of it. The card
holds what takes time to find: constants and identity.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from engine.data.dataset import Dataset, Facts, constants
from engine.data.prepared import DataError, Draft, place, read

PARTS = ("train", "validation", "test")
WHITE = 255.0
HASHED = 4096  # images hashed at once: a mapped file is never in memory as a whole


def finish(
    draft: Draft,
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    counts: Sequence[int],
    names: Sequence[str],
    **more: Any,
) -> None:
    """Write what belongs to `images`: labels [N], how many of them each part has [3], the classes' names, and `more`.

    The constants are those of the training part, never the published ones: one rule for every set, a folder of one's
    own included, and no image that is held out decides how inputs look. (The deviations usually given for CIFAR-10,
    0.2023 0.1994 0.2010, are not even those of its pixels but the mean of each image's own.) The identity is a digest
    of images, labels and parts: the same training images with another test set give other results.
    """
    mean, deviation = constants(torch.from_numpy(images), torch.arange(counts[0]), WHITE)
    content = hashlib.sha256(repr((images.shape, *counts)).encode())
    content.update(np.asarray(labels, dtype="<i8").tobytes())
    for start in range(0, len(images), HASHED):
        content.update(images[start : start + HASHED].data)
    card = {
        "classes": len(names),
        "names": list(names),
        "shape": list(images.shape[1:]),
        "parts": dict(zip(PARTS, counts, strict=True)),
        "mean": mean,
        "deviation": deviation,
        "identity": content.hexdigest()[:32],
    }
    draft.finish(labels, {**card, **more})


def dataset(folder: str, called: str) -> Dataset:
    """The set prepared in `folder`, under the name that people know it by.

    Raises:
        DataError: it is not whole; says which file, and to prepare it again.
    """
    held = read(folder)
    try:
        card = held.card
        train, validation, test = torch.arange(len(held.labels)).split([card["parts"][part] for part in PARTS])
        mean, deviation = tuple(card["mean"]), tuple(card["deviation"])
        classes, identity = card["classes"], card["identity"]
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise _of_no_use(folder, error) from None
    return Dataset(
        called,
        identity,
        held.images,
        held.labels,
        classes,
        WHITE,
        mean,
        deviation,
        train,
        validation,
        test,
        held.mapped,
    )


def facts(folder: str, download: str = "") -> Facts:
    """What the card of a prepared set says of it.

    Raises:
        DataError: it cannot be read.
    """
    try:
        held = card(folder)
        channels, height, width = held["shape"]
        train, validation, test = (held["parts"][part] for part in PARTS)
        return Facts((channels, height, width), held["classes"], train, validation, test, download)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise _of_no_use(folder, error) from None


def card(folder: str) -> dict[str, Any]:
    """The card of a prepared set, as it was written.

    Raises:
        OSError, ValueError: there is none, or it is not whole.
    """
    return json.loads((place(folder) / "card.json").read_text())


def _of_no_use(folder: str, error: Exception) -> DataError:
    words = " ".join(str(error).split())
    return DataError(f"{place(folder)} does not hold what was prepared ({words}): delete it and prepare it again")
