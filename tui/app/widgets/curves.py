"""Curves of a round's members, epoch by epoch, and what they read where the cursor stands."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from rich.text import Text

from store.live import Curve, Turn
from tui.app.look import ACCENT, note
from tui.app.widgets.panel import Kind, Scene
from tui.app.widgets.plot import plot
from tui.app.wording import DASH, count, duration
from tui.curves import (
    AXES,
    MEASURES,
    SMOOTHING,
    Line,
    Measure,
    Window,
    along,
    fitted,
    holding,
    lines,
    logarithmic,
    moved,
    panned,
    reached,
    smoothed,
    thinned,
    timed,
    zoomed,
)
from tui.drawing import COLOURS, Series, log_ticks, ticks
from tui.plain import plain

_UNITS = ((7200, 3600.0, "hours"), (300, 60.0, "minutes"), (0, 1.0, "seconds"))
"""Units of time: from how many seconds on, how many they are, and what they are called."""


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    turn = scene.view.turn
    if turn is None:
        return note("nothing has been trained yet", width)
    begun = _begun(turn)
    if not begun:
        return note(f"round {turn.round} of {turn.search}, seed {turn.seed}, waits for its first epoch", width)
    axis, x_words = _axis(scene, begun)
    longest = _longest(turn)
    window = fitted(scene.window, longest)
    low, high, unit, named = _limits(begun, axis, window, longest)
    measure = MEASURES[scene.measure]
    raw = lines(turn.curves, measure, axis)
    log = scene.log and all(line.positive for line in raw)
    series = [one for line in raw for one in _series(line, scene, turn, log, (low, high), 2 * width)]
    lead, cursor = begun[0], scene.cursor
    head = [] if cursor is None else [Text(plain(_reading(begun, cursor, longest), width), ACCENT, no_wrap=True)]
    marks = [(unit * at, label) for at, label in ticks(low / unit, high / unit, max(width // 8, 2), axis != "time")]
    bounds: dict[str, Any] = {"y_ticks": log_ticks} if log else {}
    if not log and window is None:
        bounds = {"y_limits": (None, 100.0) if measure.accuracy else (0.0, None)}
    texts = head + plot(
        series,
        width,
        height - len(head),
        x_label=(x_words or named) + ("" if window is None else f", {_share(window, longest)}"),
        y_label=_words(scene, turn, log),
        x_limits=(low, high),
        x_ticks=marks,
        cursor=None if cursor is None else reached(lead, axis, cursor),
        **bounds,
    )
    return texts[:height]


def _begun(turn: Turn) -> list[Curve]:
    """The curves that have an epoch, that with the most first."""
    return sorted((curve for curve in turn.curves if curve.epoch), key=lambda curve: -len(curve.epoch))


def _longest(turn: Turn) -> int:
    return max((curve.epochs for curve in turn.curves), default=1)


def _axis(scene: Scene, begun: list[Curve]) -> tuple[str, str]:
    """The axis that can be drawn, and what it has to say where that is not what was asked for."""
    if AXES[scene.axis] == "time" and not timed(begun):
        return "epoch", "epoch; its time is not known: trained by another run"
    return AXES[scene.axis], ""


def _limits(begun: list[Curve], axis: str, window: Window | None, longest: int) -> tuple[float, float, float, str]:
    """What is seen of the axis: from where, to where, in units of how much, and called what."""
    if window is not None:
        low, high = (reached(begun[0], axis, epoch) for epoch in window)
    elif axis == "time":
        low, high = 0.0, max(curve.seconds[-1] for curve in begun)
    else:
        low, high = 0.0, max(reached(curve, axis, longest) for curve in begun)
    if axis != "time":
        return low, high, 1.0, axis
    return low, high, *next((unit, name) for least, unit, name in _UNITS if high >= least)


def _series(line: Line, scene: Scene, turn: Turn, log: bool, seen: Window, columns: int) -> list[Series]:
    """A line as it is drawn: its name with a value in it, its raw values beneath it, its mark under the cursor."""
    measure, weight = MEASURES[scene.measure], SMOOTHING[scene.smooth]
    lies: Callable[[Line], Line] = logarithmic if log else lambda line: line
    smooth = smoothed(line, weight)
    last = line.epochs[-1] if line.epochs else 0
    at = last if scene.cursor is None else scene.cursor
    label = f"{_name(line, measure, turn)} {_value(line.at(at), measure)}"
    if weight and line.epochs:
        label += f", smooth {_value(smooth.at(at), measure)}"
    colour = line.member + turn.members * measure.figures.index(line.figure)
    shown = lies(smooth)
    drawn = thinned(shown, *seen, columns)
    series = [Series(label, drawn.xs, drawn.ys, colour=colour)]
    if weight and len(measure.figures) == 1:
        under = thinned(lies(line), *seen, columns)
        series.insert(0, Series("", under.xs, under.ys, colour=colour, dotted=True))
    if scene.cursor is not None and scene.cursor in shown.epochs:
        place = shown.epochs.index(scene.cursor)
        series.append(Series("", [shown.xs[place]], [shown.ys[place]], colour=colour))
    return series


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


def _share(window: Window, longest: int) -> str:
    return f"{window[0]:.3g} to {window[1]:.3g} of {longest} epochs"


def _reading(begun: list[Curve], epoch: int, longest: int) -> str:
    """Where the cursor stands on every axis; from the least to the most, where members differ."""
    there = [curve for curve in begun if epoch in curve.epoch]
    if not there:
        return f"epoch {epoch} of {longest} has not come yet"
    places = {axis: [along(one, axis)[one.epoch.index(epoch)] for one in there] for axis in ("step", "images", "time")}
    words = [f"epoch {epoch} of {longest}", f"step {_range(places['step'], count)}"]
    words.append(f"{_range(places['images'], count)} images")
    if timed(there):
        words.append(_range(places["time"], lambda s: f"{s:.1f} s" if s < 60 else duration(s)))
    return " · ".join(words)


def _range(values: list[float], words: Callable[[float], str]) -> str:
    low, high = words(min(values)), words(max(values))
    return low if low == high else f"{low} to {high}"


def heading(scene: Scene) -> str:
    turn = scene.view.turn
    return "members" if turn is None else f"members · {turn.search} seed {turn.seed} round {turn.round}"


def _part(scene: Scene) -> object:
    turn = scene.view.turn
    looked = scene.measure, scene.axis, scene.log, scene.smooth, scene.cursor, scene.window
    return looked, turn and (turn.search, turn.seed, turn.round, turn.curves)


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


def _moved(scene: Scene, _width: int, _height: int, by: int) -> dict[str, Any] | str:
    """The cursor on an epoch that is known, and in sight."""
    turn = scene.view.turn
    known = sorted({epoch for curve in turn.curves for epoch in curve.epoch}) if turn else []
    if turn is None or not known:
        return _NOTHING
    cursor, longest = moved(known, scene.cursor, by), _longest(turn)
    return {"cursor": cursor, "window": holding(fitted(scene.window, longest), longest, cursor)}


def _at_end(scene: Scene, width: int, height: int, by: int) -> dict[str, Any] | str:
    """The cursor on the first epoch, or the last."""
    turn = scene.view.turn
    if turn is None or not _begun(turn):
        return _NOTHING
    return _moved(Scene(scene.view, cursor=0 if by < 0 else None, window=scene.window), width, height, max(by, 0))


def _zoomed(scene: Scene, _width: int, _height: int, by: int) -> dict[str, Any] | str:
    turn = scene.view.turn
    if turn is None or not _begun(turn):
        return _NOTHING
    longest = _longest(turn)
    before = fitted(scene.window, longest)
    window = zoomed(before, longest, scene.cursor, by)
    if window == before:
        return _ALL if by < 0 else "fewer epochs would be no curve"
    return {"window": window}


def _panned(scene: Scene, _width: int, _height: int, by: int) -> dict[str, Any] | str:
    turn = scene.view.turn
    longest = _longest(turn) if turn else 1
    window = fitted(scene.window, longest)
    return _ALL if window is None else {"window": panned(window, longest, by)}


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
        "other_round(1)": "round",
        "lane(1)": "search",
    },
)
