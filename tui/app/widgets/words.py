"""The log, with alerts and verdicts where they belong in time."""

from __future__ import annotations

import textwrap

from rich.text import Text

from tui.app.look import DIM, LEVELS, note
from tui.app.widgets.panel import Kind, Scene
from tui.app.wording import moment
from tui.plain import plain
from tui.questions import verdict


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    """The newest lines that fit, `scene.log_back` lines back; verdicts close the log."""
    rows: list[Text] = []
    entries = [(line.at, line.level, line.message, False) for line in scene.view.log]
    entries += [(alert.at, alert.level, alert.message, True) for alert in scene.view.alerts]
    for at, level, message, alert in sorted(entries, key=lambda entry: entry[0]):
        style = "color(208)" if alert else LEVELS.get(level, "")
        word = f"{plain(level)}: " if alert or level in ("warning", "error") else ""
        rows += _entry(moment(at), word + plain(message), style, width)
    for check in scene.view.checks:
        if not check.part:  # parts are among the questions
            rows += _entry(f"{verdict(check):<11}", plain(check.sentence), "", width)
    if not rows:
        return note("nothing has been logged yet", width)
    end = len(rows) - min(scene.log_back, max(len(rows) - height, 0))
    return rows[max(0, end - height) : end]


def _entry(lead: str, message: str, style: str, width: int) -> list[Text]:
    lead = lead.ljust(8)
    pieces = textwrap.wrap(message, max(width - len(lead) - 2, 12)) or [""]
    return [
        Text.assemble((lead if i == 0 else " " * len(lead), DIM), "  ", (piece, style))
        for i, piece in enumerate(pieces)
    ]


def _scrolled(scene: Scene, _width: int, height: int, pages: int) -> dict[str, int]:
    return {"log_back": max(0, scene.log_back + pages * max(height - 1, 1))}


LOG = Kind(
    "log",
    lambda scene: "log",
    lambda scene: (scene.view.log, scene.view.alerts, scene.view.checks, scene.log_back),
    draw,
    turns={"scroll": _scrolled},
)
