"""Answers in words: grouped by check, aligned in any width, with nothing left out; and their curves."""

from __future__ import annotations

import dataclasses
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.answers import Check, Point
from tui.app.wording import GLYPHS
from tui.questions import Answer, Question, curve_head, curves, figure, grouped, label, lines

ROW = Check(
    name="q", search="imp", part="", method="m", question="", figure=1.0, low=0.5, high=1.5, unit="points",
    threshold=0.5, detectable=0.25, sampling=None, seeds=3, verdict="clear", sentence="so it is", x="", y="",
)  # fmt: skip


def row(**values: object) -> Check:
    return dataclasses.replace(ROW, **values)  # type: ignore[arg-type]


def test_parts_stand_below_the_headline_of_their_search_which_is_written_after_them():
    a1, a, b1, b = row(search="a", part="1"), row(search="a"), row(search="b", part="1"), row(search="b")
    other = row(name="other", part="1", question="why?")
    assert grouped([a1, a, other, b1, b]) == [
        Question("q", "", (Answer(a, (a1,)), Answer(b, (b1,)))),
        Question("other", "why?", (Answer(None, (other,)),)),
    ]
    assert grouped([a1, a])[0].rows == (a, a1)


def test_parts_of_several_searches_below_one_headline_are_told_apart_by_their_search():
    parts = (row(search="low", part="condition 1"), row(search="high", part="condition 1"))
    headline = row(search="")
    ((answer,),) = [question.answers for question in grouped([*parts, headline])]
    assert answer == Answer(headline, parts)
    assert [label(part, parts, headline) for part in parts] == ["low condition 1", "high condition 1"]
    assert label(row(part="condition 1"), [row(part="condition 1")], row()) == "condition 1"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "+1.00 ± 0.50 points"),
        ({"figure": -1.0, "low": -2.0, "high": 0.0}, "-1.00 ± 1.00 points"),
        ({"low": 0.9}, "+1.00 points (0.90 to 1.50)"),
        ({"low": None, "high": None, "unit": "%"}, "1.00 %"),
        ({"figure": 0.123456, "low": None, "unit": ""}, "0.123"),
        ({"figure": 12345.0, "low": None, "unit": ""}, "12 345"),
        ({"figure": None}, "–"),
    ],
)
def test_a_figure_has_its_interval_and_unit(values: dict[str, object], words: str):
    assert figure(row(**values)) == words


def test_every_verdict_has_a_mark():
    from store.migrations import STEPS

    allowed = STEPS[2].split("verdict IN (")[1].split(")")[0]
    assert set(GLYPHS) == {word.strip().strip("'") for word in allowed.split(",")}


WORDS = st.text("abcdefgh ", min_size=1, max_size=60).map(lambda text: " ".join(text.split()) or "x")


@given(st.lists(st.tuples(WORDS, WORDS, st.sampled_from(sorted(GLYPHS))), min_size=1, max_size=6), st.integers(40, 200))
def test_in_any_width_every_word_is_there_and_no_line_is_longer(parts: list[tuple[str, str, str]], columns: int):
    rows = [
        row(part=f"p{number} {part}", sentence=sentence, verdict=verdict)
        for number, (part, sentence, verdict) in enumerate(parts)
    ]
    (question,) = grouped([*rows, row(question="is it so?", verdict="none")])
    text = lines(question, columns, sentences=True)
    assert all(len(line) <= columns for line in text)
    letters = "".join("".join(text).split())
    for one in rows:
        assert f"{GLYPHS[one.verdict]}{''.join(one.verdict.split())}" in letters
        assert "".join(one.sentence.split()) in letters
    assert letters.count("±") == len(rows) + 1
    assert sum(letters.count(f"p{number}") for number in range(len(rows))) >= len(rows)


# Curves


def curved(*series: str, **values: object) -> Check:
    points = tuple(Point(name, float(x), 3, float(x), 0.1) for name in series for x in range(3))
    return row(points=points, **{"x": "step", "y": "rise, points", **values})


def test_a_threshold_is_drawn_only_in_the_unit_of_the_curve():
    def dashed(**values: object) -> list[str]:
        ((curve),) = curves([curved("a", **values)])
        return [one.label for one in curve.series if one.dashed]

    assert dashed() == ["threshold 0.5"]
    assert dashed(y="test error, %") == []
    assert dashed(y="test error, %", unit="%") == ["threshold 0.5"]
    assert dashed(y="overlap", unit="") == ["threshold 0.5"]
    assert dashed(y="overlap, %", unit="") == []
    assert dashed(threshold=None) == []


def test_curves_of_equal_axes_share_a_plot_as_far_as_it_can_tell_series_apart():
    (one,) = curves([curved("step 100", "step 20", part="x"), curved("step 3", part="y")])
    assert [s.label for s in one.series] == ["x step 20", "x step 100", "y step 3", "threshold 0.5"]
    assert [s.colour for s in one.series][:3] == [0, 1, 2]
    assert one.title == ""
    two = curves([curved("a"), curved("a", y="angle")])
    assert [curve.y for curve in two] == ["rise, points", "angle"]
    apart = curves([curved(*"abcde", part="x"), curved(*"abcde", part="y")])
    assert [curve.title for curve in apart] == ["imp x", "imp y"]
    many = curves([curved(*"abcdefghijk")])
    assert [len([s for s in curve.series if not s.dashed]) for curve in many] == [8, 3]


def test_a_point_that_is_no_number_is_a_gap():
    ((curve),) = curves([row(x="x", y="y", points=(Point("", 0.0, 0, None, None), Point("", 1.0, 1, 2.0, None)))])
    assert math.isnan(curve.series[0].ys[0])
    assert curve_head(curve, 80) == ["y; one seed"]
