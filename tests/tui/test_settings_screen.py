"""The form of all settings, checked while one types; and starting again from a run with its settings to change."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from textual.pilot import Pilot
from textual.widgets import Input, OptionList

from presets.loading import load
from tests.tui.test_app import drive, one, shown, store, until  # noqa: F401  (a fixture)
from tui.app.app import TombolaApp
from tui.app.screens.new import AGAIN, NewScreen, split_changes
from tui.app.screens.settings import SettingsScreen
from tui.app.widgets.canvas import Canvas


async def opened(app: TombolaApp, pilot: Pilot, key: str = "n") -> None:
    await until(pilot, lambda: "tiny-" in shown(app))
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, NewScreen))
    await pilot.press("ctrl+e")
    await until(pilot, lambda: isinstance(app.screen, SettingsScreen) and bool(app.screen._settings))


def point(app: TombolaApp, key: str) -> None:
    listed = app.screen.query_one("#list", OptionList)
    listed.highlighted = listed.get_option_index(key)


def fault(app: TombolaApp) -> str:
    return app.screen.query_one("#fault", Canvas).text


async def type_value(app: TombolaApp, pilot: Pilot, key: str, value: str) -> None:
    point(app, key)
    await pilot.press("enter")
    await until(pilot, lambda: app.screen.query_one("#value").has_focus)
    app.screen.query_one("#value", Input).value = value


def test_a_value_is_checked_while_one_types_and_taken_when_it_is_right(store):  # noqa: F811
    async def scenario(app, pilot):
        await opened(app, pilot)
        await type_value(app, pilot, "recipe.momentum", "2")
        await until(pilot, lambda: "below 1" in fault(app))
        await pilot.press("enter")
        await pilot.pause()
        assert app.screen.query_one("#value").has_focus, "what is wrong is not taken"
        app.screen.query_one("#value", Input).value = "0.5"
        await until(pilot, lambda: fault(app) == "")
        await pilot.press("enter")
        await until(pilot, lambda: "● recipe.momentum" in shown(app))
        await type_value(app, pilot, "searches.colt.rate", "{ conv = 0.25 }")
        await pilot.press("enter")
        await until(pilot, lambda: "2 changed" in shown(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, NewScreen))
        changes = app.screen.query_one("#sets", Input).value
        assert split_changes(changes) == ["recipe.momentum=0.5", "searches.colt.rate={ conv = 0.25 }"]
        await pilot.press("ctrl+e")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen) and "2 changed" in shown(app))
        point(app, "recipe.momentum")
        await pilot.press("delete")
        await until(pilot, lambda: "1 changed" in shown(app))

    drive(store, scenario, (120, 40))


def test_every_setting_is_found_by_its_words_and_explained(store):  # noqa: F811
    async def scenario(app, pilot):
        await opened(app, pilot)
        await pilot.press("slash")
        await until(pilot, lambda: app.screen.query_one("#search").has_focus)
        await pilot.press(*"flow")
        await until(pilot, lambda: "a whole number at least 1, or left out" in shown(app))
        assert app.screen.query_one("#search", Input).value == "flow", "letters are letters"
        app.screen.query_one("#search", Input).value = "nothing has this"
        await until(pilot, lambda: "nothing has these words" in shown(app))
        await pilot.press("escape", "escape", "escape")
        await until(pilot, lambda: isinstance(app.screen, NewScreen))

    drive(store, scenario)


def test_starting_again_begins_with_the_settings_of_the_run(store):  # noqa: F811
    async def scenario(app, pilot):
        await until(pilot, lambda: "tiny-" in shown(app))
        await pilot.press("N")
        await until(pilot, lambda: isinstance(app.screen, NewScreen) and "again: tiny-" in shown(app))
        assert app.screen._chosen is not None
        assert app.screen._chosen.name == AGAIN
        experiment = app.screen._load(AGAIN, ["recipe.lr=0.25"], (7,))
        spec = json.loads(one(store, "SELECT spec FROM runs"))
        assert experiment.recipe.lr == 0.25
        assert experiment.seeds == (7,)
        assert experiment.recipe.epochs == spec["recipe"]["epochs"] != load("digits-demo").recipe.epochs
        await pilot.press("ctrl+e")
        await until(pilot, lambda: isinstance(app.screen, SettingsScreen) and "settings of tiny-" in shown(app))

    drive(store, scenario, (120, 40))


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("", []),
        (" a=1 ;; b=[1; 2] ; ", ["a=1", "b=[1; 2]"]),
        ("a='x;y'; b={ c = \";\" }", ["a='x;y'", 'b={ c = ";" }']),
        ("a=]; b=1", ["a=]", "b=1"]),
    ],
)
def test_changes_are_parted_where_no_quote_or_bracket_holds_them(text, changes):
    assert split_changes(text) == changes


@given(st.lists(st.text(alphabet="abc=.1 ,", min_size=1).map(str.strip).filter(bool)))
def test_changes_that_are_joined_are_parted_again(changes):
    assert split_changes("; ".join(changes)) == changes


def test_a_store_that_goes_bad_under_the_form_of_its_run_is_said_in_it(store):  # noqa: F811
    async def scenario(app, pilot):
        await opened(app, pilot, "N")
        for path in store.parent.glob(f"{store.name}*"):
            if path.is_file():
                path.unlink()
        store.write_text("shopping list\n" * 100)
        await type_value(app, pilot, "recipe.momentum", "0.5")
        await until(pilot, lambda: "is not an SQLite database" in fault(app))
        await pilot.press("enter")
        await pilot.pause()
        assert isinstance(app.screen, SettingsScreen)

    drive(store, scenario, (200, 50))  # so that the path leaves room for what is wrong with it
