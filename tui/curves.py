"""Curves of members as figures, before anything is drawn: which measure, along which axis, smoothed, in what window.

Windows and cursors are in epochs, whatever the axis: they keep their meaning when the axis, the measure or the round
is another.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import compress, pairwise

from store.viewing import Curve

Window = tuple[float, float]
"""From one epoch to another."""

LEAST_WINDOW = 2.0
"""Epochs: a narrower window would have no curve in it."""


@dataclass(frozen=True)
class Measure:
    """What is drawn over the axis: one figure of every epoch, or that of validation and of training together."""

    words: str
    figures: tuple[str, ...]
    accuracy: bool


MEASURES = (
    Measure("validation accuracy", ("validation_accuracy",), True),
    Measure("training accuracy", ("train_accuracy",), True),
    Measure("validation loss", ("validation_loss",), False),
    Measure("training loss", ("train_loss",), False),
    Measure("accuracy", ("validation_accuracy", "train_accuracy"), True),
    Measure("loss", ("validation_loss", "train_loss"), False),
)

AXES = ("epoch", "step", "images", "time")

SMOOTHING = (0.0, 0.6, 0.9, 0.97)
"""Weights of what came before, from none on: about 2, 10 and 30 epochs are told apart no more."""


@dataclass(frozen=True)
class Stretch:
    """A round on an axis on which rounds stand in a row: its number, its curves that have an epoch, the longest first,
    and the epochs and the part of the axis that come before it."""

    round: int
    curves: tuple[Curve, ...]
    epochs: int = 0
    place: float = 0.0


@dataclass(frozen=True)
class Line:
    """A figure of one member. A NaN among `ys` is a gap: what was measured there is no finite number."""

    member: int
    figure: str
    epochs: Sequence[int]
    xs: Sequence[float]
    ys: Sequence[float]

    def only(self, epoch: int) -> Line:
        """Its point after an epoch, or no point."""
        there = slice(bisect_left(self.epochs, epoch), bisect_right(self.epochs, epoch))
        return replace(self, epochs=self.epochs[there], xs=self.xs[there], ys=self.ys[there])

    def at(self, epoch: int) -> float | None:
        """Its value after an epoch; None where there is none, NaN where that is no finite number."""
        return next(iter(self.only(epoch).ys), None)

    @property
    def positive(self) -> bool:
        """Whether a logarithmic axis can show all of it."""
        return not any(y <= 0 for y in self.ys)


def lines(curves: Sequence[Curve], measure: Measure, axis: str) -> list[Line]:
    """A line a curve and figure, accuracies in percent. Epochs that were not validated are none of its points."""
    return [_line(curve, figure, axis) for curve in curves for figure in measure.figures]


def _line(curve: Curve, figure: str, axis: str) -> Line:
    epochs, xs, values = curve.epoch, along(curve, axis), getattr(curve, figure)
    if figure.startswith("validation") and None in curve.validation_accuracy:
        known = [value is not None for value in curve.validation_accuracy]
        epochs, xs, values = (tuple(compress(column, known)) for column in (epochs, xs, values))
    ys = [math.nan if value is None else value for value in values] if None in values else values
    if figure.endswith("accuracy"):
        ys = [100.0 * y for y in ys]
    return Line(curve.member, figure, epochs, xs, ys)


def along(curve: Curve, axis: str) -> Sequence[float]:
    """Where a curve's epochs lie on an axis: epochs and steps of its schedule, images and seconds since it began."""
    return {"epoch": curve.epoch, "step": curve.step, "images": curve.images, "time": curve.seconds}[axis]


def timed(curves: Sequence[Curve]) -> bool:
    """Whether it is known how long they took, which it is not where another run did a training."""
    return all(curve.seconds[-1] > 0 for curve in curves if curve.epoch)


def reached(curve: Curve, axis: str, epoch: float) -> float:
    """Where on an axis a curve (with an epoch or more) is at a moment of its schedule.

    Between the ends of epochs in proportion, beyond the last known at the mean pace so far.
    """
    if axis == "epoch":
        return epoch
    first = curve.begun / (curve.step[-1] / curve.epoch[-1])
    start = first, float(curve.begun) if axis == "step" else 0.0
    known = [start, *zip(curve.epoch, along(curve, axis), strict=True)]
    place = bisect_right(curve.epoch, epoch)
    (before, low), (after, high) = known[place : place + 2] if place < len(curve.epoch) else (start, known[-1])
    return low + (epoch - before) * (high - low) / max(after - before, 1e-9)


def in_a_row(rounds: Sequence[tuple[int, Sequence[Curve]]], axis: str) -> list[Stretch]:
    """The rounds that have begun. Each has the room that it took; the last, what its recipe has."""
    row: list[Stretch] = []
    epochs, place = 0, 0.0
    for number, curves in rounds:
        begun = tuple(sorted((curve for curve in curves if curve.epoch), key=lambda curve: -len(curve.epoch)))
        if begun:
            row.append(Stretch(number, begun, epochs, place))
            last = max(curve.epoch[-1] for curve in begun)
            epochs, place = epochs + last, place + max(reached(curve, axis, last) for curve in begun)
    return row


def extent(row: Sequence[Stretch]) -> int:
    """Epochs in a row of rounds, those of the last to the end of its recipe."""
    return row[-1].epochs + max(curve.epochs for curve in row[-1].curves)


def stretch_at(row: Sequence[Stretch], epoch: float) -> Stretch:
    """The round that an epoch of the row lies in: one that ends a round still does."""
    return next((stretch for stretch in reversed(row) if stretch.epochs < epoch), row[0])


def reached_in(row: Sequence[Stretch], axis: str, epoch: float) -> float:
    """Where on the axis an epoch of the row is, for the curve of its round that is the longest."""
    stretch = stretch_at(row, epoch)
    return stretch.place + reached(stretch.curves[0], axis, epoch - stretch.epochs)


def shifted(line: Line, stretch: Stretch) -> Line:
    """A line of a round where that stands in its row."""
    if not stretch.epochs:
        return line
    epochs, xs = [epoch + stretch.epochs for epoch in line.epochs], [x + stretch.place for x in line.xs]
    return replace(line, epochs=epochs, xs=xs)


def smoothed(line: Line, weight: float) -> Line:
    """Its exponential moving average, of which `weight` is what came before, without the pull towards 0 at the start:
    divided by the sum of its weights (Kingma & Ba 2015, section 3). A gap stays one, and changes nothing after it.
    """
    if not weight:
        return line
    mean, kept = 0.0, 1.0
    ys = []
    for y in line.ys:
        if math.isfinite(y):
            mean, kept = weight * mean + (1 - weight) * y, kept * weight
            ys.append(mean / (1 - kept))
        else:
            ys.append(math.nan)
    return replace(line, ys=ys)


def logarithmic(line: Line) -> Line:
    """Its decimal logarithms; all of it is positive."""
    return replace(line, ys=[math.log10(y) if math.isfinite(y) else math.nan for y in line.ys])


def thinned(line: Line, low: float, high: float, columns: int) -> Line:
    """What is seen of a line from one abscissa to another, at most six points to a column.

    Of each column its first, lowest, highest and last value stay, and its first and last gap; beyond either end, the
    next point. `xs` rise.
    """
    first, last = max(bisect_left(line.xs, low) - 1, 0), min(bisect_right(line.xs, high) + 1, len(line.xs))
    kept = list(range(first, last))
    if kept and high > low:
        begin, end = ((line.xs[place] - low) / (high - low) * columns for place in (first, last - 1))
        begin, end = max(math.floor(begin), 0), min(math.floor(end) + 1, columns)
        if len(kept) > 2 * (end - begin):
            edges = (low + (high - low) * column / columns for column in range(begin, end + 1))
            bounds = [first, *(bisect_left(line.xs, edge, first, last) for edge in edges), last]
            kept = [place for a, b in pairwise(bounds) for place in _telling(line.ys, a, b)]
    epochs, xs = [line.epochs[place] for place in kept], [line.xs[place] for place in kept]
    return replace(line, epochs=epochs, xs=xs, ys=[line.ys[place] for place in kept])


def _telling(ys: Sequence[float], a: int, b: int) -> list[int]:
    """Places from a to b (exclusive) at which there is something to see."""
    if b - a <= 2:
        return list(range(a, b))
    within = ys[a:b]
    if math.isfinite(sum(within)):  # the common case, at the speed of built-ins
        return sorted({a, b - 1, a + within.index(min(within)), a + within.index(max(within))})
    finite = [place for place in range(a, b) if math.isfinite(ys[place])]
    gaps = [place for place in range(a, b) if not math.isfinite(ys[place])]
    kept = {places[end] for places in (finite, gaps) if places for end in (0, -1)}
    if finite:
        kept |= {min(finite, key=ys.__getitem__), max(finite, key=ys.__getitem__)}
    return sorted(kept)


# Windows and cursors


def zoomed(window: Window | None, longest: float, about: float | None, by: int) -> Window | None:
    """Half the window, or twice, about an epoch (its middle, where that is None or out of sight); None for all."""
    low, high = window or (0.0, longest)
    about = (low + high) / 2 if about is None or not low <= about <= high else about
    wide = max((high - low) * 2.0**-by, LEAST_WINDOW)
    if wide >= longest:
        return None
    return _within(about - (about - low) * wide / (high - low), wide, longest)


def panned(window: Window, longest: float, by: int) -> Window:
    """A quarter of the window on, or back."""
    wide = window[1] - window[0]
    return _within(window[0] + by * wide / 4, wide, longest)


def fitted(window: Window | None, longest: float) -> Window | None:
    """The window where there are so many epochs."""
    if window is None or window[1] - window[0] >= longest:
        return None
    return _within(window[0], window[1] - window[0], longest)


def holding(window: Window | None, longest: float, epoch: int) -> Window | None:
    """The window, moved no farther than an epoch needs to be in sight."""
    if window is None or window[0] <= epoch <= window[1]:
        return window
    wide = window[1] - window[0]
    return _within(epoch - (wide if epoch > window[1] else 0.0), wide, longest)


def _within(low: float, wide: float, longest: float) -> Window:
    low = max(min(low, longest - wide), 0.0)
    return low, low + wide


def moved(known: Sequence[int], cursor: int | None, by: int) -> int:
    """The epoch that a cursor comes to: the next of those known (in order, one at least), or the last at first."""
    if cursor is None:
        return known[-1]
    place = bisect_left(known, cursor) if by < 0 else bisect_right(known, cursor) - 1
    return known[max(0, min(place + by, len(known) - 1))]
