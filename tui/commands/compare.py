"""`tombola compare`: runs beside each other, in the settings that differ and in results at chosen sparsities."""

from __future__ import annotations

import itertools
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tui.commands.options import Failed, Refused, json_option, reader, resolve, runs_argument, store_options
from tui.commands.output import print_json, say, table
from tui.plain import plain

if TYPE_CHECKING:
    from store.comparing import Comparison, Result, Setting
    from tui.comparing import Axis

MOST_WIDE = 40
"""Characters of a setting's value in a table; JSON and CSV are whole."""


@click.command()
@runs_argument
@click.option(
    "--at",
    "levels",
    type=click.FloatRange(0.0, 1.0, max_open=True),
    multiple=True,
    help="Give results at this sparsity, such as 0.9; repeatable. Else at 0.5, 0.8, 0.9 and 0.95.",
)
@click.option("--settings", "settings_only", is_flag=True, help="Only the settings that differ.")
@click.option("--results", "results_only", is_flag=True, help="Only the results.")
@click.option("--svg", "path", metavar="FILE", help="Draw accuracy as a picture into this new file instead.")
@click.option(
    "--x", type=click.Choice(["sparsity", "cost"]), default="sparsity", show_default=True, help="With --svg: the axis."
)
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV: the results, or with --settings those.")
@json_option
@store_options
@click.pass_context
def command(
    ctx: click.Context,
    runs: tuple[str, ...],
    levels: tuple[float, ...],
    settings_only: bool,
    results_only: bool,
    path: str | None,
    x: Axis,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Compare runs: the settings that differ, and results at chosen sparsities.

    A sparsity is answered by the nearest ticket that reaches it, at its own sparsity. Means over seeds with half of
    their 95 % intervals; differences are to the first run, paired by seed. Two to eight runs.
    """
    from store.comparing import LEVELS, MOST, compare, results

    for one, other in itertools.combinations((("--csv", as_csv), ("--json", as_json), ("--svg", path)), 2):
        if one[1] and other[1]:
            raise click.UsageError(f"{one[0]} and {other[0]} exclude each other")
    if settings_only and results_only:
        raise click.UsageError("--settings and --results exclude each other: without either, both are shown")
    if path is None and ctx.get_parameter_source("x") is click.core.ParameterSource.COMMANDLINE:
        raise click.UsageError("--x goes with --svg")
    store = reader()
    names = list(dict.fromkeys(resolve(store, run) for run in runs))
    if not 2 <= len(names) <= MOST:
        raise Refused(f"compare two to {MOST} runs, not {len(names)}")
    comparison = compare(store, names)
    if path is not None:
        return _write(comparison, x, Path(path))
    found = results(comparison, levels or LEVELS)
    if as_json or as_csv:
        return _print(comparison, found, settings_only, results_only, as_csv)
    if not results_only:
        _print_settings(comparison)
    if not settings_only:
        _print_results(comparison, found, not results_only)
    return None


def _write(comparison: Comparison, axis: Axis, path: Path) -> None:
    from tui.comparing import series, svg

    drawn = series(comparison, axis)
    if not drawn:
        raise Failed("nothing was evaluated yet")
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(svg(comparison, drawn, axis))
    except FileExistsError:
        raise Refused(f"{path} exists already: name a file that does not") from None
    except OSError as error:
        raise Failed(f"{path}: {(error.strerror or str(error)).lower()}") from None
    say(f"the picture is in {path}")


def _print(
    comparison: Comparison, found: tuple[Result, ...], settings_only: bool, results_only: bool, as_csv: bool
) -> None:
    from tui import comparing

    settings, rows = comparing.setting_rows(comparison), comparing.result_rows(found)
    if as_csv:
        sys.stdout.write(comparing.as_csv(settings if settings_only else rows))
    elif settings_only or results_only:
        print_json(settings if settings_only else rows)
    else:
        print_json({"settings": settings, "results": rows, "tickets": comparing.ticket_rows(comparison)})


def _print_settings(comparison: Comparison) -> None:
    for title, settings in (("settings", comparison.settings), ("machines and versions", comparison.machines)):
        click.echo(f"{title} that differ" if settings else f"no {title} differ")
        for line in _setting_lines(comparison, settings):
            click.echo(line)
        click.echo()


def _setting_lines(comparison: Comparison, settings: tuple[Setting, ...]) -> list[str]:
    from tui.comparing import value

    rows = [(setting.path, *(plain(value(one), MOST_WIDE) for one in setting.values)) for setting in settings]
    return table(["", *(side.run for side in comparison.sides)], rows) if rows else []


def _print_results(comparison: Comparison, found: tuple[Result, ...], titled: bool) -> None:
    from tui.comparing import RESULTS, RESULTS_RIGHT, accuracy, reading, result_cells

    if titled:
        click.echo("on test, in %: mean ± half of the 95 % interval (seeds); differences in points, paired by seed")
        click.echo(reading(comparison))
    for side in comparison.sides:
        if side.dense is not None:
            click.echo(plain(f"{side.run}  dense  {accuracy(side.dense)}"))
    for level, rows in itertools.groupby(found, key=lambda result: result.level):
        click.echo(f"\nat {100 * level:g} %")
        for line in table(RESULTS, map(result_cells, rows), right=RESULTS_RIGHT):
            click.echo(line)
    if not found:
        say("no ticket was evaluated yet")
    if comparison.apart:
        say(comparison.apart)
