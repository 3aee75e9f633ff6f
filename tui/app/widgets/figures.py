"""Accuracy against sparsity: each ticket at its own sparsity, with intervals, and the dense network as a line.

Figures that a paper prints stand beside them as marks of their own; no mean, window or target is made from them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from rich.text import Text

from store.live import Figure, Preview
from tui.app.look import note
from tui.app.widgets.panel import Kind, Scene
from tui.app.widgets.plot import plot
from tui.drawing import SPARSITY_TICKS, Series, by_remaining, published, widened

ROOMY = 18
"""Rows from which the legend has room for the sources of published figures."""


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    searches = list(dict.fromkeys(lane.search for lane in scene.view.lanes))
    chosen = searches[scene.arms - 1] if 0 < scene.arms <= len(searches) else None
    return lines(scene.view, chosen, width, height)


def lines(view: Preview, search: str | None, width: int, height: int) -> list[Text]:
    """The found tickets of every search, or every arm of one."""
    colours = {lane.search: lane.colour for lane in view.lanes}
    groups: dict[tuple[str | None, str], list[Figure]] = {}
    for figure in view.figures:
        found = figure.changes == ""
        if figure.search is None or (figure.search == search if search else found):
            groups.setdefault((figure.search, figure.arm), []).append(figure)
    dense = [_dense(figures, groups) for (of, _), figures in groups.items() if of is None]
    tickets = [
        _series(figures, arm if search else of, i if search else colours.get(of, 0))
        for i, ((of, arm), figures) in enumerate((key, fs) for key, fs in groups.items() if key[0] is not None)
        if of is not None
    ]
    if not dense and not tickets:
        return note("nothing has been evaluated yet", width)
    printed = [
        replace(published(one.label, one.source if height >= ROOMY else "", one.sparsity, one.accuracy), colour=number)
        for number, one in enumerate(view.published)
    ]
    label = "test accuracy, %"
    whole = label + _seeds(view.figures)
    return plot(
        [*dense, *tickets, *printed],
        width,
        height,
        x_label="sparsity, %",
        y_label=whole if len(whole) <= width else label,
        x_limits=(0.0, _far(view, printed)),
        y_limits=_window([*dense, *tickets], printed),
        x_ticks=SPARSITY_TICKS,
    )


def _far(view: Preview, printed: list[Series]) -> float | None:
    """The right end: the target of the searches, so that the plot stands still while it fills; None beyond it."""
    target = max((lane.target for lane in view.lanes if lane.target is not None), default=None)
    if target is None or any(figure.sparsity > target for figure in view.figures):
        return None
    return widened((0.0, by_remaining(target)), [x for one in printed for x in one.xs])[1]


def _window(series: list[Series], printed: list[Series]) -> tuple[float, float]:
    """From bottom to top, within 0 and 100: every mean, at least five points, and intervals as far as means allow.

    So a difference of one image does not look like a fall, and the huge intervals of two seeds end at the edge. What is
    printed may widen it.
    """
    levels = [y for one in series for y in one.ys]
    low, high = min(levels), max(levels)
    errors = sorted(error for one in series for error in one.errors or () if error is not None)
    spread = max(high - low, 5.0)
    median = errors[len(errors) // 2] if errors else 0.0
    room = max((spread - (high - low)) / 2, spread / 8, min(median, spread / 2))
    return widened((max(low - room, 0.0), min(high + room, 100.0)), [y for one in printed for y in one.ys])


def _series(figures: Iterable[Figure], label: str | None, colour: int) -> Series:
    chosen = list(figures)
    return Series(
        label or "",
        [by_remaining(f.sparsity) for f in chosen],
        [100 * f.accuracy for f in chosen],
        errors=[None if f.half_width is None else 100 * f.half_width for f in chosen],
        colour=colour,
    )


def _dense(figures: list[Figure], groups: dict[tuple[str | None, str], list[Figure]]) -> Series:
    """A line at the dense accuracy, as far as the sparsest ticket; its interval stands at its left end."""
    figure = figures[0]
    sparsest = max((f.sparsity for some in groups.values() for f in some), default=0.0)
    width = None if figure.half_width is None else 100 * figure.half_width
    level = 100 * figure.accuracy
    return Series(
        f"{figure.arm} {level:.1f} %",
        [0.0, max(by_remaining(min(sparsest, 0.9999)), 0.3)],
        [level, level],
        errors=[width, None],
        dashed=True,
    )


def _seeds(figures: tuple[Figure, ...]) -> str:
    most = max((f.seeds for f in figures), default=0)
    least = min((f.seeds for f in figures), default=0)
    seeds = f"{most}" if least == most else f"{least} to {most}"
    return f", mean of {seeds} seeds, 95 % interval" if most > 1 else ", one seed"


def heading(scene: Scene) -> str:
    searches = list(dict.fromkeys(lane.search for lane in scene.view.lanes))
    if 0 < scene.arms <= len(searches):
        return f"accuracy · all arms of {searches[scene.arms - 1]}"
    return "accuracy · tickets of every search"


def _other_arms(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int]:
    """Tickets of all searches, then all arms of one search after another."""
    searches = len({lane.search for lane in scene.view.lanes})
    return {"arms": (scene.arms + by) % (searches + 1)}


FIGURES = Kind(
    "accuracy",
    heading,
    lambda scene: (scene.arms, scene.view.figures, scene.view.published),
    draw,
    turns={"arms": _other_arms},
)
