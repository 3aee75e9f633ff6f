"""Data sets as they are published, only small: laid out byte for byte like the real ones, and served from this machine.

Nothing of Tombola's own is replaced: torchvision and the engine download, verify, unpack and decode these files as they
would the real ones. Only the places and checksums that they know are others.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import pickle
import resource
import struct
import tarfile
import tempfile
import threading
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
from PIL import Image

NAMED = ("mnist", "fashion-mnist", "cifar10", "cifar100", "tiny-imagenet")
"""The data sets that have to be downloaded."""

CLASSES = {"mnist": 10, "fashion-mnist": 10, "cifar10": 10, "cifar100": 100, "tiny-imagenet": 200}


def prepare_small(name: str, folder: Path, each: int = 4) -> None:
    """Have a small set called `name` in `folder` (what TOMBOLA_DATA names), with all its classes.

    `each` training images of a class are published, from 2 on, so all but one or a tenth are trained on; and half as
    many are in the test. Images of a class are alike.
    """
    from engine.data import prepare
    from presets.schema import Data

    here = patch.dict(os.environ, {"TOMBOLA_DATA": str(folder)})
    with tempfile.TemporaryDirectory() as place, published(name, Path(place), each), here:
        prepare(Data(name=name), lambda words: None, download=True)


@contextmanager
def published(name: str, folder: Path, each: int = 4) -> Iterator[list[str]]:
    """The small set is written to `folder` and downloaded from there in the block; gives what was asked for."""
    write = {"cifar10": cifar10, "cifar100": cifar100, "tiny-imagenet": tiny_imagenet}.get(name, idx_files)
    checksums = write(folder, each)
    with serving(folder) as (address, asked), patch.dict(os.environ, {"no_proxy": "127.0.0.1"}):
        if name == "tiny-imagenet":
            from engine.data import tiny_imagenet as source

            (archive,) = checksums
            with patch.object(source, "URL", f"{address}/{archive}"), patch.object(source, "MD5", checksums[archive]):
                yield asked
            return
        from engine.data.downloaded import SETS
        from engine.vision import torchvision

        kind = getattr(torchvision(name).datasets, SETS[name].kind)
        with patch.multiple(kind, **_known_to(kind, address, checksums)):
            yield asked


class Server(ThreadingHTTPServer):
    def handle_error(self, request: object, client_address: object) -> None:
        """Who has read enough may hang up: torchvision does when it has followed all redirections."""


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """A server of `folder` on this machine: its address, and the paths it has been asked for."""
    asked: list[str] = []

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, form: str, *arguments: object) -> None:
            asked.append(self.path)

    server = Server(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def full_disk(room: int = 100_000) -> Iterator[None]:
    """No file may grow beyond `room` bytes: to a program that is a disk that runs full (but for the words)."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def pixels(label: int, number: int, shape: tuple[int, ...]) -> np.ndarray:
    """uint8 image of a class: a pattern that all of the class share, and some noise that is this image's own."""
    return _pattern(label, shape) + np.random.default_rng((label, number)).integers(0, 56, shape, dtype=np.uint8)


@cache
def _pattern(label: int, shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(label).integers(0, 200, shape, dtype=np.uint8)


def interleaved(each: int, classes: int) -> list[tuple[int, int]]:
    """(label, number) of `each` images of every class, one class after the other as in a shuffled file."""
    return [(label, number) for number in range(each) for label in range(classes)]


def idx_files(folder: Path, each: int) -> dict[str, str]:
    """MNIST's and Fashion-MNIST's four gzipped idx files; file → MD5."""
    checksums = {}
    for part, start, count in (("train", 0, each), ("t10k", each, max(each // 2, 1))):
        drawn = [(label, start + number) for label, number in interleaved(count, 10)]
        images = np.stack([pixels(label, number, (28, 28)) for label, number in drawn])
        labels = bytes(label for label, _ in drawn)
        for file, magic, sizes, content in (
            (f"{part}-images-idx3-ubyte.gz", 2051, images.shape, images.tobytes()),
            (f"{part}-labels-idx1-ubyte.gz", 2049, (len(labels),), labels),
        ):
            packed = gzip.compress(struct.pack(f">{1 + len(sizes)}i", magic, *sizes) + content, compresslevel=1)
            (folder / file).write_bytes(packed)
            checksums[file] = hashlib.md5(packed).hexdigest()
    return checksums


def cifar10(folder: Path, each: int) -> dict[str, str]:
    """Five batches and a test batch of pickled arrays, and their names, in a tar.gz; file → MD5, of members too."""
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
    drawn = interleaved(each, 10)
    batches = {f"data_batch_{number}": drawn[number - 1 :: 5] for number in range(1, 6)}
    tested = {"test_batch": [(label, each + number) for label, number in interleaved(max(each // 2, 1), 10)]}
    files = {name: _batch(rows, "labels") for name, rows in (batches | tested).items()}
    return _cifar(folder, "cifar-10", "cifar-10-batches-py", files | {"batches.meta": {"label_names": names}})


def cifar100(folder: Path, each: int) -> dict[str, str]:
    """One training and one test file with fine and coarse labels, as `cifar10`."""
    tested = [(label, each + number) for label, number in interleaved(max(each // 2, 1), 100)]
    files = {"train": _batch(interleaved(each, 100), "fine_labels"), "test": _batch(tested, "fine_labels")}
    names = [f"thing {label:02}" for label in range(100)]
    files["meta"] = {"fine_label_names": names, "coarse_label_names": [f"kind {label}" for label in range(20)]}
    return _cifar(folder, "cifar-100", "cifar-100-python", files)


def tiny_imagenet(folder: Path, each: int) -> dict[str, str]:
    """Stanford's zip: ids, words, class folders of JPEGs (some grey), annotated val and unlabelled test; file → MD5."""
    ids = [f"n{(label * 7919) % 200:08}" for label in range(200)]  # as published: not sorted
    root = "tiny-imagenet-200"
    archive = folder / f"{root}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as packed:
        packed.writestr(f"{root}/wnids.txt", "".join(f"{class_id}\n" for class_id in ids))
        words = {class_id: f"thing {class_id}, also called so" for class_id in [*ids, "n99999999"]}
        packed.writestr(f"{root}/words.txt", "".join(f"{class_id}\t{word}\n" for class_id, word in words.items()))
        for class_id in ids:
            own = [f"{class_id}_{number}.JPEG" for number in range(each)]
            packed.writestr(
                f"{root}/train/{class_id}/{class_id}_boxes.txt", "".join(f"{name}\t0\t0\t9\t9\n" for name in own)
            )
            for number, name in enumerate(own):
                packed.writestr(f"{root}/train/{class_id}/images/{name}", _jpeg(int(class_id[1:]), number))
        lines = []
        for place, (label, number) in enumerate(interleaved(max(each // 2, 1), 200)):
            lines.append(f"val_{place}.JPEG\t{ids[label]}\t0\t32\t44\t62\n")
            packed.writestr(f"{root}/val/images/val_{place}.JPEG", _jpeg(int(ids[label][1:]), each + number))
        packed.writestr(f"{root}/val/val_annotations.txt", "".join(lines))
        packed.writestr(f"{root}/test/images/test_0.JPEG", _jpeg(0, 99))
    return {archive.name: hashlib.md5(archive.read_bytes()).hexdigest()}


def class_folders(root: Path, classes: Iterable[str], each: int, side: int = 40, suffix: str = ".png") -> None:
    """`each` images in a folder for each class; they are one and a half times as wide as `side`, their height."""
    for label, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for number in range(each):
            picture = Image.fromarray(pixels(label, number, (side, side * 3 // 2, 3)))
            picture.save(root / name / f"{number:03}{suffix}")


def _batch(rows: list[tuple[int, int]], labels: str) -> dict[str, Any]:
    images = np.stack([pixels(label, number, (3, 32, 32)).ravel() for label, number in rows])
    return {"batch_label": "a batch", labels: [label for label, _ in rows], "data": images}


def _cifar(folder: Path, name: str, inner: str, files: dict[str, Any]) -> dict[str, str]:
    archive = folder / f"{name}-python.tar.gz"
    checksums = {}
    with tarfile.open(archive, "w:gz", compresslevel=1) as packed:
        for file, content in files.items():
            pickled = pickle.dumps(content, protocol=2)
            member = tarfile.TarInfo(f"{inner}/{file}")
            member.size = len(pickled)
            packed.addfile(member, io.BytesIO(pickled))
            checksums[file] = hashlib.md5(pickled).hexdigest()
    return checksums | {archive.name: hashlib.md5(archive.read_bytes()).hexdigest()}


def _jpeg(label: int, number: int) -> bytes:
    packed = io.BytesIO()
    picture = Image.fromarray(pixels(label, number, (8, 8, 3))).resize((64, 64))  # coarse, so that JPEG keeps it
    picture.convert("L" if label % 20 == 0 else "RGB").save(packed, "JPEG", quality=90)
    return packed.getvalue()


def _known_to(kind: type, address: str, checksums: dict[str, str]) -> dict[str, Any]:
    """What torchvision's class knows of places and checksums, as it is for the small set."""
    if hasattr(kind, "mirrors"):
        return {"mirrors": [f"{address}/"], "resources": [(file, checksums[file]) for file, _ in kind.resources]}
    archive = kind.filename
    return {
        "url": f"{address}/{archive}",
        "tgz_md5": checksums[archive],
        "train_list": [[file, checksums[file]] for file, _ in kind.train_list],
        "test_list": [[file, checksums[file]] for file, _ in kind.test_list],
        "meta": kind.meta | {"md5": checksums[kind.meta["filename"]]},
    }
