"""Curves of a round's members, epoch by epoch, and what they read where the cursor stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from rich.text import Text

from store.viewing import Curve, Turn
from tui.app.look import ACCENT, note
from tui.app.widgets.panel import Kind, Scene
from tui.app.widgets.plot import plot
from tui.app.wording import DASH, count, duration
from tui.colours import COLOURS
from tui.curves import (
    AXES,
    MEASURES,
    SMOOTHING,
    Line,
    Measure,
    Stretch,
    Window,
    along,
    extent,
    fitted,
    holding,
    in_a_row,
    lines,
    logarithmic,
    moved,
    panned,
    reached,
    reached_in,
    shifted,
    smoothed,
    stretch_at,
    thinned,
    timed,
    zoomed,
)
from tui.drawing import Series, log_ticks, ticks
from tui.plain import plain

_UNITS = ((7200, 3600.0, "hours"), (300, 60.0, "minutes"), (0, 1.0, "seconds"))
"""Units of time: from how many seconds on, how many they are, and what they are called."""


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    turn = scene.view.turn
    if turn is None:
        return note("nothing has been trained yet", width)
    axis, excuse = _axis(scene, turn)
    row = in_a_row(_rounds(scene, turn), axis)
    if not row:
        return note(f"round {turn.round} of {turn.search}, seed {turn.seed}, waits for its first epoch", width)
    window, cursor, measure = fitted(scene.window, extent(row)), scene.cursor, MEASURES[scene.measure]
    low, high = _limits(row, axis, window)
    drawn: dict[tuple[int, int], list[Line]] = {}
    for stretch in row:
        for line in lines(stretch.curves, measure, axis):
            drawn.setdefault((line.member, measure.figures.index(line.figure)), []).append(shifted(line, stretch))
    log = scene.log and all(line.positive for several in drawn.values() for line in several)
    seen = low, high
    series = [one for _, several in sorted(drawn.items()) for one in _series(several, scene, turn, log, seen, width)]
    head = [] if cursor is None else [Text(plain(_reading(row, cursor, scene.rounds), width), ACCENT, no_wrap=True)]
    marks, name = _ticks(row, axis, low, high, width)
    bounds: dict[str, Any] = {"y_ticks": log_ticks} if log else {}
    if not log and window is None:
        bounds = {"y_limits": (None, 100.0) if measure.accuracy else (0.0, None)}
    texts = head + plot(
        series,
        width,
        height - len(head),
        x_label=name + excuse + ("" if window is None else f", {_share(row, window)}"),
        y_label=_words(scene, turn, log),
        x_limits=(low, high),
        x_ticks=marks,
        cursor=None if cursor is None else reached_in(row, axis, cursor),
        **bounds,
    )
    return texts[:height]


def _rounds(scene: Scene, turn: Turn) -> list[tuple[int, tuple[Curve, ...]]]:
    return [*(turn.before if scene.rounds else ()), (turn.round, turn.curves)]


def _row(scene: Scene) -> list[Stretch]:
    """The rounds that are seen, by epoch."""
    return in_a_row(_rounds(scene, scene.view.turn), "epoch") if scene.view.turn else []


def _axis(scene: Scene, turn: Turn) -> tuple[str, str]:
    """The axis that can be drawn, and what is to be said where that is not what was asked for."""
    if AXES[scene.axis] == "time" and not timed([curve for _, curves in _rounds(scene, turn) for curve in curves]):
        return "epoch", "; its time is not known: trained by another run"
    return AXES[scene.axis], ""


def _limits(row: list[Stretch], axis: str, window: Window | None) -> tuple[float, float]:
    """From where to where an axis is seen."""
    if window is not None:
        return reached_in(row, axis, window[0]), reached_in(row, axis, window[1])
    last = row[-1]
    if axis == "time":
        return 0.0, last.place + max(curve.seconds[-1] for curve in last.curves)
    return 0.0, last.place + max(reached(curve, axis, curve.epochs) for curve in last.curves)


def _ticks(row: list[Stretch], axis: str, low: float, high: float, width: int) -> tuple[list[tuple[float, str]], str]:
    """Ticks and the name of the axis: of rounds, where several begin in sight, else of the round in the middle."""
    unit, name = 1.0, axis
    if axis == "time":
        unit, name = next((unit, name) for least, unit, name in _UNITS if high - low >= least)
    begins = [(stretch.place, str(stretch.round)) for stretch in row if low <= stretch.place < high]
    if len(begins) > 1:
        return begins, "round" if axis == "epoch" else f"round, by {name}"
    place = next((stretch.place for stretch in reversed(row) if stretch.place <= (low + high) / 2), 0.0)
    found = ticks((low - place) / unit, (high - place) / unit, max(width // 8, 2), axis != "time")
    return [(place + unit * at, label) for at, label in found], name


def _series(several: list[Line], scene: Scene, turn: Turn, log: bool, seen: Window, width: int) -> list[Series]:
    """A figure of a member as it is drawn, round by round: its raw values beneath it, its mark under the cursor, and at
    last its name with a value in it. Of the rounds before the last, only the ends are marked."""
    measure, weight = MEASURES[scene.measure], SMOOTHING[scene.smooth]
    lies: Callable[[Line], Line] = logarithmic if log else lambda line: line
    smooth = [smoothed(line, weight) for line in several]
    line = several[-1]
    at = scene.cursor if scene.cursor is not None else line.epochs[-1] if line.epochs else 0
    label = f"{_name(line, measure, turn)} {_value(_at(several, at), measure)}"
    if weight and _at(several, at) is not None:
        label += f", smooth {_value(_at(smooth, at), measure)}"
    colour = line.member + turn.members * measure.figures.index(line.figure)
    series = []
    for raw, mean in zip(several, smooth, strict=True):
        last = raw is line
        if weight and len(measure.figures) == 1:
            under = lies(thinned(raw, *seen, 2 * width))
            series.append(Series("", under.xs, under.ys, colour=colour, dotted=True))
        over = lies(thinned(mean, *seen, 2 * width))
        series.append(Series(label if last else "", over.xs, over.ys, colour=colour, marked=last))
        marked = [] if last else list(mean.epochs[-1:])
        for epoch in [*marked, *([] if scene.cursor is None else [scene.cursor])]:
            point = lies(mean.only(epoch))
            series.append(Series("", point.xs, point.ys, colour=colour))
    return series


def _at(several: list[Line], epoch: int) -> float | None:
    return next((value for line in several if (value := line.at(epoch)) is not None), None)


def _name(line: Line, measure: Measure, turn: Turn) -> str:
    if len(measure.figures) > 1:
        figure = "validation" if line.figure.startswith("validation") else "training"
        return f"member {line.member}, {figure}" if turn.members > 1 else figure
    segment = next(curve.segment for curve in turn.curves if curve.member == line.member)
    return f"member {line.member}, {segment}" if turn.members > 1 else segment or "all data"


def _value(value: float | None, measure: Measure) -> str:
    if value is None:
        return DASH
    if not math.isfinite(value):
        return "not finite"
    return f"{value:.1f} %" if measure.accuracy else f"{value:.3f}" if value >= 0.1 else f"{value:.3g}"


def _words(scene: Scene, turn: Turn, log: bool) -> str:
    """What the vertical axis is of, and how it is shown."""
    measure = MEASURES[scene.measure]
    # A member that sees some classes only is measured on those: never on one axis with accuracy over all.
    own = measure.accuracy and any("class" in curve.segment for curve in turn.curves)
    words = measure.words + " over its own classes" * own + ", %" * measure.accuracy
    if scene.log:
        words += ", log axis" if log else ", no log axis: a value is 0"
    return words + f", smoothed {SMOOTHING[scene.smooth]:g}" * bool(scene.smooth)


def _epoch(place: float) -> str:
    """Three digits, or whole epochs."""
    return f"{place:.3g}" if place < 999.5 else f"{place:.0f}"


def _share(row: list[Stretch], window: Window) -> str:
    first, last = (stretch_at(row, epoch) for epoch in window)
    if len(row) == 1:
        return f"{_epoch(window[0])} to {_epoch(window[1])} of {extent(row)} epochs"
    if first is last:
        return f"{_epoch(window[0] - first.epochs)} to {_epoch(window[1] - first.epochs)} of round {first.round}"
    return f"{first.round} to {last.round} of {row[-1].round}"


def _reading(row: list[Stretch], cursor: int, rounds: bool) -> str:
    """Where the cursor stands on every axis; from the least to the most, where members differ."""
    stretch = stretch_at(row, cursor)
    epoch = cursor - stretch.epochs
    words = [f"round {stretch.round}"] if rounds else []
    words.append(f"epoch {epoch} of {max(curve.epochs for curve in stretch.curves)}")
    there = [curve for curve in stretch.curves if epoch in curve.epoch]
    if not there:
        return " · ".join(words) + " has not come yet"
    places = {axis: [along(one, axis)[one.epoch.index(epoch)] for one in there] for axis in ("step", "images", "time")}
    words.append(f"step {_range(places['step'], count)}")
    words.append(f"{_range(places['images'], count)} images")
    if timed(there):
        words.append(_range(places["time"], lambda s: f"{s:.1f} s" if s < 60 else duration(s)))
    return " · ".join(words)


def _range(values: list[float], words: Callable[[float], str]) -> str:
    low, high = words(min(values)), words(max(values))
    return low if low == high else f"{low} to {high}"


def heading(scene: Scene) -> str:
    turn = scene.view.turn
    if turn is None:
        return "members"
    rounds = f"rounds {turn.before[0][0]} to {turn.round}" if scene.rounds and turn.before else f"round {turn.round}"
    return f"members · {turn.search} seed {turn.seed} {rounds}"


def _part(scene: Scene) -> object:
    turn = scene.view.turn
    looked = scene.measure, scene.axis, scene.log, scene.smooth, scene.rounds, scene.cursor, scene.window
    return looked, turn and (turn.search, turn.seed, turn.round, turn.curves, turn.before)


# What keys do

_NOTHING = "there is no curve yet"
_ALL = "all epochs are in sight: + shows fewer of them"


def _other_measure(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int]:
    """The next; not both figures of more members than there are colours for."""
    members = scene.view.turn.members if scene.view.turn else 1
    told = [place for place, one in enumerate(MEASURES) if len(one.figures) == 1 or 2 * members <= len(COLOURS)]
    at = told.index(scene.measure) if scene.measure in told else -1
    return {"measure": told[(at + by) % len(told)]}


def _other_axis(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int]:
    return {"axis": (scene.axis + by) % len(AXES)}


def _other_scale(scene: Scene, _width: int, _height: int, _by: int) -> dict[str, bool] | str:
    turn, measure = scene.view.turn, MEASURES[scene.measure]
    if not scene.log and turn and not all(line.positive for line in lines(turn.curves, measure, "epoch")):
        return f"a log axis has no place for 0, which {measure.words} is somewhere"
    return {"log": not scene.log}


def _other_smoothing(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int]:
    return {"smooth": (scene.smooth + by) % len(SMOOTHING)}


def _other_rounds(scene: Scene, _width: int, _height: int, _by: int) -> dict[str, Any] | str:
    turn = scene.view.turn
    keys = {(lane.key, one.round) for lane in scene.view.lanes for one in lane.rounds}
    if not scene.rounds and (turn is None or not any(((turn.search, turn.seed), n) in keys for n in range(turn.round))):
        return "there is no round before this one"
    return {"rounds": not scene.rounds, "cursor": None, "window": None}


def _moved(scene: Scene, _width: int, _height: int, by: int) -> dict[str, Any] | str:
    """The cursor on an epoch that is known, and in sight."""
    row = _row(scene)
    if not row:
        return _NOTHING
    known = sorted({stretch.epochs + epoch for stretch in row for curve in stretch.curves for epoch in curve.epoch})
    cursor = moved(known, scene.cursor, by)
    return {"cursor": cursor, "window": holding(fitted(scene.window, extent(row)), extent(row), cursor)}


def _at_end(scene: Scene, width: int, height: int, by: int) -> dict[str, Any] | str:
    """The cursor on the first epoch, or the last."""
    return _moved(replace(scene, cursor=0 if by < 0 else None), width, height, by)


def _zoomed(scene: Scene, _width: int, _height: int, by: int) -> dict[str, Any] | str:
    row = _row(scene)
    if not row:
        return _NOTHING
    before = fitted(scene.window, extent(row))
    window = zoomed(before, extent(row), scene.cursor, by)
    if window == before:
        return _ALL if by < 0 else "fewer epochs would be no curve"
    return {"window": window}


def _panned(scene: Scene, _width: int, _height: int, by: int) -> dict[str, Any] | str:
    row = _row(scene)
    window = fitted(scene.window, extent(row)) if row else None
    return _ALL if window is None else {"window": panned(window, extent(row), by)}


def _whole(scene: Scene, _width: int, _height: int, _by: int) -> dict[str, Any] | str:
    if scene.window is None and scene.cursor is None:
        return _ALL
    return {"window": None, "cursor": None}


CURVES = Kind(
    "members",
    heading,
    _part,
    draw,
    turns={
        "measure": _other_measure,
        "axis": _other_axis,
        "log": _other_scale,
        "smooth": _other_smoothing,
        "rounds": _other_rounds,
        "round": _moved,
        "ends": _at_end,
        "zoom": _zoomed,
        "pan": _panned,
        "whole": _whole,
    },
    keys={
        "round(1)": "cursor",
        "turn('zoom', 1)": "zoom",
        "turn('measure')": "measure",
        "turn('axis')": "axis",
        "turn('log')": "log",
        "turn('smooth')": "smooth",
        "turn('whole')": "all",
        "turn('rounds')": "rounds",
        "other_round(1)": "round",
        "lane(1)": "search",
    },
)
