"""`tombola watch`: look on, from any terminal."""

from __future__ import annotations

import sys

import click

from tui.commands.options import db, files_of, json_option, reader, resolve, run_argument, store_options
from tui.commands.output import say
from tui.commands.run import ended


@click.command()
@run_argument
@json_option
@store_options
def command(run: str, as_json: bool) -> int:
    """Follow a run until it ends.

    Shows a progress bar on a terminal, plain lines elsewhere. Ctrl-C stops watching; the run goes on. The exit code is
    0 when the run has finished.
    """
    from tui.following import Left, follow, form_for

    store = reader()
    run = resolve(store, run)
    form = "json" if as_json else form_for(sys.stdout)
    try:
        state, _ = follow(db(), files_of(store.run(run)), run, sys.stdout, form, stops=False)
    except Left:
        say(f"{run} is left running: tombola watch {run}")
        return 130
    return ended(run, state)
