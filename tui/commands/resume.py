"""`tombola resume`: a new engine for a run whose last one has ended."""

from __future__ import annotations

import click

from tui.commands.options import Failed, db, files, reader, resolve, runs_argument, store_options
from tui.commands.output import say


@click.command()
@runs_argument
@store_options
def command(runs: tuple[str, ...]) -> None:
    """Let paused, stopped, failed or lost runs go on where they ended."""
    from tui import launch

    store = reader()
    for run in [resolve(store, given) for given in runs]:
        try:
            launch.resume(db(), files(), run)
        except launch.LaunchError as error:
            raise Failed(str(error)) from None
        say(f"{run} goes on: tombola watch {run}")
