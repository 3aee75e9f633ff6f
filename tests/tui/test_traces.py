"""Sets of samples that matter and traces of trainings: in the report, as plots, and in an export."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from store.viewing import Trace, Turn
from store.writing import Writer
from tests.program import FinishedRun, Tombola
from tests.tui.tracing import trace_all
from tui import sets, traces
from tui.app.widgets.traces import draw
from tui.drawing import Series
from tui.traces import Lane

RUN = "tiny"


@pytest.fixture
def traced(finished_run: FinishedRun, copy: Tombola) -> Tombola:
    with Writer(copy.db) as writer:
        trace_all(writer, finished_run.id)
    return copy


def figure(seed: int, step: int, value: float | None, **more: Any) -> dict[str, Any]:
    """A row of the query of curves."""
    return {"search": "prac", "arm": None, "round": 1, "layer": "", "seed": seed, "step": step, "value": value, **more}


def test_a_curve_is_the_mean_over_seeds_with_an_interval_only_where_their_steps_agree():
    rows = [figure(0, 10, 1.0), figure(0, 20, 2.0), figure(0, 30, 5.0), figure(1, 10, 3.0), figure(1, 24, 4.0)]
    curves, layers = traces.lanes(rows)
    (one,) = curves.values()
    assert layers == 1
    assert (one.xs, one.ys) == ([10.0, 22.0], [2.0, 3.0]), "the third figure is of one seed alone"
    assert one.errors is not None
    assert one.errors[0] == pytest.approx(12.706, abs=1e-3)
    assert one.errors[1] is None


def test_a_figure_that_is_not_finite_is_left_out_of_its_mean_and_a_gap_where_there_is_no_other():
    (one,) = traces.lanes([figure(0, 1, None), figure(0, 2, None), figure(1, 1, 4.0), figure(1, 2, None)])[0].values()
    assert one.ys[0] == 4.0
    assert one.ys[1] != one.ys[1]
    assert one.errors == [None, None]


def test_the_whole_network_is_drawn_before_layers_and_layers_as_their_mean_unless_one_is_named():
    layered = [figure(0, 1, 1.0, layer="a.weight"), figure(0, 1, 3.0, layer="b.weight")]
    assert [(one.ys, layers) for curves, layers in [traces.lanes(layered)] for one in curves.values()] == [([2.0], 2)]
    (named,) = traces.lanes(layered, layer="b")[0].values()
    assert named.ys == [3.0]
    (whole,) = traces.lanes([*layered, figure(0, 1, 9.0)])[0].values()
    assert whole.ys == [9.0]


def test_variants_of_a_kind_go_with_it_and_gradient_flow_is_drawn_by_powers_of_ten():
    kinds = ["flow", "gradient flow after", "gradient flow", "turnover", "gradient flow before", "turnovers"]
    assert traces.families(kinds) == {
        "flow": ["flow"],
        "gradient flow": ["gradient flow", "gradient flow after", "gradient flow before"],
        "turnover": ["turnover"],
        "turnovers": ["turnovers"],
    }
    (one,) = traces.scaled("gradient flow", [Series("a", [1, 2, 3], [100.0, 0.01, 0.0], [1.0, 1.0, None])])
    assert one.ys[:2] == [2.0, -2.0]
    assert one.ys[2] != one.ys[2], "nothing has no logarithm: a gap"
    assert one.errors is None
    assert traces.axis("gradient flow before") == ("gradient flow before, log10", (None, None))
    (same,) = traces.scaled("turnover", [Series("a", [1], [0.5], [0.1])])
    assert (same.ys, same.errors) == ([0.5], [0.1])


def test_arms_stand_beside_the_search_by_their_names():
    own = [Trace("gradient flow", "", 0, (0, 5), (40.0, 0.5)), Trace("gradient flow after", "", 0, (5,), (0.25,))]
    arms = [Trace("gradient flow", "", 0, (0, 5), (0.01, 0.5), "ticket")]

    def text(*found: Trace) -> str:
        turn = Turn("gmp", 0, 1, members=1, traces=found)
        scene = SimpleNamespace(view=SimpleNamespace(turn=turn), trace=0)
        return "\n".join(line.plain for line in draw(scene, 80, 14))

    assert "● whole network 0.5  ▲ after 0.25" in text(*own)
    assert "● gmp 0.5  ▲ ticket 0.5  ■ after 0.25" in text(*own, *arms)


def test_of_many_lines_the_last_and_first_rounds_of_each_search_are_drawn_and_the_others_named():
    curves = {Lane(search, None, at): Series("", [1], [1]) for search in ("a", "b") for at in range(1, 9)}
    chosen, left = traces.some(curves)
    assert [lane.label for lane in chosen] == [f"{search} round {at}" for search in "ab" for at in (1, 4, 6, 8)]
    assert len(left) == 8
    assert traces.some({lane: one for lane, one in curves.items() if lane.search == "a"})[1] == []
    (only,) = traces.some({Lane("a", None, 3): Series("", [1], [1])})[0]
    assert only.label == "a round 3"


def test_sets_are_a_table_a_search_which_says_what_was_drawn_and_what_stayed():
    row = {"seeds": 2, "size": 12.5, "share": 0.1, "training": 4.0, "pruning": 8.0, "both": 0.5, "unchosen": 0}
    row |= {"drawn": 0, "images": 9000.0, "plain": "imp", "plain_images": 20_000.0, "saved": 0.55, "round": 1}
    none = {"training": None, "pruning": None, "both": None, "unchosen": 2}
    rows = [
        {**row, "search": "prac"},
        {**row, "search": "prac", "round": 2, "unchosen": 1},
        {**row, "search": "prac", "round": 3, **none},
        {**row, "search": "random", **none, "drawn": 1},
    ]
    text = "\n".join(sets.lines(rows, 80))
    assert "prac, 2 seeds\nround  size   share  training  pruning  both  images     imp   fewer\n" in text
    assert "    1  12.5  10.0 %         4        8   0.5   9 000  20 000  55.0 %\n" in text
    assert "too few being critical: round 2 (1 of 2 seeds), round 3 random," in " ".join(text.split())
    assert "random, 2 seeds, drawn at random\nround  size   share  images" in text
    alone = sets.lines([{**row, "search": "prac", "plain": None, "plain_images": None, "saved": None}], 80)
    assert "fewer" not in "\n".join(alone)


def test_the_report_holds_sets_early_ends_and_every_kind_of_trace(traced: Tombola):
    report = traced("show", RUN, COLUMNS="100").stdout
    assert "\nSamples that matter\n" in report
    assert re.search(r"^colt, 2 seeds\nround .*imp +fewer\n +1 +30.5 .* 20.5 +9 +1 ", report, re.MULTILINE)
    assert "matched, 2 seeds, drawn at random" in report
    assert "\nTrainings that may end early\n" in report
    assert "moves less than 0.07 (colt, once it has moved more) is at rest" in " ".join(report.split())
    assert "mask distance: the first and the last figure of a training, means over 2 seeds" in report
    assert re.search(r"^colt +conv2 +0.2 → 0.0667 +0.2 → 0.0667$", report, re.MULTILINE)
    assert "mask distance, newest round\n" in report
    assert "● colt round 2  ┄ threshold 0.07" in report
    assert "turnover, newest round; mean over 2 layers\n" in report
    shown = json.loads(traced("show", RUN, "--json").stdout)
    assert {row["search"] for row in shown["sets"]} == {"colt", "matched"}
    assert {row["kind"] for row in shown["traces"]} == {"mask distance", "turnover"}
    assert [row["epsilon"] for row in shown["early"]] == [0.07, 0.07]
    queries = re.findall(r'^\$ tombola query "([^"]*)"$', report, re.MULTILINE)
    for query in queries:
        traced("query", query)


def test_a_run_without_sets_and_traces_reports_none(finished_run: FinishedRun):
    report = finished_run.tombola("show", RUN).stdout
    assert not any(title in report for title in ("Samples that matter", "may end early", "Traces of trainings"))


def test_a_trace_is_plotted_a_line_each_search_and_round(traced: Tombola):
    text = traced("plot", RUN, "--trace", "mask distance", "--width", "70", "--height", "16").stdout
    assert "● colt round 1  ▲ colt round 2  ┄ threshold 0.07" in text
    one, two, threshold = json.loads(traced("plot", RUN, "--trace", "mask distance", "--json").stdout)
    assert one["x"] == [10, 20, 30, 40, 50]
    assert None not in one["half_width"]
    assert (two["x"][0], two["half_width"]) == (15, [None] * 5)
    assert threshold["threshold"]
    done = traced("plot", RUN, "--trace", "turnover", "--search", "colt", "--json")
    assert "mean over 2 layers: --layer NAME draws one (conv1, conv2)" in " ".join(done.stderr.split())
    layer = json.loads(traced("plot", RUN, "--trace", "turnover", "--layer", "conv2", "--json").stdout)
    assert [one["y"][0] for one in layer] == [0.2, 0.2], "a threshold is that of mask distance alone"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--trace", "gradient"], "has no trace 'gradient' (traces: mask distance, turnover)"),
        (["--trace", "turnover", "--search", "imp"], "no search 'imp' has a trace of turnover (searches: colt)"),
        (["--trace", "turnover", "--layer", "x"], "turnover has no layer 'x' (layers: conv1, conv2)"),
        (["--layer", "x"], "--search and --layer go with --trace"),
        (["--trace", "turnover", "--sets"], "--trace and --sets are plots of their own"),
        (["--sets", "--x", "cost"], "--sets is drawn of one run: it goes without --x"),
    ],
)
def test_what_cannot_be_plotted_is_said_in_one_line(traced: Tombola, arguments: list[str], words: str):
    assert words in traced("plot", RUN, *arguments, code=2).stderr


def test_sizes_of_sets_are_plotted_against_rounds(finished_run: FinishedRun, traced: Tombola):
    colt, matched = json.loads(traced("plot", RUN, "--sets", "--json").stdout)
    assert (colt["label"], colt["x"], colt["y"]) == ("colt", [1, 2], [30.5, 39.5])
    assert (matched["label"], matched["y"]) == ("matched", [30, 30])
    assert "no search that chooses samples" in finished_run.tombola("plot", RUN, "--sets", code=2).stderr


def test_an_export_holds_sets_and_traces_seed_by_seed(traced: Tombola, tmp_path: Path):
    traced("export", RUN, str(tmp_path / "out"), "--last")
    with (tmp_path / "out" / "sets.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert rows[0] == {
        "search": "colt", "seed": "0", "round": "1", "size": "30", "training": "20", "pruning": "9", "both": "1",
    }  # fmt: skip
    with (tmp_path / "out" / "traces.csv").open() as file:
        kinds = [row["kind"] for row in csv.DictReader(file)]
    assert (kinds.count("mask distance"), kinds.count("turnover")) == (4 * (5 + 6), 8 * 6)
