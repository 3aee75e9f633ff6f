"""A person's own settings: how the app looks, and which keys it obeys; one TOML file, read once at the start.

`tombola settings` prints where it lies and what is in force. Nothing here changes a result.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import click

from tui.app.actions import ACTIONS, Action, remapped

THEMES = ("dark", "light", "plain")


@dataclass(frozen=True)
class Settings:
    """What the file may say. Options of the command line come before it."""

    theme: str = "dark"
    """Colours for a "dark" or a "light" ground, or "plain": the terminal's own sixteen."""
    ascii: bool = False
    """Only characters that every terminal has: no braille, no blocks, no line drawing."""
    mouse: bool = True
    """Whether the app takes the mouse; without, the terminal selects text as always."""
    keys: Mapping[str, str] = field(default_factory=dict)
    """Keys by action, such as "runs.stop" = "x"; several with commas between."""

    @property
    def actions(self) -> tuple[Action, ...]:
        """The table of actions with these keys.

        Raises:
            click.ClickException: one is no action, or two of a place would have the same key.
        """
        try:
            return remapped(ACTIONS, self.keys)
        except ValueError as error:
            raise click.ClickException(f"{place()}: {error}") from None


def place() -> Path:
    """Where the file lies, or would: TOMBOLA_SETTINGS, else in the folder that this system has for settings."""
    from platformdirs import user_config_path

    named = os.environ.get("TOMBOLA_SETTINGS")
    return Path(named).expanduser() if named else user_config_path("tombola") / "settings.toml"


def read(path: Path | None = None) -> Settings:
    """The settings of a file; the defaults where there is none.

    Raises:
        click.ClickException: it cannot be read, is not TOML, or says what is not known; in one line.
    """
    path = path or place()
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError, RecursionError) as error:  # no TOML, no text, or too deep or long to be either
        raise click.ClickException(f"{path} cannot be read: {error}") from None
    try:
        settings = Settings(**_checked(found))
    except ValueError as error:
        raise click.ClickException(f"{path}: {error}") from None
    try:
        remapped(ACTIONS, settings.keys)
    except ValueError as error:
        raise click.ClickException(f"{path}: {error}") from None
    return settings


def _checked(found: dict[str, Any]) -> dict[str, Any]:
    from presets.wording import nearest

    known = [one.name for one in fields(Settings)]
    for name, value in found.items():
        if name not in known:
            raise ValueError(f"{name} is no setting{nearest(name, known)}")
        if name == "theme" and value not in THEMES:
            raise ValueError(f"theme = {value!r}: give one of {', '.join(THEMES)}")
        if name in ("ascii", "mouse") and not isinstance(value, bool):
            raise ValueError(f"{name} = {value!r}: give true or false")
        if name == "keys" and not (isinstance(value, dict) and all(isinstance(keys, str) for keys in value.values())):
            raise ValueError('keys: a table such as [keys] with "runs.stop" = "x"')
    return found
