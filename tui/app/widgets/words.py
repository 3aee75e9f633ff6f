"""The log and its verdicts, under what stays in sight: why the engine has gone, and every alert, the newest first."""

from __future__ import annotations

from rich.text import Text

from store.viewing import LOG_LINES
from tui.app.look import ALARM, ALERT, DIM, LEVELS, STATES, note
from tui.app.widgets.panel import Kind, Scene
from tui.app.wording import moment, plural, verdict
from tui.cells import left, wrap
from tui.cells import width as width_of
from tui.plain import plain

SHOWN = ("all", "warnings and errors", "alerts only")
"""Which lines are shown; alerts always are."""

LOUD = ("warning", "error")

LEAST_LOG = 3
"""Lines that the log keeps under alerts, however many these are."""


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    """What stays in sight, a rule, and the newest lines that fit, `scene.log_back` lines back."""
    above = _above(scene, width, height)
    room = height - len(above)
    rows = _rows(scene, width, scene.log_back + room)
    if not rows:
        return [*above, *_nothing(scene, bool(above), width)]
    back = min(scene.log_back, max(len(rows) - room, 0))
    if SHOWN[scene.level] == "alerts only":
        return [*above, *rows[back : back + room]]
    end = len(rows) - back
    return [*above, *rows[max(0, end - room) : end]]


def _above(scene: Scene, width: int, height: int) -> list[Text]:
    """Why the engine has gone, and alerts as far as they leave the log some lines."""
    gone = _gone(scene, width, height)
    if SHOWN[scene.level] == "alerts only":
        return gone
    alerts = _alerts(scene, width)
    room = max(height - LEAST_LOG - 1 - len(gone), 1)
    if len(alerts) > room:
        alerts = [
            *alerts[: room - 1],
            Text(f"{ALERT} {len(scene.view.alerts)} in all: e shows them alone", ALARM),
        ]
    rule = [Text("─" * width, DIM, no_wrap=True)] if gone or alerts else []
    return [*gone, *alerts, *rule]


def _gone(scene: Scene, width: int, height: int) -> list[Text]:
    """An engine that has gone or failed: when and at what, its last words, and what can be done."""
    run, last = scene.view.run, scene.view.last
    if last is None:
        return []
    glyph, style = STATES[run.state]
    first = "the engine has gone" if run.state == "lost" else "the engine failed"
    doing = f", at {plain(last.doing)}" if last.doing else ""
    words = f"{glyph} {first}; last sign of life {plain(moment(last.heartbeat))}{doing}"
    rows = [Text(line, f"bold {style}") for line in wrap(words, max(width, 12))]
    printed = last.printed or ((last.words,) if last.words else ())
    for line in printed[-max(height // 3, 1) :]:
        rows.append(Text.assemble(("  │ ", DIM), plain(line.rstrip(), max(width - 4, 1)), no_wrap=True))
    ended = sum(len(lane.done) for lane in scene.view.lanes)
    return rows + note(f"r resumes from its last checkpoint; {plural(ended, 'round')} so far stay", width)


def _alerts(scene: Scene, width: int) -> list[Text]:
    rows = []
    for alert in reversed(scene.view.alerts):
        rows += _entry(moment(alert.at), f"{ALERT} {plain(alert.level)}: {plain(alert.message)}", ALARM, width)
    return rows


def _rows(scene: Scene, width: int, most: int) -> list[Text]:
    """What there is to scroll through: alerts alone, or the last lines of the log, `most` or more where it has them."""
    shown = SHOWN[scene.level]
    if shown == "alerts only":
        return _alerts(scene, width)
    entries = [
        (moment(line.at), f"{line.level}: {line.message}" if line.level in LOUD else line.message, line.level)
        for line in scene.view.log
        if shown == "all" or line.level in LOUD
    ]
    if len(scene.view.log) >= LOG_LINES:
        entries.insert(0, ("", f"older lines: tombola log {scene.view.run.id}", ""))
    for check in scene.view.checks if shown == "all" else ():
        if not check.part:  # parts are among the questions
            entries.append((f"{verdict(check.verdict):<11}", check.sentence, ""))
    found: list[list[Text]] = []
    count = 0
    for lead, message, level in reversed(entries):  # a long log is not wrapped for the sake of its end
        if count >= most:
            break
        found.append(_entry(lead, plain(message), LEVELS.get(level, ""), width))
        count += len(found[-1])
    return [row for rows in reversed(found) for row in rows]


def _nothing(scene: Scene, above: bool, width: int) -> list[Text]:
    words = {
        "all": "nothing has been logged yet",
        "warnings and errors": "no warning or error has been logged",
        "alerts only": "" if above else "there is no alert",
    }[SHOWN[scene.level]]
    return note(words, width)


def _entry(lead: str, message: str, style: str, width: int) -> list[Text]:
    lead = left(plain(lead), 8)
    pieces = wrap(message, max(width - width_of(lead) - 2, 12)) or [""]
    return [
        Text.assemble((lead if i == 0 else " " * width_of(lead), DIM), "  ", (piece, style))
        for i, piece in enumerate(pieces)
    ]


def _scrolled(scene: Scene, width: int, height: int, pages: int) -> dict[str, int]:
    """Back in the log; alerts, of which the newest is first, go the other way."""
    room = height - len(_above(scene, width, height))
    step = pages * max(room - 1, 1) * (-1 if SHOWN[scene.level] == "alerts only" else 1)
    most = max(len(_rows(scene, width, scene.log_back + abs(step) + room)) - room, 0)
    return {"log_back": max(0, min(min(scene.log_back, most) + step, most))}


def _other_level(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int]:
    return {"level": (scene.level + by) % len(SHOWN), "log_back": 0}


def heading(scene: Scene) -> str:
    words = "log" if scene.level == 0 else f"log, {SHOWN[scene.level]}"
    alerts = len(scene.view.alerts)
    return f"{words} · {plural(alerts, 'alert')}" if alerts else words


def _part(scene: Scene) -> object:
    view = scene.view
    return view.log, view.alerts, view.checks, view.last, view.run.state, scene.level, scene.log_back


LOG = Kind("log", heading, _part, draw, turns={"scroll": _scrolled, "level": _other_level})
