"""What the report and `tombola plot` choose to draw: found tickets, whatever else was trained from them."""

from __future__ import annotations

from typing import Any

from tui.report import _accuracy, _costs, accuracy_series, published_series, subsets


def row(search: str | None, arm: str, number: int | None, **more: Any) -> dict[str, Any]:
    """A row of the accuracy query."""
    figures = {"accuracy": 0.9, "half_width": None, "start": "ticket", "mask": "found", "changes": ""}
    return {"search": search, "arm": arm, "round": number, "sparsity": 0.1 * (number or 0), **figures, **more}


def labels(rows: list[dict[str, Any]], *arms: str) -> list[tuple[str, int]]:
    return [(one.label, len(one.xs)) for one in accuracy_series(rows, lambda row: row["sparsity"], arms)]


def test_an_arm_without_a_mask_or_with_a_fresh_start_is_never_drawn_for_the_found_tickets():
    rows = []
    for number in (1, 2, 3):
        rows += [row("imp", "bare", number, mask="full", changes="mask")]
        rows += [row("imp", "fresh", number, start="reinit", changes="start")]
    rows += [row("imp", "ticket", number) for number in (1, 2)]
    assert labels(rows) == [("imp", 2)]
    assert labels(rows, "bare") == [("imp", 3)]
    assert labels(rows, "bare", "fresh") == [("imp bare", 3), ("imp fresh", 3)]


def test_every_search_is_drawn_by_the_arm_that_trains_most_of_its_own_tickets():
    rows = [row(None, "dense", None)]
    rows += [row("colt", "a", number) for number in (1, 2, 3)]
    rows += [row("imp", "a", 1), row("imp", "b", 1), row("imp", "b", 2)]
    rows += [row("given", "fresh", 1, start="reinit", changes="start")]
    rows += [row("imp", "longer", number, changes="recipe") for number in (1, 2, 3, 4)]
    assert labels(rows) == [("colt", 3), ("imp", 2), ("given", 1), ("dense", 2)]


def test_published_tables_of_several_runs_are_drawn_once_where_they_are_equal():
    def table(name: str, label: str, *accuracies: float) -> list[dict[str, Any]]:
        return [
            {"name": name, "label": label, "source": "Su et al. 2020", "sparsity": 0.9 + 0.01 * i, "accuracy": accuracy}
            for i, accuracy in enumerate(accuracies)
        ]

    one, other = table("su", "random", 0.94, 0.93), table("su", "random", 0.5)
    assert [(s.ys, s.colour) for s in published_series(one, one)] == [([94.0, 93.0], 0)]
    assert [(s.ys, s.colour) for s in published_series(one, other)] == [([94.0, 93.0], 0), ([50.0], 1)]
    assert len(published_series(one + table("hybrid", "hybrid", 0.9), one)) == 2
    assert published_series([], []) == []


def test_what_images_count_is_said_where_each_ticket_has_a_training_of_its_own():
    rows = [{"search": "imp", "apart": 0}, {"search": "set", "apart": 1}, {"search": "set", "apart": 1}]
    assert _costs(rows[:1], 100) == ["images: of the search so far; +tickets: with training its tickets"]
    assert "search so far (set: of the training that found the ticket); +tickets" in " ".join(
        " ".join(_costs(rows, 80)).split()
    )


def test_the_sets_of_other_runs_are_named_with_those_who_see_them():
    seen = {"subset": {"run": "prac-abcd", "search": "fast", "round": None}}
    searches = {"imp": {"data": seen}, "colt": {"data": seen}, "plain": {"data": {"subset": None}}, "taken": {}}
    assert subsets({"searches": searches}) == ["on the samples that prac-abcd@fast chose: imp, colt"]


def test_a_rounds_sparsity_is_that_of_the_tickets_that_were_trained():
    found = row("colt", "ticket", 5, sparsity=0.8347, seeds=1, count=300)
    cost = {"search": "colt", "round": 5, "sparsity": 0.845, "images": 100, "images_with_evaluation": 200}
    assert any("83.5 %" in line for line in _accuracy([found], [cost], 80))
