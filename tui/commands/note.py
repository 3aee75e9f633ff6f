"""`tombola note`: what a person wants to remember of a run."""

from __future__ import annotations

import sys

import click

from tui.commands.options import edit, json_option, reader, resolve, run_argument, store_options
from tui.commands.output import print_json
from tui.plain import plain


@click.command()
@run_argument
@click.argument("text", required=False)
@json_option
@store_options
def command(run: str, text: str | None, as_json: bool) -> None:
    """Replace the note of a run, or show it.

    Without TEXT the note is shown. TEXT of "-" is read from standard input; an empty TEXT removes the note.
    """
    store = reader()
    run = resolve(store, run)
    if text is not None:
        from store.editing import note

        return edit(note, run, sys.stdin.read() if text == "-" else text)
    written = store.run(run)["note"]
    if as_json:
        return print_json({"run": run, "note": written})
    for line in written.splitlines():
        click.echo(plain(line))
    return None
