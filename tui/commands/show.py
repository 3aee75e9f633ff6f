"""`tombola show`: the report of a run, at its end or as far as it is."""

from __future__ import annotations

import shutil
import sys

import click

from store.files import last_printed
from store.liveness import SILENT_SECONDS
from store.reading import Reader
from tui.app.wording import moment
from tui.commands.options import files_of, json_option, no_colour, reader, resolve, run_argument, store_options
from tui.commands.output import print_json
from tui.plain import plain

WIDEST = 100
"""Columns of the plot; more spreads the same few points."""


@click.command()
@run_argument
@json_option
@store_options
def command(run: str, as_json: bool) -> None:
    """Show a run's results, each with the SQL that gives it.

    Accuracy of every arm at every ticket, what it cost, which samples mattered and how trainings went, how much members
    agreed, and the answers to its questions, with their curves. Works while the run goes on, too.
    """
    store = reader()
    run = resolve(store, run)
    if not as_json:
        return print_report(store, run)
    from store import report as queries

    figures = (queries.accuracy, queries.cost, queries.cost_to_sparsity, queries.overlap, queries.loss)
    more = (
        queries.sets,
        queries.early,
        queries.traces,
        queries.copies,
        queries.controls,
        queries.checks,
        queries.curves,
        queries.machine,
    )
    asked = {query.__name__: query(run) for query in (*figures, *more)}
    answers = {name: queries.answer(store, sql) for name, sql in asked.items()}
    row = store.run(run)
    row["printed"] = last_printed(files_of(row), run)
    return print_json({**row, **answers, "alerts": store.alerts(run), "sql": asked})


def print_report(store: Reader, run: str) -> None:
    """Print the report of a run: figures on stdout, in the width of the terminal."""
    from store.report import answer, machine, seconds
    from tui.report import heading, machine_line, report

    colour = sys.stdout.isatty() and not no_colour()
    columns = min(shutil.get_terminal_size().columns, WIDEST)
    took = answer(store, seconds(run))[0]["seconds"]
    title, *facts = heading(store.run(run), took)
    click.echo(_styled(plain(title), colour, bold=True))
    for fact in facts:
        click.echo(plain(fact))
    for line in gone(store, run):
        click.echo(plain(line))
    for worked in answer(store, machine(run)):
        click.echo(plain(machine_line(worked)))
    for alert in store.alerts(run):
        about = f"{alert['search']} " if alert["search"] else ""
        click.echo(_styled(plain(f"alert: {about}{alert['message']}"), colour, fg="yellow"))
    for block in report(store, run, columns, colour):
        if block.title:
            click.echo("\n" + _styled(block.title, colour, bold=True))
        for line in block.lines:
            click.echo(line if "\x1b" in line and colour else plain(line))
        if block.sql:
            click.echo(_styled(f'$ tombola query "{block.sql}"', colour, dim=True))


def gone(store: Reader, run: str) -> list[str]:
    """Of a run whose engine is lost: since when, at what, the last that it printed or logged, and what can be done."""
    row = store.run(run)
    if row["state"] != "lost":
        return []
    newest = row["attempts"][-1] if row["attempts"] else None
    if newest is None:
        words = f"its engine did not come up within {SILENT_SECONDS:.0f} s"
    else:
        doing = f", at {newest['doing']}" if newest["doing"] else ""
        words = f"its engine has gone; last sign of life {moment(newest['heartbeat'], '%Y-%m-%d %H:%M:%S')}{doing}"
    told = last_printed(files_of(row), run) or [line["message"] for line in store.log(run)[-1:]]
    return [words, *(f"  | {line}" for line in told), f"tombola resume {run} goes on from its last checkpoint"]


def _styled(text: str, colour: bool, **style: object) -> str:
    return click.style(text, **style) if colour else text  # type: ignore[arg-type]
