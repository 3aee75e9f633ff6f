"""`tombola runs`: what there is, newest first."""

from __future__ import annotations

import click

from tui.commands.options import Refused, json_option, reader, store_options
from tui.commands.output import print_json, say, table


@click.command()
@click.option("--where", metavar="SQL", help="Only runs for which this holds, such as \"state = 'running'\".")
@click.option(
    "--size",
    "sized",
    is_flag=True,
    help="Also the bytes of their files and checkpoints, in all and used by no other run.",
)
@json_option
@store_options
def command(where: str | None, sized: bool, as_json: bool) -> None:
    """List runs, newest first.

    --where takes SQL over the columns of the list: id, name, title, preset, paper, state, note, created, ended,
    device, seeds, methods, network, data, rounds, sparsity, dense_accuracy, images_done, images_planned.
    """
    from store.errors import StoreError
    from tui.app.wording import count, moment, percent, size

    store = reader()
    try:
        rows = store.runs(where)
    except StoreError as error:
        if where is None:
            raise
        raise Refused(str(error)) from None
    if sized:
        sizes = store.sizes()
        for row in rows:
            row["bytes"], row["bytes_own"] = sizes.get(row["id"], (0, 0))
    if as_json:
        return print_json(rows)
    if not rows:
        return say("no run matches" if where else "no run yet: tombola demo makes one")
    head = ("run", "state", "done", "rounds", "sparsest", "dense", "seeds", "images")
    head += (*(("files", "its own") if sized else ()), "started", "about")
    lines = table(
        head,
        [
            (
                row["id"],
                row["state"],
                done(row),
                row["rounds"],
                percent(row["sparsity"]),
                percent(row["dense_accuracy"]),
                row["seeds"],
                count(row["images_done"]),
                *((size(row["bytes"]), size(row["bytes_own"])) if sized else ()),
                moment(row["created"], "%Y-%m-%d %H:%M"),
                about(row),
            )
            for row in rows
        ],
        right=(2, 3, 4, 5, 6, 7, *((8, 9) if sized else ())),
    )
    for line in lines:
        click.echo(line)
    return None


def done(row: dict) -> str:
    """How much of a run's training is done."""
    if row["state"] == "finished":
        return "100 %"
    return f"{100 * min(1.0, row['images_done'] / row['images_planned']):.0f} %" if row["images_planned"] else "0 %"


def about(row: dict) -> str:
    """The name where a person gave one, and the note or else the title."""
    name = row["name"] if row["name"] != row["preset"] else ""
    return ": ".join(part for part in (name, row["note"].partition("\n")[0] or row["title"]) if part)
