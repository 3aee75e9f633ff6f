"""The list of runs: what it says of each, and that it stays cheap when there are many."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import editing, live
from store.live import Live
from store.writing import Writer

SETTINGS = {"method": "colt", "rate": {"conv": 0.2}, "until": 0.5, "segments": 1}
SIZES = {"classes": 10, "train_images": 1, "epochs": 1, "steps": 1}


@pytest.fixture
def turned(writer: Writer, new_run) -> str:
    """A run that has found two tickets with each of two seeds, and compared members in both rounds."""
    run = new_run(searches={"colt": SETTINGS}, arms={})
    search = writer.insert("searches", {"run": run, "name": "colt", "method": "colt", "settings": SETTINGS})
    arm = writer.insert("arms", {"run": run, "name": "ticket", "settings": {}})
    for seed in (0, 1):
        for number, remaining, correct, both in ((1, 80, 95, 5), (2, 64, 90, 10 + 5 * seed)):
            turn = {"search": search, "seed": seed, "round": number, "step": "done", "prunable": 100, "weights": 100}
            counts = {"remaining": remaining, "weights_remaining": remaining, "started": "x"}
            round_id = writer.insert("rounds", turn | counts)
            files = {"mask": "m", "start": "s", "start_step": 0, "created": "x"}
            ticket = writer.insert("tickets", {"round": round_id, **files})
            key = {"key": f"{seed} {number}", "seed": seed, "about": {}, "state": "done"}
            training = writer.insert("trainings", {"run": run, **key, **SIZES})
            row = {"arm": arm, "ticket": ticket, "seed": seed, "training": training, "split": "test", "count": 100}
            writer.insert("evaluations", {**row, "correct": correct, "created": "x"})
            for sets, shared in (("removed", both), ("kept", 50)):
                pair = {"layer": "conv1", "sets": sets, "a": 0, "b": 1, "n": 100, "count_a": 30, "count_b": 30}
                writer.insert("overlaps", {"round": round_id, **pair, "both": shared, "either": 50, "expected": 9.0})
    return run


def end(writer: Writer, run: str) -> None:
    editing.set_state(writer.conn, run, "stopped")


def test_a_row_says_what_was_found_and_how_far_it_is_to_go(path: Path, writer: Writer, turned: str):
    (run,) = Live(path).runs()
    assert (run.methods, run.data, run.network, run.seeds) == ("colt", "digits", "conv3", 2)
    assert (run.round, run.planned) == (2, 4), "0.8 ** 4 is the first below 0.5"
    assert run.sparsity == pytest.approx(0.36)
    assert (run.best, run.accuracy) == (0.95, 0.9), "the best ticket, and the sparsest"
    assert run.overlap == pytest.approx((10 / 50 + 15 / 50) / 2), "of what is removed, newest round, both seeds"


def test_a_run_that_has_found_nothing_has_no_figures(path: Path, new_run):
    new_run()
    (run,) = Live(path).runs()
    assert (run.round, run.planned, run.sparsity, run.best, run.overlap) == (0, None, None, None, None)


def test_rounds_that_cannot_be_known_are_not_guessed(path: Path, writer: Writer, turned: str):
    settings = {"method": "imp", "rate": {"conv": 0.2, "linear": 0.1}, "until": 0.5}
    writer.insert("searches", {"run": turned, "name": "mixed", "method": "imp", "settings": settings})
    (run,) = Live(path).runs()
    assert (run.methods, run.planned) == ("colt, imp", None)


def test_figures_of_a_run_that_nobody_works_on_are_read_once(path: Path, writer: Writer, turned: str, monkeypatch):
    end(writer, turned)
    reader = Live(path)
    first = reader.runs()
    asked: list[str] = []
    rows = reader._reader.rows
    monkeypatch.setattr(reader._reader, "rows", lambda sql, params=(): asked.append(sql) or rows(sql, params))
    assert reader.runs() == first
    assert len(asked) == 1
    editing.rename(writer.conn, turned, "other")
    assert reader.runs()[0].name == "other", "what a person changes is seen at once"
    editing.set_state(writer.conn, turned, "running")
    asked.clear()
    assert reader.runs()[0].best == 0.95
    assert len(asked) > 1, "an engine may have found more"


def test_the_list_comes_at_once_and_its_figures_as_they_are_read(path: Path, writer: Writer, turned: str, new_run):
    end(writer, turned)
    reader = Live(path)
    assert [run.id for run in reader.runs(seconds=-1.0)] == [turned]
    assert reader.behind
    assert reader.runs()[0].best == 0.95
    assert not reader.behind


@pytest.mark.parametrize("name", ["LISTED", "SPEC", "TURNED", "FOUND", "DENSE", "OVERLAP"])
def test_no_table_but_that_of_runs_is_read_from_end_to_end(path: Path, writer: Writer, name: str):
    sql = getattr(live, name)
    reader = Live(path)._reader
    steps = [row["detail"] for row in reader.rows(f"EXPLAIN QUERY PLAN {sql}", ("x",) if "?" in sql else ())]
    scans = {step for step in steps if step.startswith("SCAN")}
    assert scans <= {"SCAN r", "SCAN newest", "SCAN (subquery-1)", "SCAN (subquery-2)", "SCAN (subquery-3)"}, steps
