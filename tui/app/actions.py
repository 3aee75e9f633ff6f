"""The one table of what keys do. Bindings, the line at the foot and the help are made from it.

A screen has a method `action_…` for each of its rows; what a key cannot do, that method says in words.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import combinations
from typing import Literal

from textual.binding import Binding, BindingType

Place = Literal["runs", "run", "compare", "new", "settings", "query", "anywhere"]

SIGNS = {
    "enter": "⏎", "escape": "Esc", "tab": "Tab", "shift+tab": "⇧Tab", "space": "Space", "backspace": "⌫",
    "delete": "Del", "up": "↑", "down": "↓", "left": "←", "right": "→", "pageup": "PgUp", "pagedown": "PgDn",
    "home": "Home", "end": "End", "question_mark": "?", "slash": "/", "colon": ":", "plus": "+", "minus": "-",
}  # fmt: skip
"""Keys as people know them, where Textual's name is another."""

SPELLED = {"↑": "Up", "↓": "Down", "←": "Left", "→": "Right", "⏎": "Enter", "⇧": "Shift-", "⌫": "Backspace"}
"""Keys whose sign is no ASCII, in words."""

PLACES: dict[Place, str] = {
    "runs": "List of runs",
    "run": "A run",
    "compare": "Runs compared",
    "new": "A new experiment",
    "settings": "Settings of a new experiment",
    "query": "A query",
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

    @property
    def id(self) -> str:
        """Its name where a person gives it other keys."""
        return f"{self.place}.{self.call}".replace("'", "")


ACTIONS = (
    Action("runs", "open", ("enter",), "⏎", "Open the run under the cursor", "open"),
    Action("runs", "new", ("n",), "n", "Choose a preset and start an experiment", "new"),
    Action("runs", "again", ("N",), "N", "Start again from this run, with its settings to change", "again"),
    Action("runs", "pause", ("p",), "p", "Pause the run: it can be resumed to the same figures", "pause"),
    Action("runs", "resume", ("r",), "r", "Resume a paused, stopped, failed or lost run", "resume"),
    Action("runs", "stop", ("s",), "s", "Stop the run, after a question", "stop"),
    Action("runs", "query", ("Q",), "Q", "Ask the store in SQL, with the queries of the report at hand"),
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
    Action("run", "panel(3)", ("3",), "3", "Masks: what each layer has left, by round and by member"),
    Action("run", "panel(4)", ("4",), "4", "Overlap of the members against chance, by layer, pair and round"),
    Action("run", "panel(5)", ("5",), "5", "Accuracy against sparsity or cost"),
    Action("run", "panel(6)", ("6",), "6", "Log, alerts and verdicts"),
    Action("run", "next_panel(1)", ("tab",), "Tab", "The next panel", "panel"),
    Action("run", "next_panel(-1)", ("shift+tab",), "⇧Tab", "The panel before"),
    Action("run", "lane(-1)", ("up", "k"), "↑ k", "The search and seed above; in questions, the one above"),
    Action("run", "lane(1)", ("down", "j"), "↓ j", "The search and seed below; in questions, the one below", "choose"),
    Action("run", "round(-1)", ("left", "h"), "← h", "An earlier round, epoch, question's curve, or ticket"),
    Action("run", "round(1)", ("right", "l"), "→ l", "A later round, epoch, question's curve, or ticket", "round"),
    Action("run", "other_round(-1)", ("left_parenthesis",), "(", "An earlier round, in every panel"),
    Action("run", "other_round(1)", ("right_parenthesis",), ")", "A later round, in every panel"),
    Action("run", "pause", ("p",), "p", "Pause: it can be resumed to the same figures", "pause"),
    Action("run", "resume", ("r",), "r", "Resume a paused, stopped, failed or lost run", "resume"),
    Action("run", "stop", ("s",), "s", "Stop, after a question", "stop"),
    Action("run", "again", ("N",), "N", "Start again from this run, with its settings to change"),
    Action("run", "query", ("Q",), "Q", "Ask the store in SQL, with the queries of this run at hand"),
    Action("run", "turn('masks')", ("v",), "v", "Masks: a round's layers, all rounds, or the members' own", "view"),
    Action("run", "turn('agree')", ("V",), "V", "Overlap: by layer, by pair of members, or by round", "pairs"),
    Action("run", "turn('against')", ("X",), "X", "Accuracy: against sparsity, search images, or all images", "axis"),
    Action("run", "turn('level')", ("e",), "e", "Log: all, warnings and errors, or alerts only", "filter"),
    Action("run", "panel(7)", ("7",), "7", "Questions, with all answers and their curves", "questions"),
    Action("run", "panel(8)", ("8",), "8", "Samples that matter: sets by round, and images seen"),
    Action("run", "panel(9)", ("9",), "9", "Traces of a round's trainings: moving masks, gradient flow"),
    Action("run", "panel(0)", ("0",), "0", "Machine: throughput, card, power and energy, processor, memory, disk"),
    Action("run", "follow", ("f",), "f", "Follow what is being trained", "follow"),
    Action("run", "turn('measure')", ("m",), "m", "Curves: accuracy or loss; validation, training or both"),
    Action("run", "turn('axis')", ("x",), "x", "Curves: by epoch, step, images or time"),
    Action("run", "turn('log')", ("y",), "y", "Curves: a linear or a logarithmic axis"),
    Action("run", "turn('smooth')", ("S",), "S", "Curves: smoothed, more and more, or as they are"),
    Action("run", "turn('rounds')", ("w",), "w", "Curves: of all rounds so far in a row, or of one"),
    Action("run", "turn('ends', -1)", ("home",), "Home", "Curves: read them at their first epoch"),
    Action("run", "turn('ends', 1)", ("end",), "End", "Curves: read them at their last epoch"),
    Action("run", "turn('zoom', 1)", ("plus", "equals_sign"), "+", "Curves: half as many epochs, around the cursor"),
    Action("run", "turn('zoom', -1)", ("minus",), "-", "Curves: twice as many epochs"),
    Action("run", "turn('pan', -1)", ("less_than_sign", "H"), "< H", "Curves: earlier epochs"),
    Action("run", "turn('pan', 1)", ("greater_than_sign", "L"), "> L", "Curves: later epochs"),
    Action("run", "turn('whole')", ("z",), "z", "Curves: all epochs, and no cursor"),
    Action("run", "turn('sets')", ("o",), "o", "Overlap: of what was removed, or of what was kept"),
    Action("run", "turn('arms')", ("a",), "a", "Accuracy: tickets of all searches, or all arms of one", "arms"),
    Action("run", "scroll(1)", ("pageup",), "PgUp", "Back in the log, the answers, the traces or the machine"),
    Action("run", "scroll(-1)", ("pagedown",), "PgDn", "Forward in the log, the answers, the traces or the machine"),
    Action("run", "compare", ("c",), "c", "Compare this run with others", "compare"),
    Action("compare", "back", ("escape", "backspace"), "Esc", "Back", "back"),
    Action("compare", "panel(1)", ("1",), "1", "The plot: accuracy of every ticket"),
    Action("compare", "panel(2)", ("2",), "2", "Settings that differ, and machines"),
    Action("compare", "panel(3)", ("3",), "3", "Results at chosen sparsities, with differences to the first run"),
    Action("compare", "next_panel(1)", ("tab",), "Tab", "The next panel"),
    Action("compare", "next_panel(-1)", ("shift+tab",), "⇧Tab", "The panel before"),
    Action("compare", "choose(-1)", ("up", "k"), "↑ k", "The run above: its lines lie over the others"),
    Action("compare", "choose(1)", ("down", "j"), "↓ j", "The run below: its lines lie over the others", "choose"),
    Action("compare", "hide", ("space",), "Space", "Hide the chosen run in the plot, or show it again", "hide"),
    Action("compare", "axis", ("x",), "x", "Plot against sparsity, or against the images it cost", "axis"),
    Action("compare", "search", ("a",), "a", "Tickets of all searches, or of one after another", "search"),
    Action("compare", "export", ("e",), "e", "Write tables and plot into a new folder, here", "export"),
    Action("compare", "dense", ("d",), "d", "Lines of the dense networks, or none", "dense"),
    Action("compare", "intervals", ("i",), "i", "Intervals of the chosen run, of all, or of none", "intervals"),
    Action("compare", "scroll(1)", ("pagedown",), "PgDn", "Forward in settings or results"),
    Action("compare", "scroll(-1)", ("pageup",), "PgUp", "Back in settings or results"),
    Action("new", "back", ("escape",), "Esc", "Back, without starting", "back"),
    Action("new", "start", ("ctrl+s",), "^S", "Start the experiment", "start"),
    Action("new", "form", ("ctrl+e",), "^E", "Every setting, with what it means and may be", "settings", first=True),
    Action("new", "search", ("slash",), "/", "Search the presets", "search"),
    Action("new", "next", ("enter",), "⏎", "From the list to Start; on Start: start", "choose"),
    Action("new", "app.focus_next", ("tab",), "Tab", "The next field", "field", first=True),
    Action("new", "app.focus_previous", ("shift+tab",), "⇧Tab", "The field before", first=True),
    Action("settings", "back", ("escape",), "Esc", "Out of a field; out of the form, with its changes", "back"),
    Action("settings", "search", ("slash",), "/", "Search the settings", "search"),
    Action("settings", "default", ("delete",), "Del", "As the preset has it again", "as before"),
    Action("settings", "app.focus_next", ("tab",), "Tab", "The next field", first=True),
    Action("settings", "app.focus_previous", ("shift+tab",), "⇧Tab", "The field before", first=True),
    Action("query", "back", ("escape",), "Esc", "Stop the query that runs, else back", "back"),
    Action("query", "ask", ("ctrl+r", "f5"), "^R F5", "Run the query", "run", first=True),
    Action("query", "save", ("ctrl+s",), "^S", "Save the query under a name", "save", first=True),
    Action("query", "export", ("ctrl+o",), "^O", "Write all rows into a CSV file", "write CSV", first=True),
    Action("query", "delete", ("delete",), "Del", "Delete the query of yours under the cursor, after a question"),
    Action("query", "app.focus_next", ("tab",), "Tab", "List, editor, answer", "field", first=True),
    Action("query", "app.focus_previous", ("shift+tab",), "⇧Tab", "The field before", first=True),
    Action("anywhere", "palette", ("ctrl+p", "colon"), "^P :", "Find an action by its words, and do it"),
    Action("anywhere", "ground", ("ctrl+t",), "^T", "Colours for a dark ground, a light one, or the terminal's own"),
    Action("anywhere", "help", ("question_mark", "f1"), "?", "This help", "help"),
    Action("anywhere", "leave", ("q", "ctrl+q"), "q", "Leave; experiments go on without the app", "leave"),
)


def of(place: Place, actions: Iterable[Action] = ACTIONS) -> list[Action]:
    return [action for action in actions if action.place == place]


def bindings(place: Place) -> list[BindingType]:
    """What a screen (or, for "anywhere", the app) binds; ids stay when keys are remapped."""
    return [
        Binding(",".join(action.keys), action.call, action.help, id=action.id, show=False, priority=action.first)
        for action in of(place)
    ]


def remapped(actions: tuple[Action, ...], keys: Mapping[str, str]) -> tuple[Action, ...]:
    """The table with other keys for some actions, by id; several keys with commas between.

    Raises:
        ValueError: an id is of no action, no key is given, or a key would do two things in one place.
    """
    ids = [action.id for action in actions]
    for name in keys:
        if name not in ids:
            near = get_close_matches(name, ids, 1)
            raise ValueError(f"keys: {name!r} is no action" + (f"; did you mean {near[0]!r}?" if near else ""))
    changed = tuple(_with_keys(action, keys[action.id]) if action.id in keys else action for action in actions)
    for one, other in combinations(changed, 2):
        together = one.place == other.place or "anywhere" in (one.place, other.place)
        both = set(one.keys) & set(other.keys)
        if together and both and {one.id, other.id} & keys.keys():
            raise ValueError(f"keys: {one.id!r} and {other.id!r} would both have {both.pop()!r}")
    return changed


def spelled(actions: Iterable[Action]) -> tuple[Action, ...]:
    """The table for a terminal without arrows: there a ↓ would look like the letter v."""
    return tuple(replace(action, shown=_spelled(action.shown)) for action in actions)


def _spelled(shown: str) -> str:
    for sign, word in SPELLED.items():
        shown = shown.replace(sign, word)
    return shown


def _with_keys(action: Action, wanted: str) -> Action:
    keys = tuple(_key_name(key.strip()) for key in wanted.split(",") if key.strip())
    if not keys:
        raise ValueError(f"keys: {action.id!r} needs at least one key")
    return replace(action, keys=keys, shown=" ".join(map(_shown, keys)))


def _key_name(key: str) -> str:
    """As Textual names it: "?" is "question_mark"."""
    if len(key) != 1 or key.isalnum():
        return key
    return unicodedata.name(key, key).lower().replace("-", "_").replace(" ", "_")


def _shown(key: str) -> str:
    if key in SIGNS:
        return SIGNS[key]
    *held, last = key.split("+")
    last = SIGNS.get(last, last.upper() if "ctrl" in held and len(last) == 1 else last)
    return "".join({"ctrl": "^", "shift": "⇧"}.get(one, f"{one}+") for one in held) + last
