"""`tombola presets`: what can be run, what one of them asks for, and what that will cost here."""

from __future__ import annotations

import itertools
import shutil
import sys
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import click

from tui.commands.options import Failed, Refused, json_option
from tui.commands.output import print_json, say, table
from tui.commands.run import device_option
from tui.plain import plain

if TYPE_CHECKING:
    from presets.loading import PresetInfo
    from presets.schema import Experiment

WIDEST = 32
"""Columns of a value beyond which its remark stands out of line."""

LEAST_TITLE = 24
"""Columns that a title gets, however narrow the terminal is."""

WIDEST_LINE = 100
"""Columns of the forecast's lines, however wide the terminal is."""

SMOKE = "-smoke"
"""End of the name of a preset that is another's, made small enough to try out."""

Heading = tuple[str, ...]


@click.command()
@click.argument("name", required=False)
@click.option("--find", metavar="WORDS", help="List only presets whose name, title and paper hold all these words.")
@click.option("--toml", "as_toml", is_flag=True, help="Print the TOML of one, to start your own from.")
@click.option("--cost", "only_cost", is_flag=True, help="Print only what one will cost here.")
@device_option
@json_option
def command(name: str | None, find: str | None, as_toml: bool, only_cost: bool, device: str, as_json: bool) -> None:
    """List the experiments that can be run, or show one.

    NAME is a preset or a TOML file. It is shown with every default, and with what it will cost here: the engine is
    asked, which takes some seconds. Your own presets are found by name in the folder that the list ends with.
    """
    from presets.loading import PresetError, listing, load, source

    if name is None:
        if as_toml or only_cost:
            raise click.UsageError(f"{'--toml' if as_toml else '--cost'} goes with the name of a preset")
        return _list(matching(listing(), find or ""), as_json, find)
    if find is not None:
        raise click.UsageError("a name and --find exclude each other")
    if as_toml and only_cost:
        raise click.UsageError("--toml and --cost exclude each other")
    try:
        if as_toml:
            return click.echo(source(name), nl=False)
        experiment = load(name)
    except PresetError as error:
        raise Refused(str(error)) from None
    if only_cost:
        return _cost_alone(experiment, device, as_json)
    spec = experiment.model_dump(mode="json")
    if as_json:
        return print_json(spec)
    show_toml(spec)
    return _cost_below(experiment, device)


def matching(infos: Iterable[PresetInfo], words: str) -> list[PresetInfo]:
    """Presets whose name, title, paper or folder hold every one of `words`, each followed by those to try it out."""
    wanted = words.casefold().split()
    found = [info for info in infos if all(word in _searched(info) for word in wanted)]
    return sorted(found, key=lambda info: (not info.own, info.group, info.name.removesuffix(SMOKE), info.name))


def _searched(info: PresetInfo) -> str:
    return f"{info.name} {info.group} {info.title} {info.paper}".casefold()


def _list(found: list[PresetInfo], as_json: bool, words: str | None) -> None:
    if as_json:
        keys = ("name", "group", "title", "paper", "expect", "own", "fault")
        return print_json([{key: getattr(info, key) for key in keys} | {"path": str(info.path)} for info in found])
    if not found and words:
        return say(f"no preset has all of: {words}")
    from presets.loading import own_folder

    rows = [(info.name, info.group, info.fault or info.title) for info in found]
    lines = _by_paper(rows) if sys.stdout.isatty() else table(("preset", "paper", "title"), rows)
    for line in lines:
        click.echo(line)
    say(f"your own: {own_folder()}")
    return None


def _by_paper(rows: list[tuple[str, str, str]]) -> list[str]:
    """The list for a terminal: papers as headings, and a line each, cut where the terminal ends."""
    wide = max(len(name) for name, _, _ in rows)
    room = max(shutil.get_terminal_size().columns - wide - 4, LEAST_TITLE)
    lines = []
    for group, presets in itertools.groupby(rows, key=lambda row: row[1]):
        lines += ["", plain(group)]
        lines += [f"  {plain(name):{wide}}  {plain(title, room)}" for name, _, title in presets]
    return lines[1:]


# What it will cost


def _cost_alone(experiment: Experiment, device: str, as_json: bool) -> None:
    from tui import launch

    try:
        cost = _asked(experiment, device)
    except launch.LaunchError as error:
        raise (Refused if error.refused else Failed)(str(error)) from None
    if as_json:
        return print_json(cost)
    for line in _cost_lines(experiment, cost, ""):
        click.echo(line)
    return None


def _cost_below(experiment: Experiment, device: str) -> None:
    """The forecast as comments: what went before is on the screen, and stays TOML with it."""
    from tui import launch

    try:
        cost = _asked(experiment, device)
    except launch.LaunchError as error:
        return say(f"what it costs here is not known: {error}")
    click.echo("\n# What it will cost here, as the engine forecasts it:")
    for line in _cost_lines(experiment, cost, "# "):
        click.echo(line)
    return None


def _asked(experiment: Experiment, device: str) -> dict[str, Any]:
    """The engine's forecast. A person who waits is told for what."""
    from tui import launch

    say("asking the engine what it will cost here …")
    return launch.plan(experiment, device)


def _cost_lines(experiment: Experiment, cost: dict[str, Any], mark: str) -> list[str]:
    from tui.app.wording import forecast

    columns = min(shutil.get_terminal_size().columns, WIDEST_LINE) - len(mark)
    data = experiment.data.path or experiment.data.name
    return [f"{mark}{lead}{words}" for lead, words in forecast(cost, data, columns)]


# What it asks for


def show_toml(spec: dict[str, Any]) -> None:
    """Print an experiment as TOML that could be run, defaults included; a key's meaning stands at its first place."""
    from presets.explaining import description_of
    from presets.forms import text

    told: set[str] = set()
    for heading, keys in _sections(spec):
        if heading:
            click.echo(f"\n[{'.'.join(heading)}]")
        lines = [(key, plain(text(value)), description_of((*heading, key), spec)) for key, value in keys.items()]
        names, values = (max((len(line[column]) for line in lines), default=0) for column in (0, 1))
        for key, value, meaning in lines:
            remark = "" if meaning in told else meaning
            told.add(meaning)
            wide = min(values, WIDEST)
            click.echo(f"{key:{names}} = {value:{wide}}  # {remark}" if remark else f"{key:{names}} = {value}")


def _sections(tables: dict[str, Any], heading: Heading = ()) -> Iterator[tuple[Heading, dict[str, Any]]]:
    """The tables of an experiment with their headings; what lies deeper than two is written within its line."""
    inner = [key for key, value in tables.items() if isinstance(value, dict) and len(heading) < 2 and value]
    plain_keys = {key: value for key, value in tables.items() if key not in inner and value not in (None, {})}
    if plain_keys or not inner:
        yield heading, plain_keys
    for key in inner:
        yield from _sections(tables[key], (*heading, key))
