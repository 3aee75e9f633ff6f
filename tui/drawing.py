"""Plots as text, drawn by plotext 6 without ever handing it a value that it cannot take.

plotext aborts the process on NaN, on infinities and on points far outside its limits. So series are split where a
value is not finite, lines are clipped to the window (Liang & Barsky), and plotext is given positions in 0..1 only;
ticks, their labels and the legend are ours.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from tui import cells
from tui.colours import COLOURS
from tui.plain import plain

Point = tuple[float, float]
Limits = tuple[float, float]
Ticks = Callable[[float, float, int], list[tuple[float, str]]]
"""Finds ticks and their labels in a window, about as many as asked for."""

STROKES = ("", "─ ─", "· ·", "─ ·")
"""Ways to draw a line besides its colour and marks, as the legend shows them: whole, broken, dotted, both."""

_ASCII_STROKES = ("", "- -", ". .", "- .")
_BREAKS = ((), (3.0, 2.0), (0.5, 1.5), (3.0, 1.5, 0.5, 1.5))
"""Columns drawn and left out, in turn."""

MARKS = "●▲■◆▼★○△"
"""Marks of series, in the order of their colours."""

_ASCII_GLYPHS = "ox#*v@+%"
_PUBLISHED_GLYPHS = "×+◇□"
_PUBLISHED_ASCII_GLYPHS = "^&=~"
_TO_ASCII = str.maketrans("│┤├└┘┌┐─┬┴┼┄┊", "||+++++-+++-:")
_CURSOR = "┊"
_GREY = 245
_BACKGROUND = re.compile("\x1b\\[48;5;\\d+m")  # plotext's axes bring one; the terminal's own is meant
_LEAST = (16, 5)
"""Columns and rows below which a plot says nothing."""


@dataclass(frozen=True)
class Series:
    """One line of a plot. `errors` are half widths, None where there is none; `colour` counts through `COLOURS`.

    `stroke` counts through `STROKES`: it tells series of one colour apart. A dashed series is a line to compare with:
    grey and without marks, or if `coloured` in its colour with a mark at its first point. A dotted one lies beneath
    another of its colour, whose raw values it has: a dot each, no line. One that is not `marked` is a line only. A
    published one was measured by others: grey marks of a kind that no other series has, joined by no line. It may
    widen the axes, but not without bounds, so that figures far from ours leave ours legible; the legend counts those
    that lie off the plot.
    """

    label: str
    xs: Sequence[float]
    ys: Sequence[float]
    errors: Sequence[float | None] | None = None
    colour: int = 0
    dashed: bool = False
    published: bool = False
    dotted: bool = False
    stroke: int = 0
    marked: bool = True
    coloured: bool = False


def by_remaining(sparsity: float) -> float:
    """Position of a sparsity on an axis that is logarithmic in what remains; NaN where nothing remains."""
    return -math.log10(1.0 - sparsity) if sparsity < 1.0 else math.nan


SPARSITY_TICKS = [
    (by_remaining(at), f"{100 * at:g}") for at in (0.0, 0.2, 0.5, 0.8, 0.9, 0.95, 0.98, 0.99, 0.995, 0.999)
]
"""Ticks, in percent, for positions made by `by_remaining`: a round of a constant rate is one step to the right."""


def published(label: str, source: str, sparsities: Sequence[float], accuracies: Sequence[float]) -> Series:
    """Accuracies that a paper prints, in percent over sparsity. `colour`, which picks the glyph, is to be given."""
    places, levels = [by_remaining(at) for at in sparsities], [100 * accuracy for accuracy in accuracies]
    return Series(f"published: {label}" + (f", {source}" if source else ""), places, levels, published=True)


def draw(
    series: Sequence[Series],
    width: int,
    height: int,
    *,
    x_label: str = "",
    y_label: str = "",
    x_limits: tuple[float | None, float | None] | None = None,
    y_limits: tuple[float | None, float | None] | None = None,
    x_ticks: Sequence[tuple[float, str]] | None = None,
    y_ticks: Ticks | None = None,
    cursor: float | None = None,
    colour: bool = True,
    ascii: bool = False,
) -> str:
    """A plot of exactly `height` lines and at most `width` columns, its legend at the foot.

    A limit of None is that of the data: for y, of what lies between the limits of x. Values that are not finite are
    gaps. `y_ticks` finds ticks in a window (`ticks`, or `log_ticks` where the values are decimal logarithms); a line
    from top to bottom stands at `cursor`. Colours are codes of the 256-colour palette, with foregrounds only.
    """
    pen = _Pen(colour, ascii)
    points = _points(series)
    if width < _LEAST[0] or height < _LEAST[1] or not points:
        text = "nothing to draw yet" if not points else "too small"
        return "\n".join(_centred(pen.grey(text[: max(width, 0)]), min(len(text), width), width, height))
    x, y = (x_low, x_high), (y_low, y_high) = window(series, x_limits, y_limits)
    foot = _foot([_counted(one, x, y, width) for one in series], width, x_label, pen)[: height - 4]
    head = [pen.grey(plain(y_label, width))] if y_label else []
    rows = height - len(foot) - len(head)
    x_marks = ticks(x_low, x_high, max(2, width // 8)) if x_ticks is None else x_ticks
    y_marks = (y_ticks or ticks)(y_low, y_high, max(3, rows // 2))
    across = [_placed(one, x, y, width, rows) for one in series]
    x_places = _apart(_tick_places(x_marks, x_low, x_high), width)
    y_places = _tick_places(y_marks, y_low, y_high)
    place = None if cursor is None or not math.isfinite(cursor) else _position(cursor, x)
    line = [place] if place is not None and 0 <= place <= 1 else []
    canvas = _plotext(across, line, width, rows, x_places, y_places, pen)
    return "\n".join([*head, *canvas, *foot])


def window(
    series: Sequence[Series],
    x_limits: tuple[float | None, float | None] | None = None,
    y_limits: tuple[float | None, float | None] | None = None,
) -> tuple[Limits, Limits]:
    """What the axes of a plot hold, across and up; a limit of None is that of the data."""
    others = _points(one for one in series if one.published)
    ours = [one for one in series if not one.published]
    if not _points(ours):
        ours = list(series)
    x = _limits((p[0] for p in _points(ours)), x_limits, margin=0.0)
    y = _limits(_reach(ours, x), y_limits, margin=0.06)
    return (
        _unless_asked(x_limits, x, widened(x, [p[0] for p in others])),
        _unless_asked(y_limits, y, widened(y, [p[1] for p in others])),
    )


class _Pen:
    """How text is coloured and which characters may be used."""

    def __init__(self, colour: bool, ascii: bool) -> None:
        self.colour, self.ascii = colour, ascii

    def paint(self, text: str, code: int) -> str:
        return f"\x1b[38;5;{code}m{text}\x1b[0m" if self.colour and text else text

    def grey(self, text: str) -> str:
        return self.paint(text, _GREY)

    def glyph(self, series: Series) -> str:
        if series.dashed and not series.coloured:
            return self.dash
        if series.published:
            glyphs = _PUBLISHED_ASCII_GLYPHS if self.ascii else _PUBLISHED_GLYPHS
        else:
            glyphs = _ASCII_GLYPHS if self.ascii else MARKS
        return glyphs[series.colour % len(glyphs)]

    @property
    def dash(self) -> str:
        return "-" if self.ascii else "┄"

    def mark(self, series: Series) -> str:
        """What stands for a series in the legend."""
        stroke = (_ASCII_STROKES if self.ascii else STROKES)[series.stroke % len(STROKES)]
        stroke = self.dash * 3 if series.dashed and series.coloured else stroke
        return f"{self.glyph(series)} {stroke}" if stroke else self.glyph(series)

    def code(self, series: Series) -> int:
        grey = series.published or (series.dashed and not series.coloured)
        return _GREY if grey else COLOURS[series.colour % len(COLOURS)]


@dataclass(frozen=True)
class _Placed:
    """A series in window coordinates, 0..1 both ways: lines, marks, and intervals as (x, low, high)."""

    series: Series
    lines: list[list[Point]]
    marks: list[Point]
    bars: list[tuple[float, float, float]]


def _pieces(xs: Sequence[float], ys: Sequence[float]) -> Iterator[list[Point]]:
    """Stretches of finite points; a value that is not a finite number ends one."""
    piece: list[Point] = []
    for a, b in zip(xs, ys, strict=False):
        if a is not None and b is not None and math.isfinite(a) and math.isfinite(b):
            piece.append((float(a), float(b)))
        elif piece:
            yield piece
            piece = []
    if piece:
        yield piece


def _points(series: Iterable[Series]) -> list[Point]:
    return [point for one in series for piece in _pieces(one.xs, one.ys) for point in piece]


def _intervals(series: Series) -> Iterator[tuple[Point, float]]:
    for a, b, error in zip(series.xs, series.ys, series.errors or (), strict=False):
        if error is not None and math.isfinite(error) and error > 0 and math.isfinite(a) and math.isfinite(b):
            yield (a, b), error


def _reach(series: Sequence[Series], x: Limits) -> list[float]:
    """What the vertical axis must hold of what lies between two abscissae: every ordinate, and intervals as far as they
    leave the ordinates in sight.

    Two seeds give intervals of 13 standard errors: those end at the edge. A median interval is seen whole.
    """
    values = [b for one in series for piece in _pieces(one.xs, one.ys) for b in _ordinates(piece, x)]
    low, high = _range(values)
    bars = [(b, error) for one in series for (a, b), error in _intervals(one) if x[0] <= a <= x[1]]
    room = max(high / 2 - low / 2, sorted(error for _, error in bars)[len(bars) // 2] if bars else 0.0)
    ends = [end for b, error in bars for end in (b - error, b + error) if math.isfinite(end)]
    if math.isfinite(room):
        ends = [min(max(end, low - room), high + room) for end in ends]
    return values + [end for end in ends if math.isfinite(end)]


def _ordinates(points: Sequence[Point], x: Limits) -> Iterator[float]:
    """Those of a polyline between two abscissae, with those at which it enters and leaves."""
    yield from (b for a, b in points if x[0] <= a <= x[1])
    for (a, b), (c, d) in pairwise(points):
        for edge in x:
            if min(a, c) < edge < max(a, c):
                at = (edge / 2 - a / 2) / (c / 2 - a / 2)
                yield b * (1 - at) + d * at


def _limits(values: Iterable[float], asked: tuple[float | None, float | None] | None, margin: float) -> Limits:
    """A window with a width: as asked where that is finite, else around the data."""
    low, high = _range(values)
    room = margin * (high / 2 - low / 2) * 2
    if math.isfinite(room):
        low, high = low - room, high + room
    wanted_low, wanted_high = asked or (None, None)
    low = wanted_low if wanted_low is not None and math.isfinite(wanted_low) else low
    high = wanted_high if wanted_high is not None and math.isfinite(wanted_high) else high
    low, high = (max(min(bound, 8e307), -8e307) for bound in (low, high))  # so that no difference overflows
    if not high - low > 1e-9 * max(abs(low), abs(high), 1e-290):  # a point, or limits the wrong way round
        pad = max(abs(low) * 0.05, 0.5) if abs(low) < 1e300 else abs(low) * 0.05
        low, high = low - pad, low + pad
    return low, high


def widened(limits: Limits, values: Sequence[float]) -> Limits:
    """A window that also holds `values`, as far as it grows by no more than its own width on either side."""
    low, high = limits
    room = high - low
    return (
        min([low, *(max(value, low - room, -8e307) for value in values)]),
        max([high, *(min(value, high + room, 8e307) for value in values)]),
    )


def percent_window(series: Sequence[Series], least: float) -> Limits:
    """From bottom to top, within 0 and 100: every mean, at least `least` points, and intervals as far as means allow.

    So a difference of one image does not look like a fall, and the huge intervals of two seeds end at the edge.
    """
    low, high = _range(y for one in series for _, y in _points([one]))
    errors = sorted(error for one in series for _, error in _intervals(one))
    spread = max(high - low, least)
    median = errors[len(errors) // 2] if errors else 0.0
    room = max((spread - (high - low)) / 2, spread / 8, min(median, spread / 2))
    return max(low - room, 0.0), min(high + room, 100.0)


def _unless_asked(asked: tuple[float | None, float | None] | None, limits: Limits, wide: Limits) -> Limits:
    """The wide window, but for bounds that were asked for."""
    fixed = [bound is not None and math.isfinite(bound) for bound in asked or (None, None)]
    return limits[0] if fixed[0] else wide[0], limits[1] if fixed[1] else wide[1]


def _counted(series: Series, x: Limits, y: Limits, width: int) -> Series:
    """A published series whose label says how many of its figures are off the plot; any other as it is."""
    places = [(_position(a, x), _position(b, y)) for a, b in _points([series])]
    off = sum(not (0 <= a <= 1 and 0 <= b <= 1) for a, b in places)
    if not series.published or not off:
        return series
    words = f" ({off if off < len(places) else 'all'} off the plot)"
    return replace(series, label=plain(series.label, max(width - 4 - len(words), 1)) + words)


def _range(values: Iterable[float]) -> Limits:
    low, high = math.inf, -math.inf
    for value in values:
        low, high = min(low, value), max(high, value)
    return (low, high) if low <= high else (0.0, 1.0)


def _position(value: float, limits: Limits) -> float:
    """Where a value lies in the window: 0 at its low end, 1 at its high end, never beyond ±10⁹."""
    low, high = limits
    return max(-1e9, min(1e9, (value / 2 - low / 2) / (high / 2 - low / 2)))


def _placed(series: Series, x: Limits, y: Limits, width: int, height: int) -> _Placed:
    columns = 2 * width  # what a braille cell can tell apart; more points would only cost time
    lines: list[list[Point]] = []
    marks: list[Point] = []
    breaks = _BREAKS[series.stroke % len(_BREAKS)]
    for piece in _pieces(series.xs, series.ys):
        place = [(_position(a, x), _position(b, y)) for a, b in piece]
        if not (series.published or series.dotted):
            for line in clip(thin(place, columns)):
                lines += broken(line, breaks, width, 2 * height) if breaks else [line]
        marks += place
    seen = [p for p in marks if 0 <= p[0] <= 1 and 0 <= p[1] <= 1]
    bars = []
    for (a, b), error in _intervals(series):
        across, low, high = _position(a, x), _position(b - error, y), _position(b + error, y)
        if 0 <= across <= 1 and high > 0 and low < 1:
            bars.append((across, max(low, 0.0), min(high, 1.0)))
    each = series.published or series.dotted
    return _Placed(series, lines, seen if each else _some(seen, columns // 4, series.colour), bars)


def _some(marks: list[Point], most: int, shift: int) -> list[Point]:
    """Every mark while there are no more than `most`; else a quarter of that, and other ones for each series."""
    if len(marks) <= most:
        return marks
    few = max(most // 4, 1)
    stride = len(marks) / few
    return [marks[min(int((i + (0.3 + 0.23 * shift) % 1) * stride), len(marks) - 1)] for i in range(few)]


def thin(points: list[Point], columns: int) -> list[Point]:
    """At most about four points for each of `columns` columns of the window: first, lowest, highest, last."""
    if len(points) <= 2 * columns:
        return points
    kept: list[Point] = []
    column: list[Point] = []
    at = None
    for point in points:
        here = int(point[0] * columns)
        if here != at and column:
            kept += _ends(column)
            column = []
        at = here
        column.append(point)
    return kept + _ends(column)


def _ends(column: list[Point]) -> list[Point]:
    order = {0, len(column) - 1}
    order |= {min(range(len(column)), key=lambda i: column[i][1]), max(range(len(column)), key=lambda i: column[i][1])}
    return [column[i] for i in sorted(order)]


def broken(points: Sequence[Point], breaks: Sequence[float], width: float, height: float) -> list[list[Point]]:
    """The parts of a polyline that are drawn when lengths of it are drawn and left out in turn, measured where the unit
    square is `width` × `height`. `breaks` is an even number of positive lengths."""
    parts: list[list[Point]] = [[points[0]]] if points else []
    turn, left = 0, breaks[0]
    for a, b in pairwise(points):
        length = math.hypot((b[0] - a[0]) * width, (b[1] - a[1]) * height)
        gone = 0.0
        while length - gone >= left:
            gone += left
            share = gone / length
            at = (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]))
            if turn % 2 == 0:
                parts[-1].append(at)
            else:
                parts.append([at])
            turn = (turn + 1) % len(breaks)
            left = breaks[turn]
        left -= length - gone
        if turn % 2 == 0:
            parts[-1].append(b)
    return [part for part in parts if len(part) > 1]


def dotted(points: Sequence[Point], columns: int, rows: int) -> list[Point]:
    """Points along a polyline, so close that no dot of a raster of `columns` × `rows` on the unit square is missed."""
    dots = list(points[:1])
    for a, b in pairwise(points):
        steps = max(math.ceil(max(abs(b[0] - a[0]) * columns, abs(b[1] - a[1]) * rows)), 1)
        shares = (step / steps for step in range(1, steps))
        dots += [(a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1])) for share in shares]
        dots.append(b)
    return dots


def clip(points: Sequence[Point]) -> list[list[Point]]:
    """The parts of a polyline that lie in the unit square (Liang & Barsky, 1984), as connected stretches."""
    stretches: list[list[Point]] = []
    for a, b in pairwise(points):
        inside = _segment(a, b)
        if inside is None:
            continue
        start, end = inside
        if stretches and stretches[-1][-1] == start:
            stretches[-1].append(end)
        else:
            stretches.append([start, end])
    return stretches


def _segment(a: Point, b: Point) -> tuple[Point, Point] | None:
    enter, leave = 0.0, 1.0
    dx, dy = b[0] - a[0], b[1] - a[1]
    for towards, room in ((-dx, a[0]), (dx, 1 - a[0]), (-dy, a[1]), (dy, 1 - a[1])):
        if towards == 0:
            if room < 0:
                return None
            continue
        at = room / towards
        if towards < 0:
            enter = max(enter, at)
        else:
            leave = min(leave, at)
        if enter > leave:
            return None
    # An end inside is kept bit for bit, so that the next segment joins it; rounding must not leave the window.
    start = a if enter == 0 else (a[0] + enter * dx, a[1] + enter * dy)
    end = b if leave == 1 else (a[0] + leave * dx, a[1] + leave * dy)
    return (_unit(start[0]), _unit(start[1])), (_unit(end[0]), _unit(end[1]))


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def ticks(low: float, high: float, most: int, least: float = 0.0) -> list[tuple[float, str]]:
    """Round numbers in the window, about `most`: multiples of 1, 2 or 5 times a power of ten, `least` or more apart."""
    raw = max((high / 2 - low / 2) / max(most - 1, 1) * 2, least)
    power = 10.0 ** math.floor(math.log10(raw)) if raw > 1e-300 else raw
    step = next((factor * power for factor in (1.0, 2.0, 5.0) if factor * power >= raw * (1 - 1e-9)), 10.0 * power)
    first = math.ceil(low / step - 1e-9)
    values = [(first + i) * step for i in range(most + 1)]
    return [(value, _number(value, step)) for value in values if value <= high + 1e-9 * step]


def log_ticks(low: float, high: float, most: int) -> list[tuple[float, str]]:
    """Ticks for decimal logarithms, labelled with the numbers: multiples of powers of ten, as many as `most` lets.

    In a window of less than a factor of five, where lines are all but straight, rather round numbers a step apart.
    """
    low, high = (max(min(bound, 300.0), -300.0) for bound in (low, high))  # so that every one in the window is a float
    places: list[tuple[float, str]] = []
    for decades, factors in ((1, (1, 2, 5)), (1, (1, 3)), *((decades, (1,)) for decades in range(1, 301))):
        powers = range(math.floor(low / decades) * decades, math.ceil(high) + 1, decades)
        numbers = [(power + math.log10(factor), f"{factor}e{power}") for power in powers for factor in factors]
        places = [(at, f"{float(number):g}") for at, number in numbers if low - 1e-9 <= at <= high + 1e-9]
        if len(places) <= max(most, 2):
            break
    if not 0 < high - low <= math.log10(5):
        return places
    steps = [(math.log10(value), label) for value, label in ticks(10.0**low, 10.0**high, most) if value > 0]
    return max(places, steps, key=len)


def _number(value: float, step: float) -> str:
    size = max(abs(value), step)
    if not 1e-4 <= step <= 1e15 or size > 1e15:
        return f"{value:.3g}"
    for unit, suffix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if size >= unit * (10 if unit == 1e3 else 1):
            return f"{value / unit:g}{suffix}" if abs(value) >= 1e-9 * step else "0"
    decimals = max(0, -math.floor(math.log10(step) + 1e-9))
    return f"{value:.{decimals}f}" if abs(value) >= 1e-9 * step else f"{0:.{decimals}f}"


def _tick_places(ticks: Sequence[tuple[float, str]], low: float, high: float) -> list[tuple[float, str]]:
    places = [(_position(value, (low, high)), label) for value, label in ticks]
    return [(place, label) for place, label in places if -1e-9 <= place <= 1 + 1e-9]


def _apart(places: list[tuple[float, str]], width: int) -> list[tuple[float, str]]:
    """Ticks whose labels, centred, leave a blank between them."""
    kept: list[tuple[float, str]] = []
    for place, label in places:
        if not kept or (place - kept[-1][0]) * width >= (len(label) + len(kept[-1][1])) / 2 + 2:
            kept.append((place, label))
    return kept


def _plotext(
    across: list[_Placed],
    cursors: list[float],
    width: int,
    height: int,
    x_ticks: list[tuple[float, str]],
    y_ticks: list[tuple[float, str]],
    pen: _Pen,
) -> list[str]:
    import plotext  # 60 ms; commands and the app's first paint do without

    plotext.terminal.limit(False, False)  # sizes are ours to choose, not the terminal's
    figure = type(plotext.figure)(plotext.terminal)  # a new one each time: clear() keeps the theme
    figure.theme("colorless").plot_size(width, height).legend(False)
    figure.axes(False, axis="x", side="upper").axes(False, axis="y", side="right")
    for name, ticks in (("x", x_ticks), ("y", y_ticks)):
        ruler = figure.ruler(name, 0)
        ruler.lim(0.0, 1.0)
        ruler.ticks([_unit(place) for place, _ in ticks], [label for _, label in ticks])
        if pen.colour:
            ruler.pixel(_GREY)
    if pen.colour:
        figure.axes(True, pixel=_GREY, axis="x", side="lower").axes(True, pixel=_GREY, axis="y", side="left")

    def marker(symbol: str, series: Series | None = None) -> Any:
        code = pen.code(series) if series else _GREY
        return plotext.marker(symbol, pixel=code) if pen.colour else plotext.marker(symbol)

    def points(places: Sequence[Point], mark: Any) -> None:
        if places:  # one signal for all of them: each costs 0.2 ms
            figure.draw(figure.signal([p[0] for p in places], [p[1] for p in places], marker=mark))

    for at in cursors:
        figure.draw(figure.signal([at, at], [0.0, 1.0], marker=marker(":" if pen.ascii else _CURSOR)).lines(True))
    for one in across:
        if one.series.dotted:
            points(one.marks, marker("." if pen.ascii else "braille", one.series))
    for one in across:
        mark = marker("|" if pen.ascii else "│", one.series)
        dots = [dot for at, low, high in one.bars for dot in dotted([(at, low), (at, high)], 1, 2 * height)]
        points(dots, mark)
    for one in across:
        mark = marker(pen.dash if one.series.dashed else "." if pen.ascii else "braille", one.series)
        if one.series.stroke % len(STROKES):
            points([dot for line in one.lines for dot in dotted(line, 2 * width, 4 * height)], mark)
            continue
        for line in one.lines:
            figure.draw(figure.signal([p[0] for p in line], [p[1] for p in line], marker=mark).lines(True))
    for one in sorted(across, key=lambda one: not one.series.published):  # where marks meet, ours is seen
        if one.series.marked and not one.series.dotted:
            marks = one.marks[: one.series.coloured] if one.series.dashed else one.marks
            points(marks, marker(pen.glyph(one.series), one.series))
    text = _BACKGROUND.sub("", figure.build().string(colorless=not pen.colour))
    rows = text.rstrip("\n").split("\n")
    return [row.translate(_TO_ASCII) for row in rows] if pen.ascii else rows


def _foot(series: Sequence[Series], width: int, x_label: str, pen: _Pen) -> list[str]:
    """The legend, wrapped, with the label of the horizontal axis at the right end of its last line."""
    lines: list[tuple[str, int]] = []
    text, used = "", 0
    for one in series:
        if not one.label:
            continue
        mark = pen.mark(one)
        label = plain(one.label, max(width - 3 - len(mark), 1))
        size = 1 + len(mark) + cells.width(label)
        if used and used + 2 + size > width:
            lines.append((text, used))
            text, used = "", 0
        name = pen.grey(label) if one.published else label
        text += ("  " if used else "") + pen.paint(mark, pen.code(one)) + " " + name
        used += size + (2 if used > 0 else 0)
    lines.append((text, used))
    label = plain(x_label, width)
    if label:
        last, used = lines[-1]
        if used and used + 2 + cells.width(label) > width:
            lines.append(("", 0))
            last, used = "", 0
        lines[-1] = (last + " " * (width - used - cells.width(label)) + pen.grey(label), width)
    return [line for line, used in lines if used]


def _centred(text: str, size: int, width: int, height: int) -> list[str]:
    rows = [""] * max(height, 1)
    rows[len(rows) // 2 - (len(rows) > 1 and len(rows) % 2 == 0)] = " " * ((width - size) // 2) + text
    return rows
