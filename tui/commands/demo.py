"""`tombola demo`: a whole experiment, from its start to a report that a person can check."""

from __future__ import annotations

import click

from tui.commands.options import reader, store_options
from tui.commands.run import device_option, name_option, seed_option, set_option, start, wait_option, watch

PRESET = "digits-demo"


@click.command()
@set_option
@seed_option
@device_option
@wait_option
@name_option
@store_options
def command(sets: tuple[str, ...], seeds: tuple[int, ...], device: str, wait: bool, name: str | None) -> int:
    """Run the demonstration, then print its report.

    COLT against IMP on handwritten digits, with controls, over three seeds. The report is what `tombola show` prints:
    every figure comes with the SQL that gives it.
    """
    from tui.commands.run import load_preset
    from tui.commands.show import print_report

    experiment, label = load_preset(PRESET, sets, seeds)
    run = start(experiment, label, name, device, wait)
    code = watch(run)
    if code == 0:
        print_report(reader(), run)
    return code
