"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100, downloaded by torchvision, which knows their places and checksums.

That happens once and on request. What is kept is a prepared set: reading it takes neither torchvision nor a second to
import it. The test part is the published one; a tenth of the published training part is for validation.
"""

from __future__ import annotations

import io
import re
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, suppress
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from ssl import SSLError
from urllib.error import URLError

import numpy as np
import torch

from engine.data import missing, parted, prepared
from engine.data.dataset import Dataset, Facts, split_off
from engine.data.prepared import DataError, place, preparing
from engine.vision import torchvision
from presets.schema import Data

VALIDATION = 0.1
"""Share of the published training part, of every class."""

STALLED = 60.0  # seconds without a byte after which a download is given up
TOLD_EVERY = 5.0  # seconds between two words on how far it is
WRITTEN = 10_000  # images put in order at once


@dataclass(frozen=True)
class Published:
    """A set as it is published: its class in torchvision.datasets, what has to be downloaded, and what comes of it."""

    kind: str
    size: int  # bytes
    host: str
    shape: tuple[int, int, int]
    classes: int
    train: int
    validation: int
    test: int

    @property
    def download(self) -> str:
        return f"{self.size / 1e6:.0f} MB from {self.host}"


SETS = {
    "mnist": Published(  # its classes differ in size, and a tenth of each is rounded
        "MNIST", 11_594_722, "ossci-datasets.s3.amazonaws.com", (1, 28, 28), 10, 54_001, 5_999, 10_000
    ),
    "fashion-mnist": Published(
        "FashionMNIST", 30_878_645, "fashion-mnist.s3-website.eu-central-1.amazonaws.com", (1, 28, 28), 10,
        54_000, 6_000, 10_000,
    ),
    "cifar10": Published("CIFAR10", 170_498_071, "www.cs.toronto.edu", (3, 32, 32), 10, 45_000, 5_000, 10_000),
    "cifar100": Published("CIFAR100", 169_001_437, "www.cs.toronto.edu", (3, 32, 32), 100, 45_000, 5_000, 10_000),
}  # fmt: skip


def facts(data: Data) -> Facts:
    published = SETS[data.name]
    if there(data):
        return parted.facts(data.name, published.download)
    parts = (published.train, published.validation, published.test)
    return Facts(published.shape, published.classes, *parts, published.download)


def there(data: Data) -> bool:
    return prepared.there(data.name)


def load(data: Data) -> Dataset:
    """The whole set.

    Raises:
        DataError: it has not been downloaded, or is not whole any more.
    """
    if not there(data):
        raise DataError(missing(data, facts(data).download))
    return parted.dataset(data.name, data.name)


def prepare(data: Data, say: Callable[[str], None]) -> None:
    """Download, verify, and keep as a prepared set; about three times the download lies on the disk meanwhile.

    Raises:
        DataError: no network, something else than was published, or no room.
        VisionMissing: torchvision cannot be used.
    """
    published = SETS[data.name]
    kind = getattr(torchvision(data.name).datasets, published.kind)
    with preparing(data.name) as draft:
        raw = draft.folder / "raw"
        with fetching(data.name, published.host, published.size, raw, say):
            learnt, tested = (kind(raw, train=part, download=True) for part in (True, False))
        shutil.rmtree(raw)
        pixels = [torch.as_tensor(np.asarray(part.data)) for part in (learnt, tested)]
        pixels = [part[:, None] if part.dim() == 3 else part.permute(0, 3, 1, 2) for part in pixels]
        labels = torch.cat([torch.as_tensor(part.targets) for part in (learnt, tested)])
        count = len(pixels[0])
        train, validation = split_off(labels, torch.arange(count), VALIDATION, data.name, "validation")
        images = draft.images((len(labels), *published.shape))
        written = torch.from_numpy(images)
        order = torch.cat([train, validation])
        for part, into in zip(order.split(WRITTEN), written[:count].split(WRITTEN), strict=True):
            into.copy_(pixels[0][part])
        written[count:].copy_(pixels[1])
        counts = (len(train), len(validation), len(labels) - count)
        labels = torch.cat([labels[order], labels[count:]])
        parted.finish(draft, images, labels.numpy(), counts, learnt.classes)
    say(f"{data.name} is ready in {place(data.name)}")


@contextmanager
def fetching(name: str, host: str, size: int, folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """A block where torchvision downloads `size` bytes from `host` into `folder`; tells how far it is, and what failed.

    Raises:
        DataError: the network, or something else came than was published.
    """
    say(f"downloading {name}: {size / 1e6:.0f} MB from {host}")
    ended = threading.Event()
    watch = threading.Thread(target=_watch, args=(name, size, folder, say, ended), daemon=True)
    timeout = socket.getdefaulttimeout()
    socket.setdefaulttimeout(STALLED)  # torchvision sets none, and would wait for ever
    watch.start()
    try:
        with redirect_stderr(io.StringIO()):  # torchvision's own bar, which is redrawn for every 32 kB
            yield
    except (URLError, ConnectionError, TimeoutError, SSLError, HTTPException) as error:
        raise _unreachable(name, host, str(error) or type(error).__name__) from None
    except RuntimeError as error:  # torchvision's word for a wrong checksum; MNIST's also for all that kept it from one
        if "corrupted" not in str(error):
            reasons = re.findall(r"got:\s*(.+)", str(error)) or [str(error)]
            raise _unreachable(name, host, reasons[0]) from None
        raise DataError(
            f"{name}: what came from {host} has not the published checksum, so it is not whole or not the same: try"
            f" again, or copy {place(name)} from a machine that has it"
        ) from None
    finally:
        ended.set()
        watch.join()
        socket.setdefaulttimeout(timeout)


def _unreachable(name: str, host: str, reason: str) -> DataError:
    reason = " ".join(reason.removeprefix("<urlopen error ").removesuffix(">").split())
    return DataError(
        f"{name} cannot be downloaded from {host} ({reason}): try again with a working connection, or copy"
        f" {place(name)} from a machine that has it"
    )


def _watch(name: str, size: int, folder: Path, say: Callable[[str], None], ended: threading.Event) -> None:
    """Say every few seconds how much of the archives has come."""
    while not ended.wait(TOLD_EVERY):
        with suppress(OSError):
            come = sum(file.stat().st_size for file in folder.rglob("*") if file.suffix in (".gz", ".zip"))
            if come < size:
                say(f"{name}: {come / 1e6:.0f} of {size / 1e6:.0f} MB")
