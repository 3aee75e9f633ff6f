"""What every key does, here and elsewhere: the table of actions, written out."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Static

from tui.app.actions import ACTIONS, PLACES, Action, Place, of
from tui.app.look import ACCENT, DIM, KEY


class Help(ModalScreen[None]):
    """Opens on the place one is at; scrolls where the terminal is small."""

    BINDINGS = [("escape,q,question_mark,enter", "dismiss")]  # noqa: RUF012

    def __init__(self, place: Place, actions: Sequence[Action] = ACTIONS) -> None:
        super().__init__()
        self._actions = actions
        self._places = [place, "anywhere", *(other for other in PLACES if other not in (place, "anywhere"))]

    def compose(self) -> ComposeResult:
        with VerticalScroll(id="box"):
            yield Static(help_text(self._places, self._actions))


def help_text(places: list[Place], actions: Sequence[Action] = ACTIONS) -> Text:
    """Places in this order, each with its keys."""
    text = Text()
    for place in places:
        text.append(f"{PLACES[place]}\n", f"bold {ACCENT}")
        for action in of(place, actions):
            text.append(f"  {action.shown:<8} ", KEY)
            text.append(f"{action.help}\n")
        text.append("\n")
    return text.append("Other keys, colours and characters: tombola settings. Esc closes this.", DIM)
