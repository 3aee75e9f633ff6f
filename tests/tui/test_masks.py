"""Masks, overlap, accuracy against cost, rounds, log and alerts on the screen of a run, held against its store."""

from __future__ import annotations

import re
import sqlite3
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.files import engine_log
from store.live import Live
from store.liveness import this_process
from store.viewing import View
from tests.program import FinishedRun
from tests.tui.test_app import change, drive, one, open_run, panel, shown, until
from tui.app.look import HERE, NONE, PATTERNS
from tui.app.screens.run import KINDS
from tui.app.widgets import figures, heat
from tui.app.widgets.panel import Scene
from tui.app.wording import count

COLT = "FROM rounds AS x JOIN searches AS s ON s.id = x.search WHERE s.name = 'colt' AND x.seed = 0 AND x.round"
"""After a SELECT: a round of colt's first seed."""


@pytest.fixture
def store(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """A copy of the store of a real run, to do things to."""
    copy = tmp_path / "store.db"
    with sqlite3.connect(finished_run.tombola.db) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    return copy


def rows(db: Path, sql: str, *values: object) -> list[tuple]:
    conn = sqlite3.connect(db)
    try:
        return conn.execute(sql, values).fetchall()
    finally:
        conn.close()


def view(db: Path) -> View:
    live = Live(db)
    try:
        found = live.view(one(db, "SELECT id FROM runs"))
        assert found is not None
        return found
    finally:
        live.close()


def panel_text(db: Path, number: int, width: int, height: int, **look: object) -> str:
    return "\n".join(line.plain for line in KINDS[number].draw(Scene(view(db), **look), width, height))


# Heat maps


@given(st.floats(0, 1))
def test_a_share_is_written_in_three_characters_and_is_nothing_only_where_nothing_is_left(share):
    text = heat.figure(share)
    assert len(text) <= 3
    assert (text == NONE) == (share == 0) == (heat.level(share) is None)
    if text not in (NONE, "<.1"):
        assert abs(float(text) - 100 * share) <= 0.5


@given(st.floats(0, 1), st.floats(0, 1))
def test_a_larger_share_is_never_on_a_lower_level(a, b):
    low, high = sorted((a, b))
    order = [len(heat.LEVELS) if heat.level(share) is None else heat.level(share) for share in (low, high)]
    assert order[0] >= order[1]


@given(st.integers(1, 120), st.integers(8, 200), st.data())
def test_a_heat_map_keeps_its_width_and_the_chosen_column_in_sight(columns, width, data):
    chosen = data.draw(st.none() | st.integers(0, columns - 1))
    shares = data.draw(st.lists(st.none() | st.floats(0, 1), min_size=columns, max_size=columns))
    names = [str(number + 1) for number in range(columns)]
    head, (row,), _ = heat.heat([heat.Row("conv1", shares)], names, chosen, 5, width, "rounds")
    assert row.cell_len <= max(width, 11)
    if chosen is not None:
        under = head[1].plain.index(HERE)
        assert under < row.cell_len
        assert re.search(rf"\b{chosen + 1}\b", head[0].plain), "the chosen round has its number"


def test_levels_differ_in_their_patterns_too():
    assert len(set(PATTERNS)) == len(heat.LEVELS)


def test_cells_hold_the_share_of_weights_alive_of_each_layer_and_round(store):
    found = rows(
        store,
        "SELECT l.layer, x.round, 100.0 * l.alive / l.total FROM layers AS l JOIN rounds AS x ON x.id = l.round"
        " JOIN searches AS s ON s.id = x.search WHERE s.name = 'colt' AND x.seed = 0 AND l.member IS NULL"
        " AND l.prunable ORDER BY l.position, x.round",
    )
    expected: dict[str, list[float]] = {}
    for layer, _, percent in found:
        expected.setdefault(layer.removesuffix(".weight"), []).append(percent)
    rounds = sorted({number for _, number, _ in found})

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("v")
        await until(pilot, lambda: "masks by round · colt seed 0" in shown(app))
        lines = panel(app, 3).splitlines()
        assert lines[0].split() == [str(number) for number in rounds]
        assert lines[1].index("▼") == lines[0].index(str(rounds[-1])), "the round in focus is marked"
        for layer, percents in expected.items():
            cells = next(line for line in lines if line.startswith(f"{layer} ")).split()[1:]
            assert cells == [heat.figure(percent / 100) for percent in percents]
        await pilot.press("left")
        await until(pilot, lambda: f"masks by round · colt seed 0 round {rounds[-2]}" in shown(app))
        lines = panel(app, 3).splitlines()
        assert lines[1].index("▼") == lines[0].index(str(rounds[-2]))

    drive(store, scenario, (200, 60))


def test_members_own_masks_stand_beside_that_of_the_ticket(store):
    last = one(store, f"SELECT max(x.id) {COLT} > 0")
    own = rows(
        store, "SELECT 1.0 * alive / total FROM layers WHERE round = ? AND layer = 'conv2.weight' ORDER BY member", last
    )
    common, *members = (heat.figure(share) for (share,) in own)
    text = panel_text(store, 3, 70, 16, masks=2)
    assert next(line for line in text.splitlines() if "conv2" in line).split()[1:] == [*members, common]
    assert text.splitlines()[0].split() == ["0", "1", "ticket"]


def test_a_search_of_one_network_has_no_view_of_members(store):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("3", "down")
        await until(pilot, lambda: "colt seed 1" in shown(app))
        await pilot.press("down")
        await until(pilot, lambda: "masks · imp seed 0" in shown(app))
        await pilot.press("v")
        await until(pilot, lambda: "masks by round · imp" in shown(app))
        await pilot.press("v")
        await until(pilot, lambda: "masks · imp seed 0" in shown(app))

    drive(store, scenario)


@pytest.mark.parametrize("look", [0, 1, 2])
def test_a_layer_without_weights_is_told_as_collapsed(store, look):
    last = one(store, f"SELECT max(x.id) {COLT} > 0")
    number = one(store, f"SELECT max(x.round) {COLT} > 0")
    change(store, "UPDATE layers SET alive = 0 WHERE layer = 'conv1.weight' AND round = ?", last)
    text = panel_text(store, 3, 78, 16, masks=look)
    assert re.search(r"conv1 .*✗", text)
    words = [
        "✗ collapsed",
        f"✗ conv1 collapsed in round {number}",
        "conv1 has no weight in member 0, member 1, the ticket",
    ]
    assert words[look] in text


def test_layers_that_do_not_fit_are_paged_through_and_counted(store):
    for number in range(40):
        change(
            store,
            "INSERT INTO layers (round, member, position, layer, kind, prunable, total, before, alive)"
            " SELECT round, member, 100 + ?1, 'more' || ?1 || '.weight', kind, 1, total, before, alive FROM layers"
            " WHERE layer = 'conv1.weight'",
            number,
        )

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("3")
        for _ in range(2):
            await until(pilot, lambda: "layers 1 to" in panel(app, 3))
            assert "more39" not in panel(app, 3)
            for _ in range(6):
                await pilot.press("pagedown")
            await until(pilot, lambda: "more39" in panel(app, 3))
            assert "of 43" in panel(app, 3)
            assert re.search("^all ", panel(app, 3), re.MULTILINE)
            for _ in range(6):
                await pilot.press("pageup")
            await pilot.press("v")

    drive(store, scenario)


# Overlap


@pytest.fixture
def four(store: Path) -> Path:
    """A store whose last round of colt has four members, with overlaps of two layers that are easy to add up."""
    last = one(store, f"SELECT max(x.id) {COLT} > 0")
    change(store, "DELETE FROM overlaps WHERE round = ?", last)
    for a, b in combinations(range(4), 2):
        for layer, both in (("conv1.weight", a + b), ("conv2.weight", 10 * a)):
            change(
                store,
                "INSERT INTO overlaps (round, layer, sets, a, b, n, count_a, count_b, both, either, expected)"
                " VALUES (?, ?, 'removed', ?, ?, 100, 20, 30, ?, ?, 6.0)",
                *(last, layer, a, b, both, 50 - both),
            )
    return store


def test_a_matrix_has_agreement_of_two_members_below_and_its_excess_over_chance_above(four):
    lines = panel_text(four, 4, 78, 16, agree=1).splitlines()
    cells = [line.split()[1:] for line in lines[1:5]]
    chance = 12 / (100 - 12)
    for a in range(4):
        for b in range(a + 1, 4):
            both = a + b + 10 * a
            iou = both / (100 - both)
            assert cells[b][a] == f"{iou:.2f}"
            assert cells[a][b] == f"{iou - chance:+.2f}"
        assert cells[a][a] == "·"


def test_pairs_are_a_list_where_a_matrix_would_be_silly_or_too_wide(four, store):
    wide = panel_text(four, 4, 30, 16, agree=1)
    assert all(f"{a} × {b}" in wide for a, b in combinations(range(4), 2))
    change(store, "DELETE FROM overlaps WHERE b > 1")
    assert re.search(r"0 × 1 .*0\.01 +0\.14", panel_text(store, 4, 78, 16, agree=1))


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_overlap_is_shown_by_layer_by_pair_and_by_round(store, size):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("4")
        await until(pilot, lambda: "conv1" in panel(app, 4))
        await pilot.press("V")
        await until(pilot, lambda: "overlap of what was removed, by pair · colt seed 0" in shown(app))
        assert "0 × 1" in panel(app, 4)
        assert "members: 0 classes 0-4, 1 classes 5-9" in panel(app, 4)
        await pilot.press("V", "o")
        await until(pilot, lambda: "overlap of what was kept, by round" in shown(app))
        assert "all layers agree" in panel(app, 4)

    drive(store, scenario, size)


# Accuracy against cost


def test_tickets_lie_at_the_images_that_their_search_had_taken(store):
    seen = view(store)
    for against, column in ((1, "images"), (2, "images_with_evaluation")):
        place = figures._place(against, seen.costs)
        for figure in seen.figures:
            if figure.search is not None:
                images = one(
                    store,
                    f"SELECT avg({column}) FROM cost_by_round WHERE search = ? AND round = ?",
                    *(figure.search, figure.round),
                )
                assert 10 ** place(figure) == pytest.approx(images)


@given(st.floats(0, 11), st.floats(0.01, 3), st.integers(20, 200))
def test_ticks_of_images_lie_in_the_window_and_are_what_they_say(low, span, width):
    units = {"k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
    for place, label in figures._image_ticks(low, low + span, width):
        assert low <= place <= low + span
        number = float(label.rstrip("kMGT")) * units.get(label[-1], 1)
        assert 10**place == pytest.approx(number)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_a_cursor_reads_tickets_in_the_order_of_the_axis(store, size):
    images, both = rows(
        store,
        "SELECT avg(images), avg(images_with_evaluation) FROM cost_by_round WHERE search = 'colt' AND round = 1",
    )[0]
    mean, half, seeds = rows(
        store,
        "SELECT accuracy, half_width, seeds FROM accuracy_by_sparsity WHERE arm = 'ticket' AND search = 'colt'"
        " AND round = 1 AND split = 'test'",
    )[0]

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("5", "a", "X")
        await until(pilot, lambda: "accuracy against cost · all arms of colt" in shown(app))
        assert "training images to find it" in panel(app, 5)
        await pilot.press("l")
        await until(pilot, lambda: "colt round 1" in panel(app, 5))
        assert f"{count(images)} images to find it, {count(both)} with tickets" in panel(app, 5)
        assert f"ticket {100 * mean:.1f} ± {100 * half:.1f} %, {seeds} seeds" in panel(app, 5)
        assert "dense " in panel(app, 5)
        await pilot.press("l")
        await until(pilot, lambda: "colt round 2" in panel(app, 5))
        await pilot.press("l", "h", "h", "h")
        await until(pilot, lambda: "colt round 1" in panel(app, 5))
        await pilot.press("j")
        await until(pilot, lambda: "all arms of imp" in shown(app))
        await pilot.press("X", "X")
        await until(pilot, lambda: "sparsity, %" in panel(app, 5))

    drive(store, scenario, size)


def test_published_figures_stand_against_sparsity_only(store):
    change(
        store,
        "UPDATE runs SET spec = json_set(spec, '$.published',"
        """ json('{"su": {"label": "random", "source": "S", "sparsity": [0.2], "accuracy": [0.9]}}'))""",
    )
    assert "published: random" in panel_text(store, 5, 78, 16)
    assert "published" not in panel_text(store, 5, 78, 16, against=1)


# Rounds


def test_each_round_of_the_search_in_focus_says_what_was_done(store):
    last = one(store, f"SELECT max(x.round) {COLT} > 0")
    images, sparsity, remaining = rows(store, f"SELECT images, sparsity, remaining {COLT} = ?", last)[0]
    before = one(store, f"SELECT remaining {COLT} = ?", last - 1)
    iou, chance = rows(
        store,
        "SELECT iou, chance FROM overlap_by_round"
        " WHERE search = 'colt' AND seed = 0 AND round = ? AND sets = 'removed'",
        last,
    )[0]

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("1")
        await until(pilot, lambda: "rewound to" in panel(app, 1))
        row = next(line for line in panel(app, 1).splitlines() if line.startswith(f"▸ {last:>5}"))
        told = ["2 × 1 epoch", count(images), count(before - remaining), f"{100 * sparsity:.1f} %"]
        for words in [*told, f"{iou:.2f}", f"{chance:.2f}", "step 0"]:
            assert f"  {words}  " in row
        await pilot.press("left")
        await until(pilot, lambda: f"▸ {last - 1:>5}" in panel(app, 1))
        await pilot.press("1")
        await until(pilot, lambda: panel(app, 1).count("step 0") == 0)

    drive(store, scenario, (120, 40))


def test_on_a_small_terminal_rounds_follow_the_strips_with_what_there_is_room_for(store):
    text = panel_text(store, 1, 50, 16)
    assert "agree" in text
    assert "images" not in text
    assert max(map(len, text.splitlines())) <= 50


# Log and alerts


@pytest.fixture
def alarmed(store: Path) -> Path:
    """A store whose run has two alerts and a log with a warning and an error among much else."""
    run = one(store, "SELECT id FROM runs")
    last = one(store, f"SELECT max(x.id) {COLT} > 0")
    for at, kind, where, words in (
        ("2026-01-01T10:00:00.000Z", "collapsed", last, "conv1.weight has no weight left"),
        ("2026-01-01T11:00:00.000Z", "stuck", None, "the round removed nothing"),
    ):
        change(
            store,
            "INSERT INTO alerts (run, at, kind, round, message) VALUES (?, ?, ?, ?, ?)",
            run,
            at,
            kind,
            where,
            words,
        )
    for level, words in [
        ("warning", "a first warning"),
        *[("info", f"line {i}") for i in range(60)],
        ("error", "an error"),
    ]:
        change(
            store,
            "INSERT INTO log (run, at, level, message) VALUES (?, '2026-01-01T12:00:00.000Z', ?, ?)",
            *(run, level, words),
        )
    return store


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
def test_alerts_stay_listed_newest_first_while_the_log_is_filtered_and_scrolled(alarmed, size):
    number = one(alarmed, f"SELECT max(x.round) {COLT} > 0")

    def listed(app) -> bool:
        text = re.sub(r"\s+", " ", panel(app, 6))
        newer, older = "! stuck: the round removed nothing", f"! collapsed: colt seed 0 round {number}: conv1.weight"
        return newer in text and older in text and text.index(newer) < text.index(older)

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("6")
        await until(pilot, lambda: listed(app) and "log · 2 alerts" in shown(app))
        assert "! 2 alerts" in shown(app).splitlines()[0]
        await pilot.press("pageup", "pageup")
        await until(pilot, lambda: listed(app) and "error: an error" not in panel(app, 6))
        await pilot.press("e")
        await until(pilot, lambda: "log, warnings and errors" in shown(app))
        assert listed(app)
        assert "warning: a first warning" in panel(app, 6)
        assert "error: an error" in panel(app, 6)
        assert "line 59" not in panel(app, 6)
        await pilot.press("e")
        await until(pilot, lambda: "log, alerts only" in shown(app))
        assert listed(app)
        assert "an error" not in panel(app, 6)
        await pilot.press("e")
        await until(pilot, lambda: "log · 2 alerts" in shown(app) and "no verdict" in panel(app, 6))

    drive(alarmed, scenario, size)


def test_many_alerts_leave_the_log_some_lines_and_can_be_paged_through_alone(alarmed):
    run = one(alarmed, "SELECT id FROM runs")
    for i in range(30):
        change(
            alarmed,
            "INSERT INTO alerts (run, at, kind, message) VALUES (?, '2026-01-02T10:00:00.000Z', 'arm', ?)",
            *(run, f"alert {i} of many"),
        )
    text = panel_text(alarmed, 6, 78, 12)
    assert "32 in all: e shows them" in text
    assert "alert 29 of many" in text
    assert text.count("\n") < 12
    scene = Scene(view(alarmed), level=2)
    assert "alert 29 of many" in panel_text(alarmed, 6, 78, 12, level=2)
    for _ in range(5):
        scene = replace(scene, **KINDS[6].turns["scroll"](scene, 78, 12, -1))
    assert "conv1.weight has no weight left" in "\n".join(line.plain for line in KINDS[6].draw(scene, 78, 12))


def test_a_vanished_engine_shows_its_last_words_and_how_to_go_on(store, tmp_path):
    run = one(store, "SELECT id FROM runs")
    log = engine_log(tmp_path, run)
    log.parent.mkdir(parents=True)
    log.write_text("Traceback (most recent call last):\n" + "  File x\n" * 50 + "MemoryError: \x1b[2Jno more room\n")
    change(store, "UPDATE runs SET state = 'running', ended = NULL, files = ?", str(tmp_path))
    process = this_process() | {"pid": 4_000_000}
    change(
        store,
        "UPDATE attempts SET ended = NULL, outcome = NULL, doing = 'colt seed 0 round 3 member 1',"
        " host = ?, boot_id = ?, pid = ?, pid_started = ?",
        *(process[key] for key in ("host", "boot_id", "pid", "pid_started")),
    )

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("6")
        await until(pilot, lambda: "no more room" in panel(app, 6))
        text = re.sub(r"\s+", " ", panel(app, 6))
        assert re.search(r"the engine has gone; last sign of life [\d:]+, at colt seed 0 round 3 member 1", text)
        assert "MemoryError: ␛[2Jno more room" in text
        assert "r resumes from its last checkpoint" in text

    drive(store, scenario)


def test_a_failed_engine_shows_its_message_where_it_printed_nothing(store):
    change(store, "UPDATE runs SET state = 'failed', message = 'no space left'")
    change(store, "UPDATE attempts SET outcome = 'failed', last_words = 'no space left'")
    text = panel_text(store, 6, 78, 16)
    assert "✗ the engine failed; last sign of life" in text
    assert "│ no space left" in text


def test_what_a_round_ended_with_is_read_once_and_costs_when_there_are_others(store, monkeypatch):
    run = one(store, "SELECT id FROM runs")
    live = Live(store)
    first = live.view(run)
    asked: list[str] = []
    read = live._reader.rows
    monkeypatch.setattr(live._reader, "rows", lambda sql, *values: asked.append(sql) or read(sql, *values))
    assert live.view(run) == first
    assert not [sql for sql in asked if "FROM layers" in sql or "FROM overlaps" in sql or "cost_by_round" in sql]
    change(store, "DELETE FROM evaluations WHERE id = (SELECT max(id) FROM evaluations)")
    live.view(run)
    assert [sql for sql in asked if "cost_by_round" in sql]
    live.close()


# Faults


def test_a_fault_in_a_key_of_a_panel_is_said_and_the_app_goes_on(store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def fails(*_):
        raise RuntimeError("no such luck")

    monkeypatch.setitem(KINDS[3].turns, "masks", fails)

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("3", "v")
        await until(pilot, lambda: "masks could not take that key" in shown(app))
        (faults,) = tmp_path.rglob("faults.log")
        assert "no such luck" in faults.read_text()
        await pilot.press("4", "o")
        await until(pilot, lambda: "overlap of what was kept" in shown(app))

    drive(store, scenario, (110, 30))
