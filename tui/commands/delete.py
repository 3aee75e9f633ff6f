"""`tombola delete`: the one command that removes results, and therefore asks."""

from __future__ import annotations

import sys

import click

from tui.commands.options import Failed, Refused, edit, files_of, reader, resolve, runs_argument, store_options
from tui.commands.output import say


@click.command()
@runs_argument
@click.option("--yes", is_flag=True, help="Do not ask.")
@store_options
def command(runs: tuple[str, ...], yes: bool) -> None:
    """Delete runs with their figures and files.

    Files that other runs use stay. Asks first, unless --yes is given.
    """
    from store.editing import delete_run

    store = reader()
    rows = [store.run(run) for run in dict.fromkeys(resolve(store, given) for given in runs)]
    for row in rows:
        if row["state"] == "running":
            raise Failed(f"{row['id']} is running: stop it first")
    if not yes:
        if not sys.stdin.isatty():
            raise Refused("nobody can be asked here: add --yes to delete")
        names = ", ".join(row["id"] for row in rows)
        if not click.confirm(f"Delete {names} with all figures and files?", err=True):
            raise Failed("nothing was deleted")
    for row in rows:
        edit(delete_run, row["id"], files_of(row))
        say(f"{row['id']} is deleted")
