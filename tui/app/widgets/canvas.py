"""A widget that shows lines of text and sends only those that differ from what is on the screen.

Textual sends all cells of a widget that is refreshed, changed or not: over a slow line, that is what a live screen
costs.
"""

from __future__ import annotations

from collections.abc import Sequence

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
            Region(0, y, self.size.width, 1)
            for y in range(max(len(before), len(self._lines)))
            if not _same(_line(before, y), _line(self._lines, y))
        ]
        if changed:
            self.refresh(*changed)

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


def _same(a: Text | None, b: Text | None) -> bool:
    if a is None or b is None:
        return a is b
    return a == b and a.style == b.style  # == looks at characters and spans only
