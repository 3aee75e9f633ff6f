"""Glyphs: small colour images of one character among clutter, drawn on the spot, for machines without CIFAR.

Characters are strokes (`strokes.py`), written by one of several hands, in any colour on any ground, slightly turned,
slanted and deformed, with pieces of other characters around and lines across. The image's class is the character that
lies whole and near the middle.

An image's bytes depend on its number, the draw, the classes and the size alone: not on how many are drawn, the
processor, or the version of a library. So only additions, products, quotients, square roots and comparisons touch
them, one array operation each, whose results IEEE 754 fixes; and random numbers are whole ones, mixed here.

B images, S × S pixels. Lengths are in 1/32 of the image's side ("dots"), so that both sizes show the same.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from engine.data.dataset import Dataset, Facts, constants, split_off
from engine.data.prepared import DataError, preparing, read
from engine.data.prepared import there as lies_there
from engine.data.strokes import DIGITS, LETTERS, outlines
from presets.schema import Data

DRAWING = 1
"""Version of the drawing: raise it whenever a byte changes, so that no folder of another time is taken for this one."""
IMAGES, SIZE, CLASSES = 12_000, 32, 10
TEST, VALIDATION = 1 / 6, 1 / 10  # of all images, and of those left: 2,000 and 1,000 of 12,000
HANDS = 12
PIXELS = 32_768
"""Pixels drawn at once by one thread: the arrays of a chunk then stay in a core's cache."""
KNOWN = len(DIGITS) + len(LETTERS)
"""Characters that clutter is taken from at least: ten classes are told apart among letters too."""


def facts(data: Data) -> Facts:
    size, classes, images = _asked(data)
    counts = [len(range(label, images, classes)) for label in range(classes)]
    test = [_share(TEST, count) for count in counts]
    validation = [_share(VALIDATION, count - taken) for count, taken in zip(counts, test, strict=True)]
    return Facts((3, size, size), classes, images - sum(test) - sum(validation), sum(validation), sum(test))


def there(data: Data) -> bool:
    return lies_there(_name(data))


def load(data: Data) -> Dataset:
    """All images; their split is drawn evenly by class.

    Raises:
        DataError: they have not been drawn, or are not whole any more.
    """
    name = _name(data)
    if not lies_there(name):
        raise DataError(f"{_words(data)} are not on this machine: a run with them draws them")
    held = read(name)
    train, validation, test = _split(data, held.labels)
    return Dataset(
        "glyphs", f"{name} {held.card['content']}", held.images, held.labels, held.card["classes"], 255.0,
        tuple(held.card["mean"]), tuple(held.card["deviation"]), train, validation, test, held.mapped,
    )  # fmt: skip


def _words(data: Data) -> str:
    size, classes, images = _asked(data)
    return f"{images:,} glyphs of {classes} characters, {size} × {size}"


def prepare(data: Data, say: Callable[[str], None]) -> None:
    """Draw the images into their folder."""
    size, classes, images = _asked(data)
    say(f"drawing {_words(data)}")
    labels = np.arange(images) % classes
    chunk = PIXELS // size**2
    with preparing(_name(data)) as draft:
        drawn = draft.images((images, 3, size, size))

        def fill(start: int) -> None:
            drawn[start : start + chunk] = draw(np.arange(start, min(start + chunk, images)), size, classes, data.draw)

        threads = ThreadPoolExecutor(min(os.cpu_count() or 1, 8))
        try:
            for _ in threads.map(fill, range(0, images, chunk)):
                pass
        finally:
            threads.shutdown(cancel_futures=True)  # an interrupt does not wait for what has not been begun
        content = hashlib.sha256()
        for start in range(0, images, 1000):
            content.update(drawn[start : start + 1000].tobytes())
        train = _split(data, torch.from_numpy(labels))[0]
        mean, deviation = constants(torch.from_numpy(drawn), train, 255.0)
        card = {
            "classes": classes, "names": names(classes), "mean": mean, "deviation": deviation,
            "content": content.hexdigest()[:16],
        }  # fmt: skip
        draft.finish(labels, card)


def names(classes: int) -> list[str]:
    """What each class is called."""
    return [*DIGITS, *LETTERS, *(f"sign {number}" for number in range(KNOWN, classes))][:classes]


def _asked(data: Data) -> tuple[int, int, int]:
    """Size, classes and number of images."""
    size, classes, images = data.size or SIZE, data.classes or CLASSES, data.images or IMAGES
    if images < 6 * classes:
        raise DataError(f"data.images: {classes} classes need at least {6 * classes:,} images, not {images:,}")
    return size, classes, images


def _name(data: Data) -> str:
    size, classes, images = _asked(data)
    return f"glyphs-{size}-{classes}-{images}-{data.draw}-v{DRAWING}"


def _share(share: float, count: int) -> int:
    """How many of `count` images `split_off` takes."""
    return min(max(round(share * count), 1), count - 1)


def _split(data: Data, labels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sorted indices of training, validation and test."""
    rest, test = split_off(labels, torch.arange(len(labels)), TEST, "glyphs", "test", data.draw)
    train, validation = split_off(labels, rest, VALIDATION, "glyphs", "validation", data.draw)
    return train, validation, test


# ---- random numbers -------------------------------------------------------------------------------------------------

GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def _mixed(x: np.ndarray) -> np.ndarray:
    """uint64 → uint64, every bit of the result depending on every bit given (SplitMix64's last step)."""
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    return x ^ x >> np.uint64(31)


class Chance:
    """A row of random numbers for each of B images, read from left to right; a row depends on (key, number) alone."""

    def __init__(self, key: str, numbers: np.ndarray) -> None:
        start = int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little")
        self.rows = _mixed(numbers.astype(np.uint64) * GOLDEN + np.array(start, np.uint64))
        self.column = 0

    def words(self, *shape: int) -> np.ndarray:
        """uint64 [B, *shape]"""
        count = int(np.prod(shape))
        columns = np.arange(self.column + 1, self.column + count + 1, dtype=np.uint64)
        self.column += count
        return _mixed(self.rows[:, None] + columns * GOLDEN).reshape(-1, *shape)

    def between(self, low: float, high: float, *shape: int) -> np.ndarray:
        """float64 [B, *shape], even from `low` to `high`."""
        return low + (high - low) * ((self.words(*shape) >> np.uint64(11)).astype(np.float64) * 2.0**-53)

    def around(self, spread: float, *shape: int) -> np.ndarray:
        """float64 [B, *shape], in a triangle from −spread to spread, 0 the likeliest."""
        return self.between(-spread / 2, spread / 2, *shape) + self.between(-spread / 2, spread / 2, *shape)

    def below(self, end: int | np.ndarray, *shape: int) -> np.ndarray:
        """int64 [B, *shape], from 0 to end − 1."""
        return ((self.words(*shape) >> np.uint64(33)) % np.asarray(end, np.uint64)).astype(np.int64)

    def often(self, share: float, *shape: int) -> np.ndarray:
        """bool [B, *shape], true in `share` of all."""
        return self.between(0.0, 1.0, *shape) < share


# ---- characters -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Hands:
    """How B characters are written; each [B]."""

    slant: np.ndarray  # x that goes with one y
    aspect: np.ndarray  # width over height
    roundness: np.ndarray  # of corners, 0 to 1
    weight: np.ndarray  # half the width of a stroke over the height
    contrast: np.ndarray  # by how much strokes along the nib are thinner
    nib: np.ndarray  # [B, 2], its direction; not of unit length
    serif: np.ndarray  # half the length of the bar at free ends over the height; 0 without
    hollow: np.ndarray  # how much lighter the core of a stroke is
    habit: np.ndarray  # int64: which of a character's shapes

    def __getitem__(self, which: np.ndarray) -> Hands:
        return Hands(**{name: values[which] for name, values in vars(self).items()})


@lru_cache
def hands() -> Hands:
    """All that there are. They are the same for every draw: other images, not another alphabet."""
    chance = Chance("hands", np.arange(HANDS))
    between, often = chance.between, chance.often
    return Hands(
        between(-0.15, 0.3), between(0.5, 0.85), between(0.45, 1.0), between(0.045, 0.1), between(0.0, 0.6),
        np.stack([np.ones(HANDS), between(-1.0, 1.0)], 1), between(0.07, 0.12) * often(0.4),
        between(0.5, 1.0) * often(0.3), chance.below(6),
    )  # fmt: skip


@dataclass(frozen=True)
class Pieces:
    """Straight pieces of strokes, up to M for each of B images, in dots."""

    start: np.ndarray  # float64 [B, M, 2]
    stop: np.ndarray  # float64 [B, M, 2]
    half: np.ndarray  # float64 [B, M], half their width
    drawn: np.ndarray  # bool [B, M], false for those that only fill the array


def written(
    chance: Chance, alphabet: int, characters: np.ndarray, hand: Hands, height: np.ndarray, centre: np.ndarray
) -> Pieces:
    """`characters` (int64 [B]) of the first `alphabet` ones, each a little turned and deformed; height [B] and centre
    [B, 2] in dots.
    """
    lines = outlines(alphabet)
    shape = lines.first[characters] + hand.habit % lines.shapes[characters]
    points = lines.points[shape]
    points = points + chance.around(1.0, *points.shape[1:]) * chance.between(0.02, WOBBLE)[:, None, None]

    def corner(which: np.ndarray) -> np.ndarray:
        return np.take_along_axis(points, which[shape][:, :, None], 1)

    before, here, after = corner(lines.previous), corner(lines.this), corner(lines.following)
    a, b = lines.a[shape][:, :, None], lines.b[shape][:, :, None]
    rounded = here + hand.roundness[:, None, None] * (a * (before - here) + b * (after - here))

    slant = hand.slant + chance.around(0.15)
    tangent = chance.around(TURN)  # of half the angle: sine and cosine without either
    cosine, sine = (1 - tangent * tangent) / (1 + tangent * tangent), 2 * tangent / (1 + tangent * tangent)
    x = rounded[..., 0] * (hand.aspect * chance.between(0.85, 1.2))[:, None] - rounded[..., 1] * slant[:, None]
    y = rounded[..., 1]
    turned = np.stack([x * cosine[:, None] - y * sine[:, None], x * sine[:, None] + y * cosine[:, None]], 2)
    placed = centre[:, None, :] + height[:, None, None] * turned

    def vertex(which: np.ndarray) -> np.ndarray:
        return np.take_along_axis(placed, which[shape][:, :, None], 1)

    start, stop = vertex(lines.starts), vertex(lines.stops)
    tip, neck = vertex(lines.tips), vertex(lines.necks)
    out = (tip - neck) / np.maximum(_length(tip - neck), 1e-6)[:, :, None]
    bar = np.stack([-out[..., 1], out[..., 0]], 2) * (hand.serif * height)[:, None, None]
    count = lines.pieces[shape][:, None], lines.free[shape][:, None]
    drawn = np.arange(start.shape[1]) < count[0], (np.arange(tip.shape[1]) < count[1]) & (hand.serif > 0)[:, None]

    start, stop = np.concatenate([start, tip - bar], 1), np.concatenate([stop, tip + bar], 1)
    along = (stop - start) / np.maximum(_length(stop - start), 1e-6)[:, :, None]
    nib = hand.nib / _length(hand.nib)[:, None]
    parallel = np.abs(along[..., 0] * nib[:, None, 0] + along[..., 1] * nib[:, None, 1])
    half = (hand.weight * height)[:, None] * (1 - hand.contrast[:, None] * parallel)
    return Pieces(start, stop, np.maximum(half, 0.45), np.concatenate(drawn, 1))


def _length(vectors: np.ndarray) -> np.ndarray:
    """[..., 2] → [...]"""
    return np.sqrt(vectors[..., 0] * vectors[..., 0] + vectors[..., 1] * vectors[..., 1])


def inked(pieces: Pieces, size: int) -> np.ndarray:
    """float32 [B, S, S]: distance of each pixel to the nearest piece, in halves of that piece's width."""
    margin = 3 * pieces.half[:, :, None] + 2
    least, most = np.minimum(pieces.start, pieces.stop) - margin, np.maximum(pieces.start, pieces.stop) + margin
    seen = pieces.drawn & (least < 32).all(2) & (most > 0).all(2)
    counts = seen.sum(1)
    images = np.argsort(-counts, kind="stable")  # those with most pieces first: the n-th pieces are then a slice
    longest = int(counts[images[0]])
    order = np.argsort(~seen, axis=1, kind="stable")[images, :longest]
    start, stop = (np.take_along_axis(ends[images], order[:, :, None], 1) for ends in (pieces.start, pieces.stop))
    half = np.take_along_axis(pieces.half[images], order, 1)

    middle, length = (start + stop) / 2, _length(stop - start)
    along = (stop - start) / np.maximum(length, 1e-6)[:, :, None] / half[:, :, None]
    along[length < 1e-6] = 0  # a dot: its own direction is none, so take any
    along[..., 0] += (length < 1e-6) / half
    grid = (np.arange(size) + 0.5) * (32 / size)
    dx, dy = (grid - middle[:, :, i, None] for i in range(2))  # [B, M, S]
    ux, uy = ((d * along[:, :, i, None]).astype(np.float32) for i, d in enumerate((dx, dy)))
    vx, vy = ((d * along[:, :, 1 - i, None] * (1 - 2 * i)).astype(np.float32) for i, d in enumerate((dx, dy)))
    reach = (length / half / 2).astype(np.float32)

    square = np.full((len(images), size, size), 1e6, np.float32)
    u, v = np.empty_like(square), np.empty_like(square)
    for i in range(longest):
        n = int((counts > i).sum())
        un, vn, best = u[:n], v[:n], square[:n]
        np.add(ux[:n, i, None, :], uy[:n, i, :, None], out=un)
        np.abs(un, out=un)
        np.subtract(un, reach[:n, i, None, None], out=un)
        np.maximum(un, 0, out=un)
        np.multiply(un, un, out=un)
        np.add(vx[:n, i, None, :], vy[:n, i, :, None], out=vn)
        np.multiply(vn, vn, out=vn)
        np.add(un, vn, out=un)
        np.minimum(best, un, out=best)
    result = np.empty_like(square)
    result[images] = np.sqrt(square, out=square)
    return result


# ---- images ---------------------------------------------------------------------------------------------------------

WOBBLE = 0.07
TURN = 0.16  # tangent of half the largest angle: 18 degrees
LEAST, MOST = 0.22, 0.6  # lightness between character and ground
NOISE = 0.12
BESIDE = 0.75  # chance of a neighbour at each side
CRUMBS = 2
LINES = 2
SCALE = 15.0, 23.0


def draw(numbers: np.ndarray, size: int, classes: int, key: int) -> np.ndarray:
    """uint8 [B, 3, S, S]: the images with these numbers, whose classes are number % classes."""
    chance = Chance(f"glyphs {key} writing", numbers)
    labels = numbers % classes
    count = len(numbers)
    hand = hands()[chance.below(HANDS)]
    height = chance.between(*SCALE)
    free = (30 - height) / 2
    centre = 16 + chance.around(1.0, 2) * np.minimum(free, 5.0)[:, None]
    own = written(chance, classes, labels, hand, height, centre)
    clutter = _clutter(chance, max(classes, KNOWN), hand, height, centre)
    lines = _lines(chance)

    chance = Chance(f"glyphs {key} colours", numbers)
    lightness = chance.between(0.1, 0.9)
    image = _ground(chance, lightness, size)
    ink, blur = _ink(chance, lightness), chance.between(1.0, 2.2)
    other = np.where(chance.often(0.5)[:, None], ink, _ink(chance, lightness))
    line = _ink(chance, lightness)
    texture = 1 + _waves(chance, 3, size) * chance.between(0.0, 0.3).astype(np.float32)[:, None, None]
    none = np.zeros(count)
    _lay(image, other, inked(clutter, size), hand.weight * height * 0.9, blur, none, texture)
    _lay(image, ink, inked(own, size), hand.weight * height, blur, hand.hollow, texture)
    _lay(image, line, inked(lines, size), none + 0.5, blur, none, texture)
    return _noisy(chance, image)


def _clutter(chance: Chance, alphabet: int, hand: Hands, height: np.ndarray, centre: np.ndarray) -> Pieces:
    """Neighbours left and right, one above or below, and crumbs: a few strokes of small characters anywhere."""
    parts = []
    for place in ("left", "right", "above or below", *["crumb"] * CRUMBS):
        crumb = place == "crumb"
        writer = hands()[chance.below(HANDS)] if crumb else hand
        tall = height * (chance.between(0.3, 0.6) if crumb else chance.between(0.8, 1.15))
        wide = (height + tall) * hand.aspect / 2
        if crumb:
            middle = chance.between(1.0, 31.0, 2)
        elif place == "above or below":
            side = (1 - 2 * chance.below(2)) * ((height + tall) / 2 + chance.between(1.0, 5.0))
            middle = centre + np.stack([chance.around(0.6) * height, side], 1)
        else:
            side = (wide + chance.between(1.0, 6.0)) * (-1 if place == "left" else 1)
            middle = centre + np.stack([side, chance.around(0.2) * height], 1)
        part = written(chance, alphabet, chance.below(alphabet), writer, tall, middle)
        shown = chance.often({"left": BESIDE, "right": BESIDE, "crumb": 0.8}.get(place, 0.4))[:, None]
        if crumb:
            first = chance.below(12)[:, None]
            places = np.arange(part.half.shape[1])
            shown = shown & (places >= first) & (places < first + 6)
        parts.append(Pieces(part.start, part.stop, part.half, part.drawn & shown))
    return _together(parts)


def _together(parts: list[Pieces]) -> Pieces:
    return Pieces(*(np.concatenate([getattr(part, name) for part in parts], 1) for name in vars(parts[0])))


def _lines(chance: Chance) -> Pieces:
    """Thin straight lines across everything."""
    start, way = chance.between(0.0, 32.0, LINES, 2), chance.around(24.0, LINES, 2)
    return Pieces(start, start + way, chance.between(0.3, 0.7, LINES), chance.often(0.4, LINES))


def _tinted(chance: Chance, lightness: np.ndarray, strength: float) -> np.ndarray:
    """float64 [B, 3]: a colour of this lightness, the mean of its channels."""
    tint = chance.between(-strength, strength, 3)
    mean = (tint[:, 0] + tint[:, 1] + tint[:, 2]) / 3
    return lightness[:, None] + (tint - mean[:, None])


def _ink(chance: Chance, ground: np.ndarray) -> np.ndarray:
    """float64 [B, 3]: a colour that is darker or lighter than the ground, as there is room."""
    step = chance.between(LEAST, MOST) * (1 - 2 * chance.below(2))
    step = np.where((ground + step < 0.02) | (ground + step > 0.98), -step, step)
    return np.clip(_tinted(chance, ground + step, 0.25), 0.0, 1.0)


def _waves(chance: Chance, cells: int, size: int, channels: int = 0) -> np.ndarray:
    """float32 [B, S, S] or [B, channels, S, S], −1 to 1: random at the corners of cells × cells, straight between."""
    shape = (channels,) * (channels > 0) + (cells + 1, cells + 1)
    corners = chance.between(-1.0, 1.0, *shape).astype(np.float32)
    place = (np.arange(size) + 0.5) * (cells / size)
    low = place.astype(np.int64)
    part = (place - low).astype(np.float32)
    rows = corners[..., low, :]
    rows = rows + (corners[..., low + 1, :] - rows) * part[:, None]
    left = rows[..., low]
    return left + (rows[..., low + 1] - left) * part


def _ground(chance: Chance, lightness: np.ndarray, size: int) -> np.ndarray:
    """float32 [B, 3, S, S]: a colour with a slope of light, clouds and, on some, stripes."""
    base = _tinted(chance, lightness, 0.2).astype(np.float32)
    image = base[:, :, None, None] + _waves(chance, 4, size, 3) * _strength(chance, 0.0, 0.16)
    image += _waves(chance, 9, size)[:, None] * _strength(chance, 0.0, 0.12)
    grid = ((np.arange(size) + 0.5) / size).astype(np.float32)

    def slope(steepest: float) -> np.ndarray:
        x, y = (chance.between(-steepest, steepest, 2).astype(np.float32)[:, i, None] for i in range(2))
        return (x * grid)[:, None, :] + (y * grid)[:, :, None]

    image += slope(0.25)[:, None]
    turns = slope(9.0) + chance.between(0.0, 1.0).astype(np.float32)[:, None, None]
    turns -= np.floor(turns)
    stripes = np.abs(turns - np.float32(0.5)) * 4 - 1
    colour = _tinted(chance, chance.between(-0.12, 0.12), 0.1) * chance.often(0.5)[:, None]
    image += stripes[:, None] * colour.astype(np.float32)[:, :, None, None]
    return image


def _strength(chance: Chance, low: float, high: float) -> np.ndarray:
    return chance.between(low, high).astype(np.float32)[:, None, None, None]


def _lay(
    image: np.ndarray, colour: np.ndarray, distance: np.ndarray, half: np.ndarray, blur: np.ndarray,
    hollow: np.ndarray, texture: np.ndarray,
) -> None:  # fmt: skip
    """Cover `image` with a colour [B, 3] where there is ink, its edge `blur` dots wide."""
    steep = (half / blur).astype(np.float32)[:, None, None]
    cover = np.clip((1 - distance) * steep + np.float32(0.5), 0, 1)
    core = np.clip((np.float32(0.5) - distance) * steep + np.float32(0.5), 0, 1)
    cover *= 1 - core * hollow.astype(np.float32)[:, None, None]
    for channel in range(3):
        own = image[:, channel]
        own += (colour[:, channel].astype(np.float32)[:, None, None] * texture - own) * cover


def _noisy(chance: Chance, image: np.ndarray) -> np.ndarray:
    """uint8 of an image from 0 to 1, every value a little off."""
    strength = chance.between(0.01, NOISE).astype(np.float32)[:, None, None] / 255
    words = chance.words(*image.shape[2:])
    result = np.empty(image.shape, np.uint8)
    for channel in range(3):
        pair = [(words >> np.uint64(16 * channel + 8 * i)).astype(np.uint8).astype(np.float32) for i in range(2)]
        value = image[:, channel] + (pair[0] - pair[1]) * strength
        result[:, channel] = (np.clip(value, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)
    return result
