"""The form of an experiment: every setting with its meaning, range and default, checked while one types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container
from textual.timer import Timer
from textual.widgets import Input, OptionList
from textual.widgets.option_list import Option

from presets.loading import PresetError
from tui.app.actions import bindings
from tui.app.look import ACCENT, DIM, STRONG
from tui.app.screens.base import PlaceScreen
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.heads import title_line
from tui.cells import left, width, wrap
from tui.plain import plain

if TYPE_CHECKING:
    from presets.forms import Setting
    from presets.schema import Experiment

TYPING_SECONDS = 0.15
"""After the last key, until what was typed is checked."""

ABOUT = 4
"""Lines under the list: what the setting means, may be, and is by default."""

Load = Callable[[Sequence[str]], "Experiment"]


class SettingsScreen(PlaceScreen):
    """A list of settings, what the one under the cursor means, and a field for its value.

    `load` gives the experiment with changes such as "recipe.lr=0.05", or raises a `PresetError`; `done` is told the
    changes when the screen is left.
    """

    place = "settings"
    BINDINGS = bindings("settings")

    def __init__(self, title: str, load: Load, changes: Sequence[str], done: Callable[[list[str]], None]) -> None:
        super().__init__()
        self._title, self._load, self._done = title, load, done
        self._changes: dict[str, str] = {}
        for change in changes:
            key, _, value = change.partition("=")
            self._changes[key.strip()] = value.strip()
        self._settings: dict[str, Setting] = {}
        self._fault = ""
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Canvas(id="head")
        with Container(id="body"):
            yield Input(placeholder="/ searches the settings, by name and meaning", id="search", compact=True)
            yield OptionList(id="list", markup=False)
            yield Canvas(id="about")
            yield Input(id="value", compact=True)
            yield Canvas(id="fault")
        yield Canvas(id="foot")

    def on_mount(self) -> None:
        self._read()
        self._list()
        self.query_one("#list").focus()

    def fit(self) -> None:
        count = len(self._changes)
        words = f"{count} changed" if count else "nothing changed yet"
        self.query_one("#head", Canvas).paint([title_line(f"settings of {self._title}", words, self.size.width - 2)])
        self.draw_foot()
        self._explain()

    # The list

    def _read(self) -> None:
        """The form with the changes so far; a change that does not fit together with others is said."""
        from presets.forms import settings

        try:
            experiment = self._load(_overrides(self._changes))
        except PresetError as error:
            self._fault = str(error)
            return
        self._fault = ""
        self._settings = {one.key: one for one in settings(experiment)}

    def _list(self) -> None:
        """Settings that have a value, or all that hold the words searched for."""
        words = self.query_one("#search", Input).value.casefold().split()
        found = [
            one
            for one in self._settings.values()
            if (all(word in f"{one.key} {one.meaning}".casefold() for word in words) if words else one.value)
        ]
        listed = self.query_one("#list", OptionList)
        before = listed.highlighted_option.id if listed.highlighted_option else None
        listed.clear_options()
        widest = max((width(plain(one.key)) for one in found), default=0)
        listed.add_options([Option(self._row(one, widest), id=one.key) for one in found])
        if not found:
            listed.add_option(Option(Text("  nothing has these words", DIM), disabled=True))
        elif before in {one.key for one in found}:
            listed.highlighted = listed.get_option_index(str(before))
        else:
            listed.highlighted = 0
        self.fit()

    def _row(self, one: Setting, widest: int) -> Text:
        changed = one.key in self._changes
        return Text.assemble(
            ("● " if changed else "  ", ACCENT),
            (left(plain(one.key), widest + 2), STRONG if changed else ""),
            (plain(one.value, 200) if one.value else "–", f"bold {ACCENT}" if changed else DIM),
            no_wrap=True,
        )

    @property
    def _chosen(self) -> Setting | None:
        option = self.query_one("#list", OptionList).highlighted_option
        return self._settings.get(option.id or "") if option else None

    def on_option_list_option_highlighted(self) -> None:
        one, value = self._chosen, self.query_one("#value", Input)
        with self.prevent(Input.Changed):
            value.value = one.value if one else ""
        self._fault = ""
        self._explain()

    def _explain(self) -> None:
        about, one = self.query_one("#about", Canvas), self._chosen
        width = self.size.width - 2
        lines: list[Text] = []
        if one is not None and width > 10:
            lines = [Text(line) for line in wrap(plain(one.meaning), width)[: ABOUT - 2]]
            default = f"; by default {one.default}" if one.default else ""
            lines += [Text(line, DIM) for line in wrap(plain(f"{one.allowed}{default}"), width)]
        about.paint(lines[:ABOUT])
        self.query_one("#fault", Canvas).paint([Text(plain(self._fault, width), "color(203)")] if self._fault else [])

    # A value

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "search":
            self._list()
            return
        if self._timer is not None:
            self._timer.stop()
        self._timer = self.set_timer(TYPING_SECONDS, self._check)

    def _check(self) -> None:
        """Say what is wrong with what is typed, as far as that can be known."""
        self._tried()
        self._explain()

    def _tried(self) -> dict[str, str] | None:
        """The changes with what is typed; None, and the fault noted, where they are no experiment."""
        one, typed = self._chosen, self.query_one("#value", Input).value.strip()
        if one is None:
            return None
        changes = {key: value for key, value in self._changes.items() if key != one.key}
        if typed:
            changes[one.key] = typed
        try:
            self._load(_overrides(changes))
        except PresetError as error:
            self._fault = _without_option(str(error))
            return None
        self._fault = ""
        return changes

    def on_option_list_option_selected(self) -> None:
        if self._chosen is not None:
            self.set_focus(self.query_one("#value"))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "value":
            one, typed = self._chosen, event.value.strip()
            if one is not None and typed == one.value:
                self.set_focus(self.query_one("#list"))
                return
            changes = self._tried()
            if changes is None:
                self._explain()
                return
            self._changes = changes
            self._read()
            self._list()
        self.set_focus(self.query_one("#list"))

    # Actions

    def action_search(self) -> None:
        self.set_focus(self.query_one("#search"))

    def action_default(self) -> None:
        """What the preset says again."""
        one = self._chosen
        if one is None or one.key not in self._changes:
            self.tombola.say("this setting has not been changed")
            return
        del self._changes[one.key]
        self._read()
        self._list()

    def action_back(self) -> None:
        """Out of a field to the list, what was typed left aside; out of a search; out of the form, with the changes."""
        search, listed = self.query_one("#search", Input), self.query_one("#list")
        if self.focused is not listed:
            self.set_focus(listed)
            self.on_option_list_option_highlighted()
        elif search.value:
            search.value = ""
        else:
            self._done(_overrides(self._changes))
            self.dismiss()


def _overrides(changes: Mapping[str, str]) -> list[str]:
    return [f"{key}={value}" for key, value in changes.items()]


def _without_option(words: str) -> str:
    """A fault without the option that it names: here the field stands for it."""
    return words.removeprefix("--set ").split(": ", 1)[-1] if words.startswith("--set ") else words
