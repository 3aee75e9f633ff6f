"""Verdicts follow from the interval of the paired difference."""

import pytest

from engine.checks.contrast import PAIRS, _figures, judge, literal
from presets.schema import Contrast, Side
from store.writing import Writer


@pytest.mark.parametrize(
    ("mean", "half", "seeds", "tolerance", "verdict"),
    [
        (1.0, 0.4, 3, 0.5, "clear"),
        (1.0, 0.5, 3, 0.5, "similar"),
        (0.0, 0.4, 3, 0.5, "similar"),
        (0.0, 0.5, 3, 0.5, "undecided"),
        (0.0, 0.0, 3, 0.0, "undecided"),
        (-1.0, 0.4, 3, 0.5, "reversed"),
        (-1.0, 0.9, 3, 0.5, "undecided"),
        (9.0, 0.1, 2, 0.5, "none"),
        (9.0, None, 1, 0.5, "none"),
    ],
)
def test_a_verdict_is_clear_similar_reversed_undecided_or_none(mean, half, seeds, tolerance, verdict):
    assert judge(mean, half, seeds, tolerance) == verdict


def test_tickets_of_one_search_are_compared_only_at_the_same_round_and_of_two_at_like_sparsities(tmp_path):
    with Writer(tmp_path / "t.db") as writer:
        writer.execute("CREATE TEMP VIEW ticket_accuracies AS SELECT * FROM made")
        columns = "run, search, arm, seed, round, split, sparsity, accuracy, count"
        writer.execute(f"CREATE TEMP TABLE made ({columns})")
        imp = {number: 1 - 0.8**number for number in range(1, 15)}
        rows = [("r", "imp", "ticket", 0, n, "test", s, 0.9, 100) for n, s in imp.items()]
        rows += [("r", "imp", "reinit", 0, 14, "test", imp[14], 0.8, 100)]
        rows += [("r", "colt", "ticket", 0, n, "test", 1 - 0.75**n, 0.7, 100) for n in range(1, 11)]
        for row in rows:
            writer.execute("INSERT INTO made VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

        def pair(at: float, this: tuple[str, str], that: tuple[str, str]) -> tuple[int, int]:
            values = {"run": "r", "at": at, "this_search": this[0], "this_arm": this[1]}
            [row] = writer.rows(PAIRS, values | {"that_search": that[0], "that_arm": that[1]})
            return row["this_round"], row["that_round"]

        assert pair(0.8, ("imp", "ticket"), ("imp", "reinit")) == (14, 14)
        assert pair(0.8, ("imp", "ticket"), ("colt", "ticket")) == (7, 6)


def test_a_check_whose_arms_share_no_ticket_says_so_instead_of_vanishing():
    check = Contrast(this=Side(arm="ticket"), that=Side(arm="reinit"), at=0.5)
    figures = _figures(check, "imp", "imp", [])
    assert (figures["figure"], figures["seeds"], figures["verdict"]) == (None, 0, "none")
    assert figures["sentence"].startswith("ticket of imp over reinit: no verdict")


def test_a_query_is_written_out_with_its_values():
    sql = "SELECT :this, :this_arm, :at FROM t WHERE name = :run"
    values = {"this": "a", "this_arm": "it's", "at": 0.5, "run": "r"}
    assert literal(sql, values) == "SELECT 'a', 'it''s', 0.5 FROM t WHERE name = 'r'"
