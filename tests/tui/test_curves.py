"""Curves as figures: measures, axes, smoothing, thinning, windows and cursors."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.viewing import Curve
from tui.curves import (
    AXES,
    LEAST_WINDOW,
    MEASURES,
    Line,
    extent,
    fitted,
    holding,
    in_a_row,
    lines,
    logarithmic,
    moved,
    panned,
    reached,
    reached_in,
    shifted,
    smoothed,
    stretch_at,
    thinned,
    timed,
    zoomed,
)

CURVE = Curve(
    1,
    "classes 0-4",
    epochs=6,
    epoch=(2, 3, 4),
    train_loss=(0.5, None, 0.25),
    train_accuracy=(0.5, 0.75, 1.0),
    validation_loss=(None, None, 0.5),
    validation_accuracy=(0.25, None, 0.5),
    step=(20, 30, 40),
    seconds=(1.0, 3.0, 4.0),
    images=(50, 150, 250),
    begun=15,
)

values = st.lists(st.one_of(st.floats(-1e6, 1e6), st.just(math.nan), st.just(math.inf)), min_size=1, max_size=300)


def line(ys: list[float]) -> Line:
    return Line(0, "train_loss", range(1, len(ys) + 1), [float(x) for x in range(1, len(ys) + 1)], ys)


def test_epochs_that_were_not_validated_are_no_points_and_losses_that_are_not_finite_are_gaps():
    (accuracy,) = lines([CURVE], MEASURES[0], "epoch")
    assert (accuracy.epochs, accuracy.ys) == ((2, 4), [25.0, 50.0])
    (loss,) = lines([CURVE], MEASURES[2], "step")
    assert loss.xs == (20, 40)
    assert math.isnan(loss.ys[0])
    (training,) = lines([CURVE], MEASURES[3], "images")
    assert training.xs == (50, 150, 250)
    assert math.isnan(training.ys[1])
    both = lines([CURVE], MEASURES[5], "time")
    assert [one.figure for one in both] == ["validation_loss", "train_loss"]


def test_a_line_tells_a_value_that_was_not_measured_from_one_that_is_not_finite():
    (loss,) = lines([CURVE], MEASURES[2], "epoch")
    assert loss.at(3) is None
    assert math.isnan(loss.at(2))
    assert loss.at(4) == 0.5


def test_an_axis_is_reached_exactly_where_epochs_end_and_in_proportion_between():
    for place, epoch in enumerate(CURVE.epoch):
        assert reached(CURVE, "step", epoch) == pytest.approx(CURVE.step[place])
        assert reached(CURVE, "images", epoch) == pytest.approx(CURVE.images[place])
        assert reached(CURVE, "time", epoch) == pytest.approx(CURVE.seconds[place])
    assert reached(CURVE, "epoch", 2.5) == 2.5
    assert reached(CURVE, "step", 0) == pytest.approx(0)
    assert reached(CURVE, "step", 6) == pytest.approx(60)
    assert reached(CURVE, "images", 1.5) == pytest.approx(0), "where it began"
    assert reached(CURVE, "images", 6) == pytest.approx(450)
    assert reached(CURVE, "time", 2.5) == pytest.approx(2.0)
    assert reached(CURVE, "time", 6.5) == pytest.approx(8.0), "at the mean pace of 1.6 s an epoch"


@given(st.floats(0, 20), st.floats(0, 20), st.sampled_from(AXES))
def test_no_axis_goes_back(a, b, axis):
    a, b = sorted((a, b))
    assert reached(CURVE, axis, a) <= reached(CURVE, axis, b) + 1e-9


def test_time_is_not_known_where_another_run_trained():
    assert timed([CURVE])
    assert not timed([CURVE, replace(CURVE, seconds=(0.0, 0.0, 0.0))])
    assert timed([CURVE, Curve(0, "", 6, (), (), (), (), ())]), "what has not begun does not matter"


@given(values, st.sampled_from([0.6, 0.9, 0.97]))
def test_smoothing_is_the_weighted_mean_of_all_finite_values_so_far(ys, weight):
    found = smoothed(line(ys), weight).ys
    for place, y in enumerate(ys):
        if not math.isfinite(y):
            assert math.isnan(found[place])
            continue
        so_far = [value for value in ys[: place + 1] if math.isfinite(value)]
        weights = [weight**age for age in range(len(so_far) - 1, -1, -1)]
        mean = sum(w * value for w, value in zip(weights, so_far, strict=True)) / sum(weights)
        assert found[place] == pytest.approx(mean, rel=1e-9, abs=1e-6)


def test_smoothing_leaves_a_constant_as_it_is_from_the_first_epoch_on():
    assert smoothed(line([3.0] * 50), 0.97).ys == pytest.approx([3.0] * 50)
    assert smoothed(line([1.0, 2.0]), 0.0).ys == [1.0, 2.0]


def test_logarithms_keep_gaps_and_only_positive_lines_have_them():
    found = logarithmic(line([100.0, math.nan, 0.1])).ys
    assert (found[0], found[2]) == (pytest.approx(2), pytest.approx(-1))
    assert math.isnan(found[1])
    assert line([1.0, math.nan]).positive
    assert not line([1.0, 0.0]).positive


@given(values, st.floats(-10, 320), st.floats(1, 400), st.integers(1, 40))
def test_thinning_keeps_what_a_column_shows_and_the_points_beyond(ys, low, wide, columns):
    whole, high = line(ys), low + wide
    found = thinned(whole, low, high, columns)
    assert found.xs == sorted(set(found.xs))
    assert len(found.xs) <= 6 * columns + 2
    assert {(e, x) for e, x in zip(found.epochs, found.xs, strict=True)} <= set(
        zip(whole.epochs, whole.xs, strict=True)
    )
    seen = [place for place, x in enumerate(whole.xs) if low <= x <= high]
    finite = [ys[place] for place in seen if math.isfinite(ys[place])]
    kept = [y for x, y in zip(found.xs, found.ys, strict=True) if low <= x <= high and math.isfinite(y)]
    assert (min(kept, default=None), max(kept, default=None)) == (min(finite, default=None), max(finite, default=None))
    if seen:
        around = [place for place in (seen[0] - 1, *seen, seen[-1] + 1) if 0 <= place < len(ys)]
        assert (found.xs[0], found.xs[-1]) == (whole.xs[around[0]], whole.xs[around[-1]])
    gaps = sum(not math.isfinite(ys[place]) for place in seen)
    assert (gaps > 0) == any(not math.isfinite(y) for x, y in zip(found.xs, found.ys, strict=True) if low <= x <= high)


def test_a_hundred_thousand_epochs_are_as_few_points_as_fit():
    ys = [math.sin(x / 50) for x in range(100_000)]
    found = thinned(line(ys), 1, 100_000, 200)
    assert len(found.xs) <= 4 * 200 + 2
    assert (max(found.ys), min(found.ys)) == (max(ys), min(ys))


longest, epochs = st.integers(1, 1000), st.floats(0, 1000)
keys = st.lists(st.sampled_from([("zoom", 1), ("zoom", -1), ("pan", 1), ("pan", -1), ("hold", 0)]), max_size=30)


@given(longest, epochs, keys)
def test_whatever_is_pressed_a_window_lies_within_the_epochs(longest, about, keys):
    window = None
    for name, by in keys:
        if name == "zoom":
            window = zoomed(window, longest, about, by)
        elif name == "pan" and window is not None:
            window = panned(window, longest, by)
        elif name == "hold":
            epoch = min(int(about), longest)
            window = holding(window, longest, epoch)
            assert window is None or window[0] - 1e-9 <= epoch <= window[1] + 1e-9
        assert window is None or (window[0] >= 0 and window[1] <= longest + 1e-6)
        assert window is None or min(LEAST_WINDOW, longest) - 1e-6 <= window[1] - window[0] < longest


def test_zooming_keeps_what_it_is_about_in_its_place_and_back_is_all():
    window = zoomed(None, 80, 20, 1)
    assert window == (10, 50)
    assert zoomed(window, 80, 20, 1) == (15, 35)
    assert zoomed(window, 80, 20, -1) is None
    assert zoomed(None, 80, None, 1) == (20, 60)
    assert zoomed(window, 80, 70, 1) == (20, 40), "the middle, where the cursor is out of sight"
    assert zoomed(None, 80, 20, -1) is None


def test_a_window_of_another_round_is_moved_to_where_there_are_epochs():
    assert fitted((10.0, 20.0), 15) == (5.0, 15.0)
    assert fitted((10.0, 20.0), 10) is None
    assert fitted(None, 10) is None
    assert panned((5.0, 9.0), 10, 1) == (6.0, 10.0)
    assert holding((4.0, 8.0), 20, 10) == (6.0, 10.0)
    assert holding((4.0, 8.0), 20, 2) == (2.0, 6.0)


def test_a_cursor_goes_through_the_epochs_that_are_known():
    known = [2, 3, 4, 8]
    assert moved(known, None, -1) == 8
    assert [moved(known, 4, by) for by in (-1, 1, 5, -9)] == [3, 8, 8, 2]
    assert (moved(known, 6, -1), moved(known, 6, 1)) == (4, 8)
    assert (moved(known, 20, -1), moved(known, 0, 1)) == (8, 2), "from where there is none to the nearest"


def test_rounds_stand_in_a_row_each_with_the_room_it_took():
    whole = replace(CURVE, epoch=(1, 2), step=(10, 20), images=(100, 200), seconds=(2.0, 4.0), begun=0)
    short = replace(whole, member=0, epoch=(1,), step=(11,), images=(110,), seconds=(1.0,))
    waiting = Curve(0, "", 6, (), (), (), (), ())
    row = in_a_row([(1, (short, whole)), (2, (waiting,)), (3, (CURVE, waiting))], "time")
    assert [(stretch.round, stretch.epochs, stretch.place) for stretch in row] == [(1, 0, 0.0), (3, 2, 4.0)]
    assert row[0].curves == (whole, short), "the longest first"
    assert extent(row) == 8
    assert [stretch_at(row, epoch).round for epoch in (0, 1, 2, 2.1, 9)] == [1, 1, 1, 3, 3]
    assert reached_in(row, "time", 1) == 2.0
    assert reached_in(row, "time", 2 + 3) == 4.0 + 3.0
    (line,) = lines(row[1].curves, MEASURES[1], "time")
    moved_on = shifted(line, row[1])
    assert (moved_on.epochs, moved_on.xs, moved_on.ys) == ([4, 5, 6], [5.0, 7.0, 8.0], line.ys)
    assert in_a_row([(1, (waiting,))], "step") == []
