"""The first screen, driven by keys: order, marks, filter, preview, deletion, and the machine."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from textual.widgets import Input

from store.live import Live
from tests.tui.test_app import change, drive, one, running, shown, store, until
from tui.app import watching
from tui.app.screens.run import RunScreen
from tui.app.screens.runs import RunsScreen
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.run_table import COLUMNS, LEAD, RunTable, fitted, ordered, widths
from tui.hardware import Card, Machine, User

__all__ = ["running", "store"]  # fixtures

OTHERS = (
    ("alpha-bcdf", "stopped", "2020-01-01T00:00:00.000Z", '{"name": "vgg16"}', 3_000_000),
    ("beta-bcdf", "failed", "2021-01-01T00:00:00.000Z", '{"name": "resnet18"}', 20_000),
)


@pytest.fixture
def several(store: Path) -> Path:
    """The real run, the newest, and two older ones that have found nothing."""
    for run, state, created, network, images in OTHERS:
        change(
            store,
            "INSERT INTO runs (id, name, preset, title, spec, state, keep, files, created, started)"
            " SELECT ?, ?, preset, title, json_set(spec, '$.network', json(?)), ?, keep, files, ?, ?"
            " FROM runs WHERE id LIKE 'tiny-%'",
            *(run, run[:-5], network, state, created, created),
        )
        change(
            store,
            "INSERT INTO attempts (run, host, boot_id, pid, pid_started, device, versions, plan, started, heartbeat,"
            " images_done, seconds, ended) VALUES (?, 'h', 'b', 1, 1, 'cpu', '{}', '{}', ?, ?, ?, ?, ?)",
            *(run, created, created, images, images / 1000, created),
        )
    return store


def test_runs_compared_are_read_once_though_the_list_lacks_figures(several, monkeypatch):
    monkeypatch.setattr(watching, "LISTING_SECONDS", (-1.0, -1.0))  # so that none are ever read
    looks: list[tuple[str, ...]] = []
    look = Live.comparison
    monkeypatch.setattr(Live, "comparison", lambda live, runs: looks.append(tuple(runs)) or look(live, runs))

    async def scenario(app, pilot):
        await until(pilot, lambda: len(ids(app)) == 3)
        app.open_compare(tuple(ids(app)))
        await until(pilot, lambda: bool(looks))
        await pilot.pause(2.0)
        assert len(looks) == 1

    drive(several, scenario)


def ids(app) -> list[str]:
    """Runs of the table, from top to bottom."""
    return re.findall(r"(?:tiny|alpha|beta)-\w+", app.screen.query_one(RunTable).text)


def names(app) -> list[str]:
    return [run.partition("-")[0] for run in ids(app)]


def head(app) -> str:
    return app.screen.query_one(RunTable).text.split("\n")[0]


async def listed(app, pilot) -> None:
    await until(pilot, lambda: names(app) == ["tiny", "alpha", "beta"] or names(app) == ["tiny", "beta", "alpha"])


# Columns and order


@pytest.mark.parametrize(("width", "there"), [(80, 6), (120, 6), (200, 12), (300, 13)])
def test_width_decides_which_columns_there_are_and_never_their_order(several, width, there):
    keys = [column.key for column in COLUMNS]

    async def scenario(app, pilot):
        await listed(app, pilot)
        await until(pilot, lambda: "sparsity, %" in shown(app))
        table = app.screen.query_one(RunTable)
        assert table.shown == [key for key in keys if key in table.shown]
        assert {"state", "id", "round", "sparsity", "best"} <= set(table.shown)
        assert len(table.shown) >= there
        for line in table.text.split("\n"):
            assert len(line.rstrip()) <= table.size.width

    drive(several, scenario, (width, 30))


def test_figures_of_a_row_are_those_of_the_store(store):
    run = one(store, "SELECT id FROM runs")
    best = one(store, "SELECT max(accuracy) FROM accuracy_by_sparsity WHERE arm = 'ticket' AND split = 'test'")
    iou = one(
        store,
        "SELECT avg(iou) FROM overlap_by_round AS o WHERE sets = 'removed' AND round = (SELECT max(round)"
        " FROM overlap_by_round WHERE search = o.search AND seed = o.seed)",
    )
    images = one(store, "SELECT images_done FROM attempts")

    async def scenario(app, pilot):
        await until(pilot, lambda: ids(app) == [run] and "cost" in head(app))
        row = app.screen.query_one(RunTable).text.split("\n")[1]
        assert row.split()[:3] == ["✓", "finished", run]
        for figure in ("digits-demo", "conv3", "2/2", f"{100 * best:.1f} %", f"{iou:.2f}"):
            assert figure in row
        assert f"{images:,}".replace(",", " ") in row

    drive(store, scenario, (200, 50))


def test_any_column_sorts_and_the_cursor_stays_on_its_run(several):
    async def scenario(app, pilot):
        await listed(app, pilot)
        table = app.screen.query_one(RunTable)
        assert names(app) == ["tiny", "beta", "alpha"], "the newest first"
        await pilot.press("j")
        assert table.run.id == "beta-bcdf"
        await pilot.press("o")
        assert "state▲" in head(app)
        assert names(app) == ["beta", "tiny", "alpha"], "failed, finished, stopped"
        assert table.run.id == "beta-bcdf"
        await pilot.press("o")
        assert "run▲" in head(app)
        assert names(app) == ["alpha", "beta", "tiny"]
        await pilot.press("O")
        assert "run▼" in head(app)
        assert names(app) == ["tiny", "beta", "alpha"]
        while table.key != "elapsed":
            await pilot.press("o")
        assert "▼elapsed" in head(app), "the largest first, where a column holds figures"
        assert names(app)[0] == "alpha"
        assert table.run.id == "beta-bcdf"
        while table.key:
            await pilot.press("o")
        assert names(app) == ["tiny", "beta", "alpha"]
        assert not set("▲▼") & set(head(app))

    drive(several, scenario, (200, 40))


def test_a_click_on_a_head_sorts_and_one_more_turns_it_round(several):
    async def scenario(app, pilot):
        await listed(app, pilot)
        at = head(app).index("best")
        await pilot.click("#runs", offset=(at + 1, 0))
        assert "▼best" in head(app)
        assert names(app)[0] == "tiny"
        await pilot.click("#runs", offset=(at + 1, 0))
        assert "▲best" in head(app)
        assert names(app)[0] == "tiny", "runs without a figure come last either way"

    drive(several, scenario)


def test_runs_are_ordered_by_every_key_with_unknown_figures_last(several):
    runs = Live(several).runs()
    for column in COLUMNS:
        for backwards in (False, True):
            assert {run.id for run in ordered(runs, column.key, backwards)} == {run.id for run in runs}
    assert [run.best is None for run in ordered(runs, "best", True)] == [False, True, True]
    assert [run.best is None for run in ordered(runs, "best", False)] == [False, True, True]


def test_columns_fit_their_table(several):
    wide = widths(Live(several).runs())
    for width in range(60, 320):
        columns = fitted(wide, width)
        assert LEAD + sum(own for _, own in columns) + 2 * (len(columns) - 1) <= width


# Marks


def test_space_marks_runs_and_c_compares_them(several):
    compared = []

    async def scenario(app, pilot):
        app.open_compare = compared.append
        app.choose_compared = lambda run: compared.append((run.id,))
        await listed(app, pilot)
        first, second, third = ids(app)
        await pilot.press("c")
        assert compared == [(first,)], "without a mark, others are to be chosen for the one under the cursor"
        await pilot.press("space", "space")
        assert "2 marked" in shown(app)
        assert app.screen.query_one(RunTable).text.count("▌") == 2
        await pilot.press("c")
        assert compared[-1] == (first, second)
        await pilot.press("k", "space", "space")
        await pilot.press("c")
        assert compared[-1] == (first, third), "a second time takes the mark away"
        await pilot.press("escape")
        assert "marked" not in shown(app)
        await pilot.press("escape")
        await until(pilot, lambda: "no filter and no mark" in shown(app))

    drive(several, scenario)


def test_more_than_eight_runs_are_not_compared(several):
    async def scenario(app, pilot):
        await listed(app, pilot)
        app.screen.query_one(RunTable).marked = tuple(f"run-{number}" for number in range(9))
        await pilot.press("c")
        await until(pilot, lambda: "9 runs are marked" in shown(app))

    drive(several, scenario)


# Filter


def test_a_filter_is_taken_at_every_letter_and_stays_in_sight(several):
    async def scenario(app, pilot):
        await listed(app, pilot)
        await pilot.press("slash", *"net", "escape")
        await pilot.press("slash", *"network:vgg")
        assert names(app) == ["alpha"]
        assert "1 of 3" in shown(app)
        await pilot.press("enter")
        assert app.focused is app.screen.query_one(RunTable)
        assert "network:vgg" in shown(app)
        assert "1 of 3" in shown(app)
        await pilot.press("j", "k")
        assert isinstance(app.screen, RunsScreen)
        await pilot.press("escape")
        assert "network:vgg" not in shown(app)
        assert len(names(app)) == 3

    drive(several, scenario)


def test_letters_typed_into_the_filter_are_letters(several):
    async def scenario(app, pilot):
        await listed(app, pilot)
        await pilot.press("slash", *"nqodc", "question_mark", "space", "slash")
        assert isinstance(app.screen, RunsScreen)
        assert app.screen.query_one(Input).value == "nqodc? /"
        assert "0 of 3" in shown(app)
        await until(pilot, lambda: "No run is like that" in shown(app))
        await pilot.press("enter", "p")
        await until(pilot, lambda: "there is no run to pause" in shown(app))

    drive(several, scenario)


def test_what_is_not_understood_is_said_beneath_and_the_list_stays(several):
    async def scenario(app, pilot):
        await listed(app, pilot)
        await pilot.press("slash", *"-state:failed ")
        assert names(app) == ["tiny", "alpha"]
        await pilot.press(*"sparsty>=0")
        assert "did you mean sparsity?" in shown(app)
        assert names(app) == ["tiny", "alpha"]
        await pilot.press(*["left"] * 5, "i")
        assert "did you mean" not in shown(app)
        assert names(app) == ["tiny"]

    drive(several, scenario, (120, 40))


def test_an_empty_filter_goes_when_it_is_left(several):
    async def scenario(app, pilot):
        await listed(app, pilot)
        await pilot.press("slash", "enter")
        assert "of 3" not in shown(app)
        await pilot.press("enter")
        assert isinstance(app.screen, RunScreen)

    drive(several, scenario)


# Preview


@pytest.mark.parametrize(("size", "beside"), [((80, 40), False), ((120, 40), True), ((200, 60), True)])
def test_the_preview_stands_beside_the_table_where_there_is_width(store, size, beside):
    async def scenario(app, pilot):
        await until(pilot, lambda: "sparsity, %" in shown(app))
        table, preview = app.screen.query_one(RunTable), app.screen.query_one("#preview", Canvas)
        assert (preview.region.x > table.region.x) is beside
        assert (preview.region.y > table.region.y) is not beside
        for words in ("COLT against IMP", "finished", "conv3", "removes", "dense, ticket", "seeds"):
            assert words in preview.text
        sentence = one(store, "SELECT sentence FROM checks LIMIT 1")
        assert " ".join(sentence.split()[:2]) in preview.text

    drive(store, scenario, size)


def test_the_plot_stands_under_a_short_table_and_in_the_preview_of_a_long_one(store):
    async def scenario(app, pilot):
        await until(pilot, lambda: "sparsity, %" in shown(app))
        curve, preview = app.screen.query_one("#curve", Canvas), app.screen.query_one("#preview", Canvas)
        assert "sparsity, %" in curve.text
        assert "sparsity, %" not in preview.text
        change(
            store,
            "INSERT INTO runs (id, name, preset, title, spec, state, keep, files, created, started)"
            " SELECT 'many-' || value, 'many', preset, title, spec, 'stopped', keep, files, '2020', '2020'"
            " FROM runs, json_each('[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20]')",
        )
        await until(pilot, lambda: "21 runs" in shown(app))
        await until(pilot, lambda: "sparsity, %" in preview.text)
        assert not curve.display

    drive(store, scenario, (120, 40))


def test_back_from_a_run_the_list_is_up_to_date(several):
    async def scenario(app, pilot):
        await listed(app, pilot)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "colt" in shown(app))
        change(several, "DELETE FROM runs WHERE id = 'alpha-bcdf'")
        await pilot.press("escape")
        await until(pilot, lambda: names(app) == ["tiny", "beta"])

    drive(several, scenario)


def test_a_fault_in_the_preview_stays_there(store):
    change(store, "UPDATE runs SET spec = json_set(spec, '$.recipe', 'none of ours')")

    async def scenario(app, pilot):
        await until(pilot, lambda: "the preview failed" in shown(app))
        assert "tiny-" in app.screen.query_one(RunTable).text

    drive(store, scenario, (120, 40))


@pytest.mark.parametrize("size", [(1, 1), (20, 6), (40, 12), (79, 19), (109, 30), (110, 30), (300, 80)])
def test_any_size_will_do_for_the_list(several, size):
    hostile = "\x1b[31mx\x1b[0m [bold]עברית" + "y" * 10_000
    change(several, "UPDATE runs SET preset = ?, title = ?, note = ? WHERE id LIKE 'tiny-%'", *[hostile] * 3)

    async def scenario(app, pilot):
        await pilot.resize_terminal(*size)
        await pilot.press("slash", *"state:", "escape", "o", "space")
        await pilot.pause(0.1)
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: len(names(app)) == 3)
        app.screen.query_one(RunTable).point_at(next(run for run in ids(app) if run.startswith("tiny")))
        await until(pilot, lambda: "[bold]" in shown(app))
        assert "\x1b" not in shown(app)
        assert "failed:" not in shown(app)

    drive(several, scenario)


# Deletion


def test_a_run_is_deleted_after_a_question(several):
    async def scenario(app, pilot):
        await listed(app, pilot)
        await pilot.press("end")
        gone = app.screen.query_one(RunTable).run.id
        await pilot.press("d")
        await until(pilot, lambda: f"Delete {gone}?" in shown(app))
        await pilot.press("enter")
        assert one(several, "SELECT count(*) FROM runs") == 3, "Enter is not a yes"
        await pilot.press("d", "y")
        await until(pilot, lambda: f"{gone} is deleted" in shown(app))
        await until(pilot, lambda: len(names(app)) == 2)
        assert gone not in ids(app)

    drive(several, scenario)


def test_a_running_run_is_not_deleted(running):
    async def scenario(app, pilot):
        await until(pilot, lambda: "● running" in shown(app))  # the path of the store says "running" too
        await pilot.press("d")
        await until(pilot, lambda: "is running: stop it first" in shown(app))

    drive(running, scenario)
    assert one(running, "SELECT count(*) FROM runs") == 1


# The machine


def test_the_machine_has_a_strip_where_there_is_room(store):
    card = Card("0", "H100 80GB HBM3", 87, 12.3, 80.0, 410, 700, 64, (User(1, "anna", "demo-bcdf"),))
    machine = Machine(16, 55, 100.0, 128.0, 12.5, (card,))

    async def scenario(app, pilot):
        await until(pilot, lambda: "sparsity, %" in shown(app))
        await until(pilot, lambda: "load" in shown(app))
        app.screen._watcher.stop()  # this machine has been seen: from now on there is another
        app.screen._machine_told(machine)
        await until(pilot, lambda: "anna: demo-bcdf" in shown(app))
        assert "load 12.5" in shown(app)
        await pilot.resize_terminal(80, 19)
        assert "anna" not in shown(app)
        await pilot.resize_terminal(80, 20)
        assert "anna" in shown(app)

    drive(store, scenario)


def test_a_store_of_many_runs_shows_its_list_before_all_figures_are_read(store):
    with sqlite3.connect(store) as conn:
        conn.executescript(
            "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)"
            " INSERT INTO runs (id, name, preset, title, spec, state, keep, files, created, started)"
            " SELECT 'many-' || i, 'many', preset, title, spec, 'stopped', keep, files, '2020', '2020' FROM runs, n;"
        )

    async def scenario(app, pilot):
        await until(pilot, lambda: "301 runs" in shown(app))
        await pilot.press("slash", *"data:digits")
        await until(pilot, lambda: "301 of 301" in shown(app))

    drive(store, scenario)


def test_under_another_screen_the_machine_is_not_painted_until_one_comes_back(store):
    """Textual sends the whole of the upper screen when one below it changes."""
    machine = Machine(16, 55, 100.0, 128.0, 12.5, ())

    async def scenario(app, pilot):
        await until(pilot, lambda: "load" in shown(app))
        below = app.screen
        below._watcher.stop()
        await pilot.press("enter")
        await until(pilot, lambda: app.screen is not below)
        below._machine_told(machine)
        await pilot.pause(0.2)
        assert "load 12.5" not in below.query_one("#machine", Canvas).text
        await pilot.press("escape")
        await until(pilot, lambda: "load 12.5" in shown(app))

    drive(store, scenario)
