"""`tombola prune`: room on the disk, for files that a run can do without."""

from __future__ import annotations

import click

from tui.commands.options import edit, files_of, reader, resolve, runs_argument, store_options
from tui.commands.output import say


@click.command()
@runs_argument
@click.option(
    "--keep",
    type=click.Choice(["tickets", "rounds"]),
    required=True,
    help="What stays: tickets alone (masks and starts), or also the trained weights of each round's members.",
)
@store_options
def command(runs: tuple[str, ...], keep: str) -> None:
    """Free the space of trained weights that runs have kept.

    Figures and tickets stay, and files that other runs use. A check that looks at trained weights has to train them
    again afterwards. A run that has not finished keeps what it would go on from; tombola delete takes that as well.
    """
    from store.editing import prune_run
    from tui.app.wording import plural, size

    store = reader()
    for row in [store.run(run) for run in dict.fromkeys(resolve(store, given) for given in runs)]:
        number, freed = edit(prune_run, row["id"], keep, files_of(row))
        words = f"{plural(number, 'file')} of {size(freed)} deleted" if number else "nothing to free"
        if row["id"] in (aside := store.aside()):
            count, room = aside[row["id"]]
            words += f"; {plural(count, 'file')} of {size(room)} that it goes on from stay"
        say(f"{row['id']}: {words}")
