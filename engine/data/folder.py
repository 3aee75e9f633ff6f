"""A folder of one's own: class folders, or train/ with class folders, and val/ and test/ where they exist.

What is not there is split off the training images, evenly by class, and that is remembered by file: one keeps its part
when others join it and the set is decoded anew. Decoded images lie prepared under a name of path and size until the
listing (paths, sizes, times) has changed. The order is that of paths, so a folder that was moved is the same set.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from engine.data import parted, prepared
from engine.data.dataset import Dataset, Facts
from engine.data.decoding import decoded, fill, need_pillow
from engine.data.prepared import DataError, place, preparing
from engine.draws import permutation
from presets.schema import Data
from store.places import data_path

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Files that are taken for images, in upper or lower case."""

PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
"""What the folders of parts may be called."""

SHARES = {"validation": 1 / 10, "test": 1 / 6}
"""What is split off the training images of every class for a part that has no folder: as the digits are split."""

SIZE = 64
MADE = 1
"""Part of the listing's digest: a change in how images are decoded raises it, and sets are decoded anew."""


@dataclass(frozen=True)
class Image:
    path: str  # below the folder, with /
    label: int
    part: str


@dataclass(frozen=True)
class Listing:
    """What lies in a folder. `published`: the parts that have folders of their own."""

    root: Path
    classes: tuple[str, ...]
    published: frozenset[str]
    images: tuple[Image, ...]  # by path
    digest: str


def facts(data: Data) -> Facts:
    """Raises: DataError: it cannot be read, or cannot be trained on."""
    listing = _listing(data)
    parts = [image.part for image in _split(listing)]
    size = data.size or SIZE
    train, validation, test = (parts.count(part) for part in parted.PARTS)
    return Facts((3, size, size), len(listing.classes), train, validation, test)


def there(data: Data) -> bool:
    """Whether the images are prepared as they lie in the folder now.

    Raises:
        DataError: there is no such folder, or it is not one of classes.
    """
    return _prepared_from(_listing(data), _name(data))


def load(data: Data) -> Dataset:
    """The whole set, as it was when it was prepared.

    Raises:
        DataError: it is not prepared, or not whole.
    """
    name = _name(data)
    if not prepared.there(name):
        size = data.size or SIZE
        raise DataError(f"{_root(data)} is not prepared at {size} × {size} pixels: a new run does that when it starts")
    return parted.dataset(name, _root(data).name)


def prepare(data: Data, say: Callable[[str], None]) -> None:
    """Decode every image and keep them as a prepared set; one of an older listing goes.

    Raises:
        DataError: the folder is not one of classes, an image cannot be read, or no room.
        VisionMissing: pillow is not installed.
    """
    need_pillow(f"a folder of images ({data.path})")
    listing = _listing(data)
    images = sorted(_split(listing), key=lambda image: (parted.PARTS.index(image.part), image.path))
    name, size = _name(data), data.size or SIZE
    say(f"decoding {len(images):,} images of {len(listing.classes)} classes from {listing.root}")
    if drawn := [part for part in SHARES if part not in listing.published]:
        say(f"{' and '.join(drawn)} split off the training images")

    def decode(number: int) -> np.ndarray:
        file = listing.root / images[number].path
        return decoded(file, size, str(file))

    with preparing(name) as draft:
        pixels = draft.images((len(images), 3, size, size))
        fill(pixels, decode, say)
        counts = [sum(image.part == part for image in images) for part in parted.PARTS]
        labels = [image.label for image in images]
        parted.finish(draft, pixels, labels, counts, listing.classes, path=str(listing.root), listing=listing.digest)
        _remember(listing, images)
        if not _prepared_from(listing, name):  # else somebody was faster
            shutil.rmtree(place(name), ignore_errors=True)
    say(f"{listing.root} is ready in {place(name)}")


def _prepared_from(listing: Listing, name: str) -> bool:
    try:
        return parted.card(name)["listing"] == listing.digest
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _root(data: Data) -> Path:
    path = Path(data.path).expanduser()
    if not path.is_absolute():  # forecast and training start in different folders
        raise DataError(f"data.path: {data.path} is not a whole path: write it from / on")
    return Path(os.path.abspath(path))


def _name(data: Data) -> str:
    return f"{_key(_root(data))}-{data.size or SIZE}"


def _key(root: Path) -> str:
    """Name of a folder's prepared sets and its split: readable, and different for different paths."""
    word = re.sub(r"[^A-Za-z0-9]+", "-", root.name).strip("-")[:40]
    return f"folder-{word}-{hashlib.sha256(os.fsencode(root)).hexdigest()[:10]}"


# What lies in a folder


def _listing(data: Data) -> Listing:
    root = _root(data)
    try:
        if not root.is_dir():
            fault = "is a file" if root.exists() else "does not exist"
            raise DataError(f"data.path: {root} {fault}: name a folder that holds a folder of images for each class")
        folders = _parts(root)
        classes = _classes(root, folders)
        found = [
            (*file, label, part)
            for part, folder in folders.items()
            for label, name in enumerate(classes)
            for file in _of_class(folder / name, root)
        ]
    except OSError as error:
        raise DataError(
            f"{error.filename or root}: {error.strerror}: data.path names a folder that can be read"
        ) from None
    found.sort()
    digest = hashlib.sha256(str(MADE).encode())
    for path, octets, changed, *_ in found:
        digest.update(os.fsencode(f"{path}\0{octets}\0{changed}\n"))
    images = tuple(Image(path, label, part) for path, _, _, label, part in found)
    return Listing(root, classes, frozenset(folders), images, digest.hexdigest())


def _parts(root: Path) -> dict[str, Path]:
    """The folder of each part that has one. A class may be called train: it holds images, and no folders of them."""
    named = [root / name for name in PARTS if (root / name).is_dir() and _folders(root / name)]
    found = {PARTS[folder.name]: folder for folder in named}
    if not found:
        return {"train": root}
    if len(found) < len(named):
        twice = " and ".join(folder.name for folder in named if PARTS[folder.name] == "validation")
        raise DataError(f"{root} holds {twice}: keep one of them")
    if "train" not in found:
        raise DataError(f"{root} holds {named[0].name}/ but no train/ with a folder of images for each class: add it")
    return found


def _classes(root: Path, folders: dict[str, Path]) -> tuple[str, ...]:
    """The classes' names, sorted, the same in every part."""
    names = _folders(folders["train"])
    if not names:
        raise DataError(f"{folders['train']} holds no folders: put the images of each class into a folder of its own")
    if len(names) == 1:
        raise DataError(f"{folders['train']} holds one class, {names[0]}: there must be two to tell apart")
    for folder in folders.values():
        others = _folders(folder)
        for name in sorted(set(names) ^ set(others)):
            holds, lacks = (folders["train"], folder) if name in names else (folder, folders["train"])
            raise DataError(f"{holds / name} has no counterpart in {lacks}: every part needs the same classes")
    return tuple(names)


def _folders(folder: Path) -> list[str]:
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _of_class(folder: Path, root: Path) -> list[tuple[str, int, int]]:
    """The images in the folder of a class: path below `root`, bytes, and when it was changed last (ns).

    Raises:
        DataError: there is none.
    """
    found = _images(str(folder), f"{folder.relative_to(root).as_posix()}/")
    if not found:
        raise DataError(f"{folder} holds no images ({' '.join(SUFFIXES)}): add some, or remove the folder")
    return found


def _images(folder: str, prefix: str) -> list[tuple[str, int, int]]:
    """Image files at any depth; hidden ones and what lies behind links to folders are left out.

    With strings, not paths: a set is listed several times before a run, and this takes a third of the time.
    """
    found = []
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                found += _images(entry.path, f"{prefix}{entry.name}/")
            elif entry.name.lower().endswith(SUFFIXES):
                known = entry.stat()
                found.append((prefix + entry.name, known.st_size, known.st_mtime_ns))
    return found


# Which image belongs to which part


def _split(listing: Listing) -> list[Image]:
    """The images with their parts: as the folders say, else as remembered, else drawn by class from a fixed key.

    Raises:
        DataError: a class has too few images for that.
    """
    drawn = {part: share for part, share in SHARES.items() if part not in listing.published}
    if not drawn:
        return list(listing.images)
    known = _remembered(listing.root)
    paths: list[list[str]] = [[] for _ in listing.classes]
    for image in listing.images:
        if image.part == "train":
            paths[image.label].append(image.path)
    parts = {image.path: image.part for image in listing.images}
    for label, name in enumerate(listing.classes):
        held = paths[label]
        if len(held) <= len(drawn):
            words = f"{name} has {len(held)}, and {' and '.join(['training', *drawn])} take one each at least"
            raise DataError(f"{listing.root}: too few images to split: {words}: add some")
        own = _drawn(held, drawn, {path: known[path] for path in held if path in known}, name)
        for part in ("train", *drawn):
            if part not in own.values():
                raise DataError(
                    f"{listing.root}: {name} has no image left in {part}: add some, or delete {_memory(listing.root)}"
                    " to split everything anew"
                )
        parts |= own
    return [replace(image, part=parts[image.path]) for image in listing.images]


def _drawn(paths: list[str], shares: dict[str, float], known: dict[str, str], name: str) -> dict[str, str]:
    """The part of each path of one class; those that are not known fill up what the shares ask for."""
    parts = {path: part if part in shares else "train" for path, part in known.items()}
    fresh = [path for path in paths if path not in parts]
    fresh = [fresh[place] for place in permutation(len(fresh), "folder", "split", name).tolist()]
    for part, share in shares.items():
        lacking = max(round(share * len(paths)), 1) - sum(held == part for held in parts.values())
        parts |= dict.fromkeys(fresh[: max(lacking, 0)], part)
        fresh = fresh[max(lacking, 0) :]
    return parts | dict.fromkeys(fresh, "train")


def _memory(root: Path) -> Path:
    """The file that remembers which part an image is in, whatever size it is decoded to."""
    return data_path() / f"{_key(root)}.split.json"


def _remembered(root: Path) -> dict[str, str]:
    memory = _memory(root)
    try:
        held = json.loads(memory.read_text())
        return {path: part for part in parted.PARTS for path in held[part]}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(f"{memory} does not hold a split: delete it, and the images are split anew") from None


def _remember(listing: Listing, images: Sequence[Image]) -> None:
    """Those that have gone stay remembered: they may come back."""
    if listing.published.issuperset(SHARES):
        return
    split = {image.path for image in listing.images if image.part == "train"}
    known = _remembered(listing.root) | {image.path: image.part for image in images if image.path in split}
    memory = _memory(listing.root)
    draft = memory.with_name(f".{memory.name}.{os.getpid()}")
    draft.write_text(json.dumps({part: [path for path in known if known[path] == part] for part in parted.PARTS}))
    draft.replace(memory)
