"""Contrasts pair tickets by what they have in common, and judge the difference."""

from types import SimpleNamespace

import pytest

from engine.checks.contrast import judged, pairs_sql
from presets.schema import Contrast, Side
from store.writing import Writer


@pytest.fixture
def made(tmp_path):
    """Accuracies and costs that a test makes up, under the names of the views."""
    with Writer(tmp_path / "t.db") as writer:
        accuracies = "run, search, arm, seed, round, split, sparsity, accuracy, count"
        costs = "run, search, seed, round, images, images_with_evaluation"
        for view, columns in (("ticket_accuracies", accuracies), ("cost_by_round", costs)):
            writer.execute(f"CREATE TEMP TABLE {view}_made ({columns})")
            writer.execute(f"CREATE TEMP VIEW {view} AS SELECT * FROM {view}_made")

        def ticket(search, arm, number, sparsity, accuracy, images=0, evaluated=0):
            row = ("r", search, arm, 0, number, "test", sparsity, accuracy, 100)
            writer.execute("INSERT INTO ticket_accuracies_made VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
            if arm == "ticket":
                cost = ("r", search, 0, number, images, images + evaluated)
                writer.execute("INSERT INTO cost_by_round_made VALUES (?, ?, ?, ?, ?, ?)", cost)

        def pair(match, at, this, that):
            values = {"run": "r", "at": at, "this_search": this[0], "this_arm": this[1]}
            values |= {"that_search": that[0], "that_arm": that[1]}
            [row] = writer.rows(pairs_sql(match, this[0], that[0]), values)
            return row["this_round"], row["that_round"]

        yield SimpleNamespace(ticket=ticket, pair=pair)


def test_tickets_of_one_search_are_compared_only_at_the_same_round_and_of_two_at_like_sparsities(made):
    for number in range(1, 15):
        made.ticket("imp", "ticket", number, 1 - 0.8**number, 0.9)
    made.ticket("imp", "reinit", 14, 1 - 0.8**14, 0.8)
    for number in range(1, 11):
        made.ticket("colt", "ticket", number, 1 - 0.75**number, 0.7)
    assert made.pair("sparsity", 0.8, ("imp", "ticket"), ("imp", "reinit")) == (14, 14)
    assert made.pair("sparsity", 0.8, ("imp", "ticket"), ("colt", "ticket")) == (7, 6)


def test_two_searches_are_matched_by_rounds_or_by_what_they_cost(made):
    for number in range(1, 15):
        made.ticket("imp", "ticket", number, 1 - 0.8**number, 0.9, images=100 * number, evaluated=100)
    for number in range(1, 11):
        made.ticket("colt", "ticket", number, 1 - 0.75**number, 0.7, images=100 * number, evaluated=100 * number)
    colt, imp = ("colt", "ticket"), ("imp", "ticket")
    assert made.pair("sparsity", 0.822, colt, imp) == (6, 8)
    assert made.pair("rounds", 0.822, colt, imp) == (6, 6)
    assert made.pair("images", 0.822, colt, imp) == (6, 6)
    assert made.pair("images-with-tickets", 0.822, colt, imp) == (6, 11)


def test_a_check_whose_arms_share_no_ticket_says_so_instead_of_vanishing():
    check = Contrast(this=Side(arm="ticket"), that=Side(arm="reinit"), at=0.5)
    answer = judged(check, "imp", "imp", [], "")
    assert (answer.figure, answer.seeds, answer.verdict) == (None, 0, "none")
    assert answer.sentence.startswith("ticket of imp over reinit: no verdict")
