"""The app's habits: keys that a person chooses, the palette, colours for each ground, and plain characters."""

import asyncio
import re
import unicodedata

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.command import CommandPalette

from tests.tui.test_app import drive, open_run, shown, store, until  # noqa: F401  (a fixture)
from tui.app.actions import ACTIONS, PLACES, remapped
from tui.app.app import TombolaApp
from tui.app.filters import LIGHT, LightGround, PlainCharacters, ascii_only
from tui.app.look import GROUNDS
from tui.app.screens.help import help_text
from tui.app.screens.new import NewScreen
from tui.app.screens.run import RunScreen
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.run_table import RunTable
from tui.colours import COLOURS
from tui.commands.settings import lines
from tui.drawing import MARKS
from tui.settings import THEMES, Settings, read

# Settings


def written(tmp_path, text: str):
    path = tmp_path / "settings.toml"
    path.write_text(text)
    return path


def test_without_a_file_all_is_as_by_default(tmp_path):
    assert read(tmp_path / "none.toml") == Settings()


def test_what_is_printed_can_be_saved_and_says_the_same(tmp_path):
    chosen = Settings("light", True, False, {"runs.stop": "x,delete", "run.turn(measure)": "M"})
    assert read(written(tmp_path, "\n".join(lines(chosen)))) == chosen
    assert read(written(tmp_path, "\n".join(lines(Settings())))) == Settings()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("theme = ", "cannot be read"),
        ('theme = "pink"', "theme = 'pink': give one of dark, light, plain"),
        ("themes = 1", "themes is no setting; did you mean theme?"),
        ("ascii = 1", "ascii = 1: give true or false"),
        ("keys = 3", "keys: a table"),
        ('[keys]\n"runs.stopp" = "x"', "'runs.stopp' is no action; did you mean 'runs.stop'?"),
        ('[keys]\n"runs.stop" = "p"', "'runs.pause' and 'runs.stop' would both have 'p'"),
        ('[keys]\n"runs.stop" = "?"', "'runs.stop' and 'anywhere.help' would both have 'question_mark'"),
        ('[keys]\n"runs.stop" = " , "', "'runs.stop' needs at least one key"),
    ],
)
def test_a_setting_that_cannot_be_is_refused_in_one_line(tmp_path, text, words):
    with pytest.raises(click.ClickException) as raised:
        read(written(tmp_path, text))
    assert words in raised.value.message
    assert "settings.toml" in raised.value.message
    assert "\n" not in raised.value.message


@pytest.fixture(scope="module")
def any_file(tmp_path_factory):
    return tmp_path_factory.mktemp("settings") / "settings.toml"


@given(st.text())
def test_any_text_is_read_or_refused_in_words(any_file, text):
    any_file.write_text(text, errors="replace")
    refused = ""
    try:
        read(any_file)
    except click.ClickException as error:
        refused = error.message
    assert not refused or str(any_file) in refused


def test_no_key_does_two_things_in_one_place():
    assert remapped(ACTIONS, {action.id: ",".join(action.keys) for action in ACTIONS})
    assert len({action.id for action in ACTIONS}) == len(ACTIONS)


def test_other_keys_act_and_stand_in_the_foot_the_help_and_sentences(store):  # noqa: F811
    async def scenario(app, pilot):
        await until(pilot, lambda: "tiny-" in shown(app))
        assert "y new" in app.screen.query_one("#foot", Canvas).text
        await pilot.press("n")
        assert not isinstance(app.screen, NewScreen)
        await pilot.press("slash", *"unlike", "enter")
        await until(pilot, lambda: "No run is like that: ^L takes the filter away." in shown(app))
        await pilot.press("ctrl+l", "question_mark")
        await until(pilot, lambda: "Choose a preset" in shown(app))
        assert re.search(r"y +Choose a preset", shown(app))
        await pilot.press("escape", "y")
        await until(pilot, lambda: isinstance(app.screen, NewScreen))

    drive(store, scenario, settings=Settings(keys={"runs.new": "y", "runs.clear": "ctrl+l"}))


def test_tombola_settings_tells_where_they_are_and_which_keys_there_are(tombola):
    printed = tombola("settings").stdout
    for action in ACTIONS:
        assert f'"{action.id}" = ' in printed
    assert tombola("settings", "--path").stdout.strip() in printed


def test_options_of_the_app_are_refused_with_a_command(tombola):
    assert "are for the app" in tombola("--ascii", "runs", code=2).stderr


# The palette


def test_the_palette_finds_every_action_of_the_place_and_does_it(store):  # noqa: F811
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("ctrl+p")
        await until(pilot, lambda: CommandPalette.is_open(app))
        await pilot.press(*"Log, alerts and")
        await until(pilot, lambda: "Log, alerts and verdicts" in shown(app))
        await pilot.pause(0.3)
        await pilot.press("down", "enter")
        await until(pilot, lambda: isinstance(app.screen, RunScreen) and app.screen._shown == [6])
        await pilot.press("colon")
        await until(pilot, lambda: CommandPalette.is_open(app))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, RunScreen))

    drive(store, scenario)


def test_help_and_palette_leave_out_no_action():
    text = help_text(list(PLACES)).plain
    assert all(action.help in text for action in ACTIONS)


# Colours and characters


def test_every_ground_can_be_asked_for_and_the_next_one_had_by_a_key(store):  # noqa: F811
    assert set(GROUNDS) == set(THEMES)

    async def scenario(app, pilot):
        await until(pilot, lambda: "tiny-" in shown(app))
        seen = []
        for _ in GROUNDS:
            seen.append((app.ground, app.theme))
            await pilot.press("ctrl+t")
            await pilot.pause()
        assert seen == [("light", "tombola-light"), ("plain", "ansi-dark"), ("dark", "tombola")]
        assert app.ground == "light"

    drive(store, scenario, settings=Settings(theme="light"))


def test_on_the_terminals_own_ground_the_cursor_takes_no_colour_of_ours(store):  # noqa: F811
    async def scenario(app, pilot):
        await until(pilot, lambda: "tiny-" in shown(app))
        table = app.screen.query_one(RunTable)
        row = next(line for line in table._lines if line.plain.strip().startswith("✓"))
        assert row.style == "reverse"
        await pilot.press("ctrl+t")
        await until(pilot, lambda: all(line.style != "reverse" for line in table._lines))

    drive(store, scenario, settings=Settings(theme="plain"))


def contrast(one: Color, other: Color) -> float:
    def luminance(colour: Color) -> float:
        channels = [c / 255 for c in colour.rgb]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def of_the_palette(number: int) -> Color:
    return Color.from_rich_color(Style.parse(f"color({number})").color)


def test_colours_are_told_from_both_grounds():
    for number in {*COLOURS, *LIGHT} - {237}:
        assert contrast(of_the_palette(number), Color.parse("#16181d")) > 3, number
        assert contrast(of_the_palette(LIGHT.get(number, number)), Color.parse("#fbfbf9")) > 3, number


def test_a_light_ground_changes_our_colours_and_no_others():
    segments = [Segment("a", Style.parse("bold color(78) on color(237)")), Segment("b", Style.parse("#123456"))]
    found = LightGround().apply([*segments, Segment("c")], Color.parse("white"))
    assert found[0].style == Style.parse("bold color(28) on color(253)")
    assert found[1:] == [segments[1], Segment("c")]


@given(st.text())
def test_plain_characters_are_ascii_and_as_wide_as_before(text):
    assert ascii_only(text).isascii()
    visible = "".join(c for c in text if unicodedata.category(c)[0] in "LNPSZ" and c.isprintable())
    assert len(ascii_only(visible)) == cell_len(visible)


def test_with_plain_characters_nothing_else_reaches_the_terminal(store):  # noqa: F811
    async def scenario(app, pilot):
        await open_run(app, pilot)
        for key in "123456789?":
            await pilot.press(key if key != "?" else "question_mark")
            await pilot.pause()
            drawn = "".join(strip.text for strip in app.screen._compositor.render_strips())
            assert drawn.isascii(), set(drawn) - set(map(chr, range(128)))

    for size in ((80, 24), (200, 50)):
        drive(store, scenario, size, settings=Settings(ascii=True))
    assert PlainCharacters().apply([Segment("▲ 91.3 % …")], Color.parse("black"))[0].text == "^ 91.3 % ~"


def test_in_plain_characters_marks_of_series_and_bars_and_their_rest_stay_apart():
    marks = ascii_only(MARKS + "×+◇□")
    assert len(set(marks)) == len(marks)
    assert "?" not in marks
    assert ascii_only("━━━╸──┃") == "===---|"


def test_without_arrows_a_key_is_a_word(store):  # noqa: F811
    async def scenario(app, pilot):
        await open_run(app, pilot)
        assert "Down choose" in app.screen.query_one("#foot", Canvas).text
        await pilot.press("question_mark")
        await until(pilot, lambda: "Left h" in shown(app))

    drive(store, scenario, (120, 40), settings=Settings(ascii=True))


def test_a_fault_of_ours_ends_the_app_in_one_line_and_goes_into_the_log(store, tmp_path, monkeypatch, capsys):  # noqa: F811
    monkeypatch.setattr("tui.crash.record", lambda error, db: f"a fault in Tombola: {error}; the details are in LOG")
    app = TombolaApp(store, tmp_path)

    def fail() -> None:
        raise ZeroDivisionError("one")

    async def go() -> None:
        async with app.run_test() as pilot:
            await pilot.pause()
            app.call_later(fail)
            await pilot.pause(0.3)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(go())
    printed = capsys.readouterr()
    assert "tombola: a fault in Tombola: one; the details are in LOG" in printed.out + printed.err
    assert "Traceback" not in printed.out + printed.err
    assert app.return_code == 1
