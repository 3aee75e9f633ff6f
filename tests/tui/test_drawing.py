"""Plots: what they show, and that no series, however hostile, aborts the process."""

from __future__ import annotations

import math
import re
import subprocess
import sys
import textwrap
from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tui.drawing import SPARSITY_TICKS, Series, by_remaining, clip, draw, log_ticks, published, thin

ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def plot(*series: Series, width: int = 50, height: int = 12, **options) -> str:
    return draw(series, width, height, **{"colour": False, **options})


def canvas(text: str) -> list[str]:
    """The rows right of the vertical axis."""
    return [re.split("[│┤]", row, maxsplit=1)[1] for row in text.split("\n") if re.match(r"[^│┤└]*[│┤]", row)]


def test_every_point_of_a_short_series_gets_its_glyph():
    text = plot(Series("imp", [0, 1, 2, 3], [1.0, 2.0, 1.5, 3.0]))
    assert sum(row.count("●") for row in canvas(text)) == 4


def test_a_rising_series_rises():
    rows = canvas(plot(Series("a", [0, 1], [0.0, 1.0])))
    marked = [(row.index("●"), number) for number, row in enumerate(rows) if "●" in row]
    (right, top), (left, bottom) = marked
    assert left < right
    assert top < bottom


def test_series_differ_by_glyph_and_are_named():
    text = plot(Series("colt", [0, 1], [0, 1]), Series("imp", [0, 1], [1, 0], colour=1))
    assert "● colt" in text
    assert "▲ imp" in text


def test_a_gap_is_not_bridged():
    whole = plot(Series("a", [0, 1, 2, 3], [1.0, 1.0, 1.0, 1.0]))
    broken = plot(Series("a", [0, 1, 1.5, 2, 3], [1.0, 1.0, math.nan, 1.0, 1.0]))
    lines = re.compile("[⠁-⣿]")
    assert len(lines.findall(broken)) < len(lines.findall(whole))


def test_values_that_are_not_numbers_never_stretch_the_axis():
    tame = plot(Series("a", [0, 1, 2], [1.0, 2.0, 1.0]))
    assert plot(Series("a", [0, 1, 2, 3, 3], [1.0, 2.0, 1.0, math.inf, math.nan])) == tame


def test_a_line_that_leaves_the_window_is_cut_at_its_edge():
    rows = canvas(plot(Series("a", [0, 10], [0.0, 100.0]), x_limits=(0, 10), y_limits=(0, 50)))
    assert any(char != " " for char in rows[0])
    assert rows[0].rstrip() != "", "the line reaches the top"
    assert all(row[len(row) // 2 + 3 :].strip() == "" for row in rows), "and is not drawn beyond"


def test_the_vertical_axis_holds_what_lies_between_the_limits_of_the_other():
    text = plot(Series("a", [0, 1, 2, 3, 4], [900.0, 10.0, 20.0, 10.0, -900.0]), x_limits=(1, 3))
    assert not re.search(r"\d{3}", text), "no tick of what is out of sight"
    rows = canvas(text)
    assert "●" in rows[0] + rows[1]
    crossing = canvas(plot(Series("a", [0, 10], [0.0, 100.0]), x_limits=(4, 6)))
    assert all(row.strip() for row in (crossing[1], crossing[-2])), "a line that only passes through fills it too"


def test_a_cursor_stands_from_top_to_bottom_beneath_the_curves():
    flat = Series("a", [0, 1, 2], [1.0, 1.0, 1.0])
    rows = canvas(plot(flat, cursor=1.0))
    assert sum(row.count("┊") for row in rows) == len(rows) - 1, "in every row but that of the mark on it"
    assert len({row.index("┊") for row in rows if "┊" in row}) == 1
    assert plot(flat, cursor=3.0) == plot(flat, cursor=math.nan) == plot(flat), "out of sight there is none"
    assert "┊" not in plot(flat, cursor=1.0, ascii=True)


def test_a_dotted_series_is_dots_beneath_that_no_line_joins():
    text = plot(Series("", [0, 4, 8], [1.0, 2.0, 1.0], dotted=True))
    dots = re.findall("[⠁-⣿]", "".join(canvas(text)))
    assert len(dots) == 3
    assert set(dots) <= set("⠁⠂⠄⠈⠐⠠⡀⢀")


def test_an_interval_is_drawn_and_counted_in_the_limits():
    without = canvas(plot(Series("a", [0, 1, 2], [1.0, 1.0, 1.0])))
    with_bars = canvas(plot(Series("a", [0, 1, 2], [1.0, 1.0, 1.0], errors=[0.5, None, math.nan])))
    assert not any("│" in row for row in without)
    assert sum("│" in row for row in with_bars) >= 4


def test_a_dashed_series_is_dashed():
    assert "┄┄┄┄" in plot(Series("dense", [0, 1], [1.0, 1.0], dashed=True))


PAPER = Series("published: random, Su et al. 2020", [0, 1, 2], [1.0, 2.0, 1.5], published=True)


def test_published_figures_are_marks_of_their_own_that_no_line_joins():
    text = plot(PAPER, Series("imp", [0, 1, 2], [1.1, 1.9, 1.3]))
    assert sum(row.count("×") for row in canvas(text)) == 3
    assert "× published: random, Su et al. 2020" in text
    alone = canvas(plot(PAPER))
    assert set("".join(alone)) == {" ", "×"}, "no line, no interval"


@pytest.mark.parametrize("plain", [False, True])
def test_published_figures_never_share_a_glyph_with_measured_ones(plain: bool):
    ours = [Series(f"s{number}", [0, 1], [0, 1], colour=number) for number in range(20)]
    papers = [replace(PAPER, colour=number) for number in range(4)]
    text = plot(*ours, Series("dense", [0, 1], [1, 1], dashed=True), *papers, width=60, height=40, ascii=plain)
    measured, printed = re.findall(r"(\S) (?:s\d|dense)", text), re.findall(r"(\S) published", text)
    assert (len(measured), len(printed), len(set(printed))) == (21, 4, 4)
    assert set(measured).isdisjoint(printed)


def test_where_marks_meet_the_measured_one_is_seen():
    text = plot(Series("imp", [0, 1, 2], [1.0, 2.0, 1.5]), PAPER)
    assert not any("×" in row for row in canvas(text))


def test_published_figures_are_dim():
    coloured = draw([Series("imp", [0, 1, 2], [1.1, 1.9, 1.3]), PAPER], 60, 12)
    assert "\x1b[38;5;245m×" in coloured
    assert ESCAPE.sub("", coloured) == plot(Series("imp", [0, 1, 2], [1.1, 1.9, 1.3]), PAPER, width=60)


def test_published_figures_widen_the_axes_but_never_press_ours_together():
    ours = Series("imp", [0, 1, 2], [90.0, 91.0, 90.5])
    near = plot(ours, Series("published: x", [1], [89.6], published=True))
    assert sum(row.count("×") for row in canvas(near)) == 1
    far = plot(ours, Series("published: x", [1, 2], [20.0, 90.2], published=True))
    assert "× published: x (1 off the plot)" in far
    heights = [number for number, row in enumerate(canvas(far)) if "●" in row]
    assert max(heights) - min(heights) >= 2, "ours still fill a third"
    assert "(all off the plot)" in plot(ours, Series("published: " + "x" * 80, [1], [20.0], published=True))
    asked = plot(ours, Series("published: x", [1], [89.6], published=True), y_limits=(90.0, 91.0))
    assert "(all off the plot)" in asked, "limits that were asked for stay"


def test_plain_characters_are_all_there_is_when_asked():
    text = plot(
        Series("dense", [0, 3], [1.0, 1.0], dashed=True),
        Series("a", [0, 1, 2], [1.0, 2.0, 1.0], errors=[0.5, 0.1, 0.2], colour=1),
        PAPER,
        ascii=True,
        x_label="epoch",
        y_label="accuracy",
    )
    assert text.isascii()
    assert "epoch" in text


def test_colour_changes_no_character():
    series = Series("a", [0, 1, 2], [1.0, 2.0, 1.0], errors=[0.5, 0.1, 0.2])
    coloured = draw([series], 50, 12, x_label="epoch")
    assert ESCAPE.sub("", coloured) == plot(series, x_label="epoch")
    assert set(ESCAPE.findall(coloured)) <= {"\x1b[0m", "\x1b[38;5;33m", "\x1b[38;5;245m"}


def test_hostile_labels_are_shown_and_not_obeyed():
    text = plot(Series("\x1b[2J\x07[bold]x", [0, 1], [0, 1]), x_label="a\nb", y_label="\x1b]0;title\x07")
    assert "\x1b" not in text
    assert "\x07" not in text
    assert "[bold]x" in text


def test_without_a_finite_point_it_says_so():
    assert "nothing to draw yet" in plot(Series("a", [0, 1], [math.nan, math.inf]))
    assert "nothing to draw yet" in plot()


def test_sparsity_ticks_are_a_step_a_round():
    places = [by_remaining(1 - 0.8**i) for i in range(5)]
    steps = [b - a for a, b in pairwise(places)]
    assert steps == pytest.approx([steps[0]] * 4)
    assert math.isnan(by_remaining(1.0))
    text = plot(Series("a", places, [1.0] * 5), x_limits=(0, None), x_ticks=SPARSITY_TICKS)
    assert re.search(r"\n\s+0 +20 +50\s", text)


def test_ticks_are_round_numbers():
    text = plot(Series("a", [0, 97], [0.913, 0.987]), height=20)
    assert {"0.92", "0.94", "0.96", "0.98"} <= set(re.findall(r"\d\.\d+", text))


@given(st.floats(-290, 280), st.floats(1e-6, 20), st.integers(3, 20))
def test_ticks_of_a_log_axis_say_the_numbers_whose_logarithms_they_stand_at(low, width, most):
    found = log_ticks(low, low + width, most)
    assert all(low - 1e-6 <= place <= low + width + 1e-6 for place, _ in found)
    assert [place for place, _ in found] == sorted({place for place, _ in found})
    assert width < 1 or 2 <= len(found) <= most
    assert width < 1e-3 or all(
        10**place == pytest.approx(float(label.translate(SUFFIXES)), rel=0.01) for place, label in found
    )


SUFFIXES = str.maketrans({"k": "e3", "M": "e6", "G": "e9", "T": "e12"})


def test_a_wide_log_axis_has_powers_of_ten_and_a_narrow_one_round_numbers():
    assert [label for _, label in log_ticks(-4, 0, 6)] == ["0.0001", "0.001", "0.01", "0.1", "1"]
    assert [label for _, label in log_ticks(-1, 0.7, 8)] == ["0.1", "0.2", "0.5", "1", "2", "5"]
    assert [label for _, label in log_ticks(0, 0.3, 6)] == ["1.0", "1.2", "1.4", "1.6", "1.8"]


def test_what_a_paper_prints_stands_at_its_sparsity_in_percent():
    one = published("random", "Su et al. 2020", [0.0, 0.9], [0.95, 0.941])
    assert (one.label, one.xs, one.published) == ("published: random, Su et al. 2020", [0.0, 1.0], True)
    assert one.ys == pytest.approx([95.0, 94.1])


finite = st.floats(-0.5, 1.5)


@given(st.lists(st.tuples(finite, finite), min_size=2, max_size=8))
def test_clipping_keeps_to_the_window_and_to_the_line(points):
    for stretch in clip(points):
        for x, y in stretch:
            assert 0 <= x <= 1
            assert 0 <= y <= 1
            assert min(distance(a, b, (x, y)) for a, b in pairwise(points)) < 1e-9


def distance(a, b, p) -> float:
    length = math.dist(a, b) ** 2
    t = 0.0 if length == 0 else sum((q - c) * (d - c) for c, d, q in zip(a, b, p, strict=True)) / length
    t = min(max(t, 0.0), 1.0)
    return math.dist(p, [c + t * (d - c) for c, d in zip(a, b, strict=True)])


def test_thinning_keeps_the_extremes_of_every_column():
    points = [(i / 9999, math.sin(i)) for i in range(10_000)]
    kept = thin(points, 50)
    assert len(kept) <= 210
    for column in range(50):
        there = [y for x, y in points if int(x * 50) == column]
        left = [y for x, y in kept if int(x * 50) == column]
        assert (min(left), max(left)) == (min(there), max(there))


HOSTILE = textwrap.dedent("""
    import math
    from hypothesis import HealthCheck, given, settings, strategies as st
    from tui.drawing import Series, draw, log_ticks

    number = st.one_of(
        st.floats(),
        st.sampled_from([0.0, -0.0, 1e308, -1e308, 1.7976931348623157e308, 5e-324, 1e-300, 1e18, math.inf, math.nan]),
    )
    limit = st.one_of(st.none(), st.tuples(st.one_of(st.none(), number), st.one_of(st.none(), number)))
    series = st.builds(
        Series, st.text(max_size=30), st.lists(number, max_size=30), st.lists(number, max_size=30),
        st.one_of(st.none(), st.lists(st.one_of(st.none(), number), max_size=30)), st.integers(0, 20), st.booleans(),
        st.booleans(), st.booleans(),
    )

    @settings(max_examples=EXAMPLES, deadline=None, database=None, derandomize=True,
              suppress_health_check=list(HealthCheck))
    @given(st.lists(series, max_size=4), st.integers(-3, 130), st.integers(-3, 50), limit, limit, st.booleans(),
           st.booleans(), st.text(max_size=20), st.sampled_from([None, log_ticks]), st.one_of(st.none(), number))
    def never_aborts(several, width, height, x, y, colour, ascii, label, y_ticks, cursor):
        text = draw(several, width, height, x_limits=x, y_limits=y, colour=colour, ascii=ascii, x_label=label,
                    y_label=label, y_ticks=y_ticks, cursor=cursor)
        assert text.count("\\n") == max(height, 1) - 1
        assert colour or not label.isascii() or all(
            len(line) <= max(width, 1) for line in text.split("\\n")[:-4]  # the legend is of any text
        )

    never_aborts()
    print("survived")
""")


def test_no_series_aborts_the_process():
    done = subprocess.run(
        [sys.executable, "-c", HOSTILE.replace("EXAMPLES", "300")], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "survived" in done.stdout
