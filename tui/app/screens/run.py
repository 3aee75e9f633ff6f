"""One run, live: panels in a grid, or one at a time on a small terminal.

Questions need room for their sentences and curves, and not every run has samples that matter or traces: they are not in
the grid, and have the screen for themselves. The line of panels leaves out those that this run has nothing for.
"""

from __future__ import annotations

from dataclasses import replace

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message

from store.live import Run
from store.viewing import Focus
from tui.app.actions import bindings
from tui.app.look import ACCENT, DIM
from tui.app.screens.base import PlaceScreen
from tui.app.watching import RunSeen, Wish
from tui.app.widgets import sets
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.curves import CURVES
from tui.app.widgets.drum import DRUM
from tui.app.widgets.figures import FIGURES
from tui.app.widgets.heads import idle_calls, run_lines
from tui.app.widgets.machine import MACHINE
from tui.app.widgets.masks import MASKS
from tui.app.widgets.overlap import OVERLAP
from tui.app.widgets.panel import Panel, Scene
from tui.app.widgets.questions import QUESTIONS
from tui.app.widgets.sets import SETS
from tui.app.widgets.traces import TRACES
from tui.app.widgets.words import LOG
from tui.crash import record
from tui.gallery import Gallery, gallery
from tui.plain import plain

KINDS = {1: DRUM, 2: CURVES, 3: MASKS, 4: OVERLAP, 5: FIGURES, 6: LOG, 7: QUESTIONS, 8: SETS, 9: TRACES, 0: MACHINE}
"""By number, in the order of their keys."""

PLACED = (1, 5, 2, 3, 4, 6)
"""Panels in the order in which the grid takes them up, row by row."""

ALONE = (7, 8, 9, 0)
"""Panels that are never in the grid."""

LOGGED = 6
"""The panel that page keys scroll wherever no other takes them."""

CHOSEN = 8
"""The panel that shows the hardest samples, where there is room."""

GALLERY = 40
"""Samples that are asked for: as many small images as a large terminal has room for."""


class RunScreen(PlaceScreen):
    """What a person looks at is a search, a seed and a round; every panel shows that."""

    class GalleryCame(Message):
        """Images of the hardest samples have come from the engine, or why they have not."""

        def __init__(self, gallery: Gallery) -> None:
            super().__init__()
            self.gallery = gallery

    place = "run"
    BINDINGS = bindings("run")

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self._scene: Scene | None = None
        self._point: Focus | None = None
        self._alone: int | None = None
        self._tab = 1
        self._asking = False

    def compose(self) -> ComposeResult:
        yield Canvas(id="head")
        yield Canvas(id="tabs")
        with Container(id="panels"):
            for number in (*PLACED, *ALONE):
                yield Panel(number, KINDS[number])
        yield Canvas(id="foot")

    def on_screen_resume(self) -> None:
        self._look()

    def show(self, seen: RunSeen) -> None:
        """A snapshot has come, perhaps before there is anything to show it in."""
        if seen.run != self.run.id:
            return
        if not self.is_mounted:
            self.call_later(self.show, seen)
            return
        if seen.view is None:
            self.tombola.say(f"{self.run.id} has been deleted")
            self.dismiss()
            return
        self.run = seen.view.run
        self._scene = replace(self._scene, view=seen.view) if self._scene else Scene(seen.view)
        self.fit()

    @property
    def _shown(self) -> list[int]:
        if self.has_class("wide"):
            return list(PLACED) if self._alone is None else [self._alone]
        return [self._tab]

    def fit(self) -> None:
        width = self.size.width - 2
        if width < 1:
            return
        head = self.query_one("#head", Canvas)
        alerts = len(self._scene.view.alerts) if self._scene is not None else 0
        head.paint(run_lines(self.run, head.size.width or width, alerts))
        elsewhere = {f"turn('{name}')" for number in KINDS.keys() - self._shown for name in KINDS[number].turns}
        alone = len(self._shown) == 1
        self.draw_foot({*idle_calls(self.run), *elsewhere}, KINDS[self._shown[0]].keys if alone else None)
        self.query_one("#tabs", Canvas).paint(self._tabs())
        panels = self.query_one("#panels")
        panels.set_class(alone, "alone")
        if self._scene is not None and not alone:
            # The drum is as high as it has lines, up to a third; the rest is shared by what can use it.
            lanes = self._scene.view.lanes
            airy, tight = len(lanes) + len({lane.search for lane in lanes}) + 2, len(lanes) + 3
            height = self.size.height
            top = max(6, min(airy if airy <= height // 3 else tight, height // 2 - 6))
            panels.styles.grid_rows = f"{top} 1fr {max(10, min(height - 34, height // 3))}"
        for panel in self.query(Panel):
            panel.display = panel.number in self._shown
            if self._scene is not None:
                panel.show(self._scene)
        if self._shown == [CHOSEN]:
            self.call_after_refresh(self._ask_gallery)

    def _listed(self) -> list[int]:
        """Panels that there is something for, and the one shown."""
        scene = self._scene
        return [
            number
            for number, kind in KINDS.items()
            if number == self._tab or scene is None or number not in ALONE or kind.there(scene)
        ]

    def _tabs(self) -> list[Text]:
        """The names of the panels, and the heading of the one shown. Where they do not fit, those farthest from that
        one have their number only."""
        listed = self._listed()
        names = {number: f"{KINDS[number].title} " for number in listed}
        width = self.size.width - 1
        here = listed.index(self._tab)
        for number in sorted(listed, key=lambda number: -abs(listed.index(number) - here)):
            if sum(3 + len(name) for name in names.values()) > width:
                names[number] = ""
        line = Text(no_wrap=True)
        for number, name in names.items():
            shown = self._shown == [number]
            line.append(f" {number} ", f"bold {ACCENT}{' reverse' if shown else ''}")
            line.append(name, f"bold {ACCENT} reverse" if shown else DIM)
        heading = self._heading(self._scene) if self._scene is not None else ""
        return [line, Text(), Text(f" {plain(heading)}", ACCENT)]

    def _heading(self, scene: Scene) -> str:
        """The heading of the panel shown; its title where that fails, which the panel then says."""
        try:
            return KINDS[self._tab].heading(scene)
        except Exception:
            return KINDS[self._tab].title

    def _look(self) -> None:
        before = self._scene is not None and self._scene.rounds
        self.tombola.watch_store.look_at(Wish(self.run.id, whole=True, focus=self._point, before=before))

    def _change(self, **values: object) -> None:
        if self._scene is not None:
            self._scene = replace(self._scene, **values)  # type: ignore[arg-type]
            if "rounds" in values:
                self._look()
            self.fit()

    # What is looked at

    def action_lane(self, lines: int) -> None:
        """Another search and seed, at its newest round; or what the panel that is alone takes the key for."""
        if self._turned("lane", lines) or self._scene is None or (turn := self._scene.view.turn) is None:
            return
        keys = [lane.key for lane in self._scene.view.lanes if lane.rounds]
        at = keys.index((turn.search, turn.seed))
        to = max(0, min(at + lines, len(keys) - 1))
        self._point = Focus(*keys[to])
        self._look()

    def action_round(self, rounds: int) -> None:
        """An earlier or later round of the same search and seed; or what the panel that is alone takes the key for."""
        if not self._turned("round", rounds):
            self.action_other_round(rounds)

    def action_other_round(self, rounds: int) -> None:
        """An earlier or later round of the same search and seed, whatever panel is alone."""
        if self._scene is None or (turn := self._scene.view.turn) is None:
            return
        key = (turn.search, turn.seed)
        newest = next(lane.rounds[-1].round for lane in self._scene.view.lanes if lane.key == key)
        to = max(1, min(turn.round + rounds, newest))
        self._point = Focus(*key, None if to == newest else to)
        self._look()

    def action_follow(self) -> None:
        self._point = None
        self._look()

    def action_scroll(self, pages: int) -> None:
        """The panel that is alone, where it takes the key; else the log."""
        if not self._turned("scroll", pages):
            self._turn(LOGGED, "scroll", pages)

    def action_turn(self, name: str, by: int = 1) -> None:
        """Look at a panel in another way. A key of a panel that is not seen says which panel it is for."""
        number = next(number for number, kind in KINDS.items() if name in kind.turns)
        if number in self._shown:
            self._turn(number, name, by)
        else:
            self.tombola.say(f"that key is for {KINDS[number].title}: {number} shows it")

    def _turned(self, name: str, by: int) -> bool:
        """Whether the panel that is alone has taken the key."""
        if len(self._shown) > 1 or name not in KINDS[self._shown[0]].turns:
            return False
        self._turn(self._shown[0], name, by)
        return True

    def _turn(self, number: int, name: str, by: int) -> None:
        if self._scene is None:
            return
        size = self.query_one(f"#panel-{number}", Panel).size
        try:
            changes = KINDS[number].turns[name](self._scene, size.width, size.height, by)
        except Exception as error:  # as in drawing, it stays with the panel
            self.tombola.say(f"{KINDS[number].title} could not take that key: {record(error)}", "error")
            return
        if isinstance(changes, str):
            self.tombola.say(changes)
        else:
            self._change(**changes)

    # The hardest samples

    def _ask_gallery(self) -> None:
        """Ask for the images that the panel has room for, unless they are there: one question at a time."""
        size = self.query_one(f"#panel-{CHOSEN}", Panel).size
        if self._scene is None or self._asking or self._shown != [CHOSEN]:
            return
        key = sets.wanted(self._scene, size.width, size.height)
        if key is not None and (self._scene.gallery is None or self._scene.gallery.key != key):
            self._asking = True
            self._fetch(*key)

    @work(thread=True, group="gallery", exit_on_error=False)
    def _fetch(self, search: str, seed: int, number: int) -> None:
        from tui.launch import LaunchError, samples

        try:
            found = gallery(samples(self.tombola.db, None, self.run.id, search, seed, number, GALLERY))
        except (LaunchError, ValueError, LookupError, TypeError) as error:  # an answer that cannot be read is none
            found = Gallery(search, seed, number, fault=str(error))
        self.post_message(self.GalleryCame(found))

    def on_run_screen_gallery_came(self, came: GalleryCame) -> None:
        self._asking = False
        self._change(gallery=came.gallery)

    # Panels

    def action_panel(self, number: int) -> None:
        """This panel alone; on a large terminal the same key brings the others back."""
        self._tab = number
        self._alone = None if self._alone == number or not self.has_class("wide") else number
        self.fit()

    def action_next_panel(self, by: int) -> None:
        numbers = self._listed()
        self._tab = numbers[(numbers.index(self._tab) + by) % len(numbers)]
        self._alone = None if self._alone is None else self._tab
        self.fit()

    def action_back(self) -> None:
        if self._alone is not None and self.has_class("wide"):
            self._alone = None
            self.fit()
        else:
            self.dismiss()

    # The run

    def action_again(self) -> None:
        self.tombola.open_new(self.run)

    def action_query(self) -> None:
        self.tombola.open_query(self.run)

    def action_stop(self) -> None:
        self.tombola.stop(self.run)

    def action_pause(self) -> None:
        self.tombola.pause(self.run)

    def action_resume(self) -> None:
        self.tombola.resume(self.run)

    def action_compare(self) -> None:
        self.tombola.choose_compared(self.run)
