"""Runs beside each other as series of a plot, tables and files: for `tombola compare` and the app alike.

A run has its colour and mark by where it was named, a search its stroke by its name: both stay when others come or go.
"""

from __future__ import annotations

import csv
import io
import json
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

from store.comparing import LEVELS, TOLERANCE, Comparison, Result, Search, Setting, Side, Ticket, results
from tui.app.wording import DASH, GLYPHS, count, percent
from tui.drawing import SPARSITY_TICKS, Series, by_remaining, draw, percent_window
from tui.picture import picture

Axis = Literal["sparsity", "cost"]

X_LABELS: dict[Axis, str] = {
    "sparsity": "pruned % of the prunable weights",
    "cost": "images trained on to find the ticket",
}

LEAST_SPREAD = 2.0
"""Points that the vertical axis holds at least, so that one image does not look like a fall."""

TEXT_SIZE = (120, 40)
"""Columns and rows of a plot that is exported as text."""

NAMED = 3
"""Runs that stand in the name of a folder; a file system takes only so long a name."""


# Plots


def series(
    comparison: Comparison,
    x: Axis,
    *,
    search: str = "",
    hidden: Collection[str] = (),
    dense: bool = True,
    intervals: bool = True,
    last: str = "",
) -> list[Series]:
    """A line for each search with tickets, or for the one that is named, and one across for each dense network.

    Runs in `hidden` have none; those of `last` come last, and so are drawn over the others.
    """
    names = comparison.searches
    sides = sorted((side for side in comparison.sides if side.run not in hidden), key=lambda side: side.run == last)
    found: list[Series] = []
    levels: list[Series] = []
    for side in sides:
        chosen = [one for one in side.searches if one.tickets and search in ("", one.name)]
        for one in chosen:
            xs = [_place(ticket, x) for ticket in one.tickets]
            label = f"{side.run} {one.name}" if len(names) > 1 or not search else side.run
            errors = [_points(t.half_width) if intervals else None for t in one.tickets]
            stroke = 0 if search else names.index(one.name)
            found.append(Series(label, xs, [100 * t.accuracy for t in one.tickets], errors, side.place, stroke=stroke))
        if dense and side.dense is not None and chosen:
            levels.append(_dense(side, side.dense, chosen, x, intervals))
    return [*levels, *found]


def _place(ticket: Ticket, x: Axis) -> float:
    if x == "sparsity":
        return by_remaining(ticket.sparsity)
    return float("nan") if ticket.images is None else ticket.images


def _dense(side: Side, dense: Ticket, searches: Iterable[Search], x: Axis, intervals: bool) -> Series:
    """Across, from where nothing is pruned and paid to where the run's own tickets end."""
    reach = max((_place(ticket, x) for one in searches for ticket in one.tickets), default=0.0)
    level, half = 100 * dense.accuracy, _points(dense.half_width) if intervals else None
    label = f"{side.run} dense"
    return Series(label, [0.0, reach], [level, level], [half, None], side.place, dashed=True, coloured=True)


def _points(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def axes(drawn: Sequence[Series], x: Axis) -> dict[str, Any]:
    """Labels, limits and ticks of a plot or picture of these series."""
    seeds = any(error is not None for one in drawn for error in one.errors or ())
    return {
        "x_label": X_LABELS[x],
        "y_label": "accuracy on test, %" + (", mean over seeds with its 95 % interval" if seeds else ""),
        "x_limits": (0.0, None),
        "y_limits": percent_window(drawn, LEAST_SPREAD),
        "x_ticks": SPARSITY_TICKS if x == "sparsity" else None,
    }


def svg(comparison: Comparison, drawn: Sequence[Series], x: Axis) -> str:
    """The plot as a picture that can be published."""
    titles = {side.title for side in comparison.sides}
    title = titles.pop() if len(titles) == 1 else f"{len(comparison.sides)} runs compared"
    return picture(drawn, title=title, **axes(drawn, x))


# Words


def value(stored: str | None) -> str:
    """A setting's value as people read it."""
    if stored is None:
        return DASH
    found = json.loads(stored)
    if found is None:
        return "none"
    return found if isinstance(found, str) and found else json.dumps(found, ensure_ascii=False)


def accuracy(ticket: Ticket) -> str:
    """Mean and half width in percent, and over how many seeds: "98.3 ± 0.4 (3)"."""
    half = "" if ticket.half_width is None else f" ± {100 * ticket.half_width:.1f}"
    return f"{100 * ticket.accuracy:.1f}{half} ({ticket.seeds})"


def difference(result: Result) -> str:
    """In points, "+0.3 ± 0.5 (3)"; why there is none; empty for the first run."""
    if result.difference is None:
        return result.why
    half = "" if result.half_width is None else f" ± {result.half_width:.1f}"
    return f"{result.difference:+.1f}{half} ({result.pairs})".replace("-", "−")


def verdict(result: Result) -> str:
    """The word with its mark, as verdicts of checks have it."""
    if not result.verdict:
        return ""
    return f"{GLYPHS[result.verdict]} {'few seeds' if result.verdict == 'none' else result.verdict}"


def reading(comparison: Comparison) -> str:
    """How differences are to be read: what makes one clear, and what one image of the test set is worth."""
    counts = sorted({count for side in comparison.sides for count in side.tested})
    worth = [f"one image of {count} is worth {100 / count:.2f} points" for count in counts]
    return "; ".join([f"clear is beyond {TOLERANCE:g} points, similar within", *worth])


RESULTS = ("run", "search", "pruned", "accuracy", "images", "difference", "verdict")
RESULTS_RIGHT = (2, 3, 4, 5)
"""Columns of figures."""


def result_cells(result: Result) -> tuple[str, ...]:
    """A row below `RESULTS`. Where the search it is held against has another name, that is said."""
    against = f" to {result.against}" if result.against not in ("", result.search) else ""
    ticket = result.ticket
    if ticket is None:
        return (result.side.run, result.search, DASH, "not so sparse", "", "", "")
    paid = DASH if ticket.images is None else count(ticket.images)
    spoken = difference(result) + (against if result.difference is not None else "")
    return (
        *(result.side.run, result.search, percent(ticket.sparsity), accuracy(ticket)),
        *(paid, spoken, verdict(result)),
    )


# Files


def ticket_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Every found ticket and dense network, a row each. Accuracies and sparsities are fractions."""
    return [
        {
            "run": side.run,
            "search": name,
            "round": ticket.round,
            "sparsity": ticket.sparsity,
            "images": ticket.images,
            "accuracy": ticket.accuracy,
            "half_width": ticket.half_width,
            "seeds": ticket.seeds,
        }
        for side in comparison.sides
        for name, ticket in [
            *(("", ticket) for ticket in [side.dense] if ticket is not None),
            *((search.name, ticket) for search in side.searches for ticket in search.tickets),
        ]
    ]


def result_rows(found: Iterable[Result]) -> list[dict[str, Any]]:
    """A row each; the difference and its half width are in points."""
    return [
        {
            "level": result.level,
            "run": result.side.run,
            "search": result.search,
            **{
                key: getattr(result.ticket, key, None)
                for key in ("round", "sparsity", "images", "accuracy", "half_width", "seeds")
            },
            "against": result.against,
            "difference": result.difference,
            "difference_half_width": result.half_width,
            "pairs": result.pairs,
            "verdict": result.verdict,
            "why": result.why,
        }
        for result in found
    ]


def setting_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """A row a setting that differs, a column a run; what a run lacks is empty."""
    runs = [side.run for side in comparison.sides]

    def row(kind: str, setting: Setting) -> dict[str, Any]:
        values = (None if stored is None else value(stored) for stored in setting.values)
        return {"part": kind, "setting": setting.path} | dict(zip(runs, values, strict=True))

    return [
        *(row("settings", setting) for setting in comparison.settings),
        *(row("machine", setting) for setting in comparison.machines),
    ]


def as_csv(rows: Sequence[dict[str, Any]]) -> str:
    """CSV with a head; nothing at all for no rows."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def write(comparison: Comparison, drawn: Sequence[Series], x: Axis, inside: Path) -> Path:
    """Write tables (CSV) and the plot (SVG and text) into a new folder that is named after the runs; gives the folder.

    What exists already is never written over: the folder gets a number. Raises `OSError` where nothing can be written.
    """
    draft = Path(mkdtemp(prefix=".compare.", dir=inside))
    try:
        files = {
            "tickets.csv": as_csv(ticket_rows(comparison)),
            "results.csv": as_csv(result_rows(results(comparison, LEVELS))),
            "settings.csv": as_csv(setting_rows(comparison)),
            f"accuracy-by-{x}.svg": svg(comparison, drawn, x),
            f"accuracy-by-{x}.txt": draw(drawn, *TEXT_SIZE, **axes(drawn, x), colour=False) + "\n",
        }
        for name, text in files.items():
            (draft / name).write_text(text, encoding="utf-8")
        name = _name(comparison)
        for number in range(1, 10_000):
            folder = inside / (name if number == 1 else f"{name}-{number}")
            if not folder.exists() and not folder.is_symlink():
                draft.rename(folder)
                return folder
        raise FileExistsError(f"{name} has been exported too often")
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _name(comparison: Comparison) -> str:
    runs = [side.run for side in comparison.sides]
    more = [f"and-{len(runs) - NAMED}-more"] if len(runs) > NAMED else []
    # An id that another program gave may not lead out of the folder.
    return "-".join(["compare", *(re.sub(r"[^a-z0-9-]", "", run)[:60] for run in runs[:NAMED]), *more])
