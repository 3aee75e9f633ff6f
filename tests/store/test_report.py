"""The report's questions notice what they are there to notice: losses that no rate allows, controls that do no harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from store import report
from store.answers import Point, checks
from store.errors import StoreError
from store.reading import Reader
from store.statistics import mean_interval
from store.writing import Writer

NewRun = Callable[..., str]


@pytest.fixture
def turn(writer: Writer) -> Callable[..., int]:
    """Writes a round with its layers, (kind, before, alive) each; gives back the id of the round's row."""

    def write(search: int, seed: int, number: int, *layers: tuple[str, int, int]) -> int:
        before, alive = (sum(layer[place] for layer in layers) for place in (1, 2))
        weights = {"prunable": 1000, "remaining": alive, "weights": 1000, "weights_remaining": alive}
        row = {"search": search, "seed": seed, "round": number, "step": "done", "started": "x", **weights}
        found = writer.insert("rounds", row)
        for position, (kind, held, left) in enumerate(layers):
            layer = {"round": found, "position": position, "layer": f"{kind}{position}", "kind": kind, "prunable": 1}
            writer.insert("layers", {**layer, "total": 1000, "before": held, "alive": left})
        assert before >= alive
        return found

    return write


def search(writer: Writer, run: str, name: str, method: str = "colt", **settings: Any) -> int:
    return writer.insert("searches", {"run": run, "name": name, "method": method, "settings": settings})


def ask(writer: Writer, sql: str) -> list[dict[str, Any]]:
    with Reader(writer.path) as reader:
        return report.answer(reader, sql)


def test_a_loss_beyond_what_the_rate_allows_is_counted(writer: Writer, new_run: NewRun, turn: Callable[..., int]):
    run = new_run()
    colt = search(writer, run, "colt", rate={"conv": 0.2}, segments=2, scope="kind")
    turn(colt, 0, 1, ("conv", 1000, 800))
    turn(colt, 0, 2, ("conv", 800, 480))
    turn(colt, 1, 1, ("conv", 1000, 599))
    turn(colt, 1, 2, ("conv", 599, 480))
    (row,) = ask(writer, report.loss(run))
    assert (row["least"], row["most"], row["rounds"], row["outside"]) == (0.2, 0.4, 4, 0)
    turn(colt, 2, 1, ("conv", 1000, 801 + 1))
    turn(colt, 2, 2, ("conv", 802, 400))
    assert ask(writer, report.loss(run))[0]["outside"] == 2


def test_kinds_that_share_a_threshold_are_judged_together(writer: Writer, new_run: NewRun, turn: Callable[..., int]):
    run = new_run()
    together = search(writer, run, "together", rate={"conv": 0.2, "linear": 0.2}, scope="global")
    apart = search(writer, run, "apart", rate={"conv": 0.2, "linear": 0.1}, scope="global")
    turn(together, 0, 1, ("conv", 100, 100), ("linear", 900, 700))
    turn(apart, 0, 1, ("conv", 100, 80), ("linear", 900, 810))
    rows = {(row["search"], row["kinds"]): row for row in ask(writer, report.loss(run))}
    assert set(rows) == {("together", "conv+linear"), ("apart", "conv"), ("apart", "linear")}
    assert [row["outside"] for row in rows.values()] == [0, 0, 0]


def test_a_search_that_copies_is_compared_count_by_count(writer: Writer, new_run: NewRun, turn: Callable[..., int]):
    run = new_run()
    colt = search(writer, run, "colt", rate=0.2)
    copy = search(writer, run, "copy", rate={"like": "colt"})
    for number, copied in ((1, 700), (2, 500)):
        turn(colt, 0, number, ("conv", 1000, 700))
        turn(copy, 0, number, ("conv", 1000, copied))
    assert ask(writer, report.copies(run)) == [{"search": "copy", "copied": "colt", "rounds": 2, "equal": 1}]


def test_tickets_of_another_run_have_a_cost_but_no_loss_and_copy_nobody(
    writer: Writer, new_run: NewRun, turn: Callable[..., int]
):
    run = new_run()
    given = search(writer, run, "given", method="transfer", round=None)
    for number, left in ((3, 500), (4, 400)):
        round_id = turn(given, 0, number, ("conv", 1000, left))
        writer.update("rounds", {"id": round_id}, {"images": 600, "images_forward": 60})
    assert ask(writer, report.loss(run)) == []
    assert ask(writer, report.copies(run)) == []
    costs = ask(writer, report.cost(run))
    assert [(row["round"], row["images"], row["images_with_evaluation"]) for row in costs] == [
        (3, 600.0, 600.0),
        (4, 1200.0, 1200.0),
    ]


def test_published_figures_are_read_from_the_spec_and_only_by_their_own_query(writer: Writer, new_run: NewRun):
    tables = {
        "su": {"label": "random", "source": "Su 'et al.' 2020", "sparsity": [0.95, 0.9], "accuracy": [0.93, 0.94]},
        "ma": {"label": "ticket", "source": "Ma et al. 2021", "sparsity": [0.0], "accuracy": [1.0]},
    }
    run, other = new_run(published=tables), new_run()
    rows = ask(writer, report.published(run))
    assert [tuple(row.values()) for row in rows] == [
        ("su", "random", "Su 'et al.' 2020", 0.95, 0.93),
        ("su", "random", "Su 'et al.' 2020", 0.9, 0.94),
        ("ma", "ticket", "Ma et al. 2021", 0.0, 1.0),
    ]
    assert ask(writer, report.published(other)) == []
    for query in (report.accuracy, report.cost, report.cost_to_sparsity, report.controls, report.checks):
        assert ask(writer, query(run)) == []
    for sql in report.results(run).values():
        assert ask(writer, sql) == []


@pytest.mark.parametrize("found", [[95, 90, 97], [80, 80], [99]])
def test_controls_are_paired_by_seed_at_the_last_ticket_of_both(
    writer: Writer, new_run: NewRun, turn: Callable[..., int], found: list[int]
):
    run = new_run()
    imp = search(writer, run, "imp", rate=0.2)
    own = writer.insert("arms", {"run": run, "name": "own", "settings": {"start": "ticket", "mask": "found"}})
    control = writer.insert("arms", {"run": run, "name": "mixed", "settings": {"start": "ticket", "mask": "shuffled"}})
    whole = writer.insert("arms", {"run": run, "name": "bare", "settings": {"start": "ticket", "mask": "full"}})
    longer = writer.insert("arms", {"run": run, "name": "longer", "settings": {"recipe": {"epochs": 9}}})
    both = writer.insert("arms", {"run": run, "name": "both", "settings": {"mask": "random", "begin": "0 epochs"}})
    for seed, correct in enumerate(found):
        second = {own: correct, control: 80, whole: 99, longer: 1, both: 1}
        for number, arms in ((1, {own: 100, control: 1, whole: 99}), (2, second), (3, {own: 5, whole: 99, longer: 2})):
            round_id = turn(imp, seed, number, ("conv", 1000, 800))
            ticket = {"round": round_id, "mask": "m", "start": "s", "start_step": 0, "created": "x"}
            ticket_id = writer.insert("tickets", ticket)
            for arm, hits in arms.items():
                about = {"run": run, "key": f"{seed} {number} {arm}", "seed": seed, "about": {}, "state": "done"}
                sizes = {"classes": 10, "train_images": 1, "epochs": 1, "steps": 1}
                training = writer.insert("trainings", about | sizes)
                row = {"arm": arm, "ticket": ticket_id, "seed": seed, "training": training, "split": "test"}
                writer.insert("evaluations", {**row, "correct": hits, "count": 100, "loss": 1.0, "created": "x"})
    (row,) = ask(writer, report.controls(run))
    mean, half = mean_interval([(correct - 80) / 100 for correct in found])
    assert (row["search"], row["arm"], row["seeds"]) == ("imp", "mixed", len(found))
    assert row["difference"] == pytest.approx(mean)
    assert row["half_width"] == (None if half is None else pytest.approx(half, abs=1e-12))
    arms = {row["arm"]: (row["start"], row["mask"], row["changes"]) for row in ask(writer, report.accuracy(run))}
    assert arms == {
        "own": ("ticket", "found", ""),
        "mixed": ("ticket", "shuffled", "mask"),
        "bare": ("ticket", "full", "mask"),
        "longer": ("ticket", "found", "recipe"),
        "both": ("ticket", "random", "mask begin"),
    }


def test_answers_come_with_their_parts_and_the_means_of_their_curves(writer: Writer, new_run: NewRun):
    run, other = new_run(), new_run()
    row = {"name": "q", "search": "imp", "method": "stability", "question": "?", "seeds": 2, "created": "x"}
    row |= {"verdict": "stable", "sentence": "yes", "threshold": 2.0, "detectable": 0.5, "x": "step", "y": "rise"}
    for whose in (run, other):
        for part in ("k", ""):
            check = writer.insert("checks", {**row, "run": whose, "part": part})
        points = [{"check": check, "series": "a", "seed": seed, "x": 0.0, "y": y} for seed, y in ((0, 1.0), (1, 3.0))]
        writer.insert_all("points", [*points, {"check": check, "series": "a", "seed": 0, "x": 1.0, "y": float("nan")}])
    assert [(row["part"], row["detectable"]) for row in ask(writer, report.checks(run))] == [("k", 0.5), ("", 0.5)]
    first, second = ask(writer, report.curves(run))
    assert (first["name"], first["part"], first["x_label"], first["y_label"]) == ("q", "", "step", "rise")
    assert (first["y"], first["seeds"]) == (2.0, 2)
    assert first["half_width"] == pytest.approx(mean_interval([1.0, 3.0])[1])
    assert (second["y"], second["seeds"], second["half_width"]) == (None, 0, None)
    with Reader(writer.path) as reader:
        part, whole = checks(reader, run)
    assert part.points == ()
    assert whole.points == (Point("a", 0.0, 2, 2.0, pytest.approx(first["half_width"])), Point("a", 1.0, 0, None, None))
    exported = {name: ask(writer, sql) for name, sql in report.results(run).items()}
    assert [len(exported[name]) for name in ("checks", "curves", "curves-by-seed")] == [2, 2, 3]


def training(writer: Writer, run: str, round_id: int, seed: int, epochs: int, done: int, images: int = 100) -> int:
    """A training of a round that went `done` epochs of its recipe's."""
    row = {"run": run, "key": f"{round_id} {seed} {images}", "seed": seed, "about": {}, "state": "done"}
    sizes = {"classes": 10, "train_images": images, "epochs": epochs, "steps": 10 * epochs}
    found = writer.insert("trainings", row | sizes)
    member = len(writer.rows("SELECT 1 FROM members WHERE round = ?", (round_id,)))
    writer.insert("members", {"round": round_id, "member": member, "training": found, "segment": ""})
    for number in range(1, done + 1):
        epoch = {"training": found, "epoch": number, "step": 10 * number, "lr": 0.1, "train_loss": 1.0}
        writer.insert("epochs", epoch | {"train_accuracy": 0.5, "seconds": 0.1})
    return found


def test_sets_stand_beside_a_plain_search_whose_same_seeds_went_as_far(
    writer: Writer, new_run: NewRun, turn: Callable[..., int]
):
    run = new_run()
    search(writer, run, "early", "imp", stop={"epsilon": 0.07})
    imp = search(writer, run, "imp", "imp", stop=None)
    prac, drawn = search(writer, run, "prac", "prac"), search(writer, run, "drawn", "prac", sizes={"like": "prac"})
    spent = {prac: 60, drawn: 80, imp: 100}
    for seed in (0, 1):
        for number in (1, 2):
            for one, images in spent.items():
                if one == imp and (seed, number) == (1, 2):
                    continue  # the plain search is not as far yet
                round_id = turn(one, seed, number, ("conv", 1000, 800))
                writer.update("rounds", {"id": round_id}, {"images": images + 20 * seed})
                training(writer, run, round_id, seed, 1, 1)
                if one == prac:
                    parts = {"training": 6 + 2 * seed, "pruning": 3, "both": 1}
                    writer.insert("sets", {"round": round_id, "size": 10 + 2 * seed, **parts})
                elif one == drawn:
                    writer.insert("sets", {"round": round_id, "size": 10})
    rows = ask(writer, report.sets(run))
    assert [(row["search"], row["round"], row["seeds"]) for row in rows] == [
        (name, number, 2) for name in ("prac", "drawn") for number in (1, 2)
    ]
    first, second, random, _ = rows
    assert (first["size"], first["share"], first["training"], first["unchosen"]) == (11.0, 0.11, 7.0, 0)
    assert (first["plain"], first["images"], first["plain_images"]) == ("imp", 70.0, 110.0)
    assert first["saved"] == pytest.approx(1 - 140 / 220)
    assert second["images"] == 140.0
    assert second["saved"] == pytest.approx(1 - 120 / 200), "seed 0 alone"
    assert (random["training"], random["unchosen"], random["drawn"]) == (None, 2, 1)
    assert len(ask(writer, report.sets_by_seed(run))) == 8


def test_a_set_of_segments_is_a_share_of_them_all_stands_beside_colt_and_says_where_one_stayed(
    writer: Writer, new_run: NewRun, turn: Callable[..., int]
):
    run = new_run()
    prac = search(writer, run, "prac", "prac", segments=2)
    search(writer, run, "colt", "colt", segments=2)
    for number, forgotten in ((1, 6), (2, 4)):
        round_id = turn(prac, 0, number, ("conv", 1000, 800))
        for images in (90, 110):
            training(writer, run, round_id, 0, 1, 1, images)
        writer.insert("sets", {"round": round_id, "size": 10, "training": forgotten, "pruning": 3, "both": 1})
    assert [(row["share"], row["unchosen"], row["plain"]) for row in ask(writer, report.sets(run))] == [
        (0.05, 0, "colt"), (0.05, 1, "colt")
    ]  # fmt: skip


def test_the_loss_of_prac_lies_between_its_rate_and_that_of_disjoint_members(
    writer: Writer, new_run: NewRun, turn: Callable[..., int]
):
    run = new_run()
    for name, segments, left in (("one", 1, 800), ("two", 2, 650), ("three", 3, 650)):
        turn(search(writer, run, name, "prac", rate={"conv": 0.2}, segments=segments), 0, 1, ("conv", 1000, left))
    turn(search(writer, run, "off", "prac", rate={"conv": 0.2}, segments=1), 0, 1, ("conv", 1000, 650))
    rows = {row["search"]: (row["least"], row["most"], row["outside"]) for row in ask(writer, report.loss(run))}
    assert rows == {
        "one": (0.2, 0.2, 0),
        "two": (0.2, 0.4, 0),
        "three": (0.2, pytest.approx(0.6), 0),
        "off": (0.2, 0.2, 1),
    }


def test_trainings_that_may_end_early_are_counted_with_their_epochs(
    writer: Writer, new_run: NewRun, turn: Callable[..., int]
):
    run = new_run()
    prac, imp = search(writer, run, "prac", "prac", stop={"epsilon": 0.05}), search(writer, run, "imp", "imp")
    for seed, done in ((0, 4), (1, 10)):
        training(writer, run, turn(prac, seed, 1, ("conv", 10, 8)), seed, 10, done)
        training(writer, run, turn(imp, seed, 1, ("conv", 10, 8)), seed, 10, 10)
    (row,) = ask(writer, report.early(run))
    assert (row["search"], row["round"], row["trainings"], row["ended"]) == ("prac", 1, 2, 1)
    assert (row["done"], row["epochs"], row["epsilon"]) == (7.0, 10.0, 0.05)


def test_traces_are_those_of_rounds_and_of_arms_which_keep_their_tickets_search(
    writer: Writer, new_run: NewRun, turn: Callable[..., int]
):
    run, other = new_run(), new_run()
    prac = search(writer, run, "prac", "prac")
    arm = writer.insert("arms", {"run": run, "name": "ticket", "settings": {}})
    own_of: dict[int, int] = {}
    for seed in (0, 1):
        round_id = turn(prac, seed, 1, ("conv", 10, 8))
        row = {"round": round_id, "mask": "m", "start": "s", "start_step": 0, "created": "x"}
        ticket = writer.insert("tickets", row)
        own = training(writer, run, round_id, seed, 1, 1)
        own_of[seed] = own
        about = {"run": run, "key": f"arm {seed}", "seed": seed, "about": {}, "state": "done"}
        sizes = {"classes": 10, "train_images": 1, "epochs": 1, "steps": 1}
        ticketed = writer.insert("trainings", about | sizes)
        row = {"arm": arm, "ticket": ticket, "seed": seed, "training": ticketed, "count": 10, "correct": 5}
        writer.insert_all("evaluations", [row | {"split": split, "created": "x"} for split in ("validation", "test")])
        for step in (1, 2):
            trace = {"step": step, "kind": "it's", "layer": "a", "value": float(step * (1 + seed))}
            writer.insert_all("traces", [{"training": one, **trace} for one in (own, ticketed)])
        writer.insert("traces", {"training": own, "step": 3, "kind": "flow", "layer": "", "value": float("nan")})
    rows = ask(writer, report.traces(run))
    columns = ("kind", "arm", "seeds", "first_step", "first", "last_step", "last")
    assert [tuple(row[name] for name in columns) for row in rows] == [
        ("flow", None, 2, 3.0, None, 3.0, None),
        ("it's", None, 2, 1.0, 1.5, 2.0, 3.0),
        ("it's", "ticket", 2, 1.0, 1.5, 2.0, 3.0),
    ]
    assert {(row["search"], row["round"]) for row in rows} == {("prac", 1)}
    curves = ask(writer, report.trace_curves(run, "it's"))
    own = [(row["seed"], row["step"], row["value"]) for row in curves if row["arm"] is None]
    assert own == [(0, 1, 1.0), (0, 2, 2.0), (1, 1, 2.0), (1, 2, 4.0)]
    assert len(ask(writer, report.results(run)["traces"])) == 10
    row = {"arm": arm, "ticket": None, "seed": 0, "training": own_of[0], "count": 10, "correct": 5}
    writer.insert("evaluations", {**row, "split": "test", "created": "x"})
    assert len(ask(writer, report.results(run)["traces"])) == 10, "a round's training that an arm asks for, too"
    assert ask(writer, report.traces(other)) == []


def test_what_is_no_id_becomes_no_sql(path: Path):
    with pytest.raises(StoreError, match="not the id of a run"):
        report.accuracy("x' OR '1' = '1")
