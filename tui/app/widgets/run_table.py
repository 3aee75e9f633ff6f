"""The list of runs: state, name, what it is, where it stands and how well it does, sorted as one likes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size
from rich.text import Text
from textual.events import Click, MouseScrollDown, MouseScrollUp, Resize
from textual.message import Message

from store.live import Run
from tui.app.look import DIM, MARK, MARKED, SORTED, STATES, STRONG, cursor
from tui.app.widgets.canvas import Canvas
from tui.app.wording import DASH, count, duration, percent
from tui.filtering import KEYS, Value
from tui.plain import plain

MOST_MARKED = 8
"""Runs that can be compared: as many as there are colours that can be told apart."""


@dataclass(frozen=True)
class Column:
    """A column: its name, which is also the key that it is sorted and filtered by, its text, and the room it takes.

    It is as wide as its longest text, within `least` (room for its head) and `most`. `rank` says which columns a narrow
    terminal keeps: the lowest. Text stands left, and figures stand right.
    """

    key: str
    head: str
    text: Callable[[Run], str]
    least: int
    most: int
    rank: int
    left: bool = False


def _rounds(run: Run) -> str:
    if not run.round:
        return DASH
    return f"{run.round}/{run.planned if run.planned is not None else '?'}"


COLUMNS = (
    Column("state", "state", lambda run: run.state, 8, 8, 0, left=True),
    Column("id", "run", lambda run: run.id, 8, 30, 0, left=True),
    Column("preset", "preset", lambda run: run.preset, 6, 20, 10, left=True),
    Column("method", "method", lambda run: run.methods, 6, 16, 5, left=True),
    Column("data", "data", lambda run: run.data, 4, 12, 8, left=True),
    Column("network", "network", lambda run: run.network, 7, 12, 7, left=True),
    Column("round", "round", _rounds, 5, 9, 0),
    Column("sparsity", "sparsity", lambda run: percent(run.sparsity), 8, 8, 0),
    Column("best", "best", lambda run: percent(run.best), 7, 7, 0),
    Column("overlap", "overlap", lambda run: DASH if run.overlap is None else f"{run.overlap:.2f}", 7, 7, 4),
    Column("device", "device", lambda run: run.device, 6, 10, 9, left=True),
    Column("elapsed", "elapsed", lambda run: duration(run.seconds), 7, 7, 2),
    Column("left", "left", lambda run: _left(run), 7, 7, 1),
    Column("cost", "cost", lambda run: count(run.images_done) if run.images_done else DASH, 7, 7, 6),
)
"""In the order in which they stand, whatever the width."""

GUTTER = 2
SHORT = 16
"""Columns down to which the name gives way to another column."""
LEAD = 4
"""Columns before the state: a mark, the glyph of the state, and blanks."""


def _left(run: Run) -> str:
    return duration(run.seconds_left) if run.state == "running" else ""


def widths(runs: Sequence[Run]) -> dict[str, int]:
    """How wide each column is for these runs. One that has nothing to say of any, as the time left may, is left out."""
    wide = {}
    for column in COLUMNS:
        longest = max((cell_len(plain(column.text(run))) for run in runs), default=0)
        if longest or column.rank == 0:
            wide[column.key] = min(max(column.least, longest), column.most)
    return wide


def fitted(wide: dict[str, int], width: int) -> list[tuple[Column, int]]:
    """The columns that a table of this width shows, each with its own width; the name gives way first."""
    shown = [column for column in COLUMNS if column.rank == 0]

    def room(columns: Sequence[Column]) -> int:
        return width - LEAD - sum(wide[column.key] for column in columns) - GUTTER * (len(columns) - 1)

    name = wide["id"]
    for column in sorted((column for column in COLUMNS if column.rank), key=lambda column: column.rank):
        if column.key not in wide:
            continue
        if room([*shown, column]) < min(0, SHORT - name):
            break
        shown.append(column)
    short = max(0, -room(shown))
    ordered = [column for column in COLUMNS if column in shown]
    return [
        (column, max(wide[column.key] - short, 4) if column.key == "id" else wide[column.key]) for column in ordered
    ]


def ordered(runs: Sequence[Run], key: str, backwards: bool) -> list[Run]:
    """Runs by a key of `KEYS`, smallest first or (`backwards`) last; those that have none at the end, newest first."""
    if not key:
        return list(reversed(runs)) if backwards else list(runs)
    of = KEYS[key].of

    def by(value: Value) -> tuple[float, str]:
        return (0.0, value.casefold()) if isinstance(value, str) else (float(value or 0), "")

    known = [run for run in runs if of(run) not in (None, "")]
    unknown = [run for run in runs if of(run) in (None, "")]
    return sorted(known, key=lambda run: by(of(run)), reverse=backwards) + unknown


class RunTable(Canvas, can_focus=True):
    """A cursor on a list; the cursor stays on its run when others come and go, or the order changes."""

    class Moved(Message):
        """The cursor is on another run."""

    class Chosen(Message):
        """A run was clicked."""

    class Sorted(Message):
        """The order has changed."""

    def __init__(self) -> None:
        super().__init__(id="runs")
        self._given: Sequence[Run] = ()
        self._runs: Sequence[Run] = ()
        self._every: Sequence[Run] = ()
        self._widths = widths(())
        self._cursor = 0
        self._top = 0
        self.key = ""
        """What runs are sorted by; empty: the newest first."""
        self.backwards = False
        self.marked: tuple[str, ...] = ()
        """Runs with a mark, in the order in which they got it."""

    @property
    def run(self) -> Run | None:
        """The run under the cursor."""
        return self._runs[self._cursor] if self._runs else None

    @property
    def shown(self) -> list[str]:
        """Keys of the columns that there is room for."""
        return [column.key for column, _ in fitted(self._widths, self.size.width)]

    @property
    def needed(self) -> int:
        """Columns of the terminal that all columns of the table take."""
        return LEAD + sum(self._widths.values()) + GUTTER * (len(self._widths) - 1)

    def show(self, runs: Sequence[Run], every: Sequence[Run]) -> None:
        """Show these runs from now on, the newest first; columns are as wide as for `every` run there is."""
        if every is not self._every:
            self._every, self._widths = every, widths(every)
        self.marked = tuple(run for run in self.marked if run in {other.id for other in every})
        self._given = runs
        self._arrange()

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

    def sort(self, key: str, backwards: bool) -> None:
        """Another order; the cursor stays on its run."""
        self.key, self.backwards = key, backwards
        self._arrange()
        self.post_message(self.Sorted())

    def sort_next(self) -> None:
        """By the next column, the best first where a column holds figures; after the last, the newest first again."""
        keys = ["", *self.shown]
        key = keys[(keys.index(self.key) + 1) % len(keys)] if self.key in keys else ""
        self.sort(key, bool(key) and KEYS[key].sort != "text")

    def mark(self) -> None:
        """Give the run under the cursor a mark, or take it away."""
        run = self.run
        if run is None:
            return
        self.marked = (
            tuple(other for other in self.marked if other != run.id)
            if run.id in self.marked
            else (*self.marked, run.id)
        )
        self._draw()

    def unmark(self) -> None:
        """Take all marks away."""
        self.marked = ()
        self._draw()

    def _arrange(self) -> None:
        before = self.run
        self._runs = ordered(self._given, self.key, self.backwards)
        ids = [run.id for run in self._runs]
        if before is not None and before.id in ids:
            self._cursor = ids.index(before.id)
        self._cursor = max(0, min(self._cursor, len(self._runs) - 1))
        self._draw()
        if before is not None and self.run is not None and before.id != self.run.id:
            self.post_message(self.Moved())

    def on_resize(self, _: Resize) -> None:
        self._draw()

    def on_click(self, event: Click) -> None:
        line = event.y - 1 + self._top
        if event.y == 0:
            self._head_clicked(event.x)
        elif line < len(self._runs):
            if line == self._cursor:
                self.post_message(self.Chosen())
            self.move(line - self._cursor)

    def _head_clicked(self, x: int) -> None:
        at = LEAD
        for column, width in fitted(self._widths, self.size.width):
            if x < at + width + GUTTER:
                again = column.key == self.key
                self.sort(column.key, not self.backwards if again else KEYS[column.key].sort != "text")
                return
            at += width + GUTTER

    def on_mouse_scroll_down(self, _: MouseScrollDown) -> None:
        self.move(1)

    def on_mouse_scroll_up(self, _: MouseScrollUp) -> None:
        self.move(-1)

    def on_mount(self) -> None:
        self.watch(self.app, "theme", self._draw, init=False)  # the cursor's style is the ground's

    def _draw(self) -> None:
        width, height = self.size
        if not width or height < 2:
            return
        shown = height - 1
        self._top = max(min(self._top, self._cursor, len(self._runs) - shown), self._cursor - shown + 1, 0)
        columns = fitted(self._widths, width)
        under = cursor(self.app)
        rows = [
            _row(run, columns, under if i == self._cursor else "", run.id in self.marked, width)
            for i, run in list(enumerate(self._runs))[self._top : self._top + shown]
        ]
        self.paint([self._head(columns), *rows])

    def _head(self, columns: Collection[tuple[Column, int]]) -> Text:
        """Names over their columns; the mark of the sorted one stands in the gutter, so that none needs room for it."""
        head = Text(" " * (LEAD - 1), DIM, no_wrap=True)
        for column, width in columns:
            here = column.key == self.key
            name = column.head[:width]
            before, after = (
                (" " + name, SORTED[self.backwards]) if column.left else (SORTED[self.backwards] + name, " ")
            )
            cell = before + after if here else f" {name} "
            head.append(cell.ljust(width + 2) if column.left else cell.rjust(width + 2), STRONG if here else "")
        return head


def _row(run: Run, columns: Sequence[tuple[Column, int]], cursor: str, marked: bool, width: int) -> Text:
    glyph, style = STATES.get(run.state, ("?", ""))
    row = Text(no_wrap=True, style=cursor)
    row.append(MARK if marked else " ", MARKED).append(" ").append(f"{glyph} ", style)
    for column, room in columns:
        value = plain(column.text(run))
        if cell_len(value) > room:
            value = set_cell_size(value, max(room - 1, 0)) + "…"
        blank = " " * (room - cell_len(value))
        shade = style if column.key == "state" else STRONG if column.key == "id" else ""
        row.append(value + blank if column.left else blank + value, shade).append(" " * GUTTER)
    row.truncate(width)
    row.append(" " * max(0, width - row.cell_len))
    return row
