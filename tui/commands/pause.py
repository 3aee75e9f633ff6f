"""`tombola pause`: ask the engine of a run to end for now."""

from __future__ import annotations

import click

from tui.commands.options import runs_argument, store_options
from tui.commands.stop import ask


@click.command()
@runs_argument
@store_options
def command(runs: tuple[str, ...]) -> None:
    """Pause runs; tombola resume lets them go on, to the same figures.

    The engine ends at its next step, mostly within a second, and frees its device.
    """
    ask(runs, "pause")
