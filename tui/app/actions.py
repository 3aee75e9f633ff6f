"""The one table of what keys do. Bindings, the line at the foot and the help are made from it.

A screen has a method `action_…` for each of its rows; what a key cannot do, that method says in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from textual.binding import Binding, BindingType

Place = Literal["runs", "run", "new", "anywhere"]

PLACES: dict[Place, str] = {
    "runs": "List of runs",
    "run": "A run",
    "new": "A new experiment",
    "anywhere": "Anywhere",
}


@dataclass(frozen=True)
class Action:
    """`call` is the action of the screen (or app); `label` is empty where the foot has no room for it."""

    place: Place
    call: str
    keys: tuple[str, ...]
    shown: str
    help: str
    label: str = ""
    first: bool = False
    """Done before the focused widget sees the key: so each of keys typed ahead finds the focus where it should be."""


ACTIONS = (
    Action("runs", "open", ("enter",), "⏎", "Open the run under the cursor", "open"),
    Action("runs", "new", ("n",), "n", "Choose a preset and start an experiment", "new"),
    Action("runs", "pause", ("p",), "p", "Pause the run: it can be resumed to the same figures", "pause"),
    Action("runs", "resume", ("r",), "r", "Resume a paused, stopped, failed or lost run", "resume"),
    Action("runs", "stop", ("s",), "s", "Stop the run, after a question", "stop"),
    Action("runs", "filter", ("slash",), "/", "Pick runs: colt method:imp sparsity>=90% -state:failed", "filter"),
    Action("runs", "sort", ("o",), "o", "Sort by the next column; after the last, the newest first", "sort"),
    Action("runs", "turn_round", ("O",), "O", "Sort the other way round"),
    Action("runs", "mark", ("space",), "Space", "Mark the run for comparing, or take the mark away", "mark"),
    Action("runs", "compare", ("c",), "c", "Compare the marked runs; without a mark, this one", "compare"),
    Action("runs", "delete", ("d",), "d", "Delete the run and its files, after a question", "delete"),
    Action("runs", "clear", ("escape",), "Esc", "Away with the filter, then with the marks"),
    Action("runs", "move(-1)", ("up", "k"), "↑ k", "Up"),
    Action("runs", "move(1)", ("down", "j"), "↓ j", "Down"),
    Action("runs", "move(-10)", ("pageup",), "PgUp", "Ten up"),
    Action("runs", "move(10)", ("pagedown",), "PgDn", "Ten down"),
    Action("runs", "move(-100000)", ("home", "g"), "Home g", "To the first run"),
    Action("runs", "move(100000)", ("end", "G"), "End G", "To the last run"),
    Action("run", "back", ("escape", "backspace"), "Esc", "Back", "back"),
    Action("run", "panel(1)", ("1",), "1", "The drum: every search and seed, round by round"),
    Action("run", "panel(2)", ("2",), "2", "Curves of the members of a round"),
    Action("run", "panel(3)", ("3",), "3", "Sparsity by layer"),
    Action("run", "panel(4)", ("4",), "4", "Overlap of the members by layer, against chance"),
    Action("run", "panel(5)", ("5",), "5", "Accuracy against sparsity"),
    Action("run", "panel(6)", ("6",), "6", "Log, alerts and verdicts"),
    Action("run", "next_panel(1)", ("tab",), "Tab", "The next panel", "panel"),
    Action("run", "next_panel(-1)", ("shift+tab",), "⇧Tab", "The panel before"),
    Action("run", "lane(-1)", ("up", "k"), "↑ k", "The search and seed above; in questions, the one above"),
    Action("run", "lane(1)", ("down", "j"), "↓ j", "The search and seed below; in questions, the one below", "choose"),
    Action("run", "round(-1)", ("left", "h"), "← h", "An earlier round; in questions, the curve before"),
    Action("run", "round(1)", ("right", "l"), "→ l", "A later round; in questions, the next curve", "round"),
    Action("run", "pause", ("p",), "p", "Pause: it can be resumed to the same figures", "pause"),
    Action("run", "resume", ("r",), "r", "Resume a paused, stopped, failed or lost run", "resume"),
    Action("run", "stop", ("s",), "s", "Stop, after a question", "stop"),
    Action("run", "panel(7)", ("7",), "7", "Questions, with all answers and their curves", "questions"),
    Action("run", "panel(8)", ("8",), "8", "Samples that matter: sets by round, and images seen"),
    Action("run", "panel(9)", ("9",), "9", "Traces of a round's trainings: moving masks, gradient flow"),
    Action("run", "follow", ("f",), "f", "Follow what is being trained", "follow"),
    Action("run", "turn('measure')", ("m",), "m", "Curves: accuracy or loss, validation or training"),
    Action("run", "turn('sets')", ("o",), "o", "Overlap: of what was removed, or of what was kept"),
    Action("run", "turn('arms')", ("a",), "a", "Accuracy: tickets of all searches, or all arms of one", "arms"),
    Action("run", "scroll(1)", ("pageup",), "PgUp", "Back in the log, the answers or the traces"),
    Action("run", "scroll(-1)", ("pagedown",), "PgDn", "Forward in the log, the answers or the traces"),
    Action("new", "back", ("escape",), "Esc", "Back, without starting", "back"),
    Action("new", "start", ("ctrl+s",), "^S", "Start the experiment", "start"),
    Action("new", "next", ("enter",), "⏎", "From the list to Start; on Start: start", "choose"),
    Action("new", "app.focus_next", ("tab",), "Tab", "The next field", "field", first=True),
    Action("new", "app.focus_previous", ("shift+tab",), "⇧Tab", "The field before", first=True),
    Action("anywhere", "help", ("question_mark", "f1"), "?", "This help", "help"),
    Action("anywhere", "leave", ("q", "ctrl+q"), "q", "Leave; experiments go on without the app", "leave"),
)


def of(place: Place) -> list[Action]:
    return [action for action in ACTIONS if action.place == place]


def bindings(place: Place) -> list[BindingType]:
    """What a screen (or, for "anywhere", the app) binds; ids stay when keys are remapped."""
    return [
        Binding(
            ",".join(action.keys),
            action.call,
            action.help,
            id=f"{place}.{action.call}",
            show=False,
            priority=action.first,
        )
        for action in of(place)
    ]
