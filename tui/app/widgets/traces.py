"""Traces of a round's trainings over their steps: how far masks move, by layer where it is known, how gradients flow,
there and in the arms that train its ticket.

A plot for each kind; where there is no room for all, some, and a line says how to see the others.
"""

from __future__ import annotations

import math

from rich.text import Text

from store.viewing import Trace, Turn
from tui.app.look import DIM, note
from tui.app.widgets.panel import Kind, Scene
from tui.app.widgets.plot import plot
from tui.app.wording import layer_name, plural
from tui.blocks import beside
from tui.drawing import Series
from tui.plain import plain
from tui.questions import natural
from tui.traces import DISTANCE, MOST, axis, families, number, scaled, thresholds

BESIDE = 120
"""Columns from which two plots stand side by side."""

LEAST_PLOT = 12
"""Rows of a plot with its labels and a legend of many layers; with fewer it says nothing."""


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    turn = scene.view.turn
    if turn is None:
        return note("nothing has been trained yet", width)
    if not turn.traces:
        return note(f"no hook has left a trace in round {turn.round} of {turn.search}, seed {turn.seed}", width)
    kinds = _kinds(turn)
    across, down = _grid(kinds, width, height)
    first = max(0, min(scene.trace, len(kinds) - across * down))
    shown, left = kinds[first:][: across * down], len(kinds) > across * down
    room = height - left
    rows: list[Text] = []
    for line in range(down):
        high = (room + line) // down
        plots = [_plot(turn, kind, (width + 2) // across - 2, high) for kind in shown[line * across :][:across]]
        rows += beside(plots, (width + 2) // across)
    if left:
        others = ", ".join(kind for kind in kinds if kind not in shown)
        rows.append(Text(plain(f"PgUp, PgDn: {others}", width), DIM))
    return rows


def _scrolled(scene: Scene, width: int, height: int, pages: int) -> dict[str, int]:
    """The first kind that is shown after going `pages` back."""
    kinds = _kinds(scene.view.turn) if scene.view.turn is not None else []
    across, down = _grid(kinds, width, height)
    return {"trace": max(0, min(scene.trace - pages, len(kinds) - across * down))}


def _kinds(turn: Turn) -> list[str]:
    return list(families(trace.kind for trace in turn.traces))


def _grid(kinds: list[str], width: int, height: int) -> tuple[int, int]:
    """Plots side by side, and rows of them."""
    across = 2 if width >= BESIDE and len(kinds) > 1 else 1
    return across, max(1, min(-(-len(kinds) // across), height // LEAST_PLOT))


def _plot(turn: Turn, kind: str, width: int, height: int) -> list[Text]:
    """A kind, and variants of it beside it; a line each layer and member, or arm."""
    variants = families(trace.kind for trace in turn.traces)[kind]
    own = [trace for trace in turn.traces if trace.kind in variants]
    layers = sorted(dict.fromkeys(trace.layer for trace in own), key=natural)
    own.sort(key=lambda trace: (variants.index(trace.kind), layers.index(trace.layer)))
    several = any(trace.arm for trace in own)
    left = len(own) - MOST
    lines = scaled(kind, [_line(trace, turn, kind, several, place) for place, trace in enumerate(own[:MOST])])
    label, limits = axis(kind)
    label += f"; {plural(left, 'more line')} not drawn" if left > 0 else ""
    across = thresholds(lines, [turn.epsilon] if kind == DISTANCE and turn.epsilon is not None else [])
    return plot([*lines, *across], width, height, x_label="step", y_label=label, y_limits=limits)


def _line(trace: Trace, turn: Turn, kind: str, several: bool, colour: int) -> Series:
    """`several`: whether trainings of arms are beside it."""
    values = [math.nan if value is None else value for value in trace.values]
    name = [trace.kind.removeprefix(kind).strip()] if trace.kind != kind else []
    name += [layer_name(trace.layer)] if trace.layer else []
    name += [f"member {trace.member}"] if turn.members > 1 and not trace.arm else []
    name = [trace.arm, *name] if trace.arm else name or [turn.search if several else "whole network"]
    return Series(" ".join([*name, number(trace.values[-1])]), trace.steps, values, colour=colour)


def heading(scene: Scene) -> str:
    turn = scene.view.turn
    return "traces" if turn is None else f"traces · {turn.search} seed {turn.seed} round {turn.round}"


def _part(scene: Scene) -> object:
    turn = scene.view.turn
    return scene.trace, turn and (turn.search, turn.seed, turn.round, turn.members, turn.traces, turn.epsilon)


TRACES = Kind(
    "traces",
    heading,
    _part,
    draw,
    lambda scene: scene.view.turn is not None and bool(scene.view.turn.traces),
    turns={"scroll": _scrolled},
)
