"""The first screen: every run there is, and a preview of the one under the cursor."""

from __future__ import annotations

import textwrap

from rich.text import Text
from textual import work
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message

from store.live import Preview, Run
from tui.app.actions import bindings
from tui.app.look import ACCENT, DIM, KEY, STRONG, VERDICT_STYLES
from tui.app.screens.base import PlaceScreen
from tui.app.watching import RunsSeen, Wish
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.heads import idle_calls, progress_line, run_lines, short_path, title_line
from tui.app.widgets.run_table import RunTable
from tui.app.wording import plural
from tui.plain import plain
from tui.questions import verdict


class RunsScreen(PlaceScreen):
    """A table, and below it a preview."""

    class PlotsLoaded(Message):
        """Previews can be drawn with their plots."""

    place = "runs"
    BINDINGS = bindings("runs")

    def __init__(self) -> None:
        super().__init__()
        self._runs: tuple[Run, ...] | None = None
        self._preview: Preview | None = None
        self._coming: str | None = None
        self._plots = False

    def compose(self) -> ComposeResult:
        yield Canvas(id="head")
        with Container(id="body"):
            yield RunTable()
            yield Canvas(id="preview")
        yield Canvas(id="foot")

    def on_mount(self) -> None:
        self.query_one(RunTable).focus()

    def on_screen_resume(self) -> None:
        self._look()

    def show(self, seen: RunsSeen) -> None:
        """A snapshot has come, perhaps before there is anything to show it in."""
        if not self.is_mounted:
            self.call_later(self.show, seen)
            return
        self._runs, self._preview = seen.runs, seen.preview
        table = self.query_one(RunTable)
        table.show(seen.runs)
        if self._coming in {run.id for run in seen.runs}:
            table.point_at(str(self._coming))
            self._coming = None
        self.fit()

    def fit(self) -> None:
        width, height = self.size
        if not width or self._runs is None:
            self.query_one("#head", Canvas).paint([title_line("", short_path(self.tombola.db), width - 2)])
            return
        live = sum(run.state == "running" for run in self._runs)
        words = plural(len(self._runs), "run") if self._runs else "no runs yet"
        words += f", {live} running" if live else ""
        self.query_one("#head", Canvas).paint([title_line(words, short_path(self.tombola.db), width - 2)])
        self.draw_foot(idle_calls(self.query_one(RunTable).run))
        # The list is as long as it needs to be, up to two fifths; the preview has the rest.
        self.query_one(RunTable).styles.height = max(4, min(len(self._runs) + 2, 2 * height // 5))
        self.set_class(not self._runs, "empty")
        preview = self.query_one("#preview", Canvas)
        room = preview.size
        if not self._runs:
            preview.paint(_welcome(width - 2, height - 3))
        elif self._preview is not None and room:
            preview.paint(_preview(self._preview, room.width, room.height, self._plots))
            if not self._plots:
                self.call_after_refresh(self._load_plots)

    @work(thread=True, exclusive=True, group="plots", exit_on_error=False)
    def _load_plots(self) -> None:
        """Import the plotting library once the list is on the screen, and where nobody waits for it: it takes 0.2 s."""
        import plotext  # noqa: F401

        import tui.app.widgets.figures  # noqa: F401

        self.post_message(self.PlotsLoaded())

    def on_runs_screen_plots_loaded(self) -> None:
        if not self._plots:
            self._plots = True
            self.fit()

    def on_run_table_moved(self) -> None:
        self._look()

    def on_run_table_chosen(self) -> None:
        self.action_open()

    def _look(self) -> None:
        run = self.query_one(RunTable).run
        self.tombola.watch_store.look_at(Wish(run.id if run else None))

    def point_at(self, run: str) -> None:
        """Put the cursor on a run that has just been started, as soon as it is listed."""
        self._coming = run

    # Actions

    def action_move(self, lines: int) -> None:
        self.query_one(RunTable).move(lines)

    def action_open(self) -> None:
        if (run := self._chosen("open")) is not None:
            self.tombola.open_run(run)

    def action_new(self) -> None:
        self.tombola.open_new()

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

    def _chosen(self, verb: str) -> Run | None:
        run = self.query_one(RunTable).run
        if run is None:
            self.tombola.say(f"there is no run to {verb}: n starts one")
        return run


def _welcome(width: int, height: int) -> list[Text]:
    words = [
        Text("No experiment has been run yet.", STRONG),
        Text(),
        Text.assemble("Press ", ("n", KEY), " to choose one. The demo, ", ("digits-demo", ACCENT), ","),
        Text("compares two ways to find lottery tickets on handwritten digits."),
        Text(),
        Text("Experiments run on by themselves: you may leave and come back.", DIM),
    ]
    left = max(0, (width - max(line.cell_len for line in words)) // 2)
    blank = [Text()] * max(0, (height - len(words)) // 2)
    return [*blank, *(Text(" " * left) + line for line in words)]


def _preview(preview: Preview, width: int, height: int, plots: bool) -> list[Text]:
    """What it is, where it stands, what came out, and (`plots`) accuracy against sparsity."""
    run = preview.run
    if height < 12:
        rows = [*run_lines(run, width)[:1], progress_line(run, width)]
    else:
        rows = run_lines(run, width)
        rows += [Text(" · ".join(filter(None, (plain(run.paper), run.network, _seeds(run)))), DIM)]
        rows += [Text(line) for line in textwrap.wrap(plain(run.note), width)[:3]]
        rows += [Text()]
        verdicts = [
            Text.assemble((f"{verdict(c)}  ", VERDICT_STYLES.get(c.verdict, "")), plain(c.sentence))
            for c in preview.checks
            if not c.part
        ]
        if height >= 34 and verdicts:
            plotted = _plot(preview, width, height - len(rows) - len(verdicts) - 1, plots)
            return [*rows, *plotted, Text(), *verdicts]
    return [*rows, *_plot(preview, width, height - len(rows), plots)]


def _plot(preview: Preview, width: int, height: int, plots: bool) -> list[Text]:
    if not plots:
        return [Text()] * max(height, 0)
    from tui.app.widgets.figures import lines

    return lines(preview, None, width, height)


def _seeds(run: Run) -> str:
    return plural(run.seeds, "seed")
