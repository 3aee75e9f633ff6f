"""`tombola check`: the answers to a run's questions, and new questions to what it has trained."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

import click

from tui.commands.options import (
    Failed,
    Refused,
    db,
    files,
    json_option,
    no_colour,
    reader,
    resolve,
    run_argument,
    store_options,
)
from tui.commands.output import print_json, say

if TYPE_CHECKING:
    from store.reading import Reader

WIDEST = 100
"""Columns of the answers, as in `tombola show`."""


@click.command()
@run_argument
@click.argument("name", required=False)
@click.option(
    "--set",
    "sets",
    metavar="KEY=VALUE",
    multiple=True,
    help="Change a setting of the check, such as at=0.9; repeatable.",
)
@click.option("--again", is_flag=True, help="Ask again what is answered already.")
@click.option("--dry-run", is_flag=True, help="Say what would be asked, and write nothing.")
@json_option
@store_options
def command(run: str, name: str | None, sets: tuple[str, ...], again: bool, dry_run: bool, as_json: bool) -> int:
    """Show the answers to a run's questions, or ask it another.

    NAME is a check of the run, or a way to check it, such as winning-ticket or stability; without one, all answers are
    shown. What is not answered yet, or is asked with --again or --set, becomes one of the run's checks, and the run
    goes on: it trains what the check lacks and nothing twice.
    """
    if name is None and (sets or again or dry_run):
        raise click.UsageError("--set, --again and --dry-run go with the NAME of a check")
    store = reader()
    run = resolve(store, run)
    if name is None or (_rows(store, run, name) and not (sets or again or dry_run)):
        return _print(store, run, name, as_json)
    row = store.rows("SELECT spec FROM runs WHERE id = ?", (run,))[0]
    spec = json.loads(row["spec"])
    checks = {**spec.get("checks", {}), name: _asked(run, spec, name, sets)}
    if dry_run:
        return _print_plan(run, spec, name, checks[name], as_json)
    code = _answered(run, checks)
    if code:
        return code
    if not _rows(store, run, name):
        raise Failed(f"{run} has ended without an answer to {name}: tombola log {run} says more")
    return _print(store, run, name, as_json)


def methods() -> dict[str, str]:
    """Every way to check a run, with what it asks: the question that its documentation begins with."""
    from presets.schema import Asking

    return {
        get_args(kind.model_fields["method"].annotation)[0]: " ".join((kind.__doc__ or "").split()).partition("?")[0]
        + "?"
        for kind in Asking.__subclasses__()
    }


def _asked(run: str, spec: dict[str, Any], name: str, sets: Sequence[str]) -> dict[str, Any]:
    """The check `name`, of the run or the method of that name, with settings changed: checked, and as it is stored."""
    from presets.loading import PresetError, again
    from presets.wording import nearest
    from tui.plain import plain

    own, ways = spec.get("checks", {}), methods()
    if name not in own and name not in ways:
        near = nearest(name, [*own, *ways])
        raise Refused(
            f"{run} has no check {plain(name)!r}{near} (checks: {', '.join(own) or 'none'}; ways to ask:"
            f" {', '.join(ways)})"
        )
    checks = {**own, name: own.get(name) or {"method": name}}
    try:
        experiment = again({**spec, "checks": checks}, f"run {run}", [f"checks.{name}.{text}" for text in sets])
    except PresetError as error:
        raise Refused(str(error)) from None
    return experiment.model_dump(mode="json")["checks"][name]


def _answered(run: str, checks: dict[str, Any]) -> int:
    """Let the run go on with these checks and follow it to its end; gives the exit code."""
    from tui import launch
    from tui.commands.run import watch

    try:
        launch.ask(db(), files(), run, checks)
    except launch.LaunchError as error:
        raise Failed(str(error)) from None
    return watch(run)


def _rows(store: Reader, run: str, name: str | None = None) -> list[dict[str, Any]]:
    from store import report

    rows = report.answer(store, report.checks(run))
    return [row for row in rows if name is None or row["name"] == name]


def _print(store: Reader, run: str, name: str | None, as_json: bool) -> int:
    """Print stored answers, of all checks or of one; where there are none, how to ask."""
    from store import report
    from store.answers import checks_of
    from tui.questions import wrapped
    from tui.report import check_lines

    rows = _rows(store, run, name)
    curves = [row for row in report.answer(store, report.curves(run)) if name in (None, row["name"])]
    if as_json:
        print_json({"run": run, "checks": rows, "curves": curves})
        return 0
    columns = min(shutil.get_terminal_size().columns, WIDEST)
    if rows:
        colour = sys.stdout.isatty() and not no_colour()
        for line in check_lines(checks_of(rows, curves), columns, colour, sentences=True):
            click.echo(line)
        return 0
    say(f"{run} has no answers yet; tombola check {run} NAME asks one of these:")
    ways = methods()
    lead = max(map(len, ways)) + 2
    for way, words in ways.items():
        for line in wrapped(f"{way:<{lead}}{words}", columns, 0, lead):
            click.echo(line)
    return 0


def _print_plan(run: str, spec: dict[str, Any], name: str, check: dict[str, Any], as_json: bool) -> int:
    """Say what asking would add to the run, and whether trained weights are there to be used."""
    from tui.commands.presets import show_toml

    kept = spec.get("keep", "tickets") in ("rounds", "all")
    if as_json:
        print_json({"run": run, "checks": {name: check}, "keep": spec.get("keep", "tickets"), "trained_kept": kept})
        return 0
    show_toml({"checks": {name: check}})
    if not kept:
        words = "no trained weights are kept (keep = tickets): those that the check needs are trained anew"
    elif spec["keep"] == "rounds":
        words = "the trained weights of its searches are kept, and used (keep = rounds); those of arms are trained anew"
    else:
        words = "all trained weights are kept, and used (keep = all)"
    say(f"{run}: {words}")
    return 0
