"""The query screen against a real run's store: names, schema, answers, files, and a query that never ends."""

import csv
import re

import pytest
from textual.pilot import Pilot
from textual.widgets import DataTable, OptionList, TextArea

from store.reading import Reader
from store.report import QUESTIONS
from tests.tui.test_app import drive, shown, store, until  # noqa: F401  (a fixture)
from tui import queries
from tui.app.app import TombolaApp
from tui.app.screens.query import QueryScreen
from tui.app.screens.runs import RunsScreen
from tui.app.widgets.canvas import Canvas
from tui.queries import QueryError

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"


@pytest.fixture(autouse=True)
def of_its_own(tmp_path, monkeypatch):
    """No settings and no queries but those of the test; files are written there too."""
    monkeypatch.setenv("TOMBOLA_SETTINGS", str(tmp_path / "config" / "settings.toml"))
    monkeypatch.chdir(tmp_path)


async def opened(app: TombolaApp, pilot: Pilot) -> None:
    await until(pilot, lambda: "tiny-" in shown(app))
    await pilot.press("Q")
    await until(pilot, lambda: isinstance(app.screen, QueryScreen) and app.screen.query_one("#sql").has_focus)


def told(app: TombolaApp) -> str:
    return app.screen.query_one("#told", Canvas).text


async def ask(app: TombolaApp, pilot: Pilot, sql: str) -> DataTable:
    app.screen.query_one("#sql", TextArea).text = sql
    await pilot.press("ctrl+r")
    await until(pilot, lambda: "running" not in told(app) and "runs what" not in told(app))
    return app.screen.query_one("#rows", DataTable)


def test_a_query_is_typed_with_letters_that_are_keys_elsewhere_and_answered(store):  # noqa: F811
    async def scenario(app, pilot):
        await opened(app, pilot)
        app.screen.query_one("#sql", TextArea).text = ""
        await pilot.press(*"select 'nq?' as q, 1.5, null, x'00ff'")
        assert app.screen.query_one("#sql", TextArea).text == "select 'nq?' as q, 1.5, null, x'00ff'"
        table = await ask(app, pilot, "select 'nq?' as q, 1.5, null, x'00ff'")
        assert [str(cell) for cell in table.get_row_at(0)] == ["nq?", "1.5", "NULL", "00ff"]
        assert re.match(r"1 row, in \d+ ms", told(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunsScreen))

    drive(store, scenario)


def test_every_question_of_the_report_can_be_asked_of_the_run_under_the_cursor(store):  # noqa: F811
    async def scenario(app, pilot):
        await opened(app, pilot)
        names = app.screen.query_one("#names", OptionList)
        listed = [str(option.prompt).strip() for option in names.options]
        assert {"runs", *QUESTIONS, "accuracy_by_sparsity", "epochs"} <= set(listed)
        names.focus()
        names.highlighted = listed.index("accuracy")
        await until(pilot, lambda: "Test accuracy of every arm at every ticket" in shown(app))
        await pilot.press("enter", "ctrl+r")
        await until(pilot, lambda: app.screen.query_one("#rows", DataTable).row_count > 3)
        assert "ticket" in shown(app)

    drive(store, scenario, (120, 40))
    with Reader(store) as reader:
        run = reader.rows("SELECT id FROM runs")[0]["id"]
        for query in queries.shipped(run):
            columns, rows = reader.query(query.sql)
            assert columns
            list(rows)


def test_the_schema_is_explained_and_its_names_written_into_the_query(store):  # noqa: F811
    async def scenario(app, pilot):
        await opened(app, pilot)
        names = app.screen.query_one("#names", OptionList)
        names.focus()
        names.highlighted = names.get_option_index("t:cost_by_round")
        await until(pilot, lambda: "images_with_evaluation" in shown(app))
        app.screen.query_one("#sql", TextArea).text = ""
        await pilot.press("enter")
        assert app.screen.query_one("#sql", TextArea).text == "cost_by_round"

    drive(store, scenario, (120, 40))


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELEC 1", "syntax error"),
        ("DELETE FROM runs", "only what reads is allowed"),
        ("ATTACH '/tmp/x.db' AS x", "only what reads is allowed"),
        ("SELECT 1; SELECT 2", "one statement"),
    ],
)
def test_what_cannot_be_asked_is_said_in_one_line(store, sql, words):  # noqa: F811
    async def scenario(app, pilot):
        await opened(app, pilot)
        await ask(app, pilot, sql)
        assert words in told(app)

    drive(store, scenario, (120, 40))


def test_a_query_without_end_is_stopped_by_esc_and_leaves_the_screen_as_it_was(store):  # noqa: F811
    async def scenario(app, pilot):
        await opened(app, pilot)
        app.screen.query_one("#sql", TextArea).text = ENDLESS
        await pilot.press("ctrl+r")
        await until(pilot, lambda: "Esc stops it" in told(app))
        await pilot.press("escape")
        await until(pilot, lambda: told(app) == "stopped")
        table = await ask(app, pilot, "SELECT 7")
        assert str(table.get_row_at(0)[0]) == "7"

    drive(store, scenario)


def test_a_long_answer_says_that_it_is_cut_and_is_written_whole(store, tmp_path):  # noqa: F811
    many = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500) SELECT i, 'a,\"b' FROM n"

    async def scenario(app, pilot):
        await opened(app, pilot)
        table = await ask(app, pilot, many)
        assert table.row_count == 1000
        assert "the first 1000 rows of more" in told(app)
        for number in (1, 2):
            await pilot.press("ctrl+o")
            await until(pilot, lambda n=number: (tmp_path / f"query-{n}.csv").exists())
        await until(pilot, lambda: "2500 rows written" in shown(app))

    drive(store, scenario)
    with (tmp_path / "query-1.csv").open(newline="") as stream:
        rows = list(csv.reader(stream))
    assert rows[0] == ["i", "'a,\"b'"]
    assert rows[1:] == [[str(i), 'a,"b'] for i in range(1, 2501)]
    assert (tmp_path / "query-1.csv").read_text() == (tmp_path / "query-2.csv").read_text()


def test_an_answer_that_breaks_off_leaves_no_file_that_would_read_like_the_whole(store, tmp_path):  # noqa: F811
    broken = "abs(CASE WHEN i = 900 THEN -9223372036854775807 - 1 ELSE i END)"
    many = f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000) SELECT {broken} FROM n"

    async def scenario(app, pilot):
        await opened(app, pilot)
        app.screen.query_one("#sql", TextArea).text = many
        await pilot.press("ctrl+o")
        await until(pilot, lambda: "integer overflow" in shown(app))

    drive(store, scenario, (120, 40))
    assert not list(tmp_path.glob("*.csv"))


def test_a_query_is_saved_found_again_and_deleted_after_a_question(store):  # noqa: F811
    async def scenario(app, pilot):
        await opened(app, pilot)
        app.screen.query_one("#sql", TextArea).text = "SELECT 41 + 1"
        await pilot.press("ctrl+s")
        await until(pilot, lambda: "Save this query as" in shown(app))
        await pilot.press(*"answer", "enter")
        await until(pilot, lambda: "Yours" in shown(app))
        assert queries.own() == [
            queries.Query("answer", str(queries.folder() / "answer.sql"), "SELECT 41 + 1\n", own=True)
        ]
        names = app.screen.query_one("#names", OptionList)
        names.focus()
        names.highlighted = 1
        await pilot.pause()
        await pilot.press("delete")
        await until(pilot, lambda: "Delete answer?" in shown(app))
        await pilot.press("y")
        await until(pilot, lambda: "Yours" not in shown(app))
        assert queries.own() == []
        await pilot.press("delete")
        await until(pilot, lambda: "only a query of yours" in shown(app))

    drive(store, scenario, (120, 40))


@pytest.mark.parametrize("name", ["", "a/b", "../x", ".hidden", "a b", "a" * 61, "é"])
def test_a_name_that_is_none_for_a_file_is_refused(name):
    with pytest.raises(QueryError, match="is no name for a query"):
        queries.save(name, "SELECT 1")


def test_what_others_wrote_is_shown_as_text(store):  # noqa: F811
    async def scenario(app, pilot):
        await opened(app, pilot)
        table = await ask(app, pilot, "SELECT '[red]x[/] ' || char(27) || '[2J' AS \"[b]\", printf('%.*c', 10000, 'y')")
        cells = [str(cell) for cell in table.get_row_at(0)]
        assert cells == ["[red]x[/] ␛[2J", "y" * 59 + "…"]
        assert "[b]" in shown(app)

    drive(store, scenario, (120, 40))
