"""`tombola show`: the report of a run, at its end or as far as it is."""

from __future__ import annotations

import shutil
import sys

import click

from store.reading import Reader
from tui.commands.options import json_option, no_colour, reader, resolve, run_argument, store_options
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
    return print_json({**store.run(run), **answers, "alerts": store.alerts(run), "sql": asked})


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


def _styled(text: str, colour: bool, **style: object) -> str:
    return click.style(text, **style) if colour else text  # type: ignore[arg-type]
