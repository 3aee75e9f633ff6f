"""The drum: every search and seed as a strip of rounds, and the step that the present one is in.

Where there is room below, each round of the one in focus has a line: what was trained, pruned, how far the members
agreed, and where the weights went back to.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from rich.text import Text

from store.live import Lane, Round
from store.viewing import Past, Turn
from tui.app.look import ACCENT, DIM, STRONG, note, series
from tui.app.widgets.panel import Kind, Scene
from tui.app.wording import DASH, count, duration, percent, plural
from tui.cells import left
from tui.cells import width as width_of
from tui.plain import plain

QUARTERS = {"train": "◐", "prune": "◓", "overlap": "◑", "rewind": "◒"}
"""The drum makes a turn a round, a quarter a step."""

STEPS = ("train", "prune", "overlap", "rewind")
_STEPS_WIDTH = len(" → ".join(STEPS))
_WORD_WIDTH = 8  # of "waiting", and one more

LEAST_ROUNDS = 4
"""Lines below the strips, from which on rounds are told: a heading and some of them."""


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    """A heading, then a line for each search and seed; the one in focus is marked and always in sight. Its rounds
    below, where there is room for some."""
    lanes = scene.view.lanes
    if not lanes:
        return note("this run trains arms only: there is no search", width)
    name = min(max(6, *(width_of(plain(lane.search)) for lane in lanes)), 16)
    around = 2 + name + 7 + 8 + 10
    longest = max(max(lane.planned or 0, len(lane.done) + 1) for lane in lanes)
    inline = width - around - longest >= _STEPS_WIDTH
    strip = max(6, min(longest, width - around - (_STEPS_WIDTH if inline else _WORD_WIDTH)))
    chosen = next((i for i, lane in enumerate(lanes) if _in_focus(lane, scene)), 0)
    tight, loose = 1 + len(lanes), len(lanes) + len({lane.search for lane in lanes})
    # Air between searches gives way to rounds, where these have room for nothing else.
    rounds = scene.view.turn is not None and height - tight > LEAST_ROUNDS
    airy = loose <= height and (not rounds or height - loose > LEAST_ROUNDS)
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
    left = height - len(lines) - 1
    if scene.view.turn is not None and left >= LEAST_ROUNDS:
        return [*lines, Text(), *_rounds(scene.view.turn, lanes[chosen], scene, width, left)]
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
    row.append(left(shown, abs(name)), f"{strong} {series(lane.colour)}")
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


# Rounds


@dataclass(frozen=True)
class _Column:
    """`wanted`: the less, the sooner it goes where there is no room for all."""

    head: str
    tell: Callable[[Past], str]
    wanted: int = 9


def _rounds(turn: Turn, lane: Lane, scene: Scene, width: int, height: int) -> list[Text]:
    """A heading and a line for each round, the newest below; the one in focus is marked and always in sight."""
    columns = _columns(turn, width - 2)
    cells = [[column.tell(past) for column in columns] for past in turn.rounds]
    sizes = [max(len(row[i]) for row in [[c.head for c in columns], *cells]) for i in range(len(columns))]
    lead = Text("  " + _line([column.head for column in columns], sizes), DIM, no_wrap=True)
    rows: list[Text] = []
    at = 0
    for past, row in zip(turn.rounds, cells, strict=True):
        here = past.round == turn.round
        at = len(rows) if here else at
        now = past.step != "done" and scene.view.run.state == "running"
        line = Text.assemble(("▸ " if here else "  ", ACCENT), no_wrap=True)
        rows.append(line.append(_line(row, sizes), STRONG if here else ACCENT if now else ""))
    room = height - 1
    top = max(0, min(at - room // 2, len(rows) - room))
    return [lead, *rows[top : top + room]]


def _line(cells: list[str], sizes: list[int]) -> str:
    return "  ".join(f"{cell:>{size}}" for cell, size in zip(cells, sizes, strict=True))


def _columns(turn: Turn, width: int) -> list[_Column]:
    """What is told of rounds, without what there is no room for, and without overlap where nothing overlaps."""
    overlaps = {number: (iou, chance) for number, sets, iou, chance in turn.overlaps_by_round if sets == "removed"}
    columns = [
        _Column("round", lambda past: str(past.round)),
        _Column("trained", _trained),
        _Column("images", lambda past: count(past.images) if past.images or past.step == "done" else DASH, wanted=1),
        _Column("removed", lambda past: DASH if past.removed is None else count(past.removed), wanted=3),
        _Column("sparsity", lambda past: percent(past.sparsity) if past.removed is not None else DASH),
    ]
    if overlaps:
        columns += [
            _Column("agree", lambda past: _figure(overlaps.get(past.round, (None, None))[0])),
            _Column("chance", lambda past: _figure(overlaps.get(past.round, (None, None))[1])),
        ]
    columns += [
        _Column("rewound to", lambda past: DASH if past.start_step is None else f"step {past.start_step}", wanted=2),
        _Column("time", lambda past: duration(past.seconds if past.seconds or past.step == "done" else None), wanted=4),
    ]

    def needed() -> int:
        return sum(2 + max(len(text) for text in (c.head, *map(c.tell, turn.rounds))) for c in columns) - 2

    while len(columns) > 2 and needed() > width:
        columns.remove(min(columns, key=lambda column: column.wanted))
    return columns


def _trained(past: Past) -> str:
    """What was trained; a round that is not done says at which step it is."""
    what = "to rewind point" if past.round == 0 else plural(past.epochs, "epoch")
    what = what if past.members == 1 else f"{past.members} × {what}"
    return what if past.step == "done" else f"{past.step}: {what}"


def _figure(value: float | None) -> str:
    return DASH if value is None else f"{value:.2f}"


def _part(scene: Scene) -> object:
    turn = scene.view.turn
    rounds = turn and (turn.search, turn.seed, turn.round, turn.rounds, turn.overlaps_by_round)
    return scene.view.lanes, scene.view.run.state, rounds


DRUM = Kind("drum", lambda scene: "drum", _part, draw)
