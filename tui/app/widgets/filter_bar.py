"""The line over the list that says which runs are shown: what a person types there is taken at every letter.

It stays while a filter is active. What cannot be understood is said beneath, and the list stays as it was before that
term.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.text import Text
from textual.containers import Container
from textual.message import Message

from tui.app.look import DIM, KEY, LEVELS
from tui.app.widgets.canvas import Canvas
from tui.filtering import Filter, FilterError, parse, typed
from tui.plain import plain

if TYPE_CHECKING:
    from textual.widgets import Input

COUNT = 14
"""Columns for "3 of 27"."""


class FilterBar(Container):
    """Nothing, until it is opened; then a slash, a field and a count."""

    class Changed(Message):
        """Other runs are to be shown."""

    class Left(Message):
        """The field has been left for the list."""

    def __init__(self) -> None:
        super().__init__(id="filter")
        self.filter = Filter()
        self._fault = ""
        self._field: Input | None = None

    @property
    def rows(self) -> int:
        """Lines that it takes."""
        return self.display * (1 + bool(self._fault))

    def on_mount(self) -> None:
        self.display = False

    async def open(self) -> None:
        """Show it with the cursor in its field. Whoever waits for this has every letter typed ahead in there."""
        self.display = True
        if self._field is None:
            from textual.widgets import Input  # 30 ms, which the first screen does without

            slash, count = Canvas(id="slash"), Canvas(id="count")
            self._field = Input(id="text", compact=True, placeholder="words, method:colt, sparsity>=90%, -state:failed")
            await self.mount(slash, self._field, count, Canvas(id="fault"))
            slash.paint([Text("/", KEY)])
        self.screen.set_focus(self._field)
        self._fit()

    def clear(self) -> None:
        """No filter, and no line for one."""
        if self._field is not None:
            self._field.value = ""
        self.display = False
        self._take("", parse)

    def count(self, held: int, every: int) -> None:
        """Say how many of the runs are shown."""
        for canvas in self.query("#count").results(Canvas):
            canvas.paint([Text(f"{held} of {every}".rjust(COUNT), DIM)])

    def on_input_changed(self, event: Input.Changed) -> None:
        event.stop()
        if self.display:
            self._take(event.value, typed)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        event.stop()
        self._take(event.value, parse)
        if not self.filter.terms and not self._fault:
            self.display = False
        self.post_message(self.Left())

    def _take(self, text: str, read: Callable[[str], Filter]) -> None:
        try:
            self.filter, self._fault = read(text), ""
        except FilterError as error:
            self.filter, self._fault = error.before, str(error)
        self._fit()
        self.post_message(self.Changed())

    def _fit(self) -> None:
        self.styles.height = 2 if self._fault else 1
        for canvas in self.query("#fault").results(Canvas):
            canvas.display = bool(self._fault)
            canvas.paint([Text(plain(self._fault), LEVELS["warning"])])
