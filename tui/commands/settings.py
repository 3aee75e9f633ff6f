"""`tombola settings`: what is in force, in the form that the settings file takes."""

from __future__ import annotations

import click

from tui.app.actions import ACTIONS
from tui.settings import THEMES, Settings, place, read


@click.command()
@click.option("--path", "path_only", is_flag=True, help="Print only where the file lies.")
def command(path_only: bool) -> None:
    """Show the app's settings and keys, and where to change them.

    What is printed can be saved as the settings file; a line that is left out stays as it is by default.
    """
    where = place()
    if path_only:
        click.echo(where)
        return
    click.echo(f"# {where}{'' if where.exists() else ' (there is none: these are the defaults)'}")
    click.echo("\n".join(lines(read(where))))


def lines(settings: Settings) -> list[str]:
    """All settings, as TOML; keys that are as by default are comments."""
    shown = [
        f'theme = "{settings.theme}"  # {", ".join(THEMES)}',
        f"ascii = {str(settings.ascii).lower()}  # plain characters only",
        f"mouse = {str(settings.mouse).lower()}",
        "",
        "[keys]",
    ]
    for action, before in zip(settings.actions, ACTIONS, strict=True):
        keys = ",".join(action.keys)
        shown.append(f'{"# " if action.keys == before.keys else ""}"{action.id}" = "{keys}"  # {action.help}')
    return shown
