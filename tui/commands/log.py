"""`tombola log`: what a run has logged, and what its engine printed where that is all there is."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from tui.commands.options import files_of, json_option, reader, resolve, run_argument, store_options
from tui.commands.output import print_json, say
from tui.plain import plain

LOOK_SECONDS = 0.3
TAIL = 20  # lines of the engine's own output that are worth showing


@click.command()
@run_argument
@click.option("-f", "--follow", is_flag=True, help="Go on printing new lines until the run ends.")
@json_option
@store_options
def command(run: str, follow: bool, as_json: bool) -> None:
    """Show what a run has logged, oldest first.

    Where an engine broke, the end of what it printed follows.
    """
    from store.report import progress

    store = reader()
    run = resolve(store, run)
    lines = store.log(run)
    if as_json and not follow:
        return print_json(lines)
    _print(lines, as_json)
    while follow:
        ended = progress(store, run).state != "running"
        new = store.log(run, after=lines[-1]["id"] if lines else 0)
        _print(new, as_json)
        lines = new or lines
        if ended:
            break
        time.sleep(LOOK_SECONDS)
    if not as_json:
        _print_engine_log(store.run(run))
        if store.run(run)["state"] == "lost":
            say(f"{run} is lost: tombola show {run} says since when")
    return None


def _print(lines: list[dict[str, Any]], as_json: bool) -> None:
    from tui.app.wording import moment

    for line in lines:
        if as_json:
            click.echo(json.dumps(line))
        else:
            level = "" if line["level"] == "info" else f"{line['level']}: "
            click.echo(f"{moment(line['at'], '%Y-%m-%d %H:%M:%S')}  {level}{plain(line['message'])}")


def _print_engine_log(row: dict[str, Any]) -> None:
    from store.files import engine_log

    path = engine_log(files_of(row), row["id"])
    try:
        printed = path.read_text(errors="replace").splitlines()
    except OSError:
        return
    if printed:
        say(f"the engine printed {len(printed)} lines to {path}; the last of them:")
        for line in printed[-TAIL:]:
            click.echo(plain(line))
