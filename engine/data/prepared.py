"""Data sets as they lie on disk, ready to use: one folder each, made once, whole or not at all.

A folder holds `images.npy` (uint8 [N, C, H, W]), `labels.npy` (int64 [N]) and `card.json`: counts, class names,
constants, and the size of both files, so that a truncated one is never taken for whole. Images that would fill more
than a good part of memory are mapped from the file instead of read.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from store.places import data_path

MOST_OF_MEMORY = 0.4
"""Share of the memory that is free beyond which images stay in their file; the rest is for training."""


class DataError(Exception):
    """A data set that cannot be used: one line with the path and what to do."""


@dataclass(frozen=True)
class Prepared:
    """What a folder holds. `mapped`: the images are read from the file as they are needed."""

    images: Tensor
    labels: Tensor
    card: dict[str, Any]
    mapped: bool


def place(name: str) -> Path:
    """The folder of a prepared data set."""
    return data_path() / name


def there(name: str) -> bool:
    """Whether it has been prepared."""
    return (place(name) / "card.json").exists()


def read(name: str) -> Prepared:
    """The prepared set called `name`.

    Raises:
        DataError: it is not whole; says which file, and to prepare it again.
    """
    folder = place(name)
    hint = f"delete {folder} and prepare it again"
    try:
        card = json.loads((folder / "card.json").read_text())
        for file, size in card["bytes"].items():
            held = (folder / file).stat().st_size
            if held != size:
                raise DataError(f"{folder / file} has {held:,} bytes where {size:,} were written: {hint}")
        mapped = card["bytes"]["images.npy"] > MOST_OF_MEMORY * psutil.virtual_memory().available
        images = np.load(folder / "images.npy", mmap_mode="c" if mapped else None)  # "c": torch wants it writable
        labels = np.load(folder / "labels.npy")
    except OSError as error:
        raise DataError(f"{error.filename or folder}: {error.strerror or error}: {hint}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"{folder} does not hold what was prepared ({' '.join(str(error).split())}): {hint}") from None
    return Prepared(torch.from_numpy(images), torch.from_numpy(labels), card, mapped)


class Draft:
    """A data set in the making."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def images(self, shape: tuple[int, int, int, int]) -> np.ndarray:
        """uint8 [N, C, H, W] to be filled, backed by the file: it need not fit into memory.

        Its room on the disk is taken now. Else a disk that fills up later would end the process by a signal (SIGBUS).

        Raises:
            OSError: the disk has not that much room.
        """
        path = self.folder / "images.npy"
        images = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                try:
                    os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
                except OSError as error:
                    if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):  # this file system cannot
                        raise OSError(error.errno, error.strerror, str(path)) from None
        return images

    def finish(self, labels: Sequence[int] | np.ndarray, card: Mapping[str, Any]) -> None:
        """Write the labels and what else is known."""
        np.save(self.folder / "labels.npy", np.asarray(labels, dtype=np.int64))
        sizes = {file: (self.folder / file).stat().st_size for file in ("images.npy", "labels.npy")}
        (self.folder / "card.json").write_text(json.dumps({**card, "bytes": sizes}, indent=1))


@contextmanager
def preparing(name: str) -> Iterator[Draft]:
    """Make the set called `name`: its folder appears only when the block has ended well.

    Of two that prepare the same set at once, the second finds it there and drops its own.

    Raises:
        DataError: the disk is full or cannot be written.
    """
    folder = place(name)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    try:
        for left in folder.parent.glob(f".{folder.name}.*"):  # by a process that was killed, or by this one before
            process = left.suffix.removeprefix(".")
            if process == str(os.getpid()) or not (process.isdecimal() and psutil.pid_exists(int(process))):
                shutil.rmtree(left, ignore_errors=True)
        draft.mkdir(parents=True)
        yield Draft(draft)
        for file in draft.iterdir():
            with file.open("rb") as opened:
                os.fsync(opened.fileno())
        if not there(name):
            shutil.rmtree(folder, ignore_errors=True)  # what an unkind hand left of another time
        with suppress(OSError):  # somebody else was faster
            draft.rename(folder)
        if not there(name):
            raise DataError(f"{folder} cannot be made: choose another place with TOMBOLA_DATA")
    except OSError as error:
        what = f"{error.filename or draft}: {error.strerror or error}"
        raise DataError(f"{what}: make room, or choose another place with TOMBOLA_DATA") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
