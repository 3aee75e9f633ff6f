"""The app, driven by keys against a store that a real engine filled."""

from __future__ import annotations

import ast
import asyncio
import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from store.connection import connect
from store.editing import note, set_state
from store.liveness import this_process
from store.writing import Writer
from tests.program import FinishedRun
from tests.tui.answering import answer, answer_all
from tests.tui.tracing import trace_all
from tui import launch
from tui.app.actions import ACTIONS, PLACES
from tui.app.app import TombolaApp, farewell
from tui.app.look import VERDICT_STYLES
from tui.app.screens.compare import CompareScreen
from tui.app.screens.help import help_text
from tui.app.screens.new import NewScreen, read_seeds
from tui.app.screens.query import QueryScreen
from tui.app.screens.run import KINDS, PLACED, RunScreen
from tui.app.screens.runs import RunsScreen
from tui.app.screens.settings import SettingsScreen
from tui.app.widgets.panel import Panel
from tui.app.wording import count
from tui.settings import Settings

SIZES = [(80, 24), (200, 50)]

Scenario = Callable[[TombolaApp, Pilot], Awaitable[None]]


@pytest.fixture
def store(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """A copy of the store of a real run, to do things to."""
    copy = tmp_path / "store.db"
    with sqlite3.connect(finished_run.tombola.db) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    return copy


@pytest.fixture
def running(store: Path) -> Path:
    """A store whose run is being trained, as far as anyone can tell: by this process."""
    change(store, "UPDATE runs SET state = 'running', ended = NULL")
    process = this_process()
    change(
        store,
        "UPDATE attempts SET ended = NULL, outcome = NULL, doing = 'colt seed 0 round 3 member 1', seconds_left = 61,"
        " host = ?, boot_id = ?, pid = ?, pid_started = ?",
        *(process[key] for key in ("host", "boot_id", "pid", "pid_started")),
    )
    return store


def one(db: Path, sql: str, *values: object):
    conn = sqlite3.connect(db)
    try:
        return conn.execute(sql, values).fetchone()[0]
    finally:
        conn.close()


def change(db: Path, sql: str, *values: object) -> None:
    conn = connect(db)
    try:
        conn.execute(sql, values)
    finally:
        conn.close()


def drive(
    db: Path, scenario: Scenario, size: tuple[int, int] = (80, 24), settings: Settings | None = None
) -> TombolaApp:
    app = TombolaApp(db, db.with_suffix(".files"), settings)

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: "Tombola" in shown(app) and ("run" in shown(app)))
            await scenario(app, pilot)

    asyncio.run(go())
    return app


async def until(pilot: Pilot, condition: Callable[[], bool], seconds: float = 15.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, shown(pilot.app)
        await pilot.pause(0.05)


async def open_run(app: TombolaApp, pilot: Pilot) -> None:
    await until(pilot, lambda: "tiny-" in shown(app))
    await pilot.press("enter")
    await until(pilot, lambda: isinstance(app.screen, RunScreen) and "colt" in shown(app))


def shown(app) -> str:
    """The text on the screen, line by line."""
    return "\n".join(strip.text for strip in app.screen._compositor.render_strips())


def panel(app: TombolaApp, number: int) -> str:
    return app.screen.query_one(f"#panel-{number}", Panel).text


# The list of runs


def test_an_empty_store_says_how_to_begin_and_is_not_made(tmp_path):
    async def scenario(app, pilot):
        await until(pilot, lambda: "No experiment has been run yet" in shown(app))
        await pilot.press("enter", "s", "p", "r")
        assert isinstance(app.screen, RunsScreen)
        await until(pilot, lambda: "there is no run to stop" in shown(app))

    drive(tmp_path / "none.db", scenario)
    assert not (tmp_path / "none.db").exists()


@pytest.mark.parametrize("size", SIZES)
def test_the_list_shows_what_the_store_holds(store, size):
    sparsity = one(store, "SELECT max(sparsity) FROM rounds WHERE step = 'done'")
    dense = one(store, "SELECT avg(accuracy) FROM ticket_accuracies WHERE arm = 'dense' AND split = 'test'")

    async def scenario(app, pilot):
        await until(pilot, lambda: "finished" in shown(app) and "sparsity, %" in shown(app))
        assert one(store, "SELECT id FROM runs") in shown(app)
        assert f"{100 * sparsity:.1f} %" in shown(app)
        assert f"dense {100 * dense:.1f} %" in shown(app), "the preview's plot has the dense line"
        assert ("COLT against IMP" in shown(app)) == (size[0] >= 80)

    drive(store, scenario, size)


def test_the_cursor_stays_on_its_run_when_another_comes(store):
    change(
        store,
        "INSERT INTO runs (id, name, preset, title, spec, state, keep, files, created, started)"
        " SELECT 'older-bcdf', 'older', preset, title, spec, 'stopped', keep, files, '2020-01-01T00:00:00.000Z',"
        " started FROM runs",
    )

    async def scenario(app, pilot):
        await until(pilot, lambda: "older-bcdf" in shown(app))
        await pilot.press("j")
        change(
            store,
            "INSERT INTO runs (id, name, preset, title, spec, state, keep, files, created, started)"
            " SELECT 'newer-bcdf', 'newer', preset, title, spec, 'stopped', keep, files, '2090-01-01T00:00:00.000Z',"
            " started FROM runs LIMIT 1",
        )
        await until(pilot, lambda: "newer-bcdf" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert app.screen.run.id == "older-bcdf"

    drive(store, scenario)


# A run


def test_on_a_small_terminal_each_number_shows_its_panel(store):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        for number in KINDS:
            await pilot.press(str(number))
            assert [p.number for p in app.screen.query(Panel) if p.display] == [number]
            await until(pilot, lambda number=number: bool(panel(app, number).strip()))
        await pilot.press("tab")
        assert [p.number for p in app.screen.query(Panel) if p.display] == [1]
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)

    drive(store, scenario)


def test_on_a_large_terminal_all_panels_are_there_and_one_can_be_alone(store):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await until(pilot, lambda: all(panel(app, number).strip() for number in PLACED))
        await pilot.press("5")
        assert [p.number for p in app.screen.query(Panel) if p.display] == [5]
        await pilot.press("escape")
        assert [p.number for p in app.screen.query(Panel) if p.display] == list(PLACED)

    drive(store, scenario, (200, 50))


def test_panels_say_what_the_store_says(store):
    lanes = one(store, "SELECT count(*) FROM (SELECT DISTINCT search, seed FROM rounds)")
    rounds = one(store, "SELECT count(*) FROM rounds AS r JOIN searches AS s ON s.id = r.search WHERE s.name = 'colt'")
    last = one(store, "SELECT max(round) FROM cost_by_round WHERE search = 'colt' AND seed = 0")
    where = f"search = 'colt' AND seed = 0 AND round = {last} AND sets = 'removed'"
    iou, chance = (one(store, f"SELECT {name} FROM overlap_by_round WHERE {where}") for name in ("iou", "chance"))
    alive = one(
        store,
        "SELECT sum(alive) FROM layers AS l JOIN rounds AS r ON r.id = l.round JOIN searches AS s ON s.id = r.search"
        " WHERE s.name = 'colt' AND r.seed = 0 AND r.round = ? AND l.member IS NULL AND l.prunable",
        last,
    )
    loss = one(store, "SELECT count(*) FROM checks")

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await until(pilot, lambda: "seed 0 round" in shown(app))
        assert panel(app, 1).count("done") == lanes
        assert "".join(panel(app, 1).split("imp")[0]).count("●") == rounds
        assert "member 0, classes 0-4" in panel(app, 2)
        assert "member 1, classes 5-9" in panel(app, 2)
        assert f"{alive:,}".replace(",", " ") in panel(app, 3)
        assert re.search(rf"all .*{iou:.2f} +{chance:.2f}", panel(app, 4))
        assert all(name in panel(app, 5) for name in ("dense", "colt", "imp", "matched"))
        assert panel(app, 6).count("sparsity:") >= min(loss, 2)

    drive(store, scenario, (200, 60))


def test_arrows_choose_search_seed_and_round(store):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await until(pilot, lambda: "colt seed 0 round" in shown(app))
        await pilot.press("down")
        await until(pilot, lambda: "members · colt seed 1" in shown(app))
        await pilot.press("j")
        await until(pilot, lambda: "members · imp seed 0" in shown(app))
        assert "there is nothing to overlap" in panel(app, 4)
        await pilot.press("up", "k", "k", "k")
        await until(pilot, lambda: "members · colt seed 0" in shown(app))
        newest = int(re.search(r"members · colt seed 0 round (\d+)", shown(app))[1])
        await pilot.press("left")
        await until(pilot, lambda: f"members · colt seed 0 round {newest - 1}" in shown(app))
        assert f"masks · colt seed 0 round {newest - 1}" in shown(app)
        await pilot.press("f")
        await until(pilot, lambda: f"members · colt seed 0 round {newest}" in shown(app))

    drive(store, scenario, (200, 50))


def test_keys_change_what_panels_show(store):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await until(pilot, lambda: "validation accuracy over its own classes" in shown(app))
        await pilot.press("m", "m")
        assert "validation loss" in panel(app, 2)
        await pilot.press("o")
        assert "overlap of what was kept" in shown(app)
        await pilot.press("a")
        assert "all arms of colt" in shown(app)
        assert all(arm in panel(app, 5) for arm in ("dense", "ticket", "reinit", "shuffled"))

    drive(store, scenario, (200, 50))


@pytest.mark.parametrize("size", [(1, 1), (20, 6), (40, 12), (80, 24), (120, 40), (300, 80)])
def test_any_size_will_do(store, size):
    async def scenario(app, pilot):
        await pilot.resize_terminal(*size)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        for key in "0123456789":
            await pilot.press(key)
            await pilot.pause(0.05)
        await pilot.resize_terminal(100, 30)
        await pilot.resize_terminal(200, 50)
        await until(pilot, lambda: "finished" in shown(app) and "colt" in shown(app))
        assert not any("this panel failed" in panel(app, number) for number in KINDS)

    drive(store, scenario)


def test_a_fault_in_a_panel_stays_in_that_panel_and_is_written_down_once(store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))

    def fails(*_):
        raise RuntimeError("no such luck")

    async def scenario(app, pilot):
        await open_run(app, pilot)
        for each in app.screen.query(Panel):
            if each.number == 3:
                object.__setattr__(each.kind, "draw", fails)
        await pilot.press("left")
        await until(pilot, lambda: "this panel failed" in panel(app, 3))
        await pilot.press("right")
        await until(pilot, lambda: "masks · colt seed 0 round 2" in shown(app))
        assert "colt" in panel(app, 1)
        (faults,) = tmp_path.rglob("faults.log")
        assert faults.read_text().count("no such luck") == 2, "in the line that raises it and in what is raised"

    kept = KINDS[3].draw
    try:
        drive(store, scenario, (200, 50))
    finally:
        object.__setattr__(KINDS[3], "draw", kept)


@pytest.mark.parametrize("size", SIZES)
def test_figures_of_a_paper_are_marked_as_such_beside_those_measured(store, size):
    table = {"label": "random", "source": "Su et al. 2020", "sparsity": [0.0, 0.4], "accuracy": [0.9, 0.8]}
    change(store, "UPDATE runs SET spec = json_set(spec, '$.published', json(?))", json.dumps({"su": table}))

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("5")
        await until(pilot, lambda: "× published: random" in panel(app, 5))
        assert panel(app, 5).count("×") >= 2
        assert ("Su et al. 2020" in panel(app, 5)) == (size[1] > 24), "a small terminal has no room for sources"
        assert "this panel failed" not in panel(app, 5)
        await pilot.press("a")
        await until(pilot, lambda: "all arms of colt" in shown(app))
        assert "× published: random" in panel(app, 5)

    drive(store, scenario, size)


# Samples that matter, and traces


@pytest.fixture
def traced(store: Path) -> Path:
    """A store whose colt chooses samples, and leaves traces of two kinds."""
    with Writer(store) as writer:
        trace_all(writer, one(store, "SELECT id FROM runs"))
    return store


@pytest.mark.parametrize("size", SIZES)
def test_sets_are_stacked_by_what_they_are_made_of_beside_images_seen(traced, size):
    most = one(traced, "SELECT max(train_images) FROM trainings")
    images = one(traced, "SELECT max(images) FROM cost_by_round WHERE search = 'imp' AND seed = 0")

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("8")
        assert [p.number for p in app.screen.query(Panel) if p.display] == [8]
        await until(pilot, lambda: "▸     2" in panel(app, 8))
        assert "samples that matter · colt seed 0 round 2" in shown(app)
        text = panel(app, 8)
        assert re.search(r"1  █+▓▒+ .* 30 +" + f"{100 * 30 / most:.1f} %", text)
        assert re.search(r"2  █+▓▒+ .* 39 +", text)
        assert "█ forgotten or never learned" in text
        assert f"imp, plain {count(images)}" in text
        await pilot.press("left")
        await until(pilot, lambda: "▸     1" in panel(app, 8))
        await pilot.press("down")
        await until(pilot, lambda: "colt seed 1" in shown(app))
        await pilot.press("down")
        await until(pilot, lambda: "imp has chosen no samples" in panel(app, 8))
        await pilot.press("down")
        await until(pilot, lambda: "imp seed 1" in shown(app))
        await pilot.press("down")
        await until(pilot, lambda: "░ drawn at random" in panel(app, 8))
        assert "this panel failed" not in panel(app, 8)

    drive(traced, scenario, size)


def test_a_seed_that_has_chosen_none_yet_is_not_sent_to_its_own_search(traced):
    conn = sqlite3.connect(traced)
    with conn:
        conn.execute("DELETE FROM sets WHERE round IN (SELECT id FROM rounds WHERE seed = 1)")
    conn.close()

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("8", "down")
        await until(pilot, lambda: "colt has chosen no samples with seed 1 yet" in panel(app, 8))

    drive(traced, scenario)


def test_the_hardest_samples_are_drawn_where_there_is_room_and_asked_for_once_a_round(traced, monkeypatch):
    asked: list[tuple[object, ...]] = []

    def samples(db, files, run, search, seed, number, count):
        asked.append((search, seed, number))
        if number == 1:
            raise launch.LaunchError("the images are not there")
        one = {"index": 7, "label": 3, "reason": "never learned", "forgotten": None, "image": "AP8A/w=="}
        return {"search": search, "seed": seed, "round": number, "size": 9, "shape": [1, 2, 2], "samples": [one] * 3}

    monkeypatch.setattr(launch, "samples", samples)

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.pause(0.3)
        assert asked == [], "nobody looks at them"
        await pilot.press("8")
        await until(pilot, lambda: "hardest samples of round 2" in panel(app, 8))
        assert re.search(r"▀▀ .*▀▀ .*▀▀", panel(app, 8))
        assert panel(app, 8).count("#7 is 3") == 3
        await pilot.press("left")
        await until(pilot, lambda: "the images are not there" in panel(app, 8))
        change(traced, "UPDATE runs SET note = 'changed'")
        await until(pilot, lambda: app.screen.run.note == "changed")
        await pilot.pause(0.2)
        assert asked == [("colt", 0, 2), ("colt", 0, 1)]
        await pilot.resize_terminal(80, 24)
        await pilot.press("right")
        await until(pilot, lambda: "▸     2" in panel(app, 8))
        await pilot.pause(0.2)
        assert len(asked) == 2, "there is no room for them"

    drive(traced, scenario, (200, 50))


@pytest.mark.parametrize("size", SIZES)
def test_traces_of_a_round_are_drawn_kind_by_kind_with_the_threshold_of_the_mask(traced, size):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("9")
        await until(pilot, lambda: "mask distance" in panel(app, 9))
        assert "member 0 0.02  ▲ member 1 0.02  ┄ threshold 0.07" in panel(app, 9)
        if size[1] < 30:
            assert "PgUp, PgDn: turnover" in panel(app, 9)
            await pilot.press("pagedown", "pagedown")
        assert "turnover" in panel(app, 9)
        assert "● conv1 member 0 0.0333" in panel(app, 9)
        await pilot.press("down")
        await until(pilot, lambda: "colt seed 1" in shown(app))
        await pilot.press("down")
        await until(pilot, lambda: "no hook has left a trace in round 2 of imp" in panel(app, 9))

    drive(traced, scenario, size)


def test_panels_that_a_run_has_nothing_for_are_not_listed_but_say_so(store):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await until(pilot, lambda: "7 questions" in shown(app))
        assert "8" not in app.screen.query_one("#tabs").text
        await pilot.press("shift+tab", "shift+tab")  # the machine is the last
        assert [p.number for p in app.screen.query(Panel) if p.display] == [7]
        await pilot.press("8")
        await until(pilot, lambda: "no search of this run chooses samples" in panel(app, 8))
        assert "8 sets" in shown(app)
        await pilot.press("9")
        await until(pilot, lambda: "no hook has left a trace" in panel(app, 9))

    drive(store, scenario)


def test_on_a_small_terminal_the_panels_far_from_the_one_shown_have_their_numbers_only(traced):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("9")
        await until(pilot, lambda: "9 traces" in shown(app))
        line = app.screen.query_one("#tabs").text.splitlines()[0]
        assert len(line) <= 79
        assert re.fullmatch(r" 1  2 .* 8 sets  9 traces  0 machine ", line)

    drive(traced, scenario)


# Questions


@pytest.fixture
def asked(store: Path) -> Path:
    """A store whose run has answers of every kind."""
    with Writer(store) as writer:
        answer_all(writer, one(store, "SELECT id FROM runs"))
    return store


@pytest.mark.parametrize("size", SIZES)
def test_questions_are_listed_with_verdicts_parts_and_the_curve_of_the_one_chosen(asked, size):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("7")
        assert [p.number for p in app.screen.query(Panel) if p.display] == [7]
        await until(pilot, lambda: "▸ mask: Is the found mask better" in panel(app, 7))
        assert "place on the line" not in panel(app, 7), "that is another's curve"
        await pilot.press("down", "down", "down")
        assert "questions · winning-ticket" in shown(app)
        text = " ".join(panel(app, 7).split())
        assert "▸ winning-ticket: Is it a winning ticket, by all five conditions" in text
        assert "≈ secondary: secondary prize of low" in text
        assert "✓ clear -0.12 ± 0.30 points 0.5 0.41" in text
        await pilot.press("j", "j", "j")
        assert "▸ stability: How about stability?" in panel(app, 7)
        assert "● step 20  ▲ step 100  ┄ threshold 2" in panel(app, 7)
        assert "place on the line" in panel(app, 7)
        assert {str(span.style) for line in app.screen.query_one("#panel-7", Panel)._lines for span in line.spans} >= {
            VERDICT_STYLES["stable"]
        }
        await pilot.press("escape")
        if size[0] == 80:
            assert isinstance(app.screen, RunsScreen)
        else:
            assert [p.number for p in app.screen.query(Panel) if p.display] == list(PLACED)

    drive(asked, scenario, size)


def test_all_of_the_answers_can_be_scrolled_through(asked):
    seen: set[str] = set()

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("7")
        await until(pilot, lambda: "lines 1 to" in panel(app, 7))
        total = int(re.search(r"lines 1 to \d+ of (\d+)", panel(app, 7))[1])
        tops = []
        for _ in range(40):
            seen.update(panel(app, 7).splitlines())
            first, last = map(int, re.search(r"lines (\d+) to (\d+) of", panel(app, 7)).groups())
            tops.append(first)
            if last == total:
                break
            await pilot.press("pagedown")
        assert last == total
        assert len(set(tops)) == len(tops)
        await pilot.press("pagedown", "pageup")
        assert f"to {total} of" not in panel(app, 7), "the end is not run past"
        await pilot.press(*["pageup"] * len(tops))
        assert "lines 1 to" in panel(app, 7)

    drive(asked, scenario)
    words = " ".join(" ".join(line.split()) for line in seen)
    assert all(name in words for name in ("mask:", "start:", "equal-loss:", "winning-ticket:", "stability:"))
    assert "no verdict: there is no arm that trains longer" in words


def test_a_check_of_several_curves_shows_one_after_the_other(asked):
    with Writer(asked) as writer:
        answer(
            writer, one(asked, "SELECT id FROM runs"), "stability", "stable", x="round", y="angle, degrees",
            points=[("", 0, 1.0, 80.0), ("", 0, 2.0, 85.0)],
        )  # fmt: skip

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("7", "down", "down", "down", "down")
        await until(pilot, lambda: "questions · stability, curve 1 of 2" in shown(app))
        assert "angle, degrees; one seed" in panel(app, 7), "that of the whole comes first"
        await pilot.press("right", "right")
        assert "questions · stability, curve 2 of 2" in shown(app)
        assert "place on the line" in panel(app, 7)
        await pilot.press("left")
        assert "curve 1 of 2" in shown(app)

    drive(asked, scenario)


@pytest.mark.parametrize("size", SIZES)
def test_a_run_without_questions_says_how_to_ask_one(store, size):
    change(store, "DELETE FROM checks")
    change(store, "UPDATE runs SET spec = json_set(spec, '$.checks', json('{}'))")
    run = one(store, "SELECT id FROM runs")

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("7", "down", "right", "pagedown")
        await until(pilot, lambda: f"no questions in this preset; tombola check {run} METHOD asks one" in shown(app))

    drive(store, scenario, size)


def test_questions_wait_for_their_answers_and_show_them_when_they_come(running):
    change(running, "DELETE FROM checks")

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("7")
        await until(pilot, lambda: panel(app, 7).count("no answer yet") == 3)
        with Writer(running) as writer:
            answer(writer, one(running, "SELECT id FROM runs"), "start", "clear", sentence="it is better")
        await until(pilot, lambda: "✓ clear: it is better" in panel(app, 7), 4)
        assert panel(app, 7).count("no answer yet") == 2
        change(running, "UPDATE runs SET spec = json_set(spec, '$.checks.later', json('{\"method\": \"stability\"}'))")
        await until(pilot, lambda: "later" in panel(app, 7), 4)

    drive(running, scenario)


# Live


def test_what_the_engine_writes_appears_and_only_changed_panels_are_drawn(running):
    change(running, "DELETE FROM checks")

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await until(pilot, lambda: bool(panel(app, 5).strip()) and "member 1" in shown(app))
        assert "1m 01s left" in shown(app)
        drawn: list[int] = []
        for each in app.screen.query(Panel):
            paint = each.paint
            each.paint = lambda lines, n=each.number, paint=paint: (drawn.append(n), paint(lines))
        change(running, "UPDATE attempts SET doing = 'imp seed 1 round 2 ticket', seconds_left = 30")
        await until(pilot, lambda: "imp seed 1 round 2 ticket" in shown(app), 4)
        assert drawn == []
        change(
            running,
            "INSERT INTO log (run, at, level, message) SELECT id, '2090-01-01', 'info', 'hello' FROM runs",
        )
        await until(pilot, lambda: "hello" in panel(app, 6), 4)
        assert drawn == [6]

    drive(running, scenario, (200, 50))


def test_an_engine_that_has_gone_is_shown_as_lost_without_a_row_being_written(running, monkeypatch):
    resumed = []
    monkeypatch.setattr(launch, "resume", lambda db, files, run: resumed.append(run))
    monkeypatch.setattr(launch, "gone", lambda run: False)

    async def scenario(app, pilot):
        await open_run(app, pilot)
        assert "running" in shown(app)
        change(running, "UPDATE attempts SET pid = 4000000")
        await until(pilot, lambda: "? lost" in shown(app), 4)
        assert "the engine has gone" in shown(app)
        await pilot.press("r")
        await until(pilot, lambda: bool(resumed))

    drive(running, scenario)
    assert resumed == [one(running, "SELECT id FROM runs")]


def test_stop_asks_first_and_then_asks_the_engine(running):
    def requests():
        return one(running, "SELECT count(*) FROM requests")

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("s")
        await until(pilot, lambda: "Stop tiny-" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))
        assert requests() == 0
        await pilot.press("s")
        await until(pilot, lambda: "Stop tiny-" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: requests() == 1)

    drive(running, scenario)
    assert one(running, "SELECT action FROM requests") == "stop"


def test_pause_needs_no_question(running):
    async def scenario(app, pilot):
        await until(pilot, lambda: "tiny-" in shown(app))
        await pilot.press("p")
        await until(pilot, lambda: one(running, "SELECT count(*) FROM requests") == 1)

    drive(running, scenario)
    assert one(running, "SELECT action FROM requests") == "pause"


def test_a_key_that_cannot_act_says_why(store):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        for key, words in (("s", "nothing to stop"), ("p", "nothing to pause"), ("r", "nothing to resume")):
            await pilot.press(key)
            await until(pilot, lambda words=words: words in re.sub(r"\s+", " ", shown(app)))

    drive(store, scenario, (120, 40))
    assert one(store, "SELECT count(*) FROM requests") == 0


def test_a_deleted_run_closes_its_screen(store):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        change(store, "DELETE FROM runs")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen), 4)
        await until(pilot, lambda: "No experiment has been run yet" in shown(app), 4)

    drive(store, scenario)


def test_a_file_that_is_no_store_is_said_in_one_line(tmp_path):
    path = tmp_path / "notes.db"
    path.write_text("shopping list\n" * 100)

    async def scenario(app, pilot):
        await until(pilot, lambda: "is not an SQLite database" in re.sub(r"\s+", " ", shown(app)))

    app = TombolaApp(path, tmp_path)

    async def go():
        async with app.run_test(size=(120, 40), notifications=True) as pilot:
            await scenario(app, pilot)

    asyncio.run(go())
    assert path.read_text().startswith("shopping")


def test_a_store_that_cannot_be_made_sense_of_is_said_once_and_shown_when_it_can(store, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    whole = one(store, "SELECT spec FROM runs")

    async def scenario(app, pilot):
        said: list[str] = []
        monkeypatch.setattr(app, "say", lambda words, severity="": said.append(severity))
        await open_run(app, pilot)
        change(store, "UPDATE runs SET spec = '[]'")
        await until(pilot, lambda: "error" in said)
        await pilot.pause(2.5)
        assert said == ["error"]
        change(store, "UPDATE runs SET spec = ?, note = 'mended'", whole)
        await until(pilot, lambda: app.screen.run.note == "mended")

    drive(store, scenario)


HOSTILE = "\x1b[2J\x1b]0;owned\x07[bold red]markup[/] \u202etxet\u202c " + "x" * 10_000


@pytest.mark.parametrize("size", SIZES)
def test_hostile_text_is_shown_as_text(store, size):
    conn = connect(store)
    run = conn.execute("SELECT id FROM runs").fetchone()[0]
    note(conn, run, HOSTILE)
    set_state(conn, run, "failed", HOSTILE)
    for table in ("name", "title", "paper", "expect", "preset", "device"):
        conn.execute(f"UPDATE runs SET {table} = ?", (HOSTILE,))
    conn.execute("INSERT INTO log (run, at, level, message) VALUES (?, ?, 'error', ?)", (run, HOSTILE, HOSTILE))
    conn.execute("INSERT INTO alerts (run, at, kind, message) VALUES (?, ?, ?, ?)", (run, HOSTILE, HOSTILE, HOSTILE))
    conn.execute("UPDATE searches SET name = ? WHERE name = 'colt'", (HOSTILE,))
    conn.execute("UPDATE runs SET spec = replace(spec, '\"colt\"', json_quote(?))", (HOSTILE,))
    conn.execute("UPDATE members SET segment = ?", (HOSTILE,))
    conn.execute("UPDATE layers SET layer = ? WHERE layer = 'conv1.weight'", (HOSTILE,))
    conn.execute("UPDATE overlaps SET layer = ? WHERE layer = 'conv1.weight'", (HOSTILE,))
    conn.execute("UPDATE checks SET sentence = ?, verdict = 'clear'", (HOSTILE,))
    conn.close()

    async def scenario(app, pilot):
        await until(pilot, lambda: "failed" in shown(app))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "[bold red]markup[/]" in shown(app))
        for number in KINDS:
            await pilot.press(str(number))
            await pilot.pause(0.1)
            text = shown(app) + "".join(panel(app, n) for n in KINDS)
            assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e]", text)
            assert "this panel failed" not in text

    drive(store, scenario, size)


# A new experiment


def test_a_preset_is_shown_with_what_it_is_and_costs(tmp_path):
    async def scenario(app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: "COLT, arXiv 2212.12770" in shown(app))
        assert "fewer rounds" in shown(app), "what to expect"
        await until(pilot, lambda: "can be pruned" in shown(app), 60)
        assert re.search(r"time +about \d", shown(app))
        assert re.search(r"data +1 797 images of 10 classes, 1×8×8, on this machine", shown(app))
        assert "[searches.colt]" in shown(app), "its settings"

    drive(tmp_path / "none.db", scenario, (120, 60))
    assert not (tmp_path / "none.db").exists(), "nothing is written before the start"


def test_fields_take_letters_as_letters_and_say_what_is_wrong(tmp_path, monkeypatch):
    monkeypatch.setattr("tui.app.screens.new.plan", lambda *order: pytest.fail("asked for a bad order"))

    async def scenario(app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewScreen))
        app.screen.query_one("#sets", Input).focus()
        await pilot.press(*"recipe.epochz", "equals_sign", "q", "question_mark")
        assert app.screen.query_one("#sets", Input).value == "recipe.epochz=q?"
        await until(pilot, lambda: "epochs" in shown(app).split("change")[1])
        app.screen.query_one("#seeds", Input).focus()
        await pilot.press("x")
        assert "is no number" in shown(app)
        await pilot.press("ctrl+s")
        assert isinstance(app.screen, NewScreen)
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)

    drive(tmp_path / "none.db", scenario, (120, 40))


@pytest.mark.parametrize("there", [True, False])
def test_starting_hands_the_form_to_the_launcher_once_the_data_is_there(tmp_path, monkeypatch, there):
    cost = {
        "device": "cpu",
        "where": "cpu",
        "workers": 1,
        "images": {"search": 60, "evaluation": 40, "total": 100},
        "trainings": 3,
        "seconds": 75.0,
        "prunable": 90,
        "weights": 100,
        "memory_bytes": 4e8,
        "disk_bytes": 1e6,
        "searches": {"colt": {"rounds": 9, "rounds_low": 7, "rounds_high": 12}},
        "data": {"there": there, "download": "", "images": 1797, "classes": 10, "shape": [1, 8, 8]},
    }
    prepared, started = [], []
    monkeypatch.setattr("tui.app.screens.new.plan", lambda experiment, device, db: cost)
    monkeypatch.setattr(
        "tui.app.screens.new.prepare", lambda data, download, output: prepared.append((data.name, download))
    )
    monkeypatch.setattr("tui.app.screens.new.start", lambda *order: started.append(order) or "mine-bcdf")
    monkeypatch.setattr(launch, "gone", lambda run: False)

    async def scenario(app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewScreen))
        app.screen.query_one("#seeds", Input).value = "3-4 7"
        app.screen.query_one("#name", Input).value = "mine"
        app.screen.query_one("#sets", Input).value = "recipe.epochs=5; searches.colt.rate={conv = 0.3}"
        app.screen.query_one("#presets").focus()
        await pilot.press("enter", "enter")  # before the forecast has come: it starts when it has
        await until(pilot, lambda: bool(started))
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))

    drive(tmp_path / "none.db", scenario, (120, 40))
    assert prepared == ([] if there else [("digits", False)])
    ((db, _, experiment, preset, name, device, planned),) = started
    assert (db, preset, name, device, planned) == (tmp_path / "none.db", "digits-demo", "mine", "auto", cost)
    assert experiment.seeds == (3, 4, 7)
    assert experiment.recipe.epochs == 5
    assert experiment.searches["colt"].rate == {"conv": 0.3}


@pytest.fixture
def many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Presets of one's own, in two folders."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setattr("tui.app.screens.new.plan", lambda *order: pytest.fail("not asked so soon"))
    monkeypatch.setattr("tui.app.screens.new.TYPING_SECONDS", 60.0)
    for name, paper in (
        ("rigl/rigl-cifar10", "RigL, arXiv 1911.11134"),
        ("rigl/rigl-cifar10-smoke", "RigL, arXiv 1911.11134"),
        ("rigl/rigl-cifar10-long", "RigL, arXiv 1911.11134"),
        ("su/smart-ratio-cifar100-resnet32-at-high-sparsity", "Su et al., arXiv 2009.11094"),
        ("su/smart-ratio-cifar100-resnet32-at-high-sparsity-smoke", "Su et al., arXiv 2009.11094"),
    ):
        path = tmp_path / "tombola" / "presets" / f"{name}.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'extends = "digits-imp"\npaper = "{paper}"\n')


def listed(app: TombolaApp) -> list[str]:
    return [str(option.id) for option in app.screen.query_one("#presets", OptionList).options if option.id]


def highlighted(app: TombolaApp) -> str:
    return str(app.screen.query_one("#presets", OptionList).highlighted_option.id)


def test_a_preset_is_found_by_words_of_its_name_title_or_paper(many, tmp_path):
    async def scenario(app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewScreen))
        await until(pilot, lambda: highlighted(app) == "digits-demo")
        whole = listed(app)
        assert whole[:3] == ["rigl-cifar10", "rigl-cifar10-smoke", "rigl-cifar10-long"]
        await pilot.press("slash", *"rigl-cifar10")
        assert listed(app) == whole[:3]
        await until(pilot, lambda: app.screen.query_one("#name", Input).value == "rigl-cifar10")
        await pilot.press("down", "down", "up")
        assert highlighted(app) == "rigl-cifar10-smoke"
        await pilot.press("space", *"long")
        assert (listed(app), highlighted(app)) == (["rigl-cifar10-long"], "rigl-cifar10-long")
        await pilot.press("enter")
        assert app.focused is app.screen.query_one("#presets")
        await pilot.press("escape")
        assert listed(app) == whole
        assert highlighted(app) == "rigl-cifar10-long", "what was found stays chosen"
        assert isinstance(app.screen, NewScreen)
        await pilot.press("slash", *"2009.11094")
        assert highlighted(app) == "smart-ratio-cifar100-resnet32-at-high-sparsity"
        await pilot.press("enter", "enter")
        assert app.focused is app.screen.query_one("#start")
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen), "from the form one leaves at once"

    drive(tmp_path / "none.db", scenario)


def test_a_search_that_finds_nothing_says_so_and_keeps_what_was_chosen(many, tmp_path):
    async def scenario(app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewScreen))
        await pilot.press("slash", *"nonsense?q")
        assert listed(app) == []
        assert "nothing has these words" in shown(app)
        assert app.screen.query_one("#name", Input).value == "digits-demo"
        await pilot.press("enter", "down", "escape")
        assert highlighted(app) == "digits-demo"
        await pilot.press("escape")
        assert isinstance(app.screen, RunsScreen)

    drive(tmp_path / "none.db", scenario)


def test_a_name_that_is_cut_still_ends_in_what_tells_it_apart(many, tmp_path):
    async def scenario(app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewScreen))
        await pilot.press("slash", *"smart high")
        await until(pilot, lambda: re.search(r"  smart-ratio-\S+…\s", shown(app)) is not None)
        assert re.search(r"  smart-ratio-\S+…-smoke\s", shown(app))
        await pilot.resize_terminal(200, 40)
        await until(pilot, lambda: "smart-ratio-cifar100-resnet32-at-high-sparsity-smoke" in shown(app))
        assert len(listed(app)) == 2, "still searched"

    drive(tmp_path / "none.db", scenario)


@pytest.mark.parametrize("size", [(20, 6), (80, 24), (120, 40)])
def test_every_preset_has_one_line_of_the_list(many, tmp_path, size):
    async def scenario(app, pilot):
        await pilot.press("n")
        await until(pilot, lambda: isinstance(app.screen, NewScreen))
        presets = app.screen.query_one("#presets", OptionList)
        await until(pilot, lambda: presets.size.width > 0)
        assert presets.virtual_size.height == len(presets.options)
        assert presets.size.width <= max(2 * size[0] // 5, 26)

    drive(tmp_path / "none.db", scenario, size)


@pytest.mark.parametrize(
    ("words", "seeds"), [("", None), ("0 1 2", (0, 1, 2)), ("5,6", (5, 6)), ("0-3", (0, 1, 2, 3)), ("7", (7,))]
)
def test_seeds_are_read_as_people_write_them(words, seeds):
    assert read_seeds(words) == seeds


@pytest.mark.parametrize("words", ["one", "1 1", "3-1", "-2", "1.5", "0-1000"])
def test_seeds_that_make_no_sense_are_refused(words):
    with pytest.raises(ValueError, match="seeds"):
        read_seeds(words)


# Keys, colours, start


def test_every_action_of_the_table_exists_and_is_in_the_help():
    screens = {"runs": RunsScreen, "run": RunScreen, "compare": CompareScreen, "new": NewScreen}
    screens |= {"settings": SettingsScreen, "query": QueryScreen, "anywhere": TombolaApp}
    for action in ACTIONS:
        name, _, arguments = action.call.partition("(")
        owner = TombolaApp if name.startswith("app.") else screens[action.place]
        method = getattr(owner, f"action_{name.removeprefix('app.')}")
        if arguments:
            ast.literal_eval(f"({arguments}")
        assert callable(method)
    text = help_text(list(PLACES)).plain
    assert all(action.help in text and action.shown in text for action in ACTIONS)


def test_keys_of_one_place_never_clash():
    for place in PLACES:
        keys = [key for action in ACTIONS if action.place in (place, "anywhere") for key in action.keys]
        if place != "anywhere":
            assert len(keys) == len(set(keys)), place


@pytest.mark.parametrize("key", ["question_mark", "f1"])
def test_help_opens_on_the_place_one_is_at(store, key):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press(key)
        await until(pilot, lambda: "The search and seed above" in shown(app))
        await pilot.press("escape")
        assert isinstance(app.screen, RunScreen)

    drive(store, scenario)


def test_leaving_says_what_goes_on(running, capsys):
    async def scenario(app, pilot):
        await until(pilot, lambda: "1 running" in shown(app))
        await pilot.press("q")

    app = drive(running, scenario)
    words = farewell(app._live)
    assert words is not None
    assert words.startswith("1 experiment keeps running (tiny-")
    assert farewell(()) is None


def test_the_first_screen_imports_nothing_heavy():
    code = "import sys, tui.app.app; print([m for m in {} if m in sys.modules])".format(
        ["torch", "numpy", "pandas", "pydantic", "plotext", "sqlite_utils", "presets.schema"]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
