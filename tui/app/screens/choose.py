"""Which runs to compare one with: a list to mark them in."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container
from textual.events import Resize
from textual.screen import ModalScreen

from store.comparing import MOST
from store.live import Run
from tui.app.look import ACCENT, DIM, KEY, STATES, STRONG, cursor
from tui.app.widgets.canvas import Canvas
from tui.app.wording import percent
from tui.cells import left
from tui.cells import width as width_of
from tui.plain import plain


class ChooseRuns(ModalScreen[tuple[str, ...]]):
    """Space marks, Enter compares with what is marked (with the one under the cursor where none is), Esc leaves."""

    BINDINGS = [  # noqa: RUF012
        ("up,k", "move(-1)"),
        ("down,j", "move(1)"),
        ("pageup", "move(-10)"),
        ("pagedown", "move(10)"),
        ("space", "mark"),
        ("enter", "compare"),
        ("escape,q", "leave"),
    ]

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._others: list[Run] | None = None
        self._marked: list[str] = []
        self._cursor = 0
        self._words = ""

    def compose(self) -> ComposeResult:
        with Container(id="box"):
            yield Canvas(id="lines")

    def on_mount(self) -> None:
        self.watch(self.app, "theme", self._draw, init=False)

    def on_resize(self, _: Resize) -> None:
        self._draw()

    def show(self, runs: tuple[Run, ...]) -> None:
        """The list has come, perhaps before there is anything to show it in."""
        if not self.is_mounted:
            self.call_later(self.show, runs)
            return
        at = self._others[self._cursor].id if self._others else None
        self._others = [run for run in runs if run.id != self._run.id]
        ids = [run.id for run in self._others]
        self._marked = [run for run in self._marked if run in ids]
        self._cursor = ids.index(at) if at in ids else 0
        self._draw()

    def _draw(self) -> None:
        width, height = min(self.size.width - 10, 90), self.size.height - 8
        others = self._others
        if width < 10 or height < 6:
            return
        room = height - 4
        top = max(0, min(self._cursor - room // 2, len(others or ()) - room))
        rows = [self._row(number, width) for number in range(top, min(top + room, len(others or ())))]
        if not rows:
            rows = [Text("there is no other run yet" if others is not None else "reading the list of runs", DIM)]
        keys = Text.assemble(
            ("Space", KEY), (" mark  ", DIM), ("⏎", KEY), (" compare  ", DIM), ("Esc", KEY), (" back", DIM)
        )
        if self._words:
            keys = Text(self._words, ACCENT)
        lines = [Text(f"Compare {plain(self._run.id, 40)} with", STRONG), self._head(), *rows, Text(), keys]
        canvas = self.query_one("#lines", Canvas)
        canvas.styles.height, canvas.styles.width = len(lines), width
        canvas.paint(lines)

    @property
    def _longest(self) -> int:
        return min(max((width_of(plain(run.id)) for run in self._others or ()), default=0), 30)

    def _head(self) -> Text:
        return Text(f"  {'state':<10}  {'run':<{self._longest}}  sparsest" if self._others else "", DIM, no_wrap=True)

    def _row(self, number: int, width: int) -> Text:
        assert self._others is not None
        run = self._others[number]
        glyph, style = STATES.get(run.state, ("?", ""))
        marked = "✓" if run.id in self._marked else " "
        under = cursor(self.app)
        row = Text(no_wrap=True, style=under if number == self._cursor else "")
        row.append(f"{marked} ", KEY).append(f"{glyph} {run.state:<8}  ", style)
        row.append(left(plain(run.id, self._longest), self._longest), STRONG)
        row.append(f"  {percent(run.sparsity):>8}  ").append(plain(run.title), DIM)
        row.truncate(width, overflow="ellipsis", pad=True)
        return row

    # Actions

    def action_move(self, lines: int) -> None:
        self._words = ""
        self._cursor = max(0, min(self._cursor + lines, len(self._others or ()) - 1))
        self._draw()

    def action_mark(self) -> None:
        if not self._others:
            return
        run = self._others[self._cursor].id
        if run in self._marked:
            self._marked.remove(run)
        elif len(self._marked) + 2 > MOST:
            self._words = f"no more than {MOST} runs can be compared"
        else:
            self._marked.append(run)
        self._draw()

    def action_compare(self) -> None:
        if not self._others:
            self.dismiss(())
            return
        self.dismiss(tuple(self._marked) or (self._others[self._cursor].id,))

    def action_leave(self) -> None:
        self.dismiss(())
