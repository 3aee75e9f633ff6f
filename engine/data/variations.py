"""What a preset may change about a data set: fewer classes or samples, noise on labels, another order of pixels.

Each draw comes from `data.draw` and its purpose, not from the experiment's seed: all seeds train on the same data.
Labels of the held-out splits are never touched; the order of pixels changes everywhere.
"""

from __future__ import annotations

import json
from dataclasses import replace

import torch
from torch import Tensor

from engine.data.dataset import Dataset, split_off
from engine.data.prepared import DataError
from engine.draws import generator, permutation
from engine.tensors import digest
from presets.schema import Corruption, Data

MADE_BEFORE = {"name", "path", "size", "classes", "images"}
"""Keys that say which set it is; the others say how it is changed."""


def varied(whole: Dataset, data: Data, *purpose: str) -> Dataset:
    """`whole` as `data` asks for it; `purpose` keeps what is drawn here apart from what was drawn before.

    Raises:
        DataError: a class or sample that does not exist, or too little left to train on.
    """
    asked = data.model_dump(mode="json", exclude=MADE_BEFORE, exclude_defaults=True)
    if not asked:
        return whole
    result = whole
    if data.only is not None:
        result = _of_classes(result, data.only)
    if data.samples is not None:
        result = replace(result, train=result.train[_places(data, len(result.train))])
    if data.fraction < 1.0:
        result = replace(result, train=_fraction(result, data, *purpose))
    if len(result.train) < 2:
        raise DataError(f"data: {len(result.train)} training samples are left of {len(whole.train)}: keep more")
    if data.label_noise:
        result = replace(result, labels=_noisy(result, data, *purpose))
    if data.pixels != "plain" and whole.there:
        result = replace(result, images=_rearranged(result, data, *purpose))
    return replace(result, identity=" ".join([whole.identity, *purpose, json.dumps(asked, sort_keys=True)]))


def corrupted(data: Dataset, settings: Data, corruption: Corruption, chosen: Tensor | None = None) -> Dataset:
    """`data`, made as `settings` asks, corrupted further for a search; itself where there is nothing to corrupt.

    `chosen` are the samples of the subset that it names (int64 indices).

    Raises:
        DataError: too little is left to train on.
    """
    if chosen is not None:
        kept = data.train[torch.isin(data.train, chosen)]
        if len(kept) < 2:
            raise DataError(f"data: {len(kept)} of the {len(chosen)} chosen samples are in this data: two are needed")
        data = replace(data, train=kept, identity=f"{data.identity} subset {digest({'samples': kept})}")
    changes = corruption.model_dump(exclude={"subset"})
    if changes == Corruption().model_dump(exclude={"subset"}):
        return data
    plain = Data(name="digits", draw=settings.draw)
    return varied(data, plain.model_copy(update=changes), "corrupted")


def _of_classes(whole: Dataset, only: tuple[int, ...]) -> Dataset:
    missing = [label for label in only if label >= whole.classes]
    if missing:
        raise DataError(f"data.only: {whole.name} has classes 0 to {whole.classes - 1}, no {missing[0]}")
    renumber = torch.full((whole.classes,), -1)
    renumber[torch.tensor(only)] = torch.arange(len(only))
    labels = renumber[whole.labels]
    train, validation, test = (part[labels[part] >= 0] for part in (whole.train, whole.validation, whole.test))
    return replace(whole, labels=labels, classes=len(only), train=train, validation=validation, test=test)


def _places(data: Data, count: int) -> Tensor:
    assert data.samples is not None
    places = []
    for part in data.samples:
        first, last = map(int, part.split("-"))
        if last >= count:
            raise DataError(f"data.samples: there is no training sample {last}: they are numbered 0 to {count - 1}")
        places.append(torch.arange(first, last + 1))
    return torch.cat(places).unique()


def _fraction(whole: Dataset, data: Data, *purpose: str) -> Tensor:
    """At least one sample of every class stays."""
    return split_off(whole.labels, whole.train, data.fraction, data.draw, *purpose, "fraction")[1]


def _noisy(whole: Dataset, data: Data, *purpose: str) -> Tensor:
    """Labels of a share of the training samples drawn anew, which may hit the old one (Zhang et al. 2017, section 2.2;
    at 1.0 the random labels of Su et al., arXiv 2009.11094)."""
    count = len(whole.train)
    chosen = whole.train[permutation(count, data.draw, *purpose, "noisy samples")[: round(data.label_noise * count)]]
    labels = whole.labels.clone()
    draw = generator(data.draw, *purpose, "noisy labels")
    labels[chosen] = torch.randint(whole.classes, (len(chosen),), generator=draw)
    return labels


def _rearranged(whole: Dataset, data: Data, *purpose: str) -> Tensor:
    """All channels of a pixel move together."""
    if whole.mapped:
        raise DataError(f'data.pixels = "{data.pixels}" needs the images in memory, and {whole.name} is too large')
    flat = whole.images.flatten(2)
    size = flat.shape[2]
    if data.pixels == "permuted":
        return flat[:, :, permutation(size, data.draw, *purpose, "pixels")].view_as(whole.images)
    draw = generator(data.draw, *purpose, "pixels")
    moved = torch.empty_like(flat)
    for part, into in zip(flat.split(1000), moved.split(1000), strict=True):
        order = torch.rand(len(part), 1, size, generator=draw).argsort(2).expand_as(part)
        into.copy_(part.gather(2, order))
    return moved.view_as(whole.images)
