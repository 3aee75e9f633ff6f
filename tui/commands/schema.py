"""`tombola schema`: what every table, view and column means."""

from __future__ import annotations

import shutil
from dataclasses import asdict

import click

from tui.commands.options import json_option
from tui.commands.output import print_json

WIDEST = 100
"""Columns of text that are still pleasant to read."""


@click.command()
@json_option
def command(as_json: bool) -> None:
    """Explain every table, view and column of the store."""
    from store.schema import SCHEMA, as_text

    if as_json:
        return print_json({name: asdict(relation) for name, relation in SCHEMA.items()})
    return click.echo(as_text(min(shutil.get_terminal_size().columns, WIDEST)))
