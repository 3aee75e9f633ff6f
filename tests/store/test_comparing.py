"""Runs beside each other: figures as the views have them, tickets never interpolated, differences paired by seed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.checks.contrast import NEAR as NEAR_OF_CHECKS
from presets.schema import Sanity
from store.comparing import (
    NEAR,
    SHORT,
    TOLERANCE,
    Comparison,
    Measured,
    Search,
    Side,
    Ticket,
    _spent,
    compare,
    differing,
    reaching,
    results,
)
from store.reading import Reader
from store.statistics import mean_interval
from store.writing import Writer
from tests.program import FinishedRun


def ticket(sparsity: float, *correct: int, count: int = 1000, number: int = 1, seeds: tuple[int, ...] = ()) -> Ticket:
    names = seeds or tuple(range(len(correct)))
    return Ticket(number, tuple(Measured(s, sparsity, c, count, 100) for s, c in zip(names, correct, strict=True)))


def side(run: str, *tickets: Ticket, place: int = 0, search: str = "imp", method: str = "imp", data: str = "a") -> Side:
    counts = tuple(sorted({one.count for t in tickets for one in t.tested}))
    searches = (Search(search, method, tickets),)
    return Side(place, run, run, "finished", data, "conv3", (0,), None, searches, counts, data)


def only(*sides: Side, level: float = 0.8):
    """The results of the last run at one level."""
    return results(Comparison(sides, (), ()), [level])[-1]


# Reading


@pytest.fixture(scope="module")
def compared(finished_run: FinishedRun) -> Comparison:
    with finished_run.tombola.reader() as reader:
        return compare(reader, [finished_run.id])


def test_means_intervals_and_sparsities_are_those_of_the_view(finished_run: FinishedRun, compared: Comparison):
    with finished_run.tombola.reader() as reader:
        rows = [row for row in reader.accuracy(finished_run.id) if row["arm"] == "ticket" and row["split"] == "test"]
    seen = {(s.name, t.round): t for s in compared.sides[0].searches for t in s.tickets}
    assert set(seen) == {(row["search"], row["round"]) for row in rows}
    for row in rows:
        own = seen[row["search"], row["round"]]
        assert own.seeds == row["seeds"]
        assert own.accuracy == pytest.approx(row["accuracy"], rel=1e-12)
        assert own.half_width == pytest.approx(row["half_width"], rel=1e-9)
        assert own.sparsity == pytest.approx(row["sparsity"], rel=1e-12)


def test_costs_are_those_of_the_view(finished_run: FinishedRun, compared: Comparison):
    with finished_run.tombola.reader() as reader:
        paid = reader.rows("SELECT search, round, avg(images) AS images FROM cost_by_round GROUP BY search, round")
    cost = {(row["search"], row["round"]): row["images"] for row in paid}
    tickets = [(s.name, t) for s in compared.sides[0].searches for t in s.tickets]
    assert tickets
    assert all(t.images == cost[name, t.round] for name, t in tickets)


def test_rounds_that_stand_alone_are_not_summed(path: Path, writer: Writer, new_run: Any):
    run = new_run()
    for name, apart in (("imp", 0), ("set", 1)):
        settings = {"run": run, "name": name, "method": name, "settings": {}, "apart": apart}
        row = {"search": writer.insert("searches", settings), "seed": 0, "step": "done", "started": "x", "images": 100}
        row |= {"prunable": 10, "remaining": 8, "weights": 12, "weights_remaining": 10}
        writer.insert_all("rounds", [row | {"round": number} for number in (1, 2)])
    with Reader(path) as reader:
        spent = _spent(reader, run)
        view = {tuple(row.values())[:3]: row["images"] for row in reader.rows(
            "SELECT search, seed, round, images FROM cost_by_round WHERE run = ?", (run,)
        )}  # fmt: skip
    assert spent == view == {("imp", 0, 1): 100, ("imp", 0, 2): 200, ("set", 0, 1): 100, ("set", 0, 2): 100}


def test_the_dense_network_is_that_of_the_list_of_runs(finished_run: FinishedRun, compared: Comparison):
    with finished_run.tombola.reader() as reader:
        dense = reader.runs()[0]["dense_accuracy"]
    assert compared.sides[0].dense.accuracy == pytest.approx(dense)
    assert compared.sides[0].dense.round is None


def test_a_run_that_is_gone_is_left_out_and_the_others_keep_their_places(finished_run: FinishedRun):
    with finished_run.tombola.reader() as reader:
        seen = compare(reader, ["never-bcdf", finished_run.id])
    assert [(one.place, one.run) for one in seen.sides] == [(1, finished_run.id)]


def test_a_store_that_does_not_exist_yet_has_nothing_to_compare(tmp_path):
    with Reader(tmp_path / "none.db") as reader:
        assert compare(reader, ["a", "b"]) == Comparison((), (), ())


# Results


def test_a_sparsity_is_answered_by_the_nearest_ticket_that_reaches_it_at_its_own():
    tickets = [ticket(0.5, 900), ticket(0.79, 890), ticket(0.83, 880), ticket(0.95, 870)]
    assert only(side("a", *tickets)).ticket is tickets[2]
    assert only(side("a", *tickets[:2])).ticket is None


def test_a_ticket_that_whole_weights_left_a_little_short_reaches_its_sparsity():
    assert reaching([ticket(0.79992, 900)], 0.8) is not None
    assert reaching([ticket(0.798, 900)], 0.8) is None


@given(st.lists(st.floats(0.0, 0.999), max_size=8), st.floats(0.0, 0.99))
def test_no_less_sparse_ticket_would_do(sparsities, level):
    found = reaching([ticket(sparsity, 1) for sparsity in sparsities], level)
    enough = [sparsity for sparsity in sparsities if 1 - sparsity <= SHORT * (1 - level)]
    assert (found.sparsity if found else None) == min(enough, default=None)


def test_differences_pair_seeds_and_leave_out_those_without_a_partner():
    first = side("a", ticket(0.8, 900, 910, 930, seeds=(0, 1, 2)))
    second = side("b", ticket(0.81, 920, 935, 960, 1, seeds=(0, 1, 2, 7)), place=1)
    result = only(first, second)
    mean, half = mean_interval([2.0, 2.5, 3.0])
    assert result.pairs == 3
    assert result.difference == pytest.approx(mean)
    assert result.half_width == pytest.approx(half)
    assert result.verdict == "clear"
    assert only(second, first).verdict == "reversed"


def test_equal_accuracies_are_similar_with_an_interval_of_exactly_nought():
    result = only(side("a", ticket(0.8, 901, 907, 913)), side("b", ticket(0.8, 901, 907, 913), place=1))
    assert (result.difference, result.half_width, result.verdict) == (0.0, 0.0, "similar")


@pytest.mark.parametrize(("correct", "half"), [((900,), None), ((900, 910), 0.0)])
def test_fewer_than_three_seeds_give_no_verdict(correct, half):
    result = only(side("a", ticket(0.8, *correct)), side("b", ticket(0.8, *(c + 50 for c in correct)), place=1))
    assert (result.difference, result.half_width, result.verdict) == (5.0, half, "none")


@pytest.mark.parametrize(
    ("other", "why"),
    [
        (side("b", ticket(0.8, 900, 900, 900), place=1, data="b"), "other test images"),
        (side("b", ticket(0.8, 90, 90, 90, count=100), place=1), "other test images"),
        (side("b", ticket(0.9, 900, 900, 900), place=1), "far from 80.0 %"),
        (side("b", ticket(0.8, 900, seeds=(9,)), place=1), "no common seed"),
    ],
)
def test_what_cannot_be_held_against_the_first_run_says_why_and_has_no_difference(other, why):
    result = only(side("a", ticket(0.8, 900, 910, 920)), other)
    assert result.ticket is not None
    assert (result.why, result.difference, result.verdict) == (why, None, "")


def test_where_the_first_run_ends_before_a_sparsity_that_is_said():
    result = only(side("a", ticket(0.5, 900)), side("b", ticket(0.9, 900), place=1), level=0.9)
    assert result.why == "first ends before"


def test_runs_of_other_data_are_named_in_one_line():
    sides = side("a", ticket(0.8, 9)), side("b", ticket(0.8, 9), place=1), side("c", ticket(0.8, 9), place=2, data="z")
    words = Comparison(sides, (), ()).apart
    assert "a (a, z)" in words
    assert words.endswith("no differences: c")
    assert Comparison(sides[:2], (), ()).apart == ""


def test_a_search_is_held_against_that_of_its_name_else_of_its_method():
    first = side("a", ticket(0.8, 900, 900, 900))
    two = replace(first, searches=(*first.searches, Search("late", "imp", (ticket(0.8, 950, 950, 950),))))
    assert only(two, side("b", ticket(0.8, 960, 960, 960), place=1, search="late")).difference == pytest.approx(1.0)
    assert only(first, side("b", ticket(0.8, 960, 960, 960), place=1, search="new")).against == "imp"
    assert only(two, side("b", ticket(0.8, 960, 960, 960), place=1, search="new")).why == "not in first run"


def test_tolerance_and_nearness_are_those_of_checks():
    assert Sanity.model_fields["tolerance"].default == TOLERANCE
    assert NEAR == NEAR_OF_CHECKS


# Settings

specs = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["a", "b"]),
    lambda inner: st.dictionaries(st.sampled_from("pqr"), inner, max_size=3),
    max_leaves=8,
)
whole_specs = st.dictionaries(st.sampled_from("pqr"), specs, max_size=3)


def at(spec: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(spec, dict) or key not in spec:
            return ...
        spec = spec[key]
    return spec


def paths(spec: Any, before: str = "") -> set[str]:
    found = set()
    for key, value in spec.items():
        found |= {f"{before}{key}"} | (paths(value, f"{before}{key}.") if isinstance(value, dict) else set())
    return found


@given(st.lists(whole_specs, min_size=1, max_size=4))
def test_settings_listed_are_those_that_differ_and_no_difference_is_lost(several):
    rows = {row.path: row.values for row in differing(several)}
    for path, values in rows.items():
        found = [at(spec, path) for spec in several]
        assert [value is None for value in values] == [value is ... for value in found]
        assert ... in found or len({json.dumps(one) for one in found}) > 1
    for path in set().union(*map(paths, several)):
        found = [at(spec, path) for spec in several]
        if len({"…" if value is ... else json.dumps(value, sort_keys=True) for value in found}) > 1:
            parts = path.split(".")
            above = {".".join(parts[:n]) for n in range(1, len(parts) + 1)}
            assert any(row in above or row.startswith(f"{path}.") for row in rows), path


@given(whole_specs, st.integers(1, 4))
def test_equal_specs_differ_in_nothing(spec, number):
    assert differing([spec] * number) == ()


def test_a_part_that_some_lack_is_one_row_and_the_others_are_compared_within_it():
    colt = {"method": "colt", "rate": {"conv": 0.1}, "until": 0.9}
    rows = differing(
        [{"searches": {"colt": colt}}, {"searches": {}}, {"searches": {"colt": colt | {"rate": {"conv": 0.2}}}}]
    )
    assert [(row.path, row.values) for row in rows] == [
        ("searches.colt", ('"colt"', None, '"colt"')),
        ("searches.colt.rate.conv", ("0.1", None, "0.2")),
    ]


def test_a_mean_over_different_test_sets_is_that_of_the_accuracies():
    mixed = Ticket(1, (Measured(0, 0.5, 9, 10), Measured(1, 0.5, 80, 100)))
    assert mixed.accuracy == pytest.approx(0.85)
    assert math.isclose(mixed.half_width, mean_interval([0.9, 0.8])[1])
    assert mixed.images is None
