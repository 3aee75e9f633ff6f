"""`tombola wait`: for scripts that go on when runs have ended."""

from __future__ import annotations

import time

import click

from tui.commands.options import json_option, reader, resolve, runs_argument, store_options
from tui.commands.output import print_json

LOOK_SECONDS = 0.5


@click.command()
@runs_argument
@json_option
@store_options
def command(runs: tuple[str, ...], as_json: bool) -> int:
    """Return when runs have ended, and say how.

    Paused, stopped and lost runs have ended, too. The exit code is 0 when all have finished, else 1.
    """
    from store.report import progress

    store = reader()
    names = list(dict.fromkeys(resolve(store, run) for run in runs))
    while any((states := {run: progress(store, run).state for run in names})[run] == "running" for run in names):
        time.sleep(LOOK_SECONDS)
    if as_json:
        print_json([{"run": run, "state": state} for run, state in states.items()])
    else:
        for run, state in states.items():
            click.echo(f"{run} {state}")
    return 0 if set(states.values()) == {"finished"} else 1
