"""What every screen of the app has: a head, a foot with its keys, and the app by its own type."""

from __future__ import annotations

from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, ClassVar, cast

from textual.events import Resize
from textual.screen import Screen

from tui.app.actions import Place
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.heads import key_line

if TYPE_CHECKING:
    from tui.app.app import TombolaApp


class PlaceScreen(Screen[None]):
    """A screen that is a place of the action table."""

    place: ClassVar[Place]

    @property
    def tombola(self) -> TombolaApp:
        return cast("TombolaApp", self.app)

    def on_resize(self, event: Resize) -> None:
        self.set_class(event.size.width >= 110 and event.size.height >= 32, "wide")
        self.fit()

    def fit(self) -> None:
        """The size or what is shown has changed: draw what depends on it."""

    def draw_foot(self, idle: Container[str] = (), own: Mapping[str, str] | None = None) -> None:
        """The line of keys, without those that cannot act now, and first those that a part of the screen has."""
        line = key_line(self.place, self.size.width - 2, idle, own, self.tombola.actions)
        self.query_one("#foot", Canvas).paint([line])
