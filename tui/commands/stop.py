"""`tombola stop`: ask the engine of a run to end, from any terminal."""

from __future__ import annotations

import click

from tui.commands.options import Failed, edit, reader, resolve, runs_argument, store_options
from tui.commands.output import say


@click.command()
@runs_argument
@store_options
def command(runs: tuple[str, ...]) -> None:
    """Stop runs; what they found is kept.

    The engine ends at its next step, mostly within a second. `tombola resume` lets the run go on.
    """
    ask(runs, "stop")


def ask(runs: tuple[str, ...], action: str) -> None:
    """Ask each run to "stop" or "pause". One without an engine is only marked; one that has ended is refused."""
    from store.editing import request, set_state

    store = reader()
    states = {run: store.run(run)["state"] for run in (resolve(store, given) for given in runs)}
    for run, state in states.items():
        if state == "finished" or state == {"stop": "stopped", "pause": "paused"}[action]:
            raise Failed(f"{run} is {state}: there is nothing to {action}")
        if state not in ("running", "paused", "lost") or (action == "pause" and state != "running"):
            raise Failed(f"{run} is {state}: there is nothing to {action}")
    for run, state in states.items():
        if state == "running":
            edit(request, run, action)
            say(f"{run} was asked to {action}")
        else:
            edit(set_state, run, "stopped")
            say(f"{run} is stopped")
