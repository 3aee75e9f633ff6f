"""`tombola rename`: another name; the id that runs are typed by stays."""

from __future__ import annotations

import click

from tui.commands.options import edit, reader, resolve, run_argument, store_options


@click.command()
@run_argument
@click.argument("name")
@store_options
def command(run: str, name: str) -> None:
    """Give a run another name; its id stays."""
    from store.editing import rename

    edit(rename, resolve(reader(), run), name)
