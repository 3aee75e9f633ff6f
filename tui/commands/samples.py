"""`tombola samples`: the hardest samples of a round, with their images."""

from __future__ import annotations

import shutil
import sys

import click

from tui.commands.options import (
    Refused,
    db,
    files_of,
    json_option,
    no_colour,
    reader,
    resolve,
    run_argument,
    store_options,
)
from tui.commands.output import print_json, say, table
from tui.plain import plain


@click.command()
@run_argument
@click.option("--search", help="Search that chose them; else the first that chooses any.")
@click.option("--seed", type=int, help="Its seed; else the first.")
@click.option("--round", "number", type=int, help="Round that chose them; else the last.")
@click.option("--count", type=click.IntRange(1, 1000), default=12, show_default=True, help="How many at most.")
@json_option
@store_options
def command(run: str, search: str | None, seed: int | None, number: int | None, count: int, as_json: bool) -> None:
    """Show the hardest samples of a round, with their images.

    Those that were never learned first, then those forgotten most often, then others of the set that the round chose
    for the next. Images are drawn in greys, two rows of pixels a line; without colours in plain characters.
    """
    from tui.gallery import gallery, wall
    from tui.launch import LaunchError, samples

    store = reader()
    run = resolve(store, run)
    say("asking the engine for the images …")
    try:
        answer = samples(db(), files_of(store.run(run)), run, search, seed, number, count)
    except LaunchError as error:
        raise Refused(str(error)) from None
    if as_json:
        return print_json(answer)
    shown = gallery(answer)
    click.echo(plain(f"{shown.search} seed {shown.seed}, {shown.title}; it chose {shown.size} of {answer['data']}"))
    rows = [(one.index, one.label, one.reason) for one in shown.samples]
    click.echo("\n".join(table(("sample", "label", "why"), rows, right=(0, 1))))
    colour = sys.stdout.isatty() and not no_colour()
    lines = wall(shown, shutil.get_terminal_size().columns, None, colour)
    click.echo()
    for line in lines:
        click.echo(_coded(line) if colour else line.plain.rstrip())
    return None


def _coded(line: object) -> str:
    """A line with the codes of its 256 colours."""
    from rich.color import ColorSystem
    from rich.text import Text

    assert isinstance(line, Text)
    pieces, at = [], 0
    for span in line.spans:
        pieces.append(line.plain[at : span.start])
        style = span.style
        text = line.plain[span.start : span.end]
        pieces.append(text if isinstance(style, str) else style.render(text, color_system=ColorSystem.EIGHT_BIT))
        at = span.end
    return "".join([*pieces, line.plain[at:]])
