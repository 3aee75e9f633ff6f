"""Plots as SVG: well-formed whatever labels say, every point where its value is; colours that all eyes tell apart."""

from __future__ import annotations

import itertools
import math
import re
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.color import Color, ColorSystem

from tui.app.filters import LIGHT
from tui.colours import COLOURS
from tui.drawing import MARKS, STROKES, Series, broken, dotted, draw
from tui.picture import _MARKS, DASHES, picture

SVG = "{http://www.w3.org/2000/svg}"


def groups(text: str, name: str) -> list[ElementTree.Element]:
    return [group for group in ElementTree.fromstring(text).iter(f"{SVG}g") if group.get("class") == name]


def marks(group: ElementTree.Element) -> list[tuple[float, float]]:
    found = [path.get("transform") for path in group.iter(f"{SVG}path") if path.get("class") == "mark"]
    return [tuple(map(float, re.fullmatch(r"translate\((\S+) (\S+)\)", place).groups())) for place in found]


def test_points_lie_where_their_values_are():
    xs, ys = [0.0, 1.0, 4.0], [90.0, 95.0, 80.0]
    text = picture([Series("a", xs, ys)], x_limits=(0.0, 4.0), y_limits=(80.0, 100.0))
    (left, y_first), (middle, y_second), (right, y_last) = marks(groups(text, "series")[0])
    assert (middle - left) / (right - left) == pytest.approx(0.25, abs=1e-4)
    assert (y_last - y_first) / (y_last - y_second) == pytest.approx(10 / 15, abs=1e-4), "up is more"
    ticks = {
        t.text: float(t.get("x")) for t in ElementTree.fromstring(text).iter(f"{SVG}text") if t.get("class") == "tick"
    }
    assert ticks["0.0"] == pytest.approx(left, abs=0.01)
    assert ticks["4.0"] == pytest.approx(right, abs=0.01)


def test_an_interval_reaches_as_far_as_its_half_width():
    text = picture([Series("a", [0, 1], [90, 90], [5, None])], y_limits=(80.0, 100.0))
    (bar,) = [path for path in ElementTree.fromstring(text).iter(f"{SVG}path") if path.get("class") == "interval"]
    low, high = map(float, re.match(r"M\S+ (\S+)V(\S+?)M", bar.get("d")).groups())
    (_, y), _ = marks(groups(text, "series")[0])
    assert (low + high) / 2 == pytest.approx(y, abs=0.01)
    plot = next(ElementTree.fromstring(text).iter(f"{SVG}rect"))
    assert low - high == pytest.approx(float(plot.get("height")) / 2, abs=0.05)


def test_values_that_are_not_finite_are_gaps():
    text = picture([Series("a", [0, 1, 2, 3], [90, 91, math.nan, 92])])
    (group,) = groups(text, "series")
    assert len(marks(group)) == 3
    (line,) = [path for path in group.iter(f"{SVG}path") if path.get("class") == "line"]
    assert (line.get("d").count("M"), line.get("d").count("L")) == (2, 1)


def test_what_lies_outside_the_axes_has_no_mark():
    text = picture([Series("a", [0, 1, 2], [90, 1e300, 91])], y_limits=(80.0, 100.0))
    assert len(marks(groups(text, "series")[0])) == 2


def test_runs_have_colours_and_marks_of_their_own_and_searches_their_strokes():
    text = picture([Series(f"{c} {s}", [0, 1], [1, 2], colour=c, stroke=s) for c in range(3) for s in range(2)])
    seen = [(g.get("stroke"), _shape(g), _dashes(g)) for g in groups(text, "series")]
    assert len(set(seen)) == 6
    assert [g.get("stroke") for g in groups(text, "legend")] == [colour for colour, _, _ in seen]
    assert len({colour for colour, _, _ in seen}) == 3
    assert len({dashes for _, _, dashes in seen}) == 2


def _shape(group: ElementTree.Element) -> str:
    return next(path.get("d") for path in group.iter(f"{SVG}path") if path.get("class") == "mark")


def _dashes(group: ElementTree.Element) -> str | None:
    return next(path.get("stroke-dasharray") for path in group.iter(f"{SVG}path") if path.get("class") == "line")


def test_each_mark_and_stroke_of_a_plot_as_text_has_its_like():
    assert len(_MARKS) == len(MARKS) == len(COLOURS)
    assert len(DASHES) == len(STROKES)


numbers = st.floats(allow_nan=True, allow_infinity=True) | st.floats(0, 100)


@settings(max_examples=60)
@given(
    st.lists(st.tuples(st.text(max_size=12), st.lists(st.tuples(numbers, numbers, numbers), max_size=5)), max_size=3),
    st.text(max_size=12),
)
def test_any_labels_and_values_make_a_well_formed_picture(several, title):
    series = [
        Series(label, *([point[i] for point in points] for i in range(3)), colour=i, dashed=i == 1, coloured=True)
        for i, (label, points) in enumerate(several)
    ]
    text = picture(series, title=title, x_label=title, y_label="<&\x00>")
    ElementTree.fromstring(text.encode())
    assert not re.search(r"\b(nan|inf)\b", re.sub("<text.*|<title.*", "", text))


def test_labels_are_shown_as_they_are():
    text = picture([Series('<b>"&amp;\x1b[31m', [0, 1], [1, 2])], title="a < b & c")
    root = ElementTree.fromstring(text)
    words = [one.text for one in root.iter(f"{SVG}text")]
    assert "a < b & c" in words
    assert '<b>"&amp;␛[31m' in words


# Strokes of plots as text

places = st.tuples(st.floats(0, 1), st.floats(0, 1))


@given(st.lists(places, min_size=2, max_size=6), st.lists(st.floats(0.5, 5), min_size=1, max_size=2))
def test_a_broken_line_draws_its_share_and_stays_on_the_line(points, lengths):
    breaks = [length for length in lengths for _ in range(2)]
    parts = broken(points, breaks, 80, 40)
    whole = _length(points)
    drawn = sum(map(_length, parts))
    assert drawn == pytest.approx(whole / 2, abs=sum(breaks))
    assert drawn <= whole * (1 + 1e-9)


def _length(points) -> float:
    return sum(math.hypot((b[0] - a[0]) * 80, (b[1] - a[1]) * 40) for a, b in itertools.pairwise(points))


@given(st.lists(places, min_size=1, max_size=5))
def test_a_dotted_line_leaves_out_no_dot_of_the_raster(points):
    dots = dotted(points, 160, 96)
    assert dots[0] == points[0]
    assert dots[-1] == points[-1]
    steps = [max(abs(b[0] - a[0]) * 160, abs(b[1] - a[1]) * 96) for a, b in itertools.pairwise(dots)]
    assert all(step <= 1 + 1e-6 for step in steps)


def test_strokes_are_in_the_legend_and_break_the_line():
    lines = [Series("whole", [0, 1], [0, 0]), Series("broken", [0, 1], [1, 1], stroke=1)]
    text = draw(lines, 60, 12, colour=False)
    legend = text.splitlines()[-1]
    assert "● whole" in legend
    assert "● ─ ─ broken" in legend
    above = next(line for line in text.splitlines() if "●" in line)
    assert re.search("[⠀-⣿]+ +[⠀-⣿]+", above)
    assert "o - - broken" in draw(lines, 60, 12, colour=False, ascii=True)


# Colours

WAYS_TO_SEE = {
    "all cones": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protan": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deutan": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritan": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""Machado, Oliveira & Fernandes 2009, table 1, severity 1: on linear RGB."""


def _linear(code: int) -> list[float]:
    triplet = Color.parse(f"color({code})").get_truecolor()
    parts = [part / 255 for part in triplet]
    return [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]


def _lab(code: int, seen_as) -> tuple[float, float, float]:
    """CIELAB (D65) of a colour of the 256, as seen."""
    linear = _linear(code)
    rgb = [min(max(sum(a * b for a, b in zip(row, linear, strict=True)), 0), 1) for row in seen_as]
    to_xyz = ((0.4124, 0.3576, 0.1805), (0.2126, 0.7152, 0.0722), (0.0193, 0.1192, 0.9505))
    white = (0.9505, 1.0, 1.089)
    scaled = [sum(a * b for a, b in zip(row, rgb, strict=True)) / w for row, w in zip(to_xyz, white, strict=True)]
    x, y, z = (t ** (1 / 3) if t > 0.008856 else 7.787 * t + 16 / 116 for t in scaled)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


@pytest.mark.parametrize(("colours", "least"), [(COLOURS, 18), ([LIGHT[code] for code in COLOURS], 14)])
@pytest.mark.parametrize("way", WAYS_TO_SEE)
def test_eight_colours_stay_apart_for_every_way_to_see_on_either_ground(way, colours, least):
    seen = [_lab(code, WAYS_TO_SEE[way]) for code in colours]
    assert len(seen) == 8
    assert min(math.dist(a, b) for a, b in itertools.combinations(seen, 2)) > least


def test_of_sixteen_colours_no_more_than_two_runs_share_one():
    seen = [Color.parse(f"color({code})").downgrade(ColorSystem.STANDARD).number for code in COLOURS]
    assert len(set(seen)) >= 7
