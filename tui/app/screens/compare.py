"""Up to eight runs beside each other, live: a plot over two tables, or one of them at a time on a small terminal."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Container

from store.errors import StoreError
from tui import comparing
from tui.app.actions import bindings
from tui.app.look import ACCENT, DIM
from tui.app.screens.base import PlaceScreen
from tui.app.watching import ComparisonSeen, Wish
from tui.app.widgets.beside import INTERVALS, PLOT, RESULTS, SETTINGS, Beside, lines_of, side_lines
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.heads import title_line
from tui.app.widgets.panel import Kind, Panel
from tui.app.wording import plural
from tui.plain import plain

KINDS: dict[int, Kind[Beside]] = {1: PLOT, 2: SETTINGS, 3: RESULTS}

TOPS = {2: "settings_top", 3: "results_top"}
"""What page keys move, by panel."""


class CompareScreen(PlaceScreen):
    """The runs are those that were marked, in that order; one of them is chosen."""

    place = "compare"
    BINDINGS = bindings("compare")

    def __init__(self, runs: tuple[str, ...]) -> None:
        super().__init__()
        self.runs = runs
        self._scene: Beside | None = None
        self._tab = 1
        self._alone = 0

    def compose(self) -> ComposeResult:
        yield Canvas(id="head")
        yield Canvas(id="sides")
        yield Canvas(id="tabs")
        with Container(id="panels"):
            for number, kind in KINDS.items():
                yield Panel(number, kind)
        yield Canvas(id="foot")

    def on_screen_resume(self) -> None:
        self.tombola.watch_store.look_at(Wish(compared=self.runs))

    def show(self, seen: ComparisonSeen) -> None:
        """A snapshot has come, perhaps before there is anything to show it in."""
        if seen.runs != self.runs:
            return
        if not self.is_mounted:
            self.call_later(self.show, seen)
            return
        there = [side.run for side in seen.comparison.sides]
        if len(there) < 2:
            gone = ", ".join(run for run in self.runs if run not in there)
            self.tombola.say(f"{gone} has been deleted: there is nothing left to compare")
            self.dismiss()
            return
        if self._scene is None:
            self._scene = Beside(seen.comparison, there[0])
        else:
            chosen = self._scene.chosen if self._scene.chosen in there else there[0]
            search = self._scene.search if self._scene.search in seen.comparison.searches else ""
            self._scene = replace(self._scene, comparison=seen.comparison, chosen=chosen, search=search)
        self.fit()

    @property
    def _shown(self) -> list[int]:
        if self.has_class("wide"):
            return [self._alone] if self._alone else list(KINDS)
        return [self._tab]

    def fit(self) -> None:
        width = self.size.width - 2
        if width < 1:
            return
        head = f"{plural(len(self.runs), 'run')} compared"
        self.query_one("#head", Canvas).paint([title_line(head, "", width)])
        idle = set() if set(self._shown) & set(TOPS) else {"scroll(1)", "scroll(-1)"}
        self.draw_foot(idle)
        scene = self._scene
        if scene is None:
            return
        sides = self.query_one("#sides", Canvas)
        sides.styles.height = len(scene.comparison.sides)
        sides.paint(side_lines(scene, width))
        self.query_one("#tabs", Canvas).paint(self._tabs(scene))
        alone = len(self._shown) == 1
        panels = self.query_one("#panels")
        panels.set_class(alone, "alone")
        if not alone:
            # Tables are as high as they have lines, up to two fifths; the plot has the rest.
            rows = max(lines_of(KINDS[number].draw, scene, width // 2) for number in TOPS)
            panels.styles.grid_rows = f"1fr {max(8, min(rows + 2, 2 * self.size.height // 5))}"
        for panel in self.query(Panel):
            panel.display = panel.number in self._shown
            panel.set_class(panel.number == self._tab, "chosen")
            panel.show(scene)

    def _tabs(self, scene: Beside) -> list[Text]:
        line = Text(" ", no_wrap=True)
        for number, kind in KINDS.items():
            here = number == self._tab
            line.append(f"{number} {kind.title}", f"bold {ACCENT} reverse" if here else DIM).append("  ")
        return [line.append(plain(KINDS[self._tab].heading(scene)), ACCENT)]

    def _change(self, **values: object) -> None:
        if self._scene is not None:
            self._scene = replace(self._scene, **values)  # type: ignore[arg-type]
            self.fit()

    # What is looked at

    def action_choose(self, lines: int) -> None:
        if self._scene is not None:
            runs = [side.run for side in self._scene.comparison.sides]
            to = max(0, min(runs.index(self._scene.chosen) + lines, len(runs) - 1))
            self._change(chosen=runs[to])

    def action_hide(self) -> None:
        if self._scene is not None:
            self._change(hidden=self._scene.hidden ^ {self._scene.chosen})

    def action_axis(self) -> None:
        if self._scene is not None:
            self._change(x="cost" if self._scene.x == "sparsity" else "sparsity")

    def action_search(self) -> None:
        """Tickets of all searches, then of one after another."""
        if self._scene is None:
            return
        names = ["", *self._scene.comparison.searches]
        if len(names) < 3:
            self.tombola.say("there is only one search" if len(names) == 2 else "no ticket has been evaluated yet")
            return
        self._change(search=names[(names.index(self._scene.search) + 1) % len(names)], results_top=0)

    def action_dense(self) -> None:
        if self._scene is not None:
            self._change(dense=not self._scene.dense)

    def action_intervals(self) -> None:
        if self._scene is not None:
            now = INTERVALS.index(self._scene.intervals)
            self._change(intervals=INTERVALS[(now + 1) % len(INTERVALS)])

    def action_scroll(self, pages: int) -> None:
        """The table that is chosen; of several on the screen the results, unless settings are."""
        number = self._tab if self._tab in TOPS or len(self._shown) == 1 else 3
        if number not in TOPS:
            self.tombola.say("the plot is all there: page keys scroll settings (2) and results (3)")
            return
        if self._scene is None:
            return
        size = self.query_one(f"#panel-{number}", Panel).size
        page = max(size.height - 3, 1)
        most = max(lines_of(KINDS[number].draw, self._scene, size.width) - size.height, 0)
        self._change(**{TOPS[number]: max(0, min(getattr(self._scene, TOPS[number]) + pages * page, most))})

    # Panels

    def action_panel(self, number: int) -> None:
        """This panel alone; on a large terminal the same key brings the others back."""
        self._tab = number
        self._alone = 0 if self._alone == number or not self.has_class("wide") else number
        self.fit()

    def action_next_panel(self, by: int) -> None:
        self._tab = (self._tab - 1 + by) % len(KINDS) + 1
        self._alone = self._tab if self._alone else 0
        self.fit()

    def action_back(self) -> None:
        if self._alone and self.has_class("wide"):
            self._alone = 0
            self.fit()
        else:
            self.dismiss()

    # Files

    def action_export(self) -> None:
        scene = self._scene
        if scene is None or not scene.series:
            self.tombola.say("there is nothing to export: no run shown has a ticket that was evaluated")
            return
        self._export(scene, Path.cwd())

    @work(thread=True, group="export", exit_on_error=False)
    def _export(self, scene: Beside, inside: Path) -> None:
        try:
            folder = comparing.write(scene.comparison, scene.series, scene.x, inside)
        except (OSError, StoreError) as error:
            self.app.call_from_thread(self.tombola.say, f"not exported to {inside}: {error}", "error")
        else:
            self.app.call_from_thread(self.tombola.say, f"tables and plot are in {folder}")
