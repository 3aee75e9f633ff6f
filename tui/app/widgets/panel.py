"""A panel of a run's screen: a function from a scene to lines, drawn again when what it shows has changed.

A fault in a panel is shown in that panel and written down; the rest of the screen goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from rich.cells import cell_len
from rich.text import Text
from textual.events import Resize

from store.viewing import View
from tui.app.widgets.canvas import Canvas
from tui.crash import record
from tui.curves import Window
from tui.gallery import Gallery
from tui.plain import plain


@dataclass(frozen=True)
class Scene:
    """A snapshot of a run, and how a person looks at it."""

    view: View
    measure: int = 0
    """Which of `curves.MEASURES` the curves show."""
    axis: int = 0
    """Which of `curves.AXES` they lie along."""
    log: bool = False
    """Whether they are on a logarithmic axis, as far as they can be."""
    smooth: int = 0
    """Which of `curves.SMOOTHING` they are averaged with."""
    rounds: bool = False
    """Whether those of all rounds so far stand in a row; epochs are then counted through."""
    cursor: int | None = None
    """The epoch at which they are read."""
    window: Window | None = None
    """The epochs that are seen of them; None: all."""
    sets: str = "removed"
    """Overlap of the weights "removed" or "kept"."""
    agree: int = 0
    """Which of `overlap.VIEWS` the overlap is shown in."""
    masks: int = 0
    """Which of `masks.VIEWS` the masks are shown in."""
    layer_top: int = 0
    """The first layer that masks and overlap show, where there is no room for all."""
    arms: int = 0
    """0: tickets of every search; n: all arms of the n-th search."""
    against: int = 0
    """Which of `figures.AXES` accuracy is shown against."""
    ticket: tuple[str, int] | None = None
    """Search and round of the ticket whose figures are read."""
    level: int = 0
    """Which of `words.SHOWN` the log shows."""
    log_back: int = 0
    """Lines between the newest and the last one shown."""
    question: int = 0
    """Which of the questions is chosen."""
    curve: int = 0
    """Which of its curves is shown."""
    top: int | None = None
    """The first line of the answers that is shown; None: where the chosen question begins."""
    trace: int = 0
    """The first kind of trace that is shown."""
    machine: int = 0
    """The first row of figures of the machine that is shown."""
    gallery: Gallery | None = None
    """The hardest samples that were last asked for."""


Turn = Callable[[Scene, int, int, int], "dict[str, Any] | str"]
"""What a key does to how a panel is looked at: from the scene, the panel's width and height, and by how much (or which
way), the fields of the scene that change, or in words why it cannot act."""


S = TypeVar("S")
"""What a screen's panels are drawn from: a `Scene` on the screen of a run."""


@dataclass(frozen=True)
class Kind(Generic[S]):
    """What a panel is: its title, what of a scene it shows, and how; `there`: whether there is anything to show.

    `turns`: what keys do to it, by the name that the table of actions has. "lane", "round" and "scroll" (arrows and
    page keys) are taken while the panel is alone; any other name belongs to one panel, and acts wherever that is seen.
    `keys`: what the foot names before all else while the panel is alone, by the call of an action, in its own words.
    """

    title: str
    heading: Callable[[S], str]
    part: Callable[[S], Any]
    draw: Callable[[S, int, int], list[Text]]
    there: Callable[[S], bool] = lambda scene: True
    turns: Mapping[str, Turn] = field(default_factory=dict)
    keys: Mapping[str, str] = field(default_factory=dict)


class Panel(Canvas, Generic[S]):
    """One of the numbered panels."""

    def __init__(self, number: int, kind: Kind[S]) -> None:
        super().__init__(id=f"panel-{number}", classes="panel")
        self.number, self.kind = number, kind
        self._scene: S | None = None
        self._drawn: Hashable = None
        self._heading = ""
        self._fault = ""

    def show(self, scene: S) -> None:
        """Show this scene from now on; drawn only where the panel can be seen."""
        self._scene = scene
        self._draw()

    def on_resize(self, _: Resize) -> None:
        self._draw()

    def _draw(self) -> None:
        scene, size = self._scene, self.size
        if scene is None or not self.display or not size:
            return
        try:
            heading = plain(self.kind.heading(scene))
            if cell_len(heading) > size.width - 6:  # what comes after the dot is said elsewhere too
                heading = plain(heading.split(" · ")[0], max(size.width - 6, 1))
            if heading != self._heading:  # setting it sends the whole panel
                self._heading = heading
                self.border_title = Text.assemble((f"{self.number} ", "dim"), heading)
            wanted = (size, self.kind.part(scene))
            if wanted == self._drawn:
                return
            lines = self.kind.draw(scene, size.width, size.height)
            self._drawn = wanted
        except Exception as error:  # whatever it is, it stays in this panel
            if repr(error) != self._fault:  # which may come back with every snapshot
                self._fault = repr(error)
                self.log.error(record(error))
            lines = [Text(plain(f"this panel failed: {error!r}"), "color(203)")]
        self.paint(lines)
