"""The characters of `glyphs`: digits, capital letters and invented signs, as strokes on a lattice 6 wide and 8 high.

A shape is a list of strokes, a stroke the points that a pen is steered by: it starts at the first, ends at the last,
and rounds those between as far as the writer's hand does. In the text form a point is its two coordinates "xy" (y
downwards), one followed by "." stays a sharp corner, and a stroke followed by "o" comes back to its start. A character
may have several shapes (4 open and closed), of which a hand writes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

WIDE, HIGH = 6, 8

DIGITS = {
    "0": ["00 60 68 08 o"],
    "1": ["30 38", "12 30. 38", "12 30. 38, 18 58"],
    "2": ["02 00 60 64 08. 68", "02 00 60 64 33 08. 68"],
    "3": ["01 00 60 64 24. 64 68 08 07", "00. 60. 33. 63 68 08 07"],
    "4": ["48 40. 05. 65", "10 05. 65, 42 48"],
    "5": ["60 10. 13. 63 68 08 07"],
    "6": ["50 00 08 68 63 03 05", "40 04 08 68 63 03 05"],
    "7": ["00 60. 28", "00 60. 28, 24 54"],
    "8": ["00 60 64 04 o, 04 64 68 08 o"],
    "9": ["18 68 60 00 05 65 63", "62 60 00 05 65 62, 60 68"],
}
LETTERS = {
    "A": ["08 30. 68, 15 55"],
    "C": ["61 60 00 08 68 67"],
    "E": ["60 00. 08. 68, 04 54"],
    "F": ["60 00. 08, 04 54"],
    "H": ["00 08, 60 68, 04 64"],
    "J": ["60 68 08 05", "20 60, 50 58 08 06"],
    "K": ["00 08, 60 04. 68"],
    "L": ["00 08. 68"],
    "M": ["08 00. 35. 60. 68"],
    "N": ["08 00. 68. 60"],
    "P": ["08 00. 60 65 05"],
    "R": ["08 00. 60 64 04, 24 68"],
    "T": ["00 60, 30 38"],
    "V": ["00 38. 60"],
    "W": ["00 18. 32. 58. 60"],
    "X": ["00 68, 60 08"],
    "Y": ["00 34. 60, 34 38"],
}
"""Without those that a slant, a turn or a careless hand makes a digit or one another: B D G I O Q S U Z."""

COLUMNS, ROWS = (0, 3, 6), (0, 3, 5, 8)  # where the points of invented signs lie
NEAR = 1.2
"""Lattice units within which two lines count as the same: half a bold stroke and its wobble."""
APART = 9
"""Cells (half lattice units of line) that an invented sign and any other character must not share; digits: 3 to 30."""


@dataclass(frozen=True)
class Stroke:
    points: tuple[tuple[int, int], ...]
    sharp: tuple[bool, ...]
    closed: bool


Shape = tuple[Stroke, ...]


@dataclass(frozen=True)
class Outlines:
    """Many shapes as arrays, G of them, padded to the longest; an outline is made of straight pieces between vertices.

    A vertex lies at this + roundness · (a · (previous − this) + b · (following − this)), all three of `points`: the
    quadratic curve that rounds a corner, at roundness 1 from the middle of one edge to the middle of the next.
    """

    first: np.ndarray  # int64 [characters]: where the shapes of a character begin
    shapes: np.ndarray  # int64 [characters]: how many it has
    points: np.ndarray  # float64 [G, P, 2]: x over the width − 1/2, y over the height − 1/2
    previous: np.ndarray  # int64 [G, V], as the next two
    this: np.ndarray
    following: np.ndarray
    a: np.ndarray  # float64 [G, V]
    b: np.ndarray
    starts: np.ndarray  # int64 [G, S]: vertices that pieces go from
    stops: np.ndarray  # int64 [G, S]: and to
    pieces: np.ndarray  # int64 [G]: how many there are
    tips: np.ndarray  # int64 [G, E]: vertices where a stroke ends freely
    necks: np.ndarray  # int64 [G, E]: the vertex before each tip
    free: np.ndarray  # int64 [G]: how many tips there are


def parse(text: str) -> Shape:
    """The shape that its text form says."""
    strokes = []
    for part in text.split(","):
        words = part.split()
        closed = words[-1] == "o"
        words = words[: len(words) - closed]
        points = tuple((int(word[0]), int(word[1])) for word in words)
        strokes.append(Stroke(points, tuple(word.endswith(".") for word in words), closed))
    return tuple(strokes)


@lru_cache
def characters(count: int) -> tuple[tuple[Shape, ...], ...]:
    """The first `count` characters, each with its shapes: digits, letters, then invented signs."""
    known = [tuple(map(parse, texts)) for texts in (*DIGITS.values(), *LETTERS.values())]
    if count > len(known):
        traces = [trace(shape) for shapes in known for shape in shapes]
        for number in range(len(known), count):
            shape, made = _invented(number, traces)
            known.append((shape,))
            traces.append(made)
    return tuple(known[:count])


@lru_cache
def outlines(count: int) -> Outlines:
    """The shapes of the first `count` characters as arrays."""
    chosen = characters(count)
    shapes = [shape for own in chosen for shape in own]
    counts = np.array([len(own) for own in chosen])
    made = [_outline(shape) for shape in shapes]
    points, vertices, pieces, tips = ([item[i] for item in made] for i in range(4))
    steered = _padded(vertices, 5)
    ends, free = _padded(pieces, 2).astype(np.int64), _padded(tips, 2).astype(np.int64)
    return Outlines(
        np.cumsum(counts) - counts, counts, _padded(points, 2) / (WIDE, HIGH) - 0.5,
        steered[..., 0].astype(np.int64), steered[..., 1].astype(np.int64), steered[..., 2].astype(np.int64),
        steered[..., 3], steered[..., 4],
        ends[..., 0], ends[..., 1], np.array(list(map(len, pieces))),
        free[..., 0], free[..., 1], np.array(list(map(len, tips))),
    )  # fmt: skip


def _padded(rows: list[list[tuple[float, ...]]], width: int) -> np.ndarray:
    result = np.zeros((len(rows), max(map(len, rows)), width))
    for place, row in zip(result, rows, strict=True):
        place[: len(row)] = np.reshape(row, (len(row), width))
    return result


def _outline(shape: Shape) -> tuple[list, list, list, list]:
    """Points (x, y), vertices (previous, this, following, a, b), pieces (from, to), tips (tip, neck) of a shape."""
    points: list[tuple[int, int]] = []
    vertices: list[tuple[float, ...]] = []
    pieces: list[tuple[int, int]] = []
    tips: list[tuple[int, int]] = []
    for stroke in shape:
        base, start, count = len(points), len(vertices), len(stroke.points)
        for i, sharp in enumerate(stroke.sharp):
            corners = (base + (i - 1) % count, base + i, base + (i + 1) % count)
            inner = stroke.closed or 0 < i < count - 1
            steps = (0.0, 1 / 3, 2 / 3, 1.0) if inner and not sharp else ()
            vertices += [(*corners, (1 - t) * (1 - t) / 2, t * t / 2) for t in steps] or [(*corners, 0.0, 0.0)]
        points += stroke.points
        last = len(vertices) - 1
        pieces += [(i, i + 1) for i in range(start, last)]
        if stroke.closed:
            pieces.append((last, start))
            continue
        others = [other for other in shape if other is not stroke]
        tips += [(tip, neck) for tip, neck, end in ((start, start + 1, 0), (last, last - 1, -1))
                 if not _touches(stroke.points[end], others)]  # fmt: skip
    return points, vertices, pieces, tips


def _touches(point: tuple[int, int], strokes: list[Stroke]) -> bool:
    """Whether `point` lies within half a lattice unit of the straight edges of `strokes`."""
    for stroke in strokes:
        corners = np.array([*stroke.points, *stroke.points[: stroke.closed]])
        if _distances(np.array([point]), _sampled(corners[:-1], corners[1:])).min() <= 0.5:
            return True
    return False


def _sampled(starts: np.ndarray, stops: np.ndarray) -> np.ndarray:
    """float64 [N, 2]: points every quarter of a lattice unit along straight pieces, both ends included."""
    parts = []
    for start, stop in zip(starts, stops, strict=True):
        x, y = stop - start
        count = int(4 * np.sqrt(x * x + y * y)) + 1
        parts.append(start + (stop - start) * np.arange(count + 1)[:, None] / count)
    return np.concatenate(parts)


def _distances(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Of each of `some` [N, 2] to the nearest of `others` [M, 2]."""
    x, y = (some[:, None, i] - others[None, :, i] for i in range(2))
    return np.sqrt((x * x + y * y).min(1))


@dataclass(frozen=True)
class Trace:
    """Where a shape leaves ink: cells of half a lattice unit that its line crosses, and those that it comes near to."""

    on: np.ndarray  # bool [cells]
    near: np.ndarray  # bool [cells]

    def unshared(self, others: list[Trace]) -> int:
        """Cells crossed by one that the other does not come near to, the fewest over all `others`."""
        on, near = (np.stack([getattr(other, name) for other in others]) for name in ("on", "near"))
        return int(((self.on & ~near).sum(1) + (on & ~self.near).sum(1)).min())


CELLS = np.array([(x / 2, y / 2) for x in range(2 * WIDE + 1) for y in range(2 * HIGH + 1)])


def trace(shape: Shape) -> Trace:
    """The trace of a shape as an average hand rounds it."""
    points, vertices, pieces = (np.array(part) for part in _outline(shape)[:3])
    previous, this, following = (points[vertices[:, i].astype(np.int64)] for i in range(3))
    a, b = vertices[:, 3:4], vertices[:, 4:5]
    placed = this + 0.7 * (a * (previous - this) + b * (following - this))
    distances = _distances(CELLS, _sampled(placed[pieces[:, 0]], placed[pieces[:, 1]]))
    return Trace(distances <= 0.35, distances <= NEAR)


def _invented(number: int, traces: list[Trace]) -> tuple[Shape, Trace]:
    """The sign of character `number`, the first of its own random ones that no trace is like; and its trace."""
    chance = _Chance(number)
    while True:
        shape = _scribble(chance)
        across, down = ({point[axis] for stroke in shape for point in stroke.points} for axis in (0, 1))
        if not {0, WIDE} <= across or not {0, HIGH} <= down:
            continue  # all fill the lattice, so that none is another one, squeezed
        made = trace(shape)
        if made.unshared(traces) >= APART:
            return shape, made


class _Chance:
    """Whole numbers that depend on `number` alone, by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014)."""

    def __init__(self, number: int) -> None:
        self.state = number << 32

    def below(self, end: int) -> int:
        self.state = (self.state + 0x9E3779B97F4A7C15) % 2**64
        x = self.state
        x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9 % 2**64
        x = (x ^ x >> 27) * 0x94D049BB133111EB % 2**64
        return (x ^ x >> 31) % end


def _scribble(chance: _Chance) -> Shape:
    """Two or three strokes that hang together, of two to four points each."""
    strokes: list[Stroke] = []
    seen: list[tuple[int, int]] = []
    for length in (3 + chance.below(2), 2 + chance.below(2), 2 * chance.below(2)):
        if not length:
            continue
        points = [seen[chance.below(len(seen))]] if seen else []
        while len(points) < length:
            point = COLUMNS[chance.below(3)], ROWS[chance.below(4)]
            if point not in points:
                points.append(point)
        seen += points
        strokes.append(Stroke(tuple(points), (chance.below(2) == 1,) * length, False))
    return tuple(strokes)
