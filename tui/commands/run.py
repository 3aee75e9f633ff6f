"""`tombola run`: forecast, start, watch. The forecast comes first, so that what cannot run leaves nothing behind."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tui.commands.options import Failed, Refused, db, files, reader, resolve, store_options
from tui.commands.output import say
from tui.plain import plain

if TYPE_CHECKING:
    from presets.schema import Experiment

set_option = click.option(
    "--set", "sets", metavar="KEY=VALUE", multiple=True, help="Change a setting, such as recipe.epochs=5; repeatable."
)
seed_option = click.option(
    "--seed", "seeds", type=click.IntRange(0, 2**31 - 1), multiple=True, help="Run this seed only; repeatable."
)
device_option = click.option(
    "--device",
    default="auto",
    show_default=True,
    help="Where to train: auto, cpu, cuda, cuda:N, or the first letters of a card's UUID.",
)
wait_option = click.option("--wait", is_flag=True, help="Wait for a card that nobody else uses, where none is free.")
name_option = click.option("--name", help="What to call the run; its id begins with it.")


@click.command()
@click.argument("preset", required=False)
@set_option
@seed_option
@device_option
@wait_option
@click.option("--detach", is_flag=True, help="Do not watch: print the run's id alone and return.")
@name_option
@click.option("--afresh", is_flag=True, help="Train everything, also what another run has done to the bit.")
@click.option("--like", metavar="RUN", help="Run the experiment of another run again, instead of a preset.")
@click.option(
    "--subset",
    metavar="RUN[@[SEARCH/]ROUND]",
    help="Find tickets on the samples that another run has chosen (its last round's, else that round's).",
)
@click.option(
    "--ticket",
    metavar="RUN[@[SEARCH/]ROUND]",
    help="Take the tickets of another run, or that of one round, onto the preset's data.",
)
@store_options
def command(
    preset: str | None,
    sets: tuple[str, ...],
    seeds: tuple[int, ...],
    device: str,
    wait: bool,
    detach: bool,
    name: str | None,
    afresh: bool,
    like: str | None,
    subset: str | None,
    ticket: str | None,
) -> int:
    """Start an experiment and watch it.

    PRESET is a name from `tombola presets`, or a TOML file. The run's id is printed; the run goes on when this
    terminal closes. The first Ctrl-C asks it to stop, a second leaves it running.
    """
    if (preset is None) == (like is None):
        raise click.UsageError(
            "give a preset or --like RUN" if preset is None else "a preset and --like exclude each other"
        )

    def ordered(sets: tuple[str, ...]) -> tuple[Experiment, str]:
        return _again(like, sets, seeds) if like else load_preset(preset or "", sets, seeds)

    if afresh:
        sets = (*sets, "afresh=true")
    if ticket is not None:
        sets = (*sets, *_taken(ticket, ordered(())[0]))
    if subset is not None:
        sets = (*sets, *_on_subset(subset, ordered(())[0]))
    experiment, label = ordered(sets)
    run = start(experiment, label, name, device, wait)
    click.echo(run)
    if detach:
        return 0
    return watch(run)


def start(experiment: Experiment, label: str, name: str | None, device: str, wait: bool) -> str:
    """Forecast and start an experiment, saying what it will cost; gives the run's id."""
    from tui import launch
    from tui.app.wording import count, duration, plural

    reader()  # what is wrong with the store is told before the engine is asked, which takes seconds
    try:
        waiting = (lambda words: say(f"{words}; Ctrl-C ends the wait")) if wait else None
        plan = launch.plan(experiment, device, db(), hold=True, wait=waiting)
        if not plan["data"]["there"]:
            launch.prepare(experiment.data, download=False, output=say)
            plan = launch.plan(experiment, device, db(), hold=True, wait=waiting)  # what was stood in for is known now
        images = plan["images"]
        seeds = plural(len(experiment.seeds), "seed")
        say(f"{experiment.title}: {plan['trainings']} trainings of {seeds} on {plan['where']}")
        if plan["note"]:
            say(plan["note"])
        say(
            f"about {duration(plan['seconds'])}, {count(images['total'])} images to train on"
            f" ({count(images['search'])} to search, {count(images['evaluation'])} more to evaluate)"
        )
        return launch.start(db(), files(), experiment, label, name or Path(label).stem, device, plan)
    except launch.LaunchError as error:
        raise (Refused if error.refused else Failed)(str(error)) from None


def watch(run: str) -> int:
    """Watch a run that was just started; gives the exit code."""
    from tui.following import Left, follow, form_for

    try:
        state, interrupted = follow(db(), files(), run, sys.stderr, form_for(sys.stderr), stops=True)
    except Left:
        say(f"{run} is left running: tombola watch {run}")
        return 130
    code = ended(run, state)
    return 130 if interrupted else code


def ended(run: str, state: Any) -> int:
    """Say how a run ended and what can be done with it now; gives the exit code."""
    message = f": {state.message}" if state.message else ""
    if state.state == "finished":
        say(f"{run} has finished: tombola show {run}")
        return 0
    say(f"{run} is {state.state}{message}; tombola log {run} says more, tombola resume {run} lets it go on")
    return 1


def load_preset(preset: str, sets: tuple[str, ...], seeds: tuple[int, ...]) -> tuple[Experiment, str]:
    from presets.loading import PresetError, load

    try:
        return load(preset, sets, seeds or None), preset
    except PresetError as error:
        raise Refused(str(error)) from None


def _again(like: str, sets: tuple[str, ...], seeds: tuple[int, ...]) -> tuple[Experiment, str]:
    from presets.loading import PresetError, again

    store = reader()
    run = resolve(store, like)
    row = store.rows("SELECT spec, preset FROM runs WHERE id = ?", (run,))[0]
    try:
        return again(json.loads(row["spec"]), f"run {run}", sets, seeds or None), row["preset"]
    except PresetError as error:
        raise Refused(str(error)) from None


def _taken(ticket: str, experiment: Experiment) -> list[str]:
    """The settings by which `experiment` takes tickets of the run that RUN, RUN@12 or RUN@colt/12 names."""
    takers = [name for name, search in experiment.searches.items() if search.method == "transfer"]
    if len(takers) != 1:
        has = "none" if not takers else "several: name the run in each, with --set"
        raise Refused(f'--ticket is for an experiment with one search of method "transfer"; this one has {has}')
    return [f"searches.{takers[0]}.{key}={value}" for key, value in _named("--ticket", ticket).items()]


def _on_subset(subset: str, experiment: Experiment) -> list[str]:
    """The settings by which every search of `experiment` sees the samples that RUN, RUN@5 or RUN@prac/5 has chosen."""
    finders = [name for name, search in experiment.searches.items() if search.method != "transfer"]
    if not finders:
        raise Refused("--subset is for an experiment that searches; this one does not")
    named = _named("--subset", subset)
    return [f"searches.{name}.data.subset.{key}={value}" for name in finders for key, value in named.items()]


def _named(option: str, text: str) -> dict[str, str]:
    """Run, search and round out of RUN, RUN@12, RUN@colt or RUN@colt/12, as far as they are named."""
    run, _, rest = text.partition("@")
    search, slash, number = rest.rpartition("/")
    if rest and not number.isdecimal() and not slash:
        search, number = number, ""
    if not run or (rest and not (number or search)) or (number and not number.isdecimal()):
        raise Refused(f"{option} {plain(text)}: write RUN, RUN@12, RUN@colt or RUN@colt/12")
    settings = {"run": resolve(reader(), run), "search": search, "round": number}
    return {key: value for key, value in settings.items() if value}
