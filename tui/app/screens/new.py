"""A new experiment: choose a preset, see what it is and what it will cost, change settings, start."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.binding import Binding
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Button, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from presets.loading import PresetError, PresetInfo, again, listing, load, source
from store.errors import StoreError
from store.live import Run
from store.reading import Reader
from tui.app.actions import bindings
from tui.app.look import ACCENT, DIM, STRONG
from tui.app.screens.base import PlaceScreen
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.heads import short_path, title_line
from tui.app.wording import duration, forecast
from tui.commands.presets import SMOKE, matching
from tui.launch import LaunchError, plan, prepare, start
from tui.plain import plain

if TYPE_CHECKING:
    from presets.schema import Experiment

TYPING_SECONDS = 0.5
"""After the last key in a field, until the engine is asked what that will cost: it takes a few seconds to answer."""

LEAST_LIST = 26
"""Columns of the list of presets; longer names get more, up to two fifths of the screen."""

AGAIN = ""
"""In place of a preset's name: the experiment of the run that one starts again from."""

AROUND_NAME = 4
"""Columns of that list beside a name: indented by two, a scrollbar, and air before it."""


@dataclass(frozen=True)
class Order:
    """What the form says: enough to load and start an experiment."""

    preset: str
    """Name of a preset; empty for the experiment of the run that one starts again from."""
    seeds: tuple[int, ...] | None = None
    sets: tuple[str, ...] = ()
    name: str = ""
    device: str = "auto"

    @property
    def forecast_of(self) -> tuple[Any, ...]:
        """All that changes what it costs."""
        return self.preset, self.seeds, self.sets, self.device


class Planned(Message):
    """What an order will cost, or one line on why it cannot run."""

    def __init__(self, order: Order, experiment: Experiment | None, cost: dict[str, Any] | None, fault: str) -> None:
        super().__init__()
        self.order, self.experiment, self.cost, self.fault = order, experiment, cost, fault


class Told(Message):
    """What is being done before the run can start."""

    def __init__(self, words: str) -> None:
        super().__init__()
        self.words = words


class Started(Message):
    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run


class NotStarted(Message):
    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class Search(Input):
    """What the list below is narrowed by. The arrows move in that list."""

    BINDINGS = [  # noqa: RUF012
        Binding("down", "screen.point(1)", "The preset below", show=False),
        Binding("up", "screen.point(-1)", "The preset above", show=False),
    ]


class NewScreen(PlaceScreen):
    """The list of presets has the focus; / searches it, Enter goes to Start, Tab through the fields between."""

    place = "new"
    BINDINGS = bindings("new")
    DEFAULT_CSS = """
    NewScreen #choice { width: auto; height: 1fr; }
    NewScreen #search { width: 1fr; background: $surface; }
    NewScreen #presets { scrollbar-size-vertical: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    """

    def __init__(self, like: Run | None = None) -> None:
        super().__init__()
        self._like = like
        again = [_as_info(like)] if like else []
        self._infos = {info.name: info for info in [*again, *matching(listing(), "")]}
        self._chosen: PresetInfo | None = None
        self._planned: Planned | None = None
        self._fault = ""
        self._starting = False
        self._doing = ""
        self._eager = False
        self._width = 0
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Canvas(id="head")
        with Container(id="body"):
            with Vertical(id="choice"):
                yield Search(placeholder=f"/ searches {len(self._infos)} presets", id="search", compact=True)
                yield OptionList(*_options(self._infos.values(), LEAST_LIST), id="presets", markup=False)
            with VerticalScroll(id="about"):
                yield Static(id="words")
        with Container(id="form"):
            for name, label, hint in (
                ("seeds", "seeds", "such as 0 1 2, or 0-4"),
                ("name", "name", "what to call the run"),
                ("sets", "change", "such as searches.colt.rate=0.3; recipe.epochs=5"),
                ("device", "device", "auto, cpu, cuda, cuda:1, a card's UUID"),
            ):
                with Horizontal(classes="field"):
                    yield Label(label)
                    yield Input(placeholder=hint, id=name, compact=True)
            with Horizontal(classes="field last"):
                yield Label("")
                yield Button("Start", id="start", compact=True)
                yield Static(id="verdict")
        yield Canvas(id="foot")

    def on_mount(self) -> None:
        self.query_one("#presets").focus()
        first = AGAIN if self._like else "digits-demo"
        self._highlight(first if first in self._infos else next(iter(self._infos), None))
        self.query_one("#device", Input).value = "auto"

    def fit(self) -> None:
        line = title_line("new experiment", short_path(self.tombola.db), self.size.width - 2)
        self.query_one("#head", Canvas).paint([line])
        self.draw_foot()
        longest = max(map(len, self._infos), default=0) + AROUND_NAME
        width = max(LEAST_LIST, min(longest, 2 * self.size.width // 5))
        if width != self._width:
            self._width = width
            self.query_one("#choice").styles.width = self.query_one("#presets").styles.width = width
            self._list()
        self._draw()

    # What is chosen

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        info = self._infos.get(event.option_id or "")
        if info is None or info is self._chosen:
            return
        self._chosen = info
        name = self.query_one("#name", Input)
        with self.prevent(Input.Changed):
            name.value = self._like.name if info.name == AGAIN and self._like else info.name
        self._ask()

    def on_option_list_option_selected(self) -> None:
        if self.focused is self.query_one("#start"):  # a second Enter, typed before the first had moved the focus
            self.action_start()
        self.action_next()

    def on_input_changed(self, event: Input.Changed) -> None:
        if event.input.id == "search":
            self._list()
        else:
            self._ask()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        if event.input.id == "search":
            self.set_focus(self.query_one("#presets"))
        else:
            self.action_next()

    def on_button_pressed(self) -> None:
        self.action_start()

    def _list(self) -> None:
        """List what has the words that are searched for. The preset under the cursor stays there while it is listed."""
        found = matching(self._infos.values(), self.query_one("#search", Search).value)
        presets = self.query_one("#presets", OptionList)
        before = presets.highlighted_option.id if presets.highlighted_option else self._chosen and self._chosen.name
        presets.clear_options()
        presets.add_options(_options(found, self._width))
        if found:
            self._highlight(before if before in [info.name for info in found] else found[0].name)

    def _highlight(self, name: str | None) -> None:
        presets = self.query_one("#presets", OptionList)
        if name is not None:
            presets.highlighted = presets.get_option_index(name)
            presets.scroll_to_highlight()

    def _order(self) -> Order | None:
        """What the form says; None, and the fault noted, where a field cannot be read."""
        if self._chosen is None:
            return None
        try:
            seeds = read_seeds(self.query_one("#seeds", Input).value)
        except ValueError as error:
            self._fault = str(error)
            return None
        sets = tuple(split_changes(self.query_one("#sets", Input).value))
        name = self.query_one("#name", Input).value.strip() or self._chosen.name
        device = self.query_one("#device", Input).value.strip() or "auto"
        return Order(self._chosen.name, seeds, sets, name, device)

    def _ask(self) -> None:
        """What the form says has changed: show it, and soon ask what it will cost."""
        self._fault, self._eager = "", False
        order = self._order()
        known = self._planned is not None and order is not None and self._planned.order.forecast_of == order.forecast_of
        if not known:
            self._planned = None
            if self._timer is not None:
                self._timer.stop()
            if order is not None:
                self._timer = self.set_timer(TYPING_SECONDS, lambda: self._plan(order))
        self._draw()

    @work(thread=True, exclusive=True, group="plan", exit_on_error=False)
    def _plan(self, order: Order) -> None:
        experiment = None
        try:
            experiment = self._load(order.preset, order.sets, order.seeds)
            self.post_message(Planned(order, experiment, plan(experiment, order.device, self.tombola.db), ""))
        except (PresetError, LaunchError) as error:
            self.post_message(Planned(order, experiment, None, str(error)))
        except Exception as error:  # a fault of ours must not leave a person waiting
            self.log.error(repr(error))
            self.post_message(Planned(order, experiment, None, f"this cannot be forecast: {error!r}"))

    def _load(self, preset: str, sets: Sequence[str], seeds: Sequence[int] | None = None) -> Experiment:
        """The experiment of a preset, or of the run that one starts again from.

        Raises:
            PresetError: a change is wrong, the run has been deleted, or the store cannot be read.
        """
        if preset != AGAIN or self._like is None:
            return load(preset, sets, seeds)
        try:
            with Reader(self.tombola.db) as reader:
                rows = reader.rows("SELECT spec FROM runs WHERE id = ?", (self._like.id,))
        except StoreError as error:
            raise PresetError(str(error)) from None
        if not rows:
            raise PresetError(f"{self._like.id} has been deleted: choose a preset")
        return again(json.loads(rows[0]["spec"]), f"run {self._like.id}", sets, seeds)

    def on_planned(self, planned: Planned) -> None:
        order = self._order()
        if order is not None and order.forecast_of == planned.order.forecast_of:
            self._planned = planned
            self._draw()
            if self._eager:
                self._eager = False
                self.action_start()

    # Starting

    def action_next(self) -> None:
        """To Start. At once, where `Widget.focus` would let keys typed ahead pass it by."""
        self.set_focus(self.query_one("#start"))

    def action_start(self) -> None:
        order = self._order()
        planned = self._planned
        if self._starting:
            return
        if order is None:
            self.tombola.say(self._fault or "choose a preset first")
        elif planned is None:
            self._eager = True  # as soon as the engine has looked at it
            self._draw()
        elif planned.fault or planned.experiment is None or planned.cost is None:
            self.tombola.say(planned.fault)
        else:
            self._starting = True
            self._draw()
            self._start(order, planned.experiment, planned.cost)

    @work(thread=True, group="start", exit_on_error=False)
    def _start(self, order: Order, experiment: Experiment, cost: dict[str, Any]) -> None:
        tombola = self.tombola
        try:
            if not cost["data"]["there"]:  # drawn or decoded now; what must be downloaded is refused with what to do
                prepare(experiment.data, False, self._tell)
            label = self._like.preset if order.preset == AGAIN and self._like else order.preset
            run = start(tombola.db, tombola.files, experiment, label, order.name, order.device, cost)
        except (LaunchError, StoreError, OSError) as error:
            self.post_message(NotStarted(str(error)))
        else:
            self.post_message(Started(run))

    def _tell(self, words: str) -> None:
        self.post_message(Told(words))

    def on_told(self, told: Told) -> None:
        self._doing = told.words
        self._draw()

    def on_started(self, started: Started) -> None:
        self.dismiss()
        self.tombola.started(started.run)

    def on_not_started(self, message: NotStarted) -> None:
        self._starting, self._doing = False, ""
        self._draw()
        self.tombola.say(message.reason)

    def action_back(self) -> None:
        """Out of a search first: back to the whole list."""
        search, presets = self.query_one("#search", Search), self.query_one("#presets")
        if self.focused is search or (self.focused is presets and search.value):
            search.value = ""
            self.set_focus(presets)
        else:
            self.dismiss()

    def action_search(self) -> None:
        self.set_focus(self.query_one("#search"))

    def action_point(self, lines: int) -> None:
        """Move in the list without leaving the search."""
        presets = self.query_one("#presets", OptionList)
        presets.action_cursor_down() if lines > 0 else presets.action_cursor_up()

    # What is shown

    def _draw(self) -> None:
        info = self._chosen
        if info is None:
            return
        self.query_one("#words", Static).update(self._about(info))
        self.query_one("#verdict", Static).update(self._verdict())
        seeds = self.query_one("#seeds", Input)
        if self._planned is not None and self._planned.experiment is not None and not seeds.value:
            seeds.placeholder = " ".join(map(str, self._planned.experiment.seeds))

    def _verdict(self) -> Text:
        """One line beside Start: whether it can be pressed, and what then."""
        if self._starting:
            return Text(plain(self._doing) or "starting …", ACCENT)
        if self._fault:
            return Text(plain(self._fault), "color(203)")
        if self._planned is None:
            words = (
                "starts when the engine has looked at it …" if self._eager else "the engine looks at what it takes …"
            )
            return Text(words, ACCENT if self._eager else DIM)
        if self._planned.fault:
            return Text(plain(self._planned.fault), "color(203)")
        cost = self._planned.cost or {}
        return Text.assemble(
            ("about ", DIM),
            (duration(cost.get("seconds")), f"bold {ACCENT}"),
            (f" on {plain(cost.get('where', ''))}", DIM),
        )

    def _about(self, info: PresetInfo) -> Text:
        text = Text()
        text.append(f"{plain(info.title or info.name)}\n", STRONG)
        if info.fault:
            return text.append(f"\n{plain(info.fault)}\n", "color(203)")
        text.append(f"{plain(info.paper)}\n", ACCENT)
        expect, cost = Text(f"\n{plain(info.expect)}\n" if info.expect else ""), Text()
        if self._planned is not None and self._planned.cost and self._planned.experiment:
            data = self._planned.experiment.data.path or self._planned.experiment.data.name
            cost = Text("\n") + cost_text(self._planned.cost, data, self.query_one("#about").size.width - 2)
        # What is being read should not move when the forecast comes; on a small screen it would come out of sight.
        for part in (expect, cost) if self.has_class("wide") else (cost, expect):
            text.append_text(part)
        try:
            settings = self._source(info)
        except PresetError as error:
            return text.append(f"\n{plain(error)}\n", "color(203)")
        text.append("\n")
        for line in settings.strip().splitlines():
            if not re.match(r"(title|paper|expect)\s*=", line):
                text.append(f"{plain(line)}\n", ACCENT if line.startswith("[") else DIM)
        return text

    def _source(self, info: PresetInfo) -> str:
        """The preset as it is written; of a run, what it has otherwise than its preset would be by default."""
        if info.name != AGAIN:
            return source(info.name)
        from presets.forms import settings

        form = settings(self._load(AGAIN, ()))
        return "\n".join(f"{one.key} = {one.value}" for one in form if one.value != one.default and one.value)

    # The form of all settings

    def action_form(self) -> None:
        info = self._chosen
        if info is None or info.fault:
            self.tombola.say(info.fault if info else "choose a preset first")
            return
        from tui.app.screens.settings import SettingsScreen

        def done(changes: list[str]) -> None:
            self.query_one("#sets", Input).value = "; ".join(changes)

        name = self._like.id if info.name == AGAIN and self._like else info.name
        before = split_changes(self.query_one("#sets", Input).value)
        self.app.push_screen(SettingsScreen(name, lambda sets: self._load(info.name, sets), before, done))


def _as_info(run: Run) -> PresetInfo:
    """A run as a line of the list of presets."""
    return PresetInfo(AGAIN, f"again: {run.id}", run.title, run.paper, run.expect, Path(), False)


def split_changes(text: str) -> list[str]:
    """The changes in a field, with ; between them; one within quotes or brackets parts nothing."""
    parts, depth, quote, part = [], 0, "", ""
    for before, character in zip(" " + text, text, strict=False):
        if quote:
            quote = "" if character == quote and before != "\\" else quote
        elif character in "\"'":
            quote = character
        else:
            depth += (character in "[{") - (character in "]}")
        if character == ";" and not quote and depth <= 0:
            parts.append(part)
            part = ""
        else:
            part += character
    return [one.strip() for one in (*parts, part) if one.strip()]


def _options(infos: Iterable[PresetInfo], width: int) -> list[Option]:
    """Presets under the names of their papers; those to try another out are grey, and end so where they are cut."""
    options: list[Option] = []
    group = None
    for info in infos:
        if info.group != group:
            group = info.group
            name = plain("your own" if group == "own" else group)
            options.append(Option(Text(name, f"bold {ACCENT}", no_wrap=True), disabled=True))
        end = SMOKE if info.name.endswith(SMOKE) else ""
        name = plain(info.name.removesuffix(end), width - AROUND_NAME - len(end)) + end
        options.append(Option(Text(f"  {name}", DIM if end else "", no_wrap=True), id=info.name))
    return options or [Option(Text("  nothing has these words", DIM), disabled=True)]


def cost_text(cost: dict[str, Any], data: str, width: int) -> Text:
    """The forecast of the engine, in lines that begin with a word."""
    lines = [Text.assemble((lead, DIM), words, "\n") for lead, words in forecast(cost, data, width)]
    return Text().join(lines)


def read_seeds(words: str) -> tuple[int, ...] | None:
    """Seeds from "0 1 2", "0,1,2" or "0-4"; None for an empty field, which means those of the preset.

    Raises:
        ValueError: with a line for people.
    """
    seeds: list[int] = []
    for part in re.split(r"[\s,;]+", words.strip()):
        if not part:
            continue
        match = re.fullmatch(r"(\d{1,9})(?:-(\d{1,9}))?", part)
        if match is None:
            raise ValueError(f"seeds: {plain(part)!r} is no number; write 0 1 2, or 0-4")
        first, last = int(match[1]), int(match[2] or match[1])
        if not first <= last < first + 100:
            raise ValueError(f"seeds: {plain(part)!r}: write the smaller first, at most 100 seeds")
        seeds += range(first, last + 1)
    if len(set(seeds)) != len(seeds):
        raise ValueError("seeds: each one once")
    return tuple(seeds) or None
