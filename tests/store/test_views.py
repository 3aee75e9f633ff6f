"""The views give what plain Python gives on the same rows, and find one run among many without reading the others."""

from __future__ import annotations

import json
import math
import random
import sqlite3
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.connection import prepare, run_script
from store.migrations import STEPS
from store.reading import Reader
from store.statistics import mean_interval, t975
from store.writing import Writer

Row = dict[str, Any]
ARMS = {
    "dense": {"ticket": None},
    "ticket": {"ticket": "each", "start": "ticket", "mask": "found"},
    "plain": {"ticket": "each"},
    "reinit": {"ticket": "each", "start": "reinit", "mask": "found"},
    "shuffled": {"ticket": "each", "start": "ticket", "mask": "shuffled"},
}
OWN = ("ticket", "plain")
"""Arms that evaluate a ticket as it was found."""


@dataclass
class Story:
    """A store with random runs in it, and the same rows as Python sees them."""

    conn: sqlite3.Connection
    evaluations: list[Row] = field(default_factory=list)
    rounds: list[Row] = field(default_factory=list)
    layers: list[Row] = field(default_factory=list)
    overlaps: list[Row] = field(default_factory=list)
    members: list[Row] = field(default_factory=list)
    images: dict[int, int] = field(default_factory=dict)  # by training
    apart: set[tuple[str, str]] = field(default_factory=set)  # searches, with their runs, whose rounds stand alone


def add(conn: sqlite3.Connection, table: str, **row: Any) -> int:
    marks = ", ".join("?" for _ in row)
    return conn.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", tuple(row.values())).lastrowid or 0


@cache
def empty() -> sqlite3.Connection:
    conn = sqlite3.connect(":memory:", isolation_level=None)  # an open transaction would bar copying
    for step in STEPS:
        run_script(conn, step)
    return conn


def tell(seed: int, runs: Iterable[str] = ("one", "two")) -> Story:
    rnd = random.Random(seed)
    conn = sqlite3.connect(":memory:")
    empty().backup(conn)
    prepare(conn)
    story = Story(conn)
    for run in runs:
        tell_run(story, run, rnd)
    return story


def tell_run(story: Story, run: str, rnd: random.Random) -> None:
    conn = story.conn
    add(conn, "runs", id=run, name=run, preset="p", title="t", spec="{}", state="finished", keep="all", files="/",
        created="2026-01-01T00:00:00.000Z", started="2026-01-01T00:00:00.000Z")  # fmt: skip
    arms = {name: add(conn, "arms", run=run, name=name, settings=json.dumps(ARMS[name])) for name in ARMS}
    count = rnd.choice([1, 7, 360])
    keys = iter(range(10**6))

    def training(seed: int) -> int:
        images = rnd.randrange(1, 1000)
        key = add(conn, "trainings", run=run, key=str(next(keys)), seed=seed, about="{}", state="done", classes=10,
                  train_images=1, epochs=1, steps=1, images=images)  # fmt: skip
        story.images[key] = images
        return key

    def evaluate(arm: str, seed: int, trained: int, ticket: int | None, at: Row) -> None:
        for split in ("validation", "test"):
            correct = rnd.randrange(count + 1)
            add(conn, "evaluations", arm=arms[arm], ticket=ticket, seed=seed, training=trained, split=split,
                correct=correct, count=count, loss=1.0, created="x")  # fmt: skip
            story.evaluations.append(
                {"run": run, "arm": arm, "seed": seed, "split": split, "correct": correct, "count": count, **at}
                | {"training": trained, "ticket": ticket}
            )

    seeds = range(rnd.randrange(1, 5))
    for seed in seeds:
        nowhere = {"search": None, "round": None, "sparsity": 0.0, "total_sparsity": 0.0}
        evaluate("dense", seed, training(seed), None, nowhere)
    for search in rnd.sample(["colt", "imp", "matched"], rnd.randrange(0, 4)):
        apart = int(rnd.random() < 0.3)
        number = add(conn, "searches", run=run, name=search, method=search, settings="{}", apart=apart)
        story.apart |= {(run, search)} if apart else set()
        for seed in seeds:
            tell_rounds(story, {"run": run, "search": search, "seed": seed}, number, training, evaluate, rnd)


def tell_rounds(
    story: Story, key: Row, search: int, training: Callable[[int], int], evaluate: Callable[..., None],
    rnd: random.Random,
) -> None:  # fmt: skip
    prunable, weights = 1000, 1500
    remaining = prunable
    tickets_training: int | None = None  # what evaluated the ticket before
    members = rnd.choice([1, 2, 3])
    for number in range(rnd.choice([0, 1, 1]), rnd.randrange(1, 7)):
        done = rnd.random() < 0.9
        if number:
            remaining -= rnd.randrange(remaining // 2 + 1)
        trained = [training(key["seed"]) for _ in range(members)]
        if tickets_training and members == 1:
            trained = [tickets_training]
        at = {**key, "round": number, "sparsity": 1 - remaining / prunable,
              "total_sparsity": 1 - (remaining + 500) / weights}  # fmt: skip
        images, forward = sum(story.images[t] for t in trained), rnd.randrange(100)
        round_id = add(
            story.conn, "rounds", search=search, seed=key["seed"], round=number, step="done" if done else "train",
            prunable=prunable, remaining=remaining, weights=weights, weights_remaining=remaining + 500, images=images,
            images_forward=forward, started="x",
        )  # fmt: skip
        story.rounds.append({**at, "images": images, "images_forward": forward, "done": done})
        for member, trained_as in enumerate(trained):
            add(story.conn, "members", round=round_id, member=member, training=trained_as, segment="s")
            story.members.append({**at, "training": trained_as, "done": done})
        if not done:
            return
        if number == 0:
            continue
        tell_layers(story, at, round_id, members, rnd)
        ticket = add(story.conn, "tickets", round=round_id, mask="m", start="s", start_step=0, created="x")
        tickets_training = training(key["seed"])
        for arm in rnd.sample(list(ARMS)[1:], rnd.randrange(5)):
            evaluate(arm, key["seed"], tickets_training if arm in OWN else training(key["seed"]), ticket, at)
        if rnd.random() < 0.3:
            tickets_training = None


def tell_layers(story: Story, at: Row, round_id: int, members: int, rnd: random.Random) -> None:
    for position, kind in enumerate(rnd.choices(["conv", "linear", "head", "norm"], k=rnd.randrange(1, 6))):
        n = rnd.randrange(1, 100)
        for member in (None, *range(members)):
            row = {"layer": f"l{position}", "position": position, "kind": kind, "prunable": int(kind != "norm"),
                   "total": 100, "before": n, "alive": rnd.randrange(n + 1), "member": member}  # fmt: skip
            add(story.conn, "layers", round=round_id, **row)
            story.layers.append({**at, **row})
        for a in range(members):
            for b in range(a + 1, members):
                for sets in ("kept", "removed"):
                    first, second = ({i for i in range(n) if rnd.random() < 0.7} for _ in "ab")
                    row = {"layer": f"l{position}", "sets": sets, "a": a, "b": b, "n": n, "count_a": len(first),
                           "count_b": len(second), "both": len(first & second), "either": len(first | second),
                           "expected": len(first) * len(second) / n}  # fmt: skip
                    add(story.conn, "overlaps", round=round_id, **row)
                    story.overlaps.append({**at, **row, "kind": kind, "position": position})


def view(story: Story, name: str, *key: str) -> dict[tuple[Any, ...], Row]:
    """Rows of a view by their key, which must tell them apart; whole, and as a person would pick one run."""
    rows = [dict(row) for row in story.conn.execute(f"SELECT * FROM {name}")]
    picked = [
        dict(row) for run in ("one", "two") for row in story.conn.execute(f"SELECT * FROM {name} WHERE run = ?", (run,))
    ]
    assert sorted(map(repr, rows)) == sorted(map(repr, picked))
    found = {tuple(row[column] for column in key): row for row in rows}
    assert len(found) == len(rows)
    return found


def grouped(rows: Iterable[Row], *key: str) -> dict[tuple[Any, ...], list[Row]]:
    groups = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in key)].append(row)
    return dict(groups)


def near(value: float | None) -> Any:
    return None if value is None else pytest.approx(value, rel=1e-12, abs=1e-12)


seeds = st.integers(0, 2**32)
thoroughly = settings(max_examples=40, deadline=None)


@given(seeds)
@thoroughly
def test_accuracy_is_the_mean_over_seeds_with_students_interval(seed: int) -> None:
    story = tell(seed)
    key = ("run", "search", "arm", "round", "split")
    found = view(story, "accuracy_by_sparsity", *key)
    groups = grouped(story.evaluations, *key)
    assert found.keys() == groups.keys()
    for place, rows in groups.items():
        mean, half = mean_interval([row["correct"] / row["count"] for row in rows])
        sparsities = [row["sparsity"] for row in rows]
        total = statistics.fmean(row["total_sparsity"] for row in rows)
        assert found[place] == dict(zip(key, place, strict=True)) | {
            "seeds": len(rows),
            "sparsity": near(statistics.fmean(sparsities)),
            "total_sparsity": near(total),
            "accuracy": near(mean),
            "half_width": near(half),
            "sparsity_low": near(min(sparsities)),
            "sparsity_high": near(max(sparsities)),
            "count": rows[0]["count"],
        }


@given(seeds)
@thoroughly
def test_every_evaluation_is_one_row_at_its_own_sparsity(seed: int) -> None:
    story = tell(seed)
    found = view(story, "ticket_accuracies", "run", "search", "arm", "seed", "round", "split")
    assert len(found) == len(story.evaluations)
    for row in story.evaluations:
        seen = found[tuple(row[column] for column in ("run", "search", "arm", "seed", "round", "split"))]
        assert seen["accuracy"] == near(row["correct"] / row["count"])
        assert seen["sparsity"] == near(row["sparsity"])
        assert seen["total_sparsity"] == near(row["total_sparsity"])
        assert (seen["correct"], seen["count"]) == (row["correct"], row["count"])
        assert (seen["ticket"], seen["training"]) == (row["ticket"], row["training"])


@given(seeds)
@thoroughly
def test_overlap_sums_sets_and_chance_layer_by_layer(seed: int) -> None:
    story = tell(seed)
    key = ("run", "search", "seed", "round", "sets")
    found = view(story, "overlap_by_round", *key)
    groups = grouped(story.overlaps, *key)
    assert found.keys() == groups.keys()
    for place, rows in groups.items():
        both, either, expected = (sum(row[name] for row in rows) for name in ("both", "either", "expected"))
        union = sum(row["count_a"] + row["count_b"] for row in rows) - expected
        pairs = len({(row["a"], row["b"]) for row in rows})
        assert found[place]["iou"] == near(both / either if either else None)
        assert found[place]["chance"] == near(expected / union if union else None)
        assert [found[place][name] for name in ("both", "either", "pairs")] == [both, either, pairs]
        assert found[place]["expected"] == near(expected)
        assert found[place]["n"] == sum(row["n"] for row in rows if (row["a"], row["b"]) == (0, 1))


@given(seeds)
@thoroughly
def test_the_overlap_of_a_layer_stands_beside_its_chance(seed: int) -> None:
    story = tell(seed)
    key = ("run", "search", "seed", "round", "layer", "sets", "a", "b")
    found = view(story, "layer_overlaps", *key)
    assert len(found) == len(story.overlaps)
    for row in story.overlaps:
        seen = found[tuple(row[column] for column in key)]
        assert {name: seen[name] for name in row if name in seen} == {name: row[name] for name in row if name in seen}
        assert seen["iou"] == near(row["both"] / row["either"] if row["either"] else None)
        union = row["count_a"] + row["count_b"] - row["expected"]
        assert seen["chance"] == near(row["expected"] / union if union else None)


@given(seeds)
@thoroughly
def test_loss_counts_the_prunable_weights_of_the_common_mask_by_kind(seed: int) -> None:
    story = tell(seed)
    key = ("run", "search", "seed", "round", "kind")
    found = view(story, "loss_by_round", *key)
    groups = grouped((row for row in story.layers if row["member"] is None and row["prunable"]), *key)
    assert found.keys() == groups.keys()
    for place, rows in groups.items():
        before, alive = sum(row["before"] for row in rows), sum(row["alive"] for row in rows)
        assert (found[place]["before"], found[place]["removed"]) == (before, before - alive)
        assert found[place]["fraction"] == near((before - alive) / before)


def costs(story: Story) -> dict[tuple[Any, ...], Row]:
    """`cost_by_round` by its definition: sets of trainings, each counted once."""
    result = {}
    for (run, search, seed), rounds in grouped((r for r in story.rounds if r["done"]), "run", "search", "seed").items():

        def upto(rows: list[Row], last: int, own: tuple[Any, ...] = (run, search, seed)) -> list[Row]:
            rows = [r for r in rows if (r["run"], r["search"], r["seed"]) == own]
            return [r for r in rows if r["round"] == last or (r["round"] < last and own[:2] not in story.apart)]

        for row in rounds:
            trained = {m["training"] for m in upto([m for m in story.members if m["done"]], row["round"])}
            own = [e for e in story.evaluations if e["search"] and e["arm"] in OWN]
            evaluated = {e["training"] for e in upto(own, row["round"])}
            result[run, search, seed, row["round"]] = {
                "sparsity": near(row["sparsity"]),
                "images": sum(r["images"] for r in upto(rounds, row["round"])),
                "images_forward": sum(r["images_forward"] for r in upto(rounds, row["round"])),
                "images_with_evaluation": sum(story.images[t] for t in trained | evaluated),
            }
    return result


@given(seeds)
@thoroughly
def test_cost_counts_each_training_of_a_search_once(seed: int) -> None:
    story = tell(seed)
    found = view(story, "cost_by_round", "run", "search", "seed", "round")
    expected = costs(story)
    assert found.keys() == expected.keys()
    for place, row in expected.items():
        assert {name: found[place][name] for name in row} == row


@given(seeds)
@thoroughly
def test_cost_to_a_sparsity_is_that_of_the_first_round_that_reaches_it(seed: int) -> None:
    story = tell(seed)
    found = view(story, "cost_to_sparsity", "run", "search", "level")
    reached = defaultdict(list)
    cost = {place: (row["sparsity"], row) for place, row in costs(story).items()}
    sparsity = {(r["run"], r["search"], r["seed"], r["round"]): r["sparsity"] for r in story.rounds}
    for run, search, number in {place[:3] for place in cost}:
        own = sorted(place for place in cost if place[:3] == (run, search, number))
        for level in (0.5, 0.8, 0.9, 0.95, 0.98, 0.99):
            first = next((place for place in own if sparsity[place] >= level), None)
            if first:
                reached[run, search, level].append((first[3], sparsity[first], cost[first][1]))
    assert found.keys() == reached.keys()
    for place, rows in reached.items():
        assert found[place]["seeds"] == len(rows)
        assert found[place]["seeds_searched"] == len({p[2] for p in cost if p[:2] == place[:2]})
        assert found[place]["round"] == near(statistics.fmean(row[0] for row in rows))
        assert found[place]["sparsity"] == near(statistics.fmean(row[1] for row in rows))
        for name in ("images", "images_with_evaluation"):
            assert found[place][name] == near(statistics.fmean(row[2][name] for row in rows))


def test_a_search_that_trains_its_own_tickets_pays_only_for_the_last_evaluation(writer: Writer, new_run: Any) -> None:
    run = new_run()
    arm = writer.insert("arms", {"run": run, "name": "ticket", "settings": ARMS["ticket"]})
    imp = writer.insert("searches", {"run": run, "name": "imp", "method": "imp", "settings": {}})
    about = {"about": {}, "state": "done", "classes": 10, "train_images": 100, "epochs": 1, "steps": 1, "images": 100}
    trainings = [writer.insert("trainings", {"run": run, "key": str(i), "seed": 0, **about}) for i in range(4)]
    for number in (1, 2, 3):
        row = {"search": imp, "seed": 0, "round": number, "step": "done", "prunable": 100, "remaining": 80}
        row |= {"weights": 100, "weights_remaining": 80, "images": 100, "started": "x"}
        round_id = writer.insert("rounds", row)
        writer.insert("members", {"round": round_id, "member": 0, "training": trainings[number - 1], "segment": ""})
        ticket = writer.insert(
            "tickets", {"round": round_id, "mask": "m", "start": "s", "start_step": 0, "created": "x"}
        )
        shared = {"arm": arm, "ticket": ticket, "seed": 0, "training": trainings[number], "loss": 1.0, "created": "x"}
        writer.insert_all(
            "evaluations", [shared | {"split": s, "correct": 1, "count": 1} for s in ("validation", "test")]
        )
    with Reader(writer.path) as reader:
        assert [row["images"] for row in reader.cost(run)] == [100, 200, 300]
        assert [row["images_with_evaluation"] for row in reader.cost(run)] == [200, 300, 400]


def test_equal_accuracies_have_an_interval_of_exactly_nothing(writer: Writer, new_run: Any) -> None:
    run = new_run()
    arm = writer.insert("arms", {"run": run, "name": "dense", "settings": ARMS["dense"]})
    trained = {"run": run, "about": {}, "state": "done", "classes": 10, "train_images": 1, "epochs": 1, "steps": 1}
    for seed in range(3):
        key = writer.insert("trainings", {**trained, "key": str(seed), "seed": seed})
        row = {"arm": arm, "seed": seed, "training": key, "split": "test", "correct": 353, "count": 360, "loss": None}
        writer.insert("evaluations", {**row, "created": "x"})
    with Reader(writer.path) as reader:
        [row] = reader.accuracy(run)
    assert row["half_width"] == 0.0
    assert row["accuracy"] == pytest.approx(353 / 360, abs=0)


def test_the_table_of_students_t_is_the_function(writer: Writer) -> None:
    rows = writer.rows("SELECT df, t975 FROM student ORDER BY df")
    assert [row["df"] for row in rows] == list(range(1, 100))
    assert all(math.isclose(row["t975"], t975(row["df"]), rel_tol=1e-12) for row in rows)


@pytest.mark.parametrize(
    ("stored", "started", "heartbeat", "seen"),
    [
        ("running", 5, None, "running"),
        ("running", 60, None, "lost"),
        ("running", 600, 5, "running"),
        ("running", 600, 60, "lost"),
        ("running", 5, 600, "running"),
        ("finished", 600, 600, "finished"),
        ("paused", 600, 600, "paused"),
    ],
)
def test_a_run_without_a_sign_of_life_reads_lost(
    writer: Writer, new_run: Any, stored: str, started: int, heartbeat: int | None, seen: str
) -> None:
    def ago(seconds: int) -> str:
        moment = datetime.now(UTC) - timedelta(seconds=seconds)
        return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")

    run = new_run()
    writer.update("runs", {"id": run}, {"state": stored, "started": ago(started)})
    if heartbeat is not None:
        row = {"run": run, "host": "h", "boot_id": "b", "pid": 1, "pid_started": 1.0, "device": "cpu"}
        row |= {"versions": {}, "plan": {}, "started": ago(600), "heartbeat": ago(heartbeat), "images_done": 7}
        writer.insert("attempts", row)
    state, images, attempts = writer.one("SELECT state, images_done, attempts FROM run_states")
    assert state == seen
    assert (images, attempts) == ((0, 0) if heartbeat is None else (7, 1))


# Quick among many

QUICK = ["accuracy_by_sparsity", "ticket_accuracies", "overlap_by_round", "layer_overlaps", "loss_by_round"]
QUICK += ["cost_by_round", "cost_to_sparsity", "run_states"]


@pytest.mark.parametrize("name", QUICK)
def test_the_work_for_one_run_does_not_grow_with_the_others(name: str) -> None:
    def instructions(story: Story) -> int:
        count = 0

        def tick() -> None:
            nonlocal count
            count += 1

        story.conn.set_progress_handler(tick, 10)
        story.conn.execute(f"SELECT * FROM {name} WHERE run = 'one'").fetchall()
        return count

    alone, among_many = instructions(tell(7, ["one"])), instructions(tell(7, ["one", *(f"run {i}" for i in range(20))]))
    assert among_many <= 1.05 * alone + 5


def test_rows_that_go_with_their_parents_are_found_by_an_index(path: Path) -> None:
    reader = Reader(path)
    tables = [row["name"] for row in reader.rows("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    for table in tables:
        indexed = {
            columns[0]["name"]
            for index in reader.rows("SELECT name FROM pragma_index_list(?)", (table,))
            if (columns := reader.rows("SELECT name FROM pragma_index_info(?)", (index["name"],)))
        }
        for key in reader.rows('SELECT "from" AS name FROM pragma_foreign_key_list(?)', (table,)):
            assert key["name"] in indexed, f"{table}.{key['name']}"
