"""Traces of trainings (figures by step that hooks leave) in tables and series: for the report, `tombola plot --trace`
and the app alike.

A line is one lane: a search or arm at a round. Its points are means over seeds of the first, second, third figure that
each left, as far as all have one; only where all left it at the same step is there an interval.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from store.reading import Rows
from store.statistics import mean_interval
from tui.app.wording import layer_name, plural
from tui.cells import width
from tui.colours import COLOURS
from tui.commands.output import table
from tui.drawing import Series, draw
from tui.questions import natural, wrapped

MOST = len(COLOURS)
"""Lines of one plot: more would share colours and marks."""

DISTANCE = "mask distance"
"""The kind that an early stop leaves: it has a threshold."""

FLOW = "gradient flow"
"""The kind that falls by powers of ten while a network trains: it is drawn on a logarithmic axis."""

PLOT_ROWS = 12


@dataclass(frozen=True)
class Lane:
    """A search or an arm at a round; `search` and `round` are None for an arm without a ticket."""

    search: str | None
    arm: str | None
    round: int | None

    @property
    def name(self) -> str:
        """What has the trace, whatever the round."""
        return " ".join(filter(None, (self.search, self.arm)))

    @property
    def label(self) -> str:
        return self.name if self.round is None else f"{self.name} round {self.round}"


def number(value: float | None) -> str:
    """A figure of a trace, to three digits."""
    return "–" if value is None else f"{value:.3g}"


def families(kinds: Iterable[str]) -> dict[str, list[str]]:
    """Kinds by the one that they are variants of: "gradient flow before" and "after" by "gradient flow"."""
    every = list(dict.fromkeys(kinds))
    found: dict[str, list[str]] = {}
    for kind in sorted(every, key=len):
        parent = next((one for one in found if kind.startswith(f"{one} ")), kind)
        found.setdefault(parent, []).append(kind)
    return {parent: found[parent] for parent in every if parent in found}


def logarithmic(kind: str) -> bool:
    return kind == FLOW or kind.startswith(f"{FLOW} ")


def scaled(kind: str, curves: Sequence[Series]) -> list[Series]:
    """Curves as their axis has them: of a logarithmic kind log10 of their values, without intervals, which would not
    be of means there."""
    if not logarithmic(kind):
        return list(curves)
    return [replace(one, ys=[math.log10(y) if y > 0 else math.nan for y in one.ys], errors=None) for one in curves]


def axis(kind: str) -> tuple[str, tuple[float | None, float | None]]:
    """What stands at the vertical axis of a kind, and its limits."""
    return (f"{kind}, log10", (None, None)) if logarithmic(kind) else (kind, (0.0, None))


# Tables


def early_lines(rows: Rows, columns: int) -> list[str]:
    """Rows of `report.early`: how long trainings went."""
    body = [
        (
            row["search"],
            row["round"],
            f"{row['done']:.1f}",
            f"{row['epochs']:.1f}".removesuffix(".0"),
            f"{row['ended']} of {row['trainings']}",
            row["seeds"],
        )
        for row in rows
    ]
    head = ("search", "round", "epochs", "of", "ended early", "seeds")
    limits = dict.fromkeys((row["search"], row["epsilon"], row["armed"]) for row in rows)
    words = ", ".join(
        f"{number(epsilon)} ({search}{', once it has moved more' if armed else ''})"
        for search, epsilon, armed in limits
    )
    return [
        *wrapped(f"epochs done, mean over trainings; a mask that moves less than {words} is at rest", columns, 0, 2),
        *table(head, body, right=(1, 2, 3, 4, 5)),
    ]


def end_lines(rows: Rows, columns: int) -> list[str]:
    """Rows of `report.traces` of one kind: the first and the last figure by layer and round."""
    cells: dict[tuple[str, str], dict[int | None, str]] = {}
    for row in rows:
        name = Lane(row["search"], row["arm"], None).name
        cells.setdefault((name, row["layer"]), {})[row["round"]] = f"{number(row['first'])} → {number(row['last'])}"
    names = list(dict.fromkeys(name for name, _ in cells))
    cells = dict(sorted(cells.items(), key=lambda item: (names.index(item[0][0]), natural(item[0][1]))))
    layered = any(layer for _, layer in cells)
    rounds = sorted({at for figures in cells.values() for at in figures if at is not None})
    whole = any(None in figures for figures in cells.values())
    lead = [["of", *(name for name, _ in cells)]]
    lead += [["layer", *(layer_name(layer) or "all" for _, layer in cells)]] if layered else []
    shown = [["no round", *(figures.get(None, "–") for figures in cells.values())]] if whole else []
    shown += [[f"round {at}", *(figures.get(at, "–") for figures in cells.values())] for at in rounds]
    found: list[str] = []
    while shown:
        some = [shown.pop(0)]
        while shown and sum(2 + max(map(width, one)) for one in (*lead, *some, shown[0])) - 2 <= columns:
            some.append(shown.pop(0))
        head, *body = zip(*lead, *some, strict=True)
        found += table(head, body, right=range(len(lead), len(head)))
    return found


def kind_lines(rows: Rows, columns: int) -> list[str]:
    """Rows of `report.traces`, kind by kind."""
    found: list[str] = []
    for kind, group in itertools.groupby(rows, key=lambda row: row["kind"]):
        own = list(group)
        least, most = min(row["seeds"] for row in own), max(row["seeds"] for row in own)
        seeds = plural(most, "seed") if least == most else f"{least} to {most} seeds"
        words = f"{kind}: the first and the last figure of a training, means over {seeds}"
        found += [*([""] if found else []), *wrapped(words, columns, 0, 2), *end_lines(own, columns)]
    return found


def curve_lines(kind: str, rows: Rows, epsilons: Iterable[float], columns: int, colour: bool) -> list[str]:
    """Rows of `report.trace_curves` as a small plot: the newest round of each search and arm."""
    every, layers = lanes(rows)
    newest = {lane.name: lane for lane in every}
    chosen = {lane: every[lane] for lane in list(newest.values())[:MOST]}
    if not any(len(one.xs) > 1 for one in chosen.values()):
        return []
    left = len(newest) - len(chosen)
    label, limits = axis(kind)
    words = f"{label}, newest round" + (f"; {plural(left, 'more line')} not drawn" if left else "")
    words += f"; mean over {layers} layers" if layers > 1 else ""
    across = thresholds(list(chosen.values()), epsilons if kind == DISTANCE else ())
    drawn = [*scaled(kind, coloured(chosen)), *across]
    text = draw(drawn, columns, PLOT_ROWS, x_label="step", y_limits=limits, colour=colour)
    return [*wrapped(words, columns, 0, 2), *text.split("\n")]


# Curves


def lanes(rows: Rows, search: str | None = None, layer: str | None = None) -> tuple[dict[Lane, Series], int]:
    """Curves of rows of `report.trace_curves`, by lane, and how many layers each point is a mean of.

    Without a `layer` it is the trace of the whole network, where there is one, else the plain mean over layers.
    """
    if search is not None:
        rows = [row for row in rows if row["search"] == search]
    if layer is None and any(row["layer"] == "" for row in rows):
        layer = ""
    if layer is not None:
        rows = [row for row in rows if layer in (row["layer"], layer_name(row["layer"]))]
    found = {}
    most = 0
    for key, group in itertools.groupby(rows, key=lambda row: (row["search"], row["arm"], row["round"])):
        own = list(group)
        most = max(most, len({row["layer"] for row in own}))
        found[Lane(*key)] = _curve(own)
    return found, most


def _curve(rows: Rows) -> Series:
    """One line from the figures of all seeds at one lane."""
    by_seed: dict[int, dict[int, list[float]]] = {}
    for row in rows:
        if row["value"] is not None:
            by_seed.setdefault(row["seed"], {}).setdefault(row["step"], []).append(row["value"])
        else:
            by_seed.setdefault(row["seed"], {}).setdefault(row["step"], [])
    seeds = [sorted(steps.items()) for steps in by_seed.values()]
    xs, ys, errors = [], [], []
    for points in zip(*seeds, strict=False):
        steps = [step for step, _ in points]
        values = [math.fsum(own) / len(own) for _, own in points if own]
        mean, half = mean_interval(values) if values else (math.nan, None)
        xs.append(math.fsum(steps) / len(steps))
        ys.append(mean)
        errors.append(half if len(set(steps)) == 1 and len(values) == len(points) else None)
    return Series("", xs, ys, errors)


def coloured(curves: dict[Lane, Series]) -> list[Series]:
    """Curves with their labels, each of its own colour."""
    return [Series(lane.label, one.xs, one.ys, one.errors, colour) for colour, (lane, one) in enumerate(curves.items())]


def some(curves: dict[Lane, Series], most: int = MOST) -> tuple[dict[Lane, Series], list[Lane]]:
    """At most `most` of them, and those left out: of each search the last rounds first, then the first, then others."""
    by_name: dict[str, list[Lane]] = {}
    for lane in curves:
        by_name.setdefault(lane.name, []).append(lane)
    wanted = [_by_worth(own) for own in by_name.values()]
    order = [lane for turn in itertools.zip_longest(*wanted) for lane in turn if lane is not None]
    chosen = set(order[:most])
    return {lane: one for lane, one in curves.items() if lane in chosen}, [
        lane for lane in curves if lane not in chosen
    ]


def _by_worth(own: Sequence[Lane]) -> list[Lane]:
    """The last, the first, and then always that in the middle of the widest gap."""
    taken = [len(own) - 1, 0][: len(own)]
    while len(taken) < len(own):
        ends = sorted(taken)
        low, high = max(itertools.pairwise(ends), key=lambda pair: pair[1] - pair[0])
        taken.append((low + high) // 2)
    return [own[place] for place in taken]


def thresholds(curves: Sequence[Series], epsilons: Iterable[float]) -> list[Series]:
    """Lines across at the thresholds."""
    xs = [x for one in curves for x in one.xs]
    if not xs:
        return []
    return [
        Series(f"threshold {epsilon:g}", [min(xs), max(xs)], [epsilon, epsilon], dashed=True)
        for epsilon in dict.fromkeys(epsilons)
    ]
