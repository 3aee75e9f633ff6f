"""`tombola data`: which data sets there are, which of them are on this machine, and how to get the others."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.commands.options import Failed, Refused, json_option
from tui.commands.output import print_json, say, table
from tui.plain import plain

if TYPE_CHECKING:
    from presets.schema import Data


@click.command()
@click.argument("name", required=False)
@click.option("--fetch", is_flag=True, help="Have it on this machine: download, draw or decode it.")
@json_option
def command(name: str | None, fetch: bool, as_json: bool) -> int:
    """List the data sets, show one, or fetch it.

    NAME is a data set, or a folder of yours that holds a folder of images for each class, written with a slash: ./pets.
    Nothing is ever downloaded without --fetch.
    """
    from tui import launch

    if fetch and name is None:
        raise click.UsageError("--fetch goes with the name of a data set")
    try:
        if name is None:
            _list(launch.data_sets(), as_json)
        elif fetch:
            _show(launch.prepare(_named(name), True, say), name, as_json)
        else:
            _show(launch.data_set(_named(name)), name, as_json)
    except launch.LaunchError as error:
        raise Failed(str(error)) from None
    except KeyboardInterrupt:
        say(f"interrupted: nothing of {name} was kept" if fetch else "interrupted")
        return 130
    return 0


def _named(name: str) -> Data:
    """The data set that a person means."""
    from typing import get_args

    from presets.schema import Data, DataName
    from presets.wording import nearest

    names = [known for known in get_args(DataName) if known != "folder"]
    if name in names:
        return Data(name=name)
    if "/" in name:
        return Data(name="folder", path=os.path.abspath(Path(name).expanduser()))
    hint = (
        nearest(name, names) or f": there are {', '.join(names)}, and folders of yours, written with a slash (./pets)"
    )
    raise Refused(f"no data set {name!r}{hint}")


def _list(sets: list[dict[str, Any]], as_json: bool) -> None:
    from store.places import data_path

    if as_json:
        return print_json(sets)
    rows = [(one["name"], *_figures(one), _state(one, one["name"]).split(" from ")[0]) for one in sets]
    for line in table(("data set", "images", "classes", "size", ""), rows, right=(1, 2)):
        click.echo(line)
    say('your own: tombola data ./pets, a folder that holds a folder of images a class; in presets name = "folder"')
    say(f"they lie in {data_path()}")
    return None


def _show(one: dict[str, Any], name: str, as_json: bool) -> None:
    from tui.app.wording import count

    if as_json:
        return print_json(one)
    images, classes, size = _figures(one)
    parts = ", ".join(f"{count(one[part])} {words}" for part, words in PARTS.items())
    rows = (("images", f"{images}: {parts}"), ("classes", classes), ("size", size), ("state", _state(one, name)))
    click.echo(plain(one["name"] if one["name"] != "folder" else name))
    for what, words in rows:
        click.echo(f"{what:9}{plain(words)}")
    return None


PARTS = {"train": "to train on", "validation": "for validation", "test": "for the test"}


def _figures(one: dict[str, Any]) -> tuple[str, str, str]:
    """Images of all splits, classes, and channels × height × width; nothing where a damaged set cannot tell."""
    from tui.app.wording import DASH, count

    if one["fault"]:
        return DASH, DASH, DASH
    return count(sum(one[part] for part in PARTS)), str(one["classes"]), "×".join(map(str, one["shape"]))


def _state(one: dict[str, Any], name: str) -> str:
    if one["fault"]:
        return one["fault"]
    if one["there"]:
        return "here"
    if one["download"]:
        return f"tombola data {name} --fetch: {one['download']}"
    return f"made by the first run that needs it, or tombola data {name} --fetch"
