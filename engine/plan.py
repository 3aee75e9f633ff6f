"""`python -m engine plan`: what a spec will cost and whether it can run, before anything is written."""

from __future__ import annotations

import resource
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch

from engine import cards
from engine.arms import first_step
from engine.data import Dataset, corrupted, expected, facts
from engine.devices import Plan, choose, fastest, macs, resolve
from engine.forecast import BACKWARD, SearchForecast, cost, disk_bytes, members_of, search_forecast
from engine.given import NotGiven, chosen_by, fitting, tickets_of
from engine.heap import keep_freed
from engine.networks import build, initialise, weights
from engine.schedules import steps_per_epoch
from engine.searches import Context
from engine.searches.colt import segments
from engine.searches.transfer import fitted
from engine.searches.transfer import path as given_path
from engine.training import NotFinite, Stopped, Trainer, Training
from presets.schema import (
    Corruption,
    Experiment,
    Gmp,
    Hybrid,
    RandomTickets,
    Ratios,
    Recipe,
    Rewinding,
    Rigl,
    Searching,
    Segmented,
    Set,
    Stability,
    Transfer,
    steps_of,
)

CALIBRATION_SECONDS = 0.15  # long enough for a steady figure, short enough not to be noticed before a start
WARM_STEPS = 2  # the first steps allocate
MOST_MACS = 2 * 10**10  # multiplications of a step forward; more takes a second and more, and gigabytes
MOST_SECONDS = 5.0  # where already the first steps of a large network take so long, they have to do
PROCESS_BYTES = 330e6  # resident memory of an engine process with torch imported, measured on CPU


def contexts(experiment: Experiment, data: Dataset, db: Path | None) -> dict[tuple[str, int], Context]:
    """Every search with every seed, checked against data and network; `db` is the store that given tickets are in.

    Raises:
        ValueError, Unreachable: what only data and network can tell of a preset's faults, with the place in it.
    """
    found = {}
    for name, settings in experiment.searches.items():
        for seed in experiment.seeds:
            try:
                context = Context(experiment, name, seed, seen_by(settings, data, experiment, db), whole_data=data)
                if isinstance(settings, Transfer):
                    context.given = tickets_of(settings, seed, db)
                    fitted(context.given[0].start, context.initial())
                elif isinstance(settings, Segmented):
                    segments(context.data, settings, seed)
                elif isinstance(settings, RandomTickets | Hybrid | Set | Rigl):
                    context.counts(settings.ratios, settings.sparsity[-1])
            except (NotGiven, ValueError) as error:
                raise ValueError(f"searches.{name}.{error}") from None
            found[name, seed] = context
        first = found[name, experiment.seeds[0]]
        if isinstance(settings, Rewinding):
            _before_the_end(settings.rewind, first.recipe, first.per_whole_epoch, f"searches.{name}.rewind")
        if isinstance(settings, Gmp):
            _before_the_end(settings.end, first.recipe, first.per_epoch, f"searches.{name}.end")
            if steps_of(settings.begin, first.per_epoch) >= steps_of(settings.end, first.per_epoch):
                raise ValueError(f"searches.{name}.begin: {settings.begin} is not before end ({settings.end})")
        if not isinstance(settings, Transfer):
            search_forecast(experiment, name, first.weights)
    _arms_fit(experiment, data, found)
    for name, check in experiment.checks.items():
        for length in check.steps if isinstance(check, Stability) else ():
            per_epoch = steps_per_epoch(len(data.train), experiment.recipe.batch)
            _before_the_end(length, experiment.recipe, per_epoch, f"checks.{name}.steps")
    return found


def seen_by(settings: Searching, data: Dataset, experiment: Experiment, db: Path | None) -> Dataset:
    """The shape of the data that a search sees, corrupted or not: its images stay as they are, to save the time.

    Raises:
        NotGiven, ValueError: its samples are those of another run, and that has none for this data.
    """
    if isinstance(settings, Transfer) or settings.data == Corruption():
        return data
    samples = None
    if settings.data.subset:
        try:
            chosen = chosen_by(settings.data.subset, db)
            samples = fitting(chosen, data) if data.there else chosen.samples
        except NotGiven as error:
            raise NotGiven(f"data.subset.{error}") from None
    return replace(corrupted(replace(data, there=False), experiment.data, settings.data, samples), there=data.there)


def _arms_fit(experiment: Experiment, data: Dataset, contexts: Mapping[tuple[str, int], Context]) -> None:
    """Whether every arm can be made of every ticket that is expected."""
    for name, arm in experiment.arms.items():
        for search in experiment.tickets_of(arm):
            context = contexts[search, experiment.seeds[0]]
            recipe = experiment.recipe_of(search, arm)
            step = first_step(context, data, arm, context.rewind_step)
            per_epoch = steps_per_epoch(len(data.train), recipe.batch)
            _before_the_end(f"{step} steps", recipe, per_epoch, f"arms.{name}.begin")
            if arm.mask in get_args(Ratios) and not isinstance(context.settings, Transfer):
                path = search_forecast(experiment, search, context.weights).path
                try:
                    context.counts(arm.mask, max(path.values()))
                except ValueError as error:
                    raise ValueError(f"arms.{name}.mask: {error}") from None


def _before_the_end(length: str, recipe: Recipe, per_epoch: int, place: str) -> None:
    if steps_of(length, per_epoch) >= recipe.epochs * per_epoch:
        last = f"{recipe.epochs} epochs of {per_epoch} steps"
        raise ValueError(f"{place}: {length} is not before the end of training ({last})")


def plan(
    experiment: Experiment,
    device: str,
    db: Path | None = None,
    hold: bool = False,
    wait: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """The forecast as plain values: layout, cost, seconds, memory and disk.

    Data that is not on this machine yet is stood in for by black images of its shape. With `hold`, and the data there,
    a card that was chosen stays reserved until the run starts that hands on the forecast's "claim". `wait` as in
    `devices.resolve`.

    Raises:
        DeviceError, Unreachable, DataError, ValueError: the experiment cannot run here; the text is one line.
    """
    data = expected(experiment.data)
    asked = contexts(experiment, data, db)
    where = resolve(device, hold=hold, wait=wait)  # last: what is wrong with the experiment is not waited for
    counted = weights(build(experiment.network, data.shape, data.classes))
    total = sum(w.count for w in counted)
    searches = {name: _forecast(asked[name, experiment.seeds[0]], total) for name in experiment.searches}
    paths = {
        key: given_path(context) if isinstance(context.settings, Transfer) else searches[key[0]].path
        for key, context in asked.items()
    }
    seed = experiment.seeds[0]
    sizes = {name: len(asked[name, seed].data.train) for name in experiment.searches} | {"": len(data.train)}
    images = cost(experiment, sizes, data.classes, len(data.test), paths)
    if where.device == "cpu":
        layout = choose(experiment, data, where.device, images.total)
        seconds, memory = calibrate(experiment, data, layout)
        seconds, memory = seconds / layout.workers, int(PROCESS_BYTES + layout.workers * memory)
    else:
        found = fastest(experiment, data, where.device, images.total)
        layout, seconds, memory = Plan.on(where.device, found), found.seconds, found.memory
    rounds = {key: len(path) for key, path in paths.items()}
    members, trained = members_of(experiment, rounds), images.trainings
    prunable = {layer for context in asked.values() for layer in context.kinds}
    return {
        **layout.as_dict(),
        "where": where.words,
        "note": where.note,
        "claim": cards.promise(where.device) if data.there else "",
        "data": {
            "there": data.there,
            "download": facts(experiment.data).download,
            "images": len(data.train) + len(data.validation) + len(data.test),
            "train": len(data.train),
            "classes": data.classes,
            "shape": list(data.shape),
        },
        "memory_bytes": memory + data.images.numel(),
        "disk_bytes": disk_bytes(experiment, total, len(experiment.seeds), sum(rounds.values()), members, trained),
        "images": {"search": images.search, "evaluation": images.evaluation, "total": images.total},
        "trainings": images.trainings,
        "seconds": images.total * seconds + images.forward * seconds / BACKWARD,
        "prunable": sum(w.count for w in counted if w.name in prunable),
        "weights": total,
        "layers": [
            {"name": w.name, "kind": w.kind, "shape": list(w.shape), "weights": w.count, "prunable": w.name in prunable}
            for w in counted
        ],
        "searches": {
            name: {
                "rounds": f.rounds,
                "rounds_low": f.fewest,
                "rounds_high": f.most,
                "highest_total_sparsity": f.highest_total_sparsity,
            }
            for name, f in searches.items()
        },
    }


def _forecast(context: Context, total: int) -> SearchForecast:
    """Of a search with one seed, among `total` weights that count."""
    if not isinstance(context.settings, Transfer):
        return search_forecast(context.experiment, context.name, context.weights)
    path = given_path(context)
    prunable = sum(w.count for w in context.weights if w.name in context.kinds)
    return SearchForecast(path, len(path), len(path), len(path), prunable / total)


def calibrate(experiment: Experiment, data: Dataset, layout: Plan) -> tuple[float, int]:
    """Seconds that an image of training takes on this CPU, and bytes of memory that a training process needs.

    Measured on some steps. Where a batch takes long, and may take more memory than there is, they are of parts of one
    and memory is taken to grow with them: 3 to 40 % above what whole batches took, on four presets.
    """
    keep_freed()  # as workers do
    torch.set_num_threads(layout.threads)
    before = _peak_bytes()
    trainer = Trainer(data, layout.device)
    batch = min(experiment.recipe.batch, len(data.train))
    part = MOST_MACS // macs(build(experiment.network, data.shape, data.classes), data.shape)
    sizes = [batch] if part >= batch else [max(2, part // 4), max(8, part)]
    peaks = []
    for size in sizes:
        seconds = _seconds_a_step(trainer, experiment, data, size) / size
        peaks.append(_peak_bytes() - before)
    grown = (peaks[-1] - peaks[0]) / max(1, sizes[-1] - sizes[0])
    return seconds, int(peaks[-1] + grown * (batch - sizes[-1]))


def _seconds_a_step(trainer: Trainer, experiment: Experiment, data: Dataset, batch: int) -> float:
    """One that diverges even here is timed as far as it came: the run will say where."""
    start = initialise(experiment.network, data.shape, data.classes, experiment.seeds[0])
    recipe = experiment.recipe.model_copy(update={"batch": batch})
    job = Training(experiment.network, recipe, data.all(), experiment.seeds[0], start, {})
    marks: list[float] = []  # before every step

    def should_stop() -> bool:
        marks.append(time.monotonic())
        enough = len(marks) > WARM_STEPS + 1 and marks[-1] - marks[WARM_STEPS] >= CALIBRATION_SECONDS
        return enough or marks[-1] - marks[0] >= MOST_SECONDS

    with suppress(Stopped, NotFinite):
        trainer.train(job, should_stop=should_stop)
        marks.append(time.monotonic())  # a training so short that it has ended
    first = WARM_STEPS if len(marks) > WARM_STEPS + 1 else 0
    return (marks[-1] - marks[first]) / (len(marks) - 1 - first)


def _peak_bytes() -> int:
    """The most memory that this process has had so far."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes * (1 if sys.platform == "darwin" else 1024)
