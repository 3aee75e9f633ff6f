"""A question before what is hard to undo, and one that a line of text answers."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Container
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from tui.app.look import DIM, KEY, STRONG
from tui.app.widgets.canvas import Canvas


class Ask(ModalScreen[bool]):
    """y says yes; n, Esc and Enter say no, so that nothing happens by habit."""

    BINDINGS = [("y", "answer(True)"), ("n,escape,enter,q", "answer(False)")]  # noqa: RUF012

    def __init__(self, question: str, meaning: str, yes: str, no: str) -> None:
        super().__init__()
        self._lines = [
            Text(question, STRONG),
            Text(),
            Text(meaning),
            Text(),
            Text.assemble(("y", KEY), (f" {yes}     ", DIM), ("n", KEY), (f" {no}", DIM)),
        ]

    def compose(self) -> ComposeResult:
        with Container(id="box"):
            yield Canvas(id="lines")

    def on_mount(self) -> None:
        lines = self.query_one("#lines", Canvas)
        lines.styles.height = len(self._lines)
        lines.styles.width = min(max(line.cell_len for line in self._lines), self.size.width - 8)
        lines.paint(self._lines)

    def action_answer(self, yes: bool) -> None:
        self.dismiss(yes)


class AskLine(ModalScreen[str]):
    """A line of text; Esc gives none."""

    BINDINGS = [("escape", "dismiss")]  # noqa: RUF012

    def __init__(self, question: str, hint: str = "", value: str = "") -> None:
        super().__init__()
        self._question, self._hint, self._value = question, hint, value

    def compose(self) -> ComposeResult:
        with Container(id="box", classes="line"):
            yield Static(Text(self._question, STRONG))
            yield Input(self._value, placeholder=self._hint, compact=True)
            yield Static(Text("Enter saves, Esc leaves", DIM))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self.dismiss(event.value.strip())
