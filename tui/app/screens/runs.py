"""The first screen: every run there is, a preview of the one under the cursor, and the machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message

from store.live import Preview, Run
from tui.app.actions import bindings
from tui.app.look import ACCENT, DIM, KEY, SORTED, STRONG, note
from tui.app.screens.base import PlaceScreen
from tui.app.watching import RunsSeen, Wish
from tui.app.widgets import host, preview
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.filter_bar import FilterBar
from tui.app.widgets.heads import idle_calls, short_path, title_line
from tui.app.widgets.preview import PreviewPane
from tui.app.widgets.run_table import MOST_MARKED, RunTable
from tui.app.wording import plural

if TYPE_CHECKING:
    from tui.hardware import Machine, Watcher

BESIDE = 110
"""Columns from which the preview stands beside the table, and not below it."""

PREVIEW = 44
"""Columns that a preview beside the table has at least, or a quarter of a wide terminal."""

CURVE = 14
"""Rows that have to be free under a table for the plot to stand there, and not in the preview."""

MACHINE_ROWS = 20
"""Rows from which there is room for the machine."""


class RunsScreen(PlaceScreen):
    """A table under a filter, beside or above a preview, and below them the machine."""

    class PlotsLoaded(Message):
        """Previews can be drawn with their plots."""

    class MachineSeen(Message):
        """A figure of the machine has moved."""

    place = "runs"
    BINDINGS = bindings("runs")

    def __init__(self) -> None:
        super().__init__()
        self._runs: tuple[Run, ...] | None = None
        self._preview: Preview | None = None
        self._coming: str | None = None
        self._plots = False
        self._machine: Machine | None = None
        self._on_top = True
        self._watcher: Watcher | None = None

    def compose(self) -> ComposeResult:
        yield Canvas(id="head")
        with Container(id="body"):
            with Container(id="list"):
                yield FilterBar()
                yield RunTable()
                yield PreviewPane("curve")
            yield PreviewPane("preview")
        yield Canvas(id="machine")
        yield Canvas(id="foot")

    @property
    def table(self) -> RunTable:
        return self.query_one(RunTable)

    @property
    def bar(self) -> FilterBar:
        return self.query_one(FilterBar)

    def on_mount(self) -> None:
        self.table.focus()

    def on_unmount(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()

    def on_screen_suspend(self) -> None:
        self._on_top = False

    def on_screen_resume(self) -> None:
        self._on_top = True
        self._draw_machine()
        self._look()

    def show(self, seen: RunsSeen) -> None:
        """A snapshot has come, perhaps before there is anything to show it in."""
        if not self.is_mounted:
            self.call_later(self.show, seen)
            return
        before, self._runs, self._preview = self._runs, seen.runs, seen.preview
        if before is not seen.runs:  # it is, where only the cursor has moved
            self._pick()
        else:
            self._draw_preview()
        if self._coming in {run.id for run in seen.runs}:
            if not self.bar.filter.holds(next(run for run in seen.runs if run.id == self._coming)):
                self.bar.clear()  # what has just been started is to be seen
            self.table.point_at(str(self._coming))
            self._coming = None
        if not self._plots:
            self.call_after_refresh(self._load)

    def _pick(self) -> None:
        """Show those of the runs that the filter lets through."""
        runs = self._runs or ()
        held = [run for run in runs if self.bar.filter.holds(run)]
        self.table.show(held, runs)
        self.bar.count(len(held), len(runs))
        self.fit()

    def fit(self) -> None:
        width, height = self.size
        if width:
            self._lay_out(width, height)
            self._draw_machine()
        if not width or self._runs is None:
            self.query_one("#head", Canvas).paint([title_line("", short_path(self.tombola.db), width - 2)])
            return
        self.query_one("#head", Canvas).paint([title_line(self._words(), short_path(self.tombola.db), width - 2)])
        self.draw_foot(self._idle())
        self.set_class(not self._runs, "empty")
        self._draw_preview()

    def _lay_out(self, width: int, height: int) -> None:
        """Beside each other the table takes what its columns need and the preview the rest; where few runs leave room
        under the table, the plot stands there. Below each other the table is as long as it needs to be, up to two
        fifths."""
        rows = len(self._runs or ()) + 1
        beside = width >= BESIDE
        free = height - 3 - self._machine_rows - self.bar.rows - rows
        self.set_class(beside, "beside")
        place, table, curve = self.query_one("#list").styles, self.table.styles, self.query_one("#curve")
        curve.display = beside and bool(self._runs) and free >= CURVE
        table.height = rows if curve.display else "1fr"
        if beside:
            place.width, place.height = min(self.table.needed, width - 4 - max(PREVIEW, width // 4)), "1fr"
        else:
            place.width, place.height = "1fr", max(4, min(rows + 1, 2 * height // 5)) + self.bar.rows

    def _words(self) -> str:
        runs, table = self._runs or (), self.table
        live = sum(run.state == "running" for run in runs)
        words = plural(len(runs), "run") if runs else "no runs yet"
        words += f", {live} running" if live else ""
        words += f", {len(table.marked)} marked" if table.marked else ""
        if table.key and table.key not in table.shown:
            words += f", by {table.key} {SORTED[table.backwards]}"
        elif table.backwards and not table.key:
            words += ", the oldest first"
        return words

    def _idle(self) -> tuple[str, ...]:
        run = self.table.run
        idle = idle_calls(run)
        if run is None:
            idle += ("mark", "compare", "delete", "sort")
        elif run.state == "running":
            idle += ("delete",)
        return idle if self._runs else (*idle, "filter")

    def _draw_preview(self) -> None:
        pane, plot, seen = self.query_one("#preview", PreviewPane), self.query_one("#curve", PreviewPane), self._preview
        if not self._runs:
            pane.show(_welcome, self.tombola.key("runs.new"))
        elif self.table.run is None:
            pane.show(_none, self._unlike)
            plot.show(_nothing)
        elif seen is not None and plot.display:
            plot.show(preview.curve, seen, self._plots)
            pane.show(preview.words, seen)
        elif seen is not None:
            pane.show(preview.lines, seen, self._plots)

    # What is loaded once the list is on the screen

    @work(thread=True, exclusive=True, group="plots", exit_on_error=False)
    def _load(self) -> None:
        """Import the plotting library, and begin to watch the machine, where nobody waits for it: it takes 0.2 s."""
        import plotext  # noqa: F401

        import tui.app.widgets.figures  # noqa: F401

        self.post_message(self.PlotsLoaded())
        if self._watcher is None:
            from tui.hardware import Watcher

            self._watcher = Watcher(self._machine_told)
            self._watcher.start()

    def on_runs_screen_plots_loaded(self) -> None:
        if not self._plots:
            self._plots = True
            self.fit()

    def _machine_told(self, machine: Machine) -> None:
        """In the watcher's thread. Under another screen nothing is posted: Textual would send all of that one again."""
        self._machine = machine
        if self._on_top:
            self.post_message(self.MachineSeen())

    def on_runs_screen_machine_seen(self) -> None:
        self._draw_machine()

    @property
    def _machine_rows(self) -> int:
        """Lines for the machine and the one over them; that of the processor has its place from the start, so that
        nothing moves when it comes."""
        if self.size.height < MACHINE_ROWS:
            return 0
        return 1 + (len(host.lines(self._machine, self.size.width)) if self._machine is not None else 1)

    def _draw_machine(self) -> None:
        canvas, rows = self.query_one("#machine", Canvas), self._machine_rows
        canvas.display = rows > 0
        if rows:
            canvas.styles.height = rows
        if self._machine is not None:
            canvas.paint(host.lines(self._machine, self.size.width - 2))

    # What comes from the widgets

    def on_run_table_moved(self) -> None:
        self._look()
        self.draw_foot(self._idle())

    def on_run_table_chosen(self) -> None:
        self.action_open()

    def on_run_table_sorted(self) -> None:
        self.fit()

    def on_filter_bar_changed(self) -> None:
        self._pick()

    def on_filter_bar_left(self) -> None:
        self.table.focus()

    def _look(self) -> None:
        run = self.table.run
        self.tombola.watch_store.look_at(Wish(run.id if run else None))

    def point_at(self, run: str) -> None:
        """Put the cursor on a run that has just been started, as soon as it is listed."""
        self._coming = run

    # Actions

    def action_move(self, lines: int) -> None:
        self.table.move(lines)

    def action_open(self) -> None:
        if (run := self._chosen("open")) is not None:
            self.tombola.open_run(run)

    def action_new(self) -> None:
        self.tombola.open_new()

    def action_again(self) -> None:
        if (run := self._chosen("start again from")) is not None:
            self.tombola.open_new(run)

    def action_query(self) -> None:
        self.tombola.open_query(self.query_one(RunTable).run)

    def action_stop(self) -> None:
        if (run := self._chosen("stop")) is not None:
            self.tombola.stop(run)

    def action_pause(self) -> None:
        if (run := self._chosen("pause")) is not None:
            self.tombola.pause(run)

    def action_resume(self) -> None:
        if (run := self._chosen("resume")) is not None:
            self.tombola.resume(run)

    def action_delete(self) -> None:
        if (run := self._chosen("delete")) is not None:
            self.tombola.delete(run)

    def action_mark(self) -> None:
        if self._chosen("mark") is not None:
            self.table.mark()
            self.table.move(1)
            self.fit()

    def action_compare(self) -> None:
        marked = self.table.marked
        if len(marked) > MOST_MARKED:
            self.tombola.say(f"{len(marked)} runs are marked: up to {MOST_MARKED} can be told apart")
        elif len(marked) > 1:
            self.tombola.open_compare(marked)
        elif (run := self._chosen("compare")) is not None:
            self.tombola.choose_compared(run)

    def action_sort(self) -> None:
        if self._chosen("sort") is not None:
            self.table.sort_next()

    def action_turn_round(self) -> None:
        if self._chosen("sort") is not None:
            self.table.sort(self.table.key, not self.table.backwards)

    async def action_filter(self) -> None:
        if self._runs:
            await self.bar.open()
            self.fit()
        else:
            self._chosen("pick")

    def action_clear(self) -> None:
        if self.bar.rows:
            self.bar.clear()
            self.table.focus()
        elif self.table.marked:
            self.table.unmark()
            self.fit()
        else:
            self.tombola.say("there is no filter and no mark to take away")

    @property
    def _unlike(self) -> str:
        return f"no run is like that: {self.tombola.key('runs.clear')} takes the filter away"

    def _chosen(self, verb: str) -> Run | None:
        run = self.table.run
        if run is None:
            self.tombola.say(f"there is no run to {verb}: " + (self._unlike if self._runs else "start one"))
        return run


def _nothing(_width: int, _height: int) -> list[Text]:
    return []


def _none(words: str, width: int, _height: int) -> list[Text]:
    return note(f"{words[0].upper()}{words[1:]}.", width)


def _welcome(key: str, width: int, height: int) -> list[Text]:
    words = [
        Text("No experiment has been run yet.", STRONG),
        Text(),
        Text.assemble("Press ", (key, KEY), " to choose one. The demo, ", ("digits-demo", ACCENT), ","),
        Text("compares two ways to find lottery tickets on handwritten digits."),
        Text(),
        Text("Experiments run on by themselves: you may leave and come back.", DIM),
    ]
    left = max(0, (width - max(line.cell_len for line in words)) // 2)
    blank = [Text()] * max(0, (height - len(words)) // 2)
    return [*blank, *(Text(" " * left) + line for line in words)]
