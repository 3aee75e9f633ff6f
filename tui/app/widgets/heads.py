"""Lines at the head and foot of a screen: what is shown, how far it is, what keys do."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from rich.text import Text

from store.live import Run
from tui import cells
from tui.app.actions import ACTIONS, Action, Place, of
from tui.app.look import ACCENT, ALARM, ALERT, DIM, KEY, STATES, STRONG
from tui.app.wording import duration, moment, percent, plural
from tui.cells import cut_before
from tui.plain import plain


def title_line(place: str, right: str, width: int) -> Text:
    """The first line of a screen."""
    line = Text.assemble(("Tombola", f"bold {ACCENT}"), ("  ", ""), (plain(place), STRONG), no_wrap=True)
    room = width - line.cell_len - 2
    if room > 8:
        line.append(cells.right(cut_before(plain(right), room), width - line.cell_len), DIM)
    return line


def short_path(path: Path) -> str:
    """A path as people write it, with ~ for their home."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) and path != home else str(path)


def idle_calls(run: Run | None) -> tuple[str, ...]:
    """Actions that a run in this state does not take."""
    if run is None:
        return ("open", "stop", "pause", "resume")
    return ("resume",) if run.state == "running" else ("stop", "pause") + (("resume",) * (run.state == "finished"))


def run_lines(run: Run, width: int, alerts: int = 0) -> list[Text]:
    """Three lines: what and which, with a count of alerts; how far; and what it is doing or why it does not."""
    glyph, style = STATES.get(run.state, ("?", ""))
    first = Text.assemble((f"{glyph} {run.state}", f"bold {style}"), "  ", (plain(run.id), STRONG), "  ", no_wrap=True)
    told = f"  {ALERT} {plural(alerts, 'alert')}" if alerts else ""
    first.append(plain(run.title, max(width - first.cell_len - len(told), 1)))
    if told:
        first.append(" " * (width - first.cell_len - len(told)) + told, ALARM)
    return [first, progress_line(run, width), doing_line(run, width)]


def progress_line(run: Run, width: int) -> Text:
    """A bar over the whole line, with figures at its right end."""
    words = f"{percent(run.fraction, 0):>5}  {duration(run.seconds)}"
    if run.state == "running":
        words += f", {duration(run.seconds_left)} left" if run.seconds_left is not None else ""
    words += f"  {plain(run.device, 12)}"
    room = max(width - cells.width(words) - 1, 4)
    done = round(run.fraction * room)
    _, style = STATES.get(run.state, ("?", ""))
    return Text.assemble(("━" * done, style), ("─" * (room - done), DIM), " ", words, no_wrap=True)


def doing_line(run: Run, width: int) -> Text:
    if run.state == "running":
        return Text(plain(run.doing or "the engine is starting", width), DIM, no_wrap=True)
    words = {
        "paused": "paused: it can be resumed from there",
        "stopped": "stopped: it can be resumed from there",
        "finished": f"finished; started {moment(run.created, '%Y-%m-%d %H:%M')}",
        "failed": "failed",
        "lost": "the engine has gone without a word: the run can be resumed from its last checkpoint",
    }.get(run.state, run.state)
    if run.message:
        words += f" · {run.message}"
    return Text(plain(words, width), STATES.get(run.state, ("", ""))[1] if run.state in ("failed", "lost") else DIM)


def key_line(
    place: Place,
    width: int,
    idle: Container[str] = (),
    own: Mapping[str, str] | None = None,
    actions: Iterable[Action] = ACTIONS,
) -> Text:
    """What keys do here, as many as fit; the last two, help and leave, always. `idle`: what cannot act now; `own`: what
    comes after the way back and before all else, in these words."""
    own = own or {}
    always = [action for action in of("anywhere", actions) if action.label]
    ends = [_key(action.shown, action.label) for action in always]
    reserved = sum(end.cell_len + 2 for end in ends)
    line = Text(no_wrap=True)
    there = {action.call: (action.shown, own.get(action.call, action.label)) for action in of(place, actions)}
    for call in dict.fromkeys(["back", *own, *there]):
        shown, label = there.get(call, ("", ""))
        if not label or call in idle:
            continue
        key = _key(shown, label)
        if line.cell_len + key.cell_len + 2 + reserved > width:
            break
        line.append_text(key).append("  ")
    for end in ends:
        line.append_text(end).append("  ")
    line.rstrip()
    return line


def _key(shown: str, label: str) -> Text:
    return Text.assemble((shown.split()[0], KEY), " ", (label, DIM))
