"""Tiny ImageNet: 200 classes of 64 × 64 colour images, from the archive that Stanford's CS231n published.

Source: Y. Le and X. Yang, "Tiny ImageNet Visual Recognition Challenge", CS 231N, 2015. Its test part has no labels, so
its validation part is our test split, as in the literature; a tenth of its training part is for validation.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import PurePosixPath
from zipfile import BadZipFile, ZipFile
from zlib import error as DeflateError

import torch

from engine.data import missing, parted, prepared
from engine.data.dataset import Dataset, Facts, split_off
from engine.data.decoding import decoded, fill, need_pillow
from engine.data.downloaded import VALIDATION, fetching
from engine.data.prepared import DataError, place, preparing
from engine.vision import torchvision
from presets.schema import Data

URL = "http://cs231n.stanford.edu/tiny-imagenet-200.zip"
MD5 = "90528d7ca1a48142e341f4ef8d21d0de"
SIZE = 248_100_043  # bytes
HOST = "cs231n.stanford.edu"
NAME = "tiny-imagenet"
DOWNLOAD = f"{SIZE / 1e6:.0f} MB from {HOST}"
SIDE = 64


def facts(data: Data) -> Facts:
    return (
        parted.facts(NAME, DOWNLOAD) if there(data) else Facts((3, SIDE, SIDE), 200, 90_000, 10_000, 10_000, DOWNLOAD)
    )


def there(data: Data) -> bool:
    return prepared.there(NAME)


def load(data: Data) -> Dataset:
    """The whole set.

    Raises:
        DataError: it has not been downloaded, or is not whole any more.
    """
    if not there(data):
        raise DataError(missing(data, DOWNLOAD))
    return parted.dataset(NAME, NAME)


def prepare(data: Data, say: Callable[[str], None]) -> None:
    """Download, verify, decode (a minute) and keep as a prepared set of 1.4 GB.

    Raises:
        DataError: no network, something else than was published, or no room.
        VisionMissing: torchvision or pillow cannot be used.
    """
    need_pillow(NAME)
    download = torchvision(NAME).datasets.utils.download_url
    with preparing(NAME) as draft:
        archive = draft.folder / "raw.zip"
        with fetching(NAME, HOST, SIZE, draft.folder, say):
            download(URL, draft.folder, filename=archive.name, md5=MD5)
        try:
            with ZipFile(archive) as opened:
                _decode(opened, draft, say)
        except (BadZipFile, DeflateError, KeyError, ValueError) as error:
            words = " ".join(str(error).split())
            raise DataError(f"{NAME}: {URL} is not an archive of that set ({words}): try again later") from None
        archive.unlink()
    say(f"{NAME} is ready in {place(NAME)}")


def _decode(archive: ZipFile, draft: prepared.Draft, say: Callable[[str], None]) -> None:
    """The archive's images into the draft, class ids sorted; read where they lie, without unpacking 110,000 files.

    Raises:
        BadZipFile, KeyError, ValueError: the archive is not built like the published one.
    """
    files = [PurePosixPath(name) for name in archive.namelist()]
    (ids_at,) = (file for file in files if file.name == "wnids.txt")
    root = ids_at.parent
    ids = sorted(archive.read(str(ids_at)).decode().split())
    number = {class_id: label for label, class_id in enumerate(ids)}
    learnt = sorted(file for file in files if file.match("train/*/images/*.JPEG"))
    told = (line.split("\t") for line in archive.read(f"{root}/val/val_annotations.txt").decode().splitlines())
    tested = sorted((f"{root}/val/images/{name}", class_id) for name, class_id, *_ in told)  # then a box in pixels
    labels = torch.tensor([number[file.parent.parent.name] for file in learnt])
    train, validation = split_off(labels, torch.arange(len(learnt)), VALIDATION, NAME, "validation")
    order = torch.cat([train, validation])
    names = [str(learnt[sample]) for sample in order.tolist()] + [name for name, _ in tested]
    labels = torch.cat([labels[order], torch.tensor([number[class_id] for _, class_id in tested])])

    images = draft.images((len(names), 3, SIDE, SIDE))
    say(f"decoding {len(names):,} images")
    fill(images, lambda place: decoded(io.BytesIO(archive.read(names[place])), SIDE, names[place]), say)
    words = dict(line.split("\t", 1) for line in archive.read(f"{root}/words.txt").decode().splitlines())
    counts = (len(train), len(validation), len(tested))
    parted.finish(draft, images, labels.numpy(), counts, [words[class_id] for class_id in ids])
