"""`tombola plot`: accuracy of runs against sparsity, cost or round; curves of checks and traces; sizes of sets."""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from tui.commands.options import Refused, json_option, no_colour, reader, resolve, runs_argument, store_options
from tui.commands.output import print_json, say
from tui.plain import plain

if TYPE_CHECKING:
    from store.reading import Reader
    from tui.drawing import Series

X_LABELS = {
    "sparsity": "pruned % of the prunable weights",
    "cost": "images trained on to find the ticket",
    "round": "round",
}


@dataclass(frozen=True)
class Paper:
    """How large a plot is and what it is drawn with; None: as the terminal is."""

    width: int | None
    height: int | None
    as_ascii: bool
    as_json: bool


@click.command()
@runs_argument
@click.option("--x", type=click.Choice(list(X_LABELS)), default="sparsity", show_default=True, help="Horizontal axis.")
@click.option("--arm", "arms", multiple=True, help="Draw this arm instead of the found tickets; repeatable.")
@click.option("--with-evaluation", is_flag=True, help="With --x cost: count the training of tickets, too.")
@click.option("--check", metavar="NAME", help="Draw the curve of this check instead; of one run.")
@click.option("--part", help="With --check: only the curve of this part.")
@click.option("--trace", metavar="KIND", help="Draw this trace of trainings over their steps instead; of one run.")
@click.option("--search", help="With --trace: only trainings of this search and its tickets.")
@click.option("--layer", help="With --trace: of this layer.")
@click.option("--sets", is_flag=True, help="Draw how many samples each round chose instead; of one run.")
@click.option("--width", type=click.IntRange(20, 1000), help="Columns; else those of the terminal.")
@click.option("--height", type=click.IntRange(6, 1000), help="Rows; else those of the terminal.")
@click.option("--ascii", "as_ascii", is_flag=True, help="Draw with plain characters only.")
@json_option
@store_options
@click.pass_context
def command(
    ctx: click.Context,
    runs: tuple[str, ...],
    x: str,
    arms: tuple[str, ...],
    with_evaluation: bool,
    check: str | None,
    part: str | None,
    trace: str | None,
    search: str | None,
    layer: str | None,
    sets: bool,
    width: int | None,
    height: int | None,
    as_ascii: bool,
    as_json: bool,
) -> None:
    """Plot test accuracy of runs against sparsity, cost or round, or the curve of a check or a trace.

    Means over seeds with their 95 % intervals; the dense network is a line across. Each ticket stands at its own
    sparsity, and the axis is logarithmic in what remains. Figures that a paper prints are grey marks without a line.
    With --check, the check's threshold is a line across where it is measured as the curve is. With --trace (such as
    "mask distance"), each search and round is a line, at most eight of them: mean over seeds, with an interval where
    all seeds left a figure at the same step.
    """
    from store import report as queries
    from tui.drawing import SPARSITY_TICKS, draw
    from tui.report import published_series

    if with_evaluation and x != "cost":
        raise click.UsageError("--with-evaluation goes with --x cost")
    if part is not None and check is None:
        raise click.UsageError("--part goes with --check")
    if (search is not None or layer is not None) and trace is None:
        raise click.UsageError("--search and --layer go with --trace")
    store = reader()
    others = [
        name for name, given in (("--check", check), ("--trace", trace), ("--sets", sets or None)) if given is not None
    ]
    if others:
        if len(runs) > 1 or arms or ctx.get_parameter_source("x") is click.core.ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{others[0]} is drawn of one run: it goes without --x, --arm and other runs")
        if len(others) > 1:
            raise click.UsageError(f"{' and '.join(others)} are plots of their own: ask for one")
        run, paper = resolve(store, runs[0]), Paper(width, height, as_ascii, as_json)
        if check is not None:
            return _draw_check(store, run, check, part, width, height, as_ascii, as_json)
        if trace is not None:
            return _draw_trace(store, run, trace, search, layer, paper)
        return _draw_sets(store, run, paper)
    names = list(dict.fromkeys(resolve(store, run) for run in runs))
    series: list[Series] = []
    for run in names:
        series += _series(store, run, x, arms, with_evaluation, f"{run} " if len(names) > 1 else "", len(series))
    measured = bool(series)
    printed = [queries.answer(store, queries.published(run)) for run in names]
    if x == "sparsity":
        series += published_series(*printed)
    elif any(printed):
        say(f"published figures are not drawn: their {x} is not known")
    if as_json:
        return print_json(
            [
                {"label": one.label, "x": one.xs, "y": one.ys, "half_width": one.errors, "published": one.published}
                for one in series
            ]
        )
    if not measured:
        return say("nothing was evaluated yet")
    terminal = shutil.get_terminal_size()
    text = draw(
        series,
        width or terminal.columns,
        height or min(max(terminal.lines - 2, 12), 40),
        x_label=X_LABELS[x],
        y_label="accuracy on test, %",
        y_limits=(None, 100.0),
        x_ticks=SPARSITY_TICKS if x == "sparsity" else None,
        colour=sys.stdout.isatty() and not no_colour(),
        ascii=as_ascii,
    )
    click.echo(text)
    return None


def _draw_trace(store: Reader, run: str, kind: str, search: str | None, layer: str | None, paper: Paper) -> None:
    """Draw a trace over steps, a line each search and round; what is left out is said."""
    from store import report as queries
    from tui import traces

    there = queries.answer(store, queries.traces(run))
    kinds = list(dict.fromkeys(row["kind"] for row in there))
    if kind not in kinds:
        raise Refused(f"{run} has no trace {plain(kind)!r} (traces: {', '.join(kinds) or 'none'})")
    own = [row for row in there if row["kind"] == kind]
    searches = list(dict.fromkeys(row["search"] for row in own if row["search"]))
    if search is not None and search not in searches:
        raise Refused(f"no search {plain(search)!r} has a trace of {kind} (searches: {', '.join(searches) or 'none'})")
    layers = list(dict.fromkeys(traces.layer_name(row["layer"]) for row in own if row["layer"]))
    if layer is not None and traces.layer_name(layer) not in layers:
        raise Refused(f"{kind} has no layer {plain(layer)!r} (layers: {', '.join(layers) or 'none'})")
    every, mean_of = traces.lanes(queries.answer(store, queries.trace_curves(run, kind)), search, layer)
    chosen, left = traces.some(every)
    epsilons = [row["epsilon"] for row in queries.answer(store, queries.early(run)) if search in (None, row["search"])]
    series = traces.coloured(chosen)
    if left:
        say(f"not drawn, for room: {', '.join(lane.label for lane in left)} (--search NAME draws one search)")
    if mean_of > 1:
        say(f"each point is the plain mean over {mean_of} layers: --layer NAME draws one ({', '.join(layers)})")
    label, limits = traces.axis(kind) if not paper.as_json else (kind, (None, None))
    label += f", layer {layer}" if layer else ""
    across = traces.thresholds(series, epsilons if kind == traces.DISTANCE else ())
    drawn = series if paper.as_json else traces.scaled(kind, series)
    _draw([*drawn, *across], "step", label, limits, paper)


def _draw_sets(store: Reader, run: str, paper: Paper) -> None:
    """Draw how many samples each round chose."""
    from store import report as queries
    from tui.sets import series

    rows = queries.answer(store, queries.sets_by_seed(run))
    if not rows:
        raise Refused(f"{run} has no search that chooses samples, or none has ended a round")
    _draw(series(rows), "round", "training samples chosen for the next round", (0.0, None), paper)


def _draw(
    series: list[Series], x_label: str, y_label: str, y_limits: tuple[float | None, float | None], paper: Paper
) -> None:
    from tui.drawing import draw, ticks

    if paper.as_json:
        return print_json(
            [
                {
                    "label": one.label,
                    "x": one.xs,
                    "y": [None if math.isnan(y) else y for y in one.ys],
                    "half_width": one.errors,
                    "published": False,
                    "threshold": one.dashed,
                    "x_label": x_label,
                    "y_label": y_label,
                }
                for one in series
            ]
        )
    terminal = shutil.get_terminal_size()
    columns = paper.width or terminal.columns
    xs = [x for one in series for x in one.xs]
    whole = ticks(min(xs), max(xs), max(columns // 8, 2), least=1) if xs and max(xs) > min(xs) else None
    text = draw(
        series,
        columns,
        paper.height or min(max(terminal.lines - 2, 12), 40),
        x_label=x_label,
        y_label=y_label,
        y_limits=y_limits,
        x_ticks=whole,
        colour=sys.stdout.isatty() and not no_colour(),
        ascii=paper.as_ascii,
    )
    click.echo(text)
    return None


def _draw_check(
    store: Reader,
    run: str,
    name: str,
    part: str | None,
    width: int | None,
    height: int | None,
    as_ascii: bool,
    as_json: bool,
) -> None:
    """Draw the curve of a check; where its parts do not share axes, one below the other."""
    from store.answers import checks
    from tui.drawing import draw
    from tui.questions import curve_head, curves

    answered = checks(store, run)
    known = list(dict.fromkeys(row.name for row in answered))
    if name not in known:
        raise Refused(f"{run} has no answer to a check {plain(name)!r} (answered: {', '.join(known) or 'none'})")
    rows = [row for row in answered if row.name == name and row.points]
    parts = list(dict.fromkeys(row.part for row in rows))
    if part is not None and part not in parts:
        raise Refused(f"{name} has no curve of {plain(part)!r} (parts with one: {', '.join(parts) or 'none'})")
    found = curves(row for row in rows if part in (None, row.part))
    if as_json:
        return print_json(
            [
                {
                    "label": one.label,
                    "x": one.xs,
                    "y": [None if math.isnan(y) else y for y in one.ys],
                    "half_width": one.errors,
                    "published": False,
                    "threshold": one.dashed,
                    "x_label": curve.x,
                    "y_label": curve.y,
                }
                for curve in found
                for one in curve.series
            ]
        )
    if not found:
        return say(f"{name} of {run} has no curve")
    terminal = shutil.get_terminal_size()
    for curve in found:
        columns = width or terminal.columns
        head = curve_head(curve, columns)
        text = draw(
            curve.series,
            columns,
            (height or min(max(terminal.lines - 2, 12), 40)) - len(head),
            x_label=curve.x,
            colour=sys.stdout.isatty() and not no_colour(),
            ascii=as_ascii,
        )
        click.echo("\n".join([*head, text]))
    return None


def _series(
    store: Reader, run: str, x: str, arms: tuple[str, ...], with_evaluation: bool, label: str, colour: int
) -> list[Series]:
    from dataclasses import replace

    from store import report as queries
    from tui.drawing import by_remaining
    from tui.report import accuracy_series

    rows = queries.answer(store, queries.accuracy(run))
    known = sorted({row["arm"] for row in rows if row["search"] is not None})
    if rows and (strange := [arm for arm in arms if arm not in known]):
        raise Refused(f"{run} has no arm {strange[0]!r} with tickets (arms: {', '.join(known)})")
    column = "images_with_evaluation" if with_evaluation else "images"
    paid = {(row["search"], row["round"]): row[column] for row in queries.answer(store, queries.cost(run))}
    places: dict[str, Callable[[dict[str, Any]], float]] = {
        "sparsity": lambda row: by_remaining(row["sparsity"]),
        "cost": lambda row: paid.get((row["search"], row["round"]), float("nan")),
        "round": lambda row: row["round"],
    }
    found = accuracy_series(rows, places[x], arms, label)
    return [replace(one, colour=colour + one.colour) for one in found]
