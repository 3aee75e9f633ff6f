"""Runs compared by the command and in the app, over a store that two real runs filled."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import re
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from textual.pilot import Pilot

from store.comparing import Comparison, compare
from store.connection import connect
from store.editing import delete_run
from store.live import Live
from store.reading import Reader
from tests.program import TINY, FinishedRun, Tombola
from tests.tui.test_app import change, one, shown, until
from tui import comparing
from tui.app.app import TombolaApp
from tui.app.screens.choose import ChooseRuns
from tui.app.screens.compare import CompareScreen
from tui.app.screens.run import RunScreen
from tui.app.widgets.beside import Beside, draw_settings
from tui.app.widgets.panel import Panel
from tui.colours import COLOURS
from tui.drawing import MARKS

Scenario = Callable[[TombolaApp, Pilot], Awaitable[None]]


@pytest.fixture(scope="module")
def two(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Tombola:
    """A program with two runs of its own: the tiny one of all tests, and one with another rate and one seed more."""
    program = Tombola(tmp_path_factory.mktemp("two"))
    program.db.parent.mkdir()
    with sqlite3.connect(finished_run.tombola.db) as source, sqlite3.connect(program.db) as target:
        source.backup(target)
    program(
        *("run", "digits-demo", *TINY, "--seed", "0", "--seed", "1", "--seed", "2", "--name", "other"),
        *("--set", "recipe.lr=0.05", "--set", "searches.colt.rounds=1"),
    )
    return program


@pytest.fixture
def store(two: Tombola, tmp_path: Path) -> Path:
    """A copy of their store, to do things to."""
    copy = tmp_path / "store.db"
    with sqlite3.connect(two.db) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    return copy


def ids(db: Path) -> list[str]:
    """The tiny run, then the other one."""
    with Reader(db) as reader:
        return [row["id"] for row in reader.rows("SELECT id FROM runs ORDER BY id DESC")]


def read(db: Path) -> Comparison:
    with Reader(db) as reader:
        return compare(reader, ids(db))


def test_a_sign_of_life_alone_changes_nothing_that_is_shown(store: Path):
    live = Live(store)
    try:
        before = live.comparison(ids(store))
        change(store, "UPDATE attempts SET heartbeat = '2090-01-01T00:00:00.000Z', images_done = images_done + 1")
        assert live.comparison(ids(store)) == before
        change(
            store,
            "UPDATE evaluations SET correct = 0"
            " WHERE split = 'test' AND arm IN (SELECT id FROM arms WHERE name = 'dense')",
        )
        assert live.comparison(ids(store)) != before
    finally:
        live.close()


# The command


def test_only_settings_that_differ_are_listed(two: Tombola):
    lines = two("compare", "tiny", "other", "--settings").stdout.splitlines()
    rows = {line.split("  ")[0]: line.split()[1:] for line in lines if "." in line.split(" ")[0]}
    assert rows["recipe.lr"] == ["0.1", "0.05"]
    assert rows["searches.colt.rounds"] == ["2", "1"]
    assert not {"recipe.momentum", "network.name", "title"} & set(rows)
    assert any(line.startswith("seeds") for line in lines)


def test_results_are_at_the_sparsities_asked_for_with_differences_to_the_first(two: Tombola):
    rows = list(csv.DictReader(io.StringIO(two("compare", "tiny", "other", "--at", "0.2", "--csv").stdout)))
    first, second = ids(two.db)
    assert {row["level"] for row in rows} == {"0.2"}
    imp = {row["run"]: row for row in rows if row["search"] == "imp"}
    seeds = "e.seed IN (0, 1) AND e.arm = 'ticket' AND e.split = 'test' AND e.search = 'imp' AND e.round = 1"
    means = [
        one(two.db, f"SELECT avg(accuracy) FROM ticket_accuracies AS e WHERE e.run = ? AND {seeds}", run)
        for run in (first, second)
    ]
    assert float(imp[second]["difference"]) == pytest.approx(100 * (means[1] - means[0]))
    assert (imp[second]["pairs"], imp[second]["verdict"]) == ("2", "none"), "two seeds give no verdict"
    assert imp[first]["difference"] == ""


def test_json_has_settings_results_and_every_ticket(two: Tombola):
    answer = json.loads(two("compare", "tiny", "other", "--json").stdout)
    tickets = one(
        two.db, "SELECT count(*) FROM accuracy_by_sparsity WHERE split = 'test' AND arm IN ('dense', 'ticket')"
    )
    assert len(answer["tickets"]) == tickets
    assert answer["settings"]
    assert {row["level"] for row in answer["results"]} == {0.5, 0.8, 0.9, 0.95}


def test_for_people_there_are_both_with_how_to_read_them(two: Tombola):
    text = two("compare", "tiny", "other").stdout
    assert "settings that differ" in text
    assert "at 50 %" in text
    assert re.search(r"one image of \d+ is worth \d\.\d\d points", text)
    assert "± " in text


def test_the_picture_is_written_once_and_never_over_a_file(two: Tombola, tmp_path: Path):
    path = tmp_path / "runs.svg"
    two("compare", "tiny", "other", "--x", "cost", "--svg", str(path))
    assert ElementTree.parse(path).getroot().tag.endswith("svg")
    before = path.read_bytes()
    done = two("compare", "tiny", "other", "--svg", str(path), code=2)
    assert "exists already" in done.stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["tiny"], "compare two to 8 runs, not 1"),
        (["tiny", "tiny"], "compare two to 8 runs, not 1"),
        (["tiny", "nobody"], "no run begins with"),
        (["tiny", "other", "--at", "1"], "--at"),
        (["tiny", "other", "--csv", "--json"], "exclude each other"),
        (["tiny", "other", "--settings", "--results"], "exclude each other"),
        (["tiny", "other", "--x", "cost"], "--x goes with --svg"),
    ],
)
def test_wrong_usage_is_one_line_and_2(two: Tombola, arguments: list[str], words: str):
    done = two("compare", *arguments, code=2)
    assert words in done.stderr
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)


# Series and files


def test_colours_stay_with_their_runs_when_others_are_hidden(store: Path):
    comparison = read(store)
    first, second = ids(store)
    whole = {one.label: (one.colour, one.stroke) for one in comparing.series(comparison, "sparsity")}
    alone = {one.label: (one.colour, one.stroke) for one in comparing.series(comparison, "cost", hidden={first})}
    assert alone
    assert all(label.startswith(second) for label in alone)
    assert all(whole[label] == look for label, look in alone.items())
    assert len({look for label, look in whole.items() if "dense" not in label}) == len(whole) - 2


def test_the_chosen_run_is_drawn_last(store: Path):
    comparison = read(store)
    for run in ids(store):
        assert comparing.series(comparison, "sparsity", last=run)[-1].label.startswith(run)


def test_an_export_holds_tables_and_plots_and_a_second_one_gets_a_number(store: Path, tmp_path: Path):
    comparison = read(store)
    drawn = comparing.series(comparison, "cost")
    folder, again = (comparing.write(comparison, drawn, "cost", tmp_path) for _ in range(2))
    assert folder.name == "compare-" + "-".join(ids(store))
    assert again.name == folder.name + "-2"
    names = ["accuracy-by-cost.svg", "accuracy-by-cost.txt", "results.csv", "settings.csv", "tickets.csv"]
    assert sorted(path.name for path in folder.iterdir()) == names
    rows = list(csv.DictReader((folder / "tickets.csv").open()))
    assert len(rows) == len(comparing.ticket_rows(comparison))
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == [folder.name, again.name], "no draft"


# The app


def drive(db: Path, scenario: Scenario, size: tuple[int, int] = (80, 24)) -> None:
    app = TombolaApp(db, db.with_suffix(".files"))

    async def go() -> None:
        async with app.run_test(size=size, notifications=True) as pilot:
            await until(pilot, lambda: "tiny-" in shown(app))
            await scenario(app, pilot)

    asyncio.run(go())


async def compare_all(app: TombolaApp, pilot: Pilot) -> None:
    app.open_compare(tuple(ids(app.db)))
    await until(pilot, lambda: isinstance(app.screen, CompareScreen) and "dense" in shown(app))


def panel(app: TombolaApp, number: int) -> str:
    return app.screen.query_one(f"#panel-{number}", Panel).text


def test_c_on_a_run_asks_what_to_compare_it_with(store: Path):
    async def scenario(app, pilot):
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and "finished" in shown(app))
        run = app.screen.run.id
        await pilot.press("c")
        (other,) = set(ids(store)) - {run}
        await until(pilot, lambda: isinstance(app.screen, ChooseRuns) and other in shown(app))
        await pilot.press("space", "enter")
        await until(pilot, lambda: isinstance(app.screen, CompareScreen) and "2 runs compared" in shown(app))
        assert app.screen.runs == (run, other)
        await pilot.press("escape")
        assert isinstance(app.screen, RunScreen)
        await pilot.press("c")
        await until(pilot, lambda: isinstance(app.screen, ChooseRuns))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))

    drive(store, scenario)


def test_on_a_small_terminal_numbers_and_tab_show_plot_settings_and_results(store: Path):
    first, second = ids(store)

    async def scenario(app, pilot):
        await compare_all(app, pilot)
        assert all(f"{MARKS[i]}  {run}" in shown(app) for i, run in enumerate((first, second)))
        assert all(mark in panel(app, 1) for mark in MARKS[:2])
        assert "pruned %" in panel(app, 1)
        await pilot.press("2")
        await until(pilot, lambda: re.search(r"recipe\.lr +0\.1 +0\.05", panel(app, 2)))
        assert [p.number for p in app.screen.query(Panel) if p.display] == [2]
        await pilot.press("tab")
        await until(pilot, lambda: "at 50 %" in panel(app, 3))
        await pilot.press("tab")
        assert [p.number for p in app.screen.query(Panel) if p.display] == [1]

    drive(store, scenario)


def test_keys_change_axis_search_and_which_run_lies_on_top(store: Path):
    async def scenario(app, pilot):
        await compare_all(app, pilot)
        bold = lambda: {str(s.style) for row in app.screen.query_one("#panel-1", Panel)._lines for s in row.spans}  # noqa: E731
        assert f"bold color({COLOURS[0]})" in bold()
        await pilot.press("j", "j")
        await until(pilot, lambda: f"bold color({COLOURS[1]})" in bold())
        await pilot.press("x")
        await until(pilot, lambda: "images trained on" in panel(app, 1))
        assert "─ ─ imp" in panel(app, 1)
        await pilot.press("a", "a")
        await until(pilot, lambda: "only imp" in shown(app))
        assert "─ ─" not in panel(app, 1)
        await pilot.press("d")
        await until(pilot, lambda: "┄" not in panel(app, 1))
        await pilot.press("i", "i")
        await until(pilot, lambda: "interval" not in panel(app, 1))
        await pilot.press("k", "space", "j", "space")
        await until(pilot, lambda: "the runs are hidden" in panel(app, 1))
        assert shown(app).count("  hidden") == 2

    drive(store, scenario)


def test_on_a_large_terminal_all_three_are_there_and_esc_goes_back_step_by_step(store: Path):
    async def scenario(app, pilot):
        await compare_all(app, pilot)
        await until(pilot, lambda: all(panel(app, number).strip() for number in (1, 2, 3)))
        await pilot.press("3")
        assert [p.number for p in app.screen.query(Panel) if p.display] == [3]
        await pilot.press("escape")
        assert len([p for p in app.screen.query(Panel) if p.display]) == 3
        await pilot.press("escape")
        assert not isinstance(app.screen, CompareScreen)

    drive(store, scenario, (160, 50))


def test_what_another_writes_is_shown(store: Path):
    run = ids(store)[1]

    async def scenario(app, pilot):
        await compare_all(app, pilot)
        change(store, "UPDATE runs SET state = 'failed' WHERE id = ?", run)
        await until(pilot, lambda: "failed" in shown(app))
        change(store, "UPDATE runs SET spec = json_set(spec, '$.data.name', 'glyphs') WHERE id = ?", run)
        await pilot.press("3")
        await until(pilot, lambda: "tested on other images" in panel(app, 3))
        assert "points" in panel(app, 3)
        conn = connect(store)
        delete_run(conn, run, store.parent)
        conn.close()
        await until(pilot, lambda: not isinstance(app.screen, CompareScreen))

    drive(store, scenario)


def test_e_writes_a_folder_here_and_says_where(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)

    async def scenario(app, pilot):
        await compare_all(app, pilot)
        await pilot.press("e")
        await until(pilot, lambda: "tables and plot are in" in shown(app))

    drive(store, scenario, (160, 50))
    assert (tmp_path / ("compare-" + "-".join(ids(store))) / "accuracy-by-sparsity.svg").exists()


def test_where_nothing_can_be_written_that_is_said(store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.setattr(Path, "cwd", lambda: gone / "nowhere")

    async def scenario(app, pilot):
        await compare_all(app, pilot)
        await pilot.press("e")
        await until(pilot, lambda: "not exported" in shown(app))

    drive(store, scenario, (160, 50))


def test_hostile_names_are_text_in_the_app_and_in_files(store: Path, tmp_path: Path):
    hostile = "[red]\x1b[31m<b>‮" + "x" * 300
    change(store, "UPDATE runs SET title = ?", hostile)
    change(store, "UPDATE runs SET spec = json_set(spec, '$.data.path', ?) WHERE name = 'other'", hostile)

    async def scenario(app, pilot):
        await compare_all(app, pilot)
        await until(pilot, lambda: "[red]␛[31m" in panel(app, 2))
        assert "\x1b" not in shown(app)
        assert not any("this panel failed" in panel(app, number) for number in (1, 2, 3))

    drive(store, scenario, (160, 50))
    comparison = read(store)
    folder = comparing.write(comparison, comparing.series(comparison, "sparsity"), "sparsity", tmp_path)
    ElementTree.parse(folder / "accuracy-by-sparsity.svg")


def test_where_columns_have_no_room_settings_go_by_value_and_none_is_cut(store: Path):
    lines = draw_settings(Beside(read(store), ids(store)[1]), 34, 100)
    text = "\n".join(line.plain for line in lines)
    assert f"{MARKS[0]} 0.1  {MARKS[1]} 0.05" in text
    assert "[0, 1, 2]" in text
    assert "colt.rounds" in text
    assert all(line.cell_len <= 34 for line in lines)


@pytest.mark.parametrize("size", [(1, 1), (20, 6), (40, 12), (300, 80)])
def test_any_size_will_do(store: Path, size: tuple[int, int]):
    async def scenario(app, pilot):
        await compare_all(app, pilot)
        await pilot.resize_terminal(*size)
        for key in ("1", "2", "3", "pagedown", "pageup", "j", "space"):
            await pilot.press(key)
        await pilot.resize_terminal(120, 40)
        await until(pilot, lambda: "compared" in shown(app))
        assert not any("this panel failed" in panel(app, number) for number in (1, 2, 3))

    drive(store, scenario)


def test_one_run_or_nine_are_refused_in_words(store: Path):
    async def scenario(app, pilot):
        app.open_compare(("tiny",))
        await until(pilot, lambda: "compare two to 8 runs, not 1" in shown(app))

    drive(store, scenario, (120, 40))
