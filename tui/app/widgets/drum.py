"""The drum: every search and seed as a strip of rounds, and the step that the present one is in."""

from __future__ import annotations

from rich.text import Text

from store.live import Lane, Round
from tui.app.look import ACCENT, DIM, STRONG, note, series
from tui.app.widgets.panel import Kind, Scene
from tui.app.wording import percent
from tui.plain import plain

QUARTERS = {"train": "◐", "prune": "◓", "overlap": "◑", "rewind": "◒"}
"""The drum makes a turn a round, a quarter a step."""

STEPS = ("train", "prune", "overlap", "rewind")
_STEPS_WIDTH = len(" → ".join(STEPS))
_WORD_WIDTH = 8  # of "waiting", and one more


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    """A heading, then a line for each search and seed; the one in focus is marked and always in sight."""
    lanes = scene.view.lanes
    if not lanes:
        return note("this run trains arms only: there is no search", width)
    name = min(max(6, *(len(lane.search) for lane in lanes)), 16)
    around = 2 + name + 7 + 8 + 10
    longest = max(max(lane.planned or 0, len(lane.done) + 1) for lane in lanes)
    inline = width - around - longest >= _STEPS_WIDTH
    strip = max(6, min(longest, width - around - (_STEPS_WIDTH if inline else _WORD_WIDTH)))
    chosen = next((i for i, lane in enumerate(lanes) if _in_focus(lane, scene)), 0)
    airy = len(lanes) + len({lane.search for lane in lanes}) <= height
    rows: list[Text] = []
    at = 0
    for i, lane in enumerate(lanes):
        first = i == 0 or lanes[i - 1].search != lane.search
        if first and i and airy:
            rows.append(Text())
        if i == chosen:
            at = len(rows)
        rows.append(_row(lane, scene, i == chosen, name if first else -name, strip, inline))
    head = Text(f"  {'search':<{name}} seed  {'rounds':<{strip}}         sparsity  step", DIM, no_wrap=True)
    top = min(max(0, at - (height - 2)), max(0, len(rows) - (height - 1)))
    lines = [head, *rows[top:]]
    if not inline and len(lines) + 2 <= height:
        lane = lanes[chosen]
        lead = f"  {plain(lane.search)} seed {lane.seed}, round {lane.rounds[-1].round}: " if lane.rounds else "  "
        lines += [Text(), Text(lead, DIM) + _step(lane, scene, True)]
    return lines


def _row(lane: Lane, scene: Scene, chosen: bool, name: int, strip: int, inline: bool) -> Text:
    """`name` is the width of the search's name, negative where the line above has said it."""
    strong = STRONG if chosen else ""
    row = Text.assemble(("▸ " if chosen else "  ", ACCENT), no_wrap=True)
    shown = plain(lane.search, abs(name)) if name > 0 or chosen else ""
    row.append(shown.ljust(abs(name)), f"{strong} {series(lane.colour)}")
    row.append(f" {lane.seed!s:>4}  ", strong)
    row.append_text(_strip(lane, strip))
    planned = "?" if lane.planned is None else str(lane.planned)
    row.append(f"  {len(lane.done):>2}/{planned:<3} ", strong)
    row.append(f"{percent(lane.done[-1].sparsity if lane.done else 0.0):>8}  ", strong)
    return row.append_text(_step(lane, scene, inline))


def _strip(lane: Lane, width: int) -> Text:
    """One mark a round: done, turning, to come. Where there is no room for all, the oldest and the last go."""
    colour = series(lane.colour)
    marks = [("●", colour)] * len(lane.done)
    if (now := _now(lane)) is not None:
        marks.append((QUARTERS.get(now.step, "◐"), f"bold {colour}"))
    here = len(marks)
    marks += [("·", DIM)] * max(0, (lane.planned or 0) - here)
    if len(marks) > width:
        start = max(0, min(here - width // 2, len(marks) - width))
        cut = marks[start : start + width]
        if start:
            cut[0] = ("…", DIM)
        if start + width < len(marks):
            cut[-1] = ("…", DIM)
        marks = cut
    return Text.assemble(*marks, " " * (width - len(marks)))


def _step(lane: Lane, scene: Scene, whole: bool) -> Text:
    now = _now(lane)
    live = scene.view.run.state == "running"
    if lane.state == "done":
        return Text.assemble(("done", DIM))
    if now is None:
        return Text.assemble(("waiting" if live else scene.view.run.state, DIM))
    if now.round == 0:
        return Text.assemble(("to rewind point" if whole else "rewind", ACCENT))
    if not whole:
        return Text.assemble((now.step, ACCENT if live else DIM))
    text = Text()
    for i, step in enumerate(step for step in STEPS if step != "overlap" or lane.members > 1):
        text.append(" → " if i else "", DIM)
        text.append(step, f"bold {ACCENT if live else DIM} underline" if step == now.step else DIM)
    return text


def _now(lane: Lane) -> Round | None:
    """The round that has begun and not ended."""
    if lane.state == "done" or not lane.rounds or lane.rounds[-1].step == "done":
        return None
    return lane.rounds[-1]


def _in_focus(lane: Lane, scene: Scene) -> bool:
    turn = scene.view.turn
    return turn is not None and lane.key == (turn.search, turn.seed)


def _part(scene: Scene) -> object:
    turn = scene.view.turn
    return scene.view.lanes, scene.view.run.state, turn and (turn.search, turn.seed)


DRUM = Kind("drum", lambda scene: "drum", _part, draw)
