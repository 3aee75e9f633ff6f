"""Image files decoded by pillow into squares of bytes, many at a time."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import IO

import numpy as np

from engine.cores import cores
from engine.data.prepared import DataError
from engine.vision import VisionMissing

CHUNK = 64  # images a thread takes at once: a hand-over costs as much as decoding a small one
TOLD_EVERY = 5.0  # seconds between two words on how far it is


def need_pillow(purpose: str) -> None:
    """See that pillow is there; `purpose` is what needs it.

    Raises:
        VisionMissing: it is not installed.
    """
    try:
        import_module("PIL.Image")
    except ImportError:
        words = f"{purpose} needs pillow, which is not installed: pip install 'tombola[vision]'"
        raise VisionMissing(words) from None


def decoded(file: Path | IO[bytes], size: int, name: str) -> np.ndarray:
    """uint8 [3, size, size]: turned as its camera says, the shorter side resized to `size`, the middle cut out, RGB.

    Resizing is bicubic, with the wider filter that keeps a smaller image free of patterns (pillow's antialiasing).
    Transparency is dropped; of a moving image the first picture counts.

    Raises:
        DataError: it is no image, not whole, or has more than 8 bits a channel; `name` says which file.
    """
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as opened:
            opened.draft(None, (4 * size, 4 * size))  # a JPEG far larger than needed is decoded at 1/2, 1/4 or 1/8
            if opened.mode.startswith(("I", "F")):  # RGB would clip what exceeds 255
                raise DataError(f"{name} has more than 8 bits a channel: save it with 8")
            rgb = ImageOps.exif_transpose(opened).convert("RGB")
    except (DataError, MemoryError):
        raise
    except Exception as error:  # pillow's readers raise nearly anything on a broken file
        words = " ".join(str(error).split())
        raise DataError(f"{name} cannot be read as an image ({words}): remove or replace it") from None
    if rgb.size != (size, size):
        width, height = rgb.size
        shorter = min(width, height)
        left, top = (width - shorter) / 2, (height - shorter) / 2
        middle = (left, top, left + shorter, top + shorter)  # the filter still sees what lies beyond
        rgb = rgb.resize((size, size), Image.Resampling.BICUBIC, box=middle)
    return np.asarray(rgb).transpose(2, 0, 1)


def fill(images: np.ndarray, decode: Callable[[int], np.ndarray], say: Callable[[str], None]) -> None:
    """images[k] = decode(k) for every k, in threads: pillow lets go of the interpreter while it decodes.

    Raises:
        DataError: the first that `decode` raises; the rest is not begun.
    """
    count = len(images)
    over = threading.Event()

    def some(first: int) -> None:
        for place in range(first, min(first + CHUNK, count)):
            if over.is_set():  # a fault or an interrupt: the rest of a chunk of photographs would take seconds
                return
            images[place] = decode(place)

    pool = ThreadPoolExecutor(cores())
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # on metadata, palettes, sizes; what cannot be decoded is an error
            told = time.monotonic()
            starts = range(0, count, CHUNK)
            for start, _ in zip(starts, pool.map(some, starts), strict=True):
                if time.monotonic() - told >= TOLD_EVERY:
                    told = time.monotonic()
                    say(f"{start:,} of {count:,} images decoded")
    finally:
        over.set()
        pool.shutdown(cancel_futures=True)
