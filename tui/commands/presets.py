"""`tombola presets`: what can be run, and what one of them asks for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from tui.commands.options import Refused, json_option
from tui.commands.output import print_json, table

if TYPE_CHECKING:
    from presets.loading import PresetInfo

WIDEST = 32
"""Columns of a value beyond which its remark stands out of line."""

Heading = tuple[str, ...]


@click.command()
@click.argument("name", required=False)
@click.option("--toml", "as_toml", is_flag=True, help="Print the TOML of one, to start your own from.")
@json_option
def command(name: str | None, as_toml: bool, as_json: bool) -> None:
    """List the experiments that can be run, or show one.

    NAME is a preset or a TOML file. Your own presets are found by name in the folder that the list ends with.
    """
    from presets.loading import PresetError, listing, load, source

    if name is None:
        if as_toml:
            raise click.UsageError("--toml goes with the name of a preset")
        return _list(listing(), as_json)
    try:
        if as_toml:
            return click.echo(source(name), nl=False)
        experiment = load(name)
    except PresetError as error:
        raise Refused(str(error)) from None
    spec = experiment.model_dump(mode="json")
    if as_json:
        return print_json(spec)
    return _show(spec)


def _list(found: list[PresetInfo], as_json: bool) -> None:
    if as_json:
        keys = ("name", "group", "title", "paper", "expect", "own", "fault")
        return print_json([{key: getattr(info, key) for key in keys} | {"path": str(info.path)} for info in found])
    from presets.loading import own_folder

    rows = [(info.name, info.group, info.fault or info.title) for info in found]
    for line in table(("preset", "paper", "title"), rows):
        click.echo(line)
    click.echo(f"your own: {own_folder()}", err=True)
    return None


def _show(spec: dict[str, Any]) -> None:
    """The whole experiment as TOML that could be run, defaults included; a key's meaning stands at its first place."""
    from presets.explaining import description_of
    from tui.plain import plain

    told: set[str] = set()
    for heading, keys in _sections(spec):
        if heading:
            click.echo(f"\n[{'.'.join(heading)}]")
        lines = [(key, plain(_toml(value)), description_of((*heading, key), spec)) for key, value in keys.items()]
        names, values = (max((len(line[column]) for line in lines), default=0) for column in (0, 1))
        for key, value, meaning in lines:
            remark = "" if meaning in told else meaning
            told.add(meaning)
            wide = min(values, WIDEST)
            click.echo(f"{key:{names}} = {value:{wide}}  # {remark}" if remark else f"{key:{names}} = {value}")


def _sections(
    tables: dict[str, Any], heading: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
    """The tables of an experiment with their headings; what lies deeper than two is written within its line."""
    inner = [key for key, value in tables.items() if isinstance(value, dict) and len(heading) < 2 and value]
    plain_keys = {key: value for key, value in tables.items() if key not in inner and value not in (None, {})}
    if plain_keys or not inner:
        yield heading, plain_keys
    for key in inner:
        yield from _sections(tables[key], (*heading, key))


def _toml(value: Any) -> str:
    """A plain value as TOML; a JSON string is one, but for escapes of characters that TOML spells otherwise."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items() if inner is not None) + " }"
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
