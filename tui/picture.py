"""Plots as SVG, to be published: the series that `drawing.py` draws as text, at their true places.

Nothing is loaded from elsewhere: marks are paths, and text is in the reader's own font.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from xml.sax.saxutils import escape

from tui.colours import COLOURS
from tui.drawing import Limits, Series, ticks, window
from tui.plain import plain

WIDTH, HEIGHT = 880, 500
"""Pixels of a picture without its legend."""

LEFT, RIGHT, TOP, BOTTOM = 64, 20, 52, 52
"""Pixels around the plot, for ticks and labels."""

FONT = 13
CHARACTER = 0.56 * FONT
"""Pixels that a character takes on average: a legend is laid out without knowing the font."""

DASHES = ("", "9 5", "2 4", "9 4 2 4")
"""Strokes of lines, in the order of `drawing.STROKES`."""

GREY = "#777777"

_STAR = "L".join(
    f"{r * math.sin(turn * math.pi / 5):.2f} {-r * math.cos(turn * math.pi / 5):.2f}"
    for turn, r in zip(range(10), (6, 2.6) * 5, strict=True)
)
_CIRCLE, _UP = "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0 -9 0Z", "M0 -5.5L5 4L-5 4Z"
_MARKS = (_CIRCLE, _UP, "M-4 -4H4V4H-4Z", "M0 -6L6 0L0 6L-6 0Z", "M0 5.5L5 -4L-5 -4Z", f"M{_STAR}Z", _CIRCLE, _UP)
"""Outlines of marks around 0, in the order of the glyphs of a plot as text."""

_HOLLOW = 6
"""Marks from this one on are empty within."""

_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def picture(
    series: Sequence[Series],
    *,
    title: str = "",
    x_label: str = "",
    y_label: str = "",
    x_limits: tuple[float | None, float | None] | None = None,
    y_limits: tuple[float | None, float | None] | None = None,
    x_ticks: Sequence[tuple[float, str]] | None = None,
) -> str:
    """An SVG document on white: axes, lines, marks, 95 % intervals (`errors` are half widths), and a legend below.

    Limits and ticks are as in `drawing.draw`. Values that are not finite are gaps, and what lies outside is cut off.
    """
    x, y = window(series, x_limits, y_limits)
    area = _Area(x, y)
    legend, rows = _legend(sorted(series, key=lambda one: one.colour), HEIGHT)
    height = HEIGHT + 20 * rows
    across = ticks(*x, 10) if x_ticks is None else [tick for tick in x_ticks if x[0] <= tick[0] <= x[1]]
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
        f' font-family="Helvetica, Arial, sans-serif" font-size="{FONT}" role="img">',
        f"<title>{_text(title or y_label)}</title>",
        f'<clipPath id="inside"><rect x="{LEFT}" y="{TOP}" width="{area.width}" height="{area.height}"/></clipPath>',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="20" font-size="{FONT + 2}" font-weight="bold">'
        f"{_text(plain(title, int(area.width / CHARACTER / 1.2)))}</text>",
        f'<text x="{LEFT}" y="41" fill="{GREY}">{_text(y_label)}</text>',
        f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 14}" fill="{GREY}" text-anchor="end">{_text(x_label)}</text>',
        *_axes(area, _apart(area, across), ticks(*y, 9)),
        *(line for one in sorted(series, key=lambda one: not one.dashed) for line in _drawn(one, area)),
        *legend,
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


class _Area:
    """The plot itself, and where a value lies in it."""

    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM

    def __init__(self, x: Limits, y: Limits) -> None:
        self._x, self._y = x, y

    def across(self, value: float) -> float:
        return LEFT + self.width * _share(value, self._x)

    def down(self, value: float) -> float:
        return TOP + self.height * (1 - _share(value, self._y))

    def holds(self, x: float, y: float) -> bool:
        return LEFT - 1e-6 <= x <= LEFT + self.width + 1e-6 and TOP - 1e-6 <= y <= TOP + self.height + 1e-6


def _share(value: float, limits: Limits) -> float:
    """As a plot as text has it: never so far outside that a reader of SVG would stumble."""
    low, high = limits
    return max(-1e3, min(1e3, (value / 2 - low / 2) / (high / 2 - low / 2)))


def _axes(area: _Area, across: Iterable[tuple[float, str]], up: Iterable[tuple[float, str]]) -> Iterator[str]:
    right, bottom = LEFT + area.width, TOP + area.height
    for value, label in up:
        y = area.down(value)
        yield f'<path d="M{LEFT} {y:.2f}H{right}" stroke="#e4e4e4"/>'
        yield f'<text x="{LEFT - 8}" y="{y + 4.5:.2f}" text-anchor="end">{_text(label)}</text>'
    for value, label in across:
        x = area.across(value)
        yield f'<path d="M{x:.2f} {bottom}v5" stroke="black"/>'
        yield f'<text class="tick" x="{x:.2f}" y="{bottom + 20}" text-anchor="middle">{_text(label)}</text>'
    yield f'<path d="M{LEFT} {TOP}V{bottom}H{right}" fill="none" stroke="black"/>'


def _apart(area: _Area, labels: Iterable[tuple[float, str]]) -> list[tuple[float, str]]:
    """Ticks whose labels do not touch."""
    kept: list[tuple[float, str]] = []
    for value, label in labels:
        room = CHARACTER * (len(label) + len(kept[-1][1])) / 2 + 8 if kept else 0
        if not kept or area.across(value) - area.across(kept[-1][0]) >= room:
            kept.append((value, label))
    return kept


def _drawn(series: Series, area: _Area) -> Iterator[str]:
    """A group: intervals below the line, marks above it."""
    colour = _colour(series)
    yield f'<g class="series" stroke="{colour}" fill="none">'
    yield f"<title>{_text(series.label)}</title>"
    points = [
        (area.across(a), area.down(b)) if a is not None and b is not None and math.isfinite(a + b) else None
        for a, b in zip(series.xs, series.ys, strict=False)
    ]
    for point, b, error in zip(points, series.ys, series.errors or (), strict=False):
        if point is not None and error is not None and math.isfinite(error) and error > 0:
            low, high = area.down(b - error), area.down(b + error)
            x = point[0]
            yield (
                f'<path class="interval" opacity="0.6" clip-path="url(#inside)" d="M{x:.2f} {low:.2f}V{high:.2f}'
                f'M{x - 3:.2f} {low:.2f}h6M{x - 3:.2f} {high:.2f}h6"/>'
            )
    if not series.published:
        path, pen_down = "", False
        for point in points:
            if point is not None:
                path += f"{'L' if pen_down else 'M'}{point[0]:.2f} {point[1]:.2f}"
            pen_down = point is not None
        if path:
            yield f'<path class="line" clip-path="url(#inside)"{_stroke(series)} d="{path}"/>'
    seen = [point for point in points if point is not None and area.holds(*point)]  # whole, at the edges too
    yield from (_mark(series, *point) for point in (seen[: series.coloured] if series.dashed else seen))
    yield "</g>"


def _mark(series: Series, x: float, y: float) -> str:
    number = series.colour % len(_MARKS)
    fill = "white" if number >= _HOLLOW or series.published else _colour(series)
    return (
        f'<path class="mark" transform="translate({x:.2f} {y:.2f})" stroke="{_colour(series)}" fill="{fill}"'
        f' d="{_MARKS[number]}"/>'
    )


def _legend(series: Iterable[Series], top: int) -> tuple[list[str], int]:
    """Entries in columns, as many as there is room for, and how many rows they take."""
    named = [replace(one, label=plain(one.label, 90)) for one in series if one.label]
    if not named:
        return [], 0
    wide = 70 + CHARACTER * max(len(one.label) for one in named)
    columns = max(int((WIDTH - LEFT - RIGHT) // wide), 1)
    rows = math.ceil(len(named) / columns)
    lines = []
    for place, one in enumerate(named):
        x, y = LEFT + place // rows * wide, top + 20 * (place % rows)
        stroke = "" if one.published else f'<path d="M{x:.1f} {y}h36"{_stroke(one)}/>'
        mark = "" if one.dashed and not one.coloured else _mark(one, x + 18, y)
        lines.append(
            f'<g class="legend" stroke="{_colour(one)}" fill="none">{stroke}{mark}'
            f'<text x="{x + 44:.1f}" y="{y + 4.5}" fill="black" stroke="none">{_text(one.label)}</text></g>'
        )
    return lines, rows


def _stroke(series: Series) -> str:
    """Width and breaks of a line; one to compare with is thin."""
    if series.dashed:
        return ' stroke-width="1.1" stroke-dasharray="6 3"'
    dashes = DASHES[series.stroke % len(DASHES)]
    return ' stroke-width="1.8"' + (f' stroke-dasharray="{dashes}"' if dashes else "")


def _colour(series: Series) -> str:
    if series.published or (series.dashed and not series.coloured):
        return GREY
    code = COLOURS[series.colour % len(COLOURS)] - 16
    return "#" + "".join(f"{(0, 95, 135, 175, 215, 255)[code // base % 6]:02x}" for base in (36, 6, 1))


def _text(words: str) -> str:
    return escape(_NOT_XML.sub("�", plain(words)))
