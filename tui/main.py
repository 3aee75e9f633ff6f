"""The command `tombola`: which subcommands there are, and how every error ends as one line and an exit code.

A subcommand is imported when it is called, and `--help` reads the table below, so that both start in a tenth of a
second. A test holds the table against the commands.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from typing import Any

import click

from store.errors import StoreError
from tui.commands.options import store_options
from tui.plain import plain

SECTIONS: dict[str, dict[str, str]] = {
    "Experiments": {
        "demo": "Run the demonstration, then print its report.",
        "presets": "List the experiments that can be run, or show one.",
        "data": "List the data sets, show one, or fetch it.",
        "run": "Start an experiment and watch it.",
    },
    "Running": {
        "runs": "List runs, newest first.",
        "watch": "Follow a run until it ends.",
        "wait": "Return when runs have ended, and say how.",
        "log": "Show what a run has logged, oldest first.",
        "pause": "Pause runs; tombola resume lets them go on, to the same figures.",
        "stop": "Stop runs; what they found is kept.",
        "resume": "Let paused, stopped, failed or lost runs go on where they ended.",
    },
    "Results": {
        "check": "Show the answers to a run's questions, or ask it another.",
        "show": "Show a run's results, each with the SQL that gives it.",
        "plot": "Plot test accuracy of runs against sparsity, cost or round, or the curve of a check or a trace.",
        "compare": "Compare runs: the settings that differ, and results at chosen sparsities.",
        "samples": "Show the hardest samples of a round, with their images.",
        "query": "Ask the store with SQL, read-only.",
        "schema": "Explain every table, view and column of the store.",
        "export": "Write tickets and results of a run into a new folder.",
    },
    "Keeping order": {
        "rename": "Give a run another name; its id stays.",
        "note": "Replace the note of a run, or show it.",
        "delete": "Delete runs with their figures and files.",
        "prune": "Free the space of trained weights that runs have kept.",
        "doctor": "Say what this machine can do, and what is wrong with it.",
        "settings": "Show the app's settings and keys, and where to change them.",
    },
}
"""Every subcommand with its short help; `tui/commands/NAME.py` holds the function `command`."""

HOUSES = ("presets", "store", "engine", "tui")


class Commands(click.Group):
    """Subcommands by name, each imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        return importlib.import_module(f"tui.commands.{cmd_name}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        name = args[0]
        if not name.startswith("-") and name not in self.list_commands(ctx):
            from presets.wording import nearest

            raise click.UsageError(f"no command {name!r}{nearest(name, self.list_commands(ctx))}", ctx)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; what breaks is held against the store that it read, which is known here."""
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.Abort, click.exceptions.Exit, StoreError, BrokenPipeError):
            raise
        except Exception as error:
            from tui.commands.options import Failed, db
            from tui.crash import record

            raise Failed(record(error, db())) from error

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl(list(commands.items()))


def _version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from presets import __version__

        click.echo(f"tombola {__version__}")
        ctx.exit()


@click.group(
    cls=Commands,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@store_options
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_version, help="Print the version and exit."
)
@click.option("--theme", type=click.Choice(["dark", "light", "plain"]), help="Colours of the app.")
@click.option("--ascii", "as_ascii", is_flag=True, help="The app with plain characters only.")
@click.option("--no-mouse", is_flag=True, help="Leave the mouse to the terminal.")
@click.pass_context
def cli(ctx: click.Context, **options: Any) -> int:
    """Find, test and compare lottery tickets.

    Without a command, opens the app: start experiments, watch them live, leave them running.
    """
    if ctx.invoked_subcommand is None:
        return _open_app(**options)
    if any(options.values()):
        raise click.UsageError("--theme, --ascii and --no-mouse are for the app: give them without a command", ctx)
    return 0


def _open_app(theme: str | None, as_ascii: bool, no_mouse: bool) -> int:
    """Open the terminal app; gives its exit code."""
    from tui.commands.options import db, files

    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise click.UsageError("the app needs a terminal; commands do not")
    from dataclasses import replace

    from tui.app.app import TombolaApp
    from tui.app.hangup import follow_terminal
    from tui.settings import read

    settings = read()
    settings = replace(
        settings,
        theme=theme or settings.theme,
        ascii=as_ascii or settings.ascii or (sys.stdout.encoding or "").lower().replace("-", "") != "utf8",
        mouse=settings.mouse and not no_mouse,
    )
    app = TombolaApp(db(), files(), settings)
    follow_terminal()
    app.run(mouse=settings.mouse)
    return app.return_code or 0


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; gives the exit code: 0 done, 1 failed, 2 wrong usage, 130 interrupted."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # a terminal that knows no braille shall show the rest
    os.umask(os.umask(0o077) | 0o077)  # what is written is private, until somebody opens it to others
    try:
        _check_houses()
        result = cli.main(arguments, prog_name="tombola", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.Abort:
        return 130
    except KeyboardInterrupt:
        _say("interrupted")
        return 130
    except BrokenPipeError:  # head has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except click.UsageError as error:
        where = f" ({error.ctx.command_path} --help)" if error.ctx is not None else ""
        _say(error.format_message().rstrip(".") + where)
        return error.exit_code
    except click.ClickException as error:
        _say(error.format_message())
        return error.exit_code
    except StoreError as error:
        _say(str(error))
        return 1
    except Exception as error:
        from tui.crash import record

        _say(record(error))
        return 1


def _check_houses() -> None:
    """Their names are broad: a namesake that hides one of them is told of at once, and not by a stack of errors."""
    places = {house: _place(house) for house in HOUSES}
    home = places["tui"]
    strays = [
        f"{house} {'is missing' if place is None else f'lies in {place}'}"
        for house, place in places.items()
        if place != home
    ]
    if strays:
        raise click.ClickException(
            f"tui lies in {home}, but {', '.join(strays)}: install Tombola into an environment of its own"
        )


def _place(house: str) -> Path | None:
    spec = importlib.util.find_spec(house)
    if spec is None or not spec.submodule_search_locations:
        return None if spec is None or spec.origin is None else Path(spec.origin)
    return Path(next(iter(spec.submodule_search_locations))).resolve().parent


def _say(words: str) -> None:
    click.echo(f"tombola: {plain(words)}", err=True)
