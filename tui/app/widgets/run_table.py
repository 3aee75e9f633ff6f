"""The list of runs: state, name, where it stands and how well it does."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.events import Click, MouseScrollDown, MouseScrollUp, Resize
from textual.message import Message

from store.live import Run
from tui.app.look import CURSOR, CURSOR_WITHOUT_COLOUR, DIM, STATES, STRONG
from tui.app.widgets.canvas import Canvas
from tui.app.wording import duration, percent
from tui.plain import plain


class RunTable(Canvas, can_focus=True):
    """A cursor on a list; the cursor stays on its run when others come and go."""

    class Moved(Message):
        """The cursor is on another run."""

    class Chosen(Message):
        """A run was clicked."""

    def __init__(self) -> None:
        super().__init__(id="runs")
        self._runs: Sequence[Run] = ()
        self._cursor = 0
        self._top = 0

    @property
    def run(self) -> Run | None:
        """The run under the cursor."""
        return self._runs[self._cursor] if self._runs else None

    def show(self, runs: Sequence[Run]) -> None:
        """Show these runs from now on."""
        before = self.run
        self._runs = runs
        ids = [run.id for run in runs]
        if before is not None and before.id in ids:
            self._cursor = ids.index(before.id)
        self._cursor = max(0, min(self._cursor, len(runs) - 1))
        self._draw()

    def point_at(self, run: str) -> None:
        """Put the cursor on a run."""
        ids = [other.id for other in self._runs]
        if run in ids:
            self.move(ids.index(run) - self._cursor)

    def move(self, lines: int) -> None:
        """Move the cursor, as far as there are runs."""
        before = self._cursor
        self._cursor = max(0, min(self._cursor + lines, len(self._runs) - 1))
        self._draw()
        if self._cursor != before:
            self.post_message(self.Moved())

    def on_resize(self, _: Resize) -> None:
        self._draw()

    def on_click(self, event: Click) -> None:
        line = event.y - 1 + self._top
        if event.y >= 1 and line < len(self._runs):
            if line == self._cursor:
                self.post_message(self.Chosen())
            self.move(line - self._cursor)

    def on_mouse_scroll_down(self, _: MouseScrollDown) -> None:
        self.move(1)

    def on_mouse_scroll_up(self, _: MouseScrollUp) -> None:
        self.move(-1)

    def _draw(self) -> None:
        width, height = self.size
        if not width or height < 2:
            return
        shown = height - 1
        self._top = max(min(self._top, self._cursor), self._cursor - shown + 1, 0)
        columns = _columns(self._runs, width)
        cursor = CURSOR_WITHOUT_COLOUR if self.app.no_color else CURSOR
        head = Text(_line([name.ljust(w) if left else name.rjust(w) for name, w, left in columns]), DIM)
        rows = [
            _row(run, columns, cursor if i == self._cursor else "", width)
            for i, run in list(enumerate(self._runs))[self._top : self._top + shown]
        ]
        self.paint([head, *rows])


def _columns(runs: Sequence[Run], width: int) -> list[tuple[str, int, bool]]:
    """Name, width and whether text stands left; narrow terminals do without some, the title takes what is left."""
    longest = max((len(run.id) for run in runs), default=4)
    columns = [("", 2, True), ("state", 8, True), ("run", min(max(longest, 4), 30 if width >= 110 else 20), True)]
    columns.append(("title", 0, True))
    columns.append(("round", 5, False))
    columns.append(("sparsity", 8, False))
    columns.append(("ticket", 7, False))
    if width >= 96:
        columns.append(("dense", 7, False))
    columns.append(("time", 7, False))
    columns.append(("left", 7, False))
    spare = width - sum(w for _, w, _ in columns) - 2 * len(columns) + 4
    if spare < 16:  # a title cut shorter says nothing, and the preview has it
        return [(n, w + spare + 2 if n == "run" else w, left) for n, w, left in columns if n != "title"]
    return [(n, spare if n == "title" else w, left) for n, w, left in columns]


def _line(cells: Sequence[str]) -> str:
    return cells[0] + "  ".join(cells[1:])


def _row(run: Run, columns: list[tuple[str, int, bool]], cursor: str, width: int) -> Text:
    glyph, style = STATES.get(run.state, ("?", ""))
    live = run.state == "running"
    values = {
        "": f"{glyph} ",
        "state": run.state,
        "run": plain(run.id),
        "title": plain(run.title),
        "round": str(run.round) if run.round else "–",
        "sparsity": percent(run.sparsity),
        "ticket": percent(run.accuracy),
        "dense": percent(run.dense),
        "time": duration(run.seconds) if run.seconds is not None else "–",
        "left": duration(run.seconds_left) if live and run.seconds_left is not None else "",
    }
    row = Text(no_wrap=True, style=cursor)
    for i, (name, room, left) in enumerate(columns):
        value = values[name]
        if len(value) > room:
            value = value[: room - 1] + "…"
        shade = style if name in ("", "state") else STRONG if name == "run" else DIM if name == "title" else ""
        row.append((value.ljust(room) if left else value.rjust(room)), shade)
        row.append("  " if 0 < i < len(columns) - 1 else "")
    row.append(" " * max(0, width - row.cell_len))
    return row
