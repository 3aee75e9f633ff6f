"""A new experiment: choose a preset, see what it is and what it will cost, change settings, start."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Container, Horizontal, VerticalScroll
from textual.message import Message
from textual.timer import Timer
from textual.widgets import Button, Input, Label, OptionList, Static
from textual.widgets.option_list import Option

from presets.loading import PresetError, PresetInfo, listing, load, source
from store.errors import StoreError
from tui.app.actions import bindings
from tui.app.look import ACCENT, DIM, STRONG
from tui.app.screens.base import PlaceScreen
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.heads import short_path, title_line
from tui.app.wording import count, duration, percent, plural, size
from tui.launch import LaunchError, plan, start
from tui.plain import plain

if TYPE_CHECKING:
    from presets.schema import Experiment

TYPING_SECONDS = 0.5
"""After the last key in a field, until the engine is asked what that will cost: it takes a few seconds to answer."""


@dataclass(frozen=True)
class Order:
    """What the form says: enough to load and start an experiment."""

    preset: str
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


class Started(Message):
    def __init__(self, run: str) -> None:
        super().__init__()
        self.run = run


class NotStarted(Message):
    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


class NewScreen(PlaceScreen):
    """The list of presets has the focus; Enter goes to Start, Tab through the fields between."""

    place = "new"
    BINDINGS = bindings("new")

    def __init__(self) -> None:
        super().__init__()
        self._infos = {info.name: info for info in listing()}
        self._chosen: PresetInfo | None = None
        self._planned: Planned | None = None
        self._fault = ""
        self._starting = False
        self._eager = False
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        yield Canvas(id="head")
        with Container(id="body"):
            yield OptionList(*self._options(), id="presets", markup=False)
            with VerticalScroll(id="about"):
                yield Static(id="words")
        with Container(id="form"):
            for name, label, hint in (
                ("seeds", "seeds", "such as 0 1 2, or 0-4"),
                ("name", "name", "what to call the run"),
                ("sets", "change", "such as searches.colt.rate=0.3; recipe.epochs=5"),
                ("device", "device", "auto, cpu, cuda, cuda:1"),
            ):
                with Horizontal(classes="field"):
                    yield Label(label)
                    yield Input(placeholder=hint, id=name, compact=True)
            with Horizontal(classes="field last"):
                yield Label("")
                yield Button("Start", id="start", compact=True)
                yield Static(id="verdict")
        yield Canvas(id="foot")

    def _options(self) -> list[Option | None]:
        options: list[Option | None] = []
        group = None
        for info in self._infos.values():
            if info.group != group:
                group = info.group
                options.append(
                    Option(Text(plain("your own" if group == "own" else group), f"bold {ACCENT}"), disabled=True)
                )
            options.append(Option(Text(f"  {plain(info.name)}"), id=info.name))
        return options

    def on_mount(self) -> None:
        presets = self.query_one("#presets", OptionList)
        presets.focus()
        names = list(self._infos)
        if names:
            first = "digits-demo" if "digits-demo" in self._infos else names[0]
            presets.highlighted = presets.get_option_index(first)
        self.query_one("#device", Input).value = "auto"

    def fit(self) -> None:
        line = title_line("new experiment", short_path(self.tombola.db), self.size.width - 2)
        self.query_one("#head", Canvas).paint([line])
        self.draw_foot()

    # What is chosen

    def on_option_list_option_highlighted(self, event: OptionList.OptionHighlighted) -> None:
        info = self._infos.get(event.option_id or "")
        if info is None or info is self._chosen:
            return
        self._chosen = info
        name = self.query_one("#name", Input)
        with self.prevent(Input.Changed):
            name.value = info.name
        self._ask()

    def on_option_list_option_selected(self) -> None:
        if self.focused is self.query_one("#start"):  # a second Enter, typed before the first had moved the focus
            self.action_start()
        self.action_next()

    def on_input_changed(self) -> None:
        self._ask()

    def on_input_submitted(self) -> None:
        self.action_next()

    def on_button_pressed(self) -> None:
        self.action_start()

    def _order(self) -> Order | None:
        """What the form says; None, and the fault noted, where a field cannot be read."""
        if self._chosen is None:
            return None
        try:
            seeds = read_seeds(self.query_one("#seeds", Input).value)
        except ValueError as error:
            self._fault = str(error)
            return None
        sets = tuple(part.strip() for part in self.query_one("#sets", Input).value.split(";") if part.strip())
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
            experiment = load(order.preset, order.sets, order.seeds)
            self.post_message(Planned(order, experiment, plan(experiment, order.device), ""))
        except (PresetError, LaunchError) as error:
            self.post_message(Planned(order, experiment, None, str(error)))
        except Exception as error:  # a fault of ours must not leave a person waiting
            self.log.error(repr(error))
            self.post_message(Planned(order, experiment, None, f"this cannot be forecast: {error!r}"))

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
            run = start(tombola.db, tombola.files, experiment, order.preset, order.name, order.device, cost)
        except (LaunchError, StoreError, OSError) as error:
            self.post_message(NotStarted(str(error)))
        else:
            self.post_message(Started(run))

    def on_started(self, started: Started) -> None:
        self.dismiss()
        self.tombola.started(started.run)

    def on_not_started(self, message: NotStarted) -> None:
        self._starting = False
        self._draw()
        self.tombola.say(message.reason)

    def action_back(self) -> None:
        self.dismiss()

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
            return Text("starting …", ACCENT)
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
            (f" on {plain(cost.get('device', ''))}", DIM),
        )

    def _about(self, info: PresetInfo) -> Text:
        text = Text()
        text.append(f"{plain(info.title or info.name)}\n", STRONG)
        if info.fault:
            return text.append(f"\n{plain(info.fault)}\n", "color(203)")
        text.append(f"{plain(info.paper)}\n", ACCENT)
        text.append(f"\n{plain(info.expect)}\n" if info.expect else "")
        if self._planned is not None and self._planned.cost:
            text.append("\n").append_text(cost_text(self._planned.cost, self.query_one("#about").size.width - 2))
        try:
            settings = source(info.name)
        except PresetError as error:
            return text.append(f"\n{plain(error)}\n", "color(203)")
        text.append("\n")
        for line in settings.strip().splitlines():
            if not re.match(r"(title|paper|expect)\s*=", line):
                text.append(f"{plain(line)}\n", ACCENT if line.startswith("[") else DIM)
        return text


def cost_text(cost: dict[str, Any], width: int) -> Text:
    """The forecast of the engine, in lines that begin with a word."""
    images = cost["images"]
    total = max(images["total"], 1)
    rows = {
        "time": f"about {duration(cost['seconds'])} on {cost['device']}, {plural(cost['workers'], 'worker')}",
        "images": f"{count(images['total'])} trained on: {percent(images['search'] / total, 0)} to search,"
        f" {percent(images['evaluation'] / total, 0)} to evaluate, in {plural(cost['trainings'], 'training')}",
        "weights": f"{count(cost['prunable'])} of {count(cost['weights'])} can be pruned",
        "needs": f"{size(cost['memory_bytes'])} of memory, {size(cost['disk_bytes'])} on disk",
    }
    for name, search in cost["searches"].items():
        low, high = search["rounds_low"], search["rounds_high"]
        rows[plain(name)] = f"{search['rounds']} rounds" + (f", {low} to {high}" if low != high else "")
    lead = max(len(name) for name in rows) + 2
    text = Text()
    for name, words in rows.items():
        pieces = textwrap.wrap(plain(words), max(width - lead, 16))
        text.append(f"{name:<{lead}}", DIM).append(f"\n{'':<{lead}}".join(pieces) + "\n")
    return text


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
