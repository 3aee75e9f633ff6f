"""A widget that shows lines of text and sends only what differs from what is on the screen: of each line, the cells
from the first to the last that have changed.

Textual sends all cells of a widget that is refreshed, changed or not: over a slow line, that is what a live screen
costs.
"""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget


class Canvas(Widget):
    """Lines from the top; what does not fit is cut off."""

    def __init__(self, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._lines: list[Text] = []

    @property
    def text(self) -> str:
        """What it shows, without colours."""
        return "\n".join(line.plain for line in self._lines)

    def paint(self, lines: Sequence[Text]) -> None:
        """Show these lines from now on."""
        before, self._lines = self._lines, list(lines)
        changed = [
            Region(start, y, end - start, 1)
            for y in range(max(len(before), len(self._lines)))
            for start, end in [self._changed(_line(before, y), _line(self._lines, y))]
            if start < end
        ]
        if changed:
            self.refresh(*changed)

    def _changed(self, before: Text | None, after: Text | None) -> tuple[int, int]:
        """The first cell that differs, and the one after the last; the same number twice where none does."""
        if _same(before, after):
            return 0, 0
        whole = 0, self.size.width
        if any(line is not None and cell_len(line.plain) != len(line.plain) for line in (before, after)):
            return whole  # a character of two cells, or of none: cells and characters are not the same
        if _style(before) != _style(after):
            return whole  # what fills the line up has its style
        one, other = self._cells(before), self._cells(after)
        if len(one) != len(other):
            blank = (" ", Style.null())
            longest = max(len(one), len(other), self.size.width)
            one, other = (cells + [blank] * (longest - len(cells)) for cells in (one, other))
        differ = [place for place, (a, b) in enumerate(zip(one, other, strict=True)) if a != b]
        return (differ[0], differ[-1] + 1) if differ else (0, 0)

    def _cells(self, line: Text | None) -> list[tuple[str, Style]]:
        """Every character with its style."""
        if line is None:
            return []
        console = self.app.console
        own = console.get_style(line.style)
        segments = line.render(console, end="")
        return [(character, own + (style or Style.null())) for text, style, _ in segments for character in text]

    def render_line(self, y: int) -> Strip:
        style = self.rich_style
        line = _line(self._lines, y)
        if line is None:
            return Strip.blank(self.size.width, style)
        # A text without spans renders without its own style.
        own = style + self.app.console.get_style(line.style)
        strip = Strip(line.render(self.app.console, end="")).simplify()
        return strip.apply_style(own).adjust_cell_length(self.size.width, own)


def _line(lines: Sequence[Text], y: int) -> Text | None:
    return lines[y] if 0 <= y < len(lines) else None


def _style(line: Text | None) -> str | Style:
    return "" if line is None else line.style


def _same(a: Text | None, b: Text | None) -> bool:
    if a is None or b is None:
        return a is b
    return a == b and a.style == b.style  # == looks at characters and spans only
