"""`python -m engine plan`: what a spec will cost and whether it can run, before anything is written."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Any

import torch

from engine.data import Dataset, load
from engine.devices import Plan, choose, resolve
from engine.forecast import cost, search_forecast
from engine.networks import build, initialise, weights
from engine.schedules import steps_per_epoch
from engine.searches import leader
from engine.searches.colt import segments
from engine.training import NotFinite, Stopped, Trainer, Training
from presets.schema import Colt, Experiment, steps_of

CALIBRATION_SECONDS = 0.15  # long enough for a steady figure, short enough not to be noticed before a start
WARM_STEPS = 2  # the first steps allocate
PROCESS_BYTES = 330e6  # resident memory of an engine process with torch imported, measured on CPU
MASK_RATIO = 1 / 8  # a packed mask holds a bit a weight


def check(experiment: Experiment, data: Dataset) -> None:
    """What only data and network can tell of a preset's faults.

    Raises:
        ValueError, Unreachable: with the place in the preset.
    """
    per_epoch = steps_per_epoch(len(data.train), experiment.recipe.batch)
    for name, settings in experiment.searches.items():
        if steps_of(settings.rewind, per_epoch) >= experiment.recipe.epochs * per_epoch:
            last = f"{experiment.recipe.epochs} epochs of {per_epoch} steps"
            raise ValueError(f"searches.{name}.rewind: {settings.rewind} is not before the end of training ({last})")
        search_forecast(experiment, name, weights(build(experiment.network, data.shape, data.classes)))
        if isinstance(settings, Colt):
            try:
                segments(data, settings, experiment.seeds[0])
            except ValueError as error:
                raise ValueError(f"searches.{name}.{error}") from None


def plan(experiment: Experiment, device: str) -> dict[str, Any]:
    """The forecast as plain values: layout, cost, seconds, memory and disk.

    Raises:
        DeviceError, Unreachable, ValueError: the experiment cannot run here; the text is one line for people.
    """
    where = resolve(device)
    data = load(experiment.data)
    check(experiment, data)
    layout = choose(experiment, data, where)
    counted = weights(build(experiment.network, data.shape, data.classes))
    searches = {name: search_forecast(experiment, name, counted) for name in experiment.searches}
    images = cost(experiment, len(data.train), {(n, s): f.path for n, f in searches.items() for s in experiment.seeds})
    total = sum(w.count for w in counted)
    tickets = len(experiment.seeds) * sum(f.rounds for f in searches.values())
    members = [f.rounds * getattr(experiment.searches[name], "segments", 1) for name, f in searches.items()]
    states = {"tickets": 0, "rounds": len(experiment.seeds) * sum(members), "all": images.trainings}[experiment.keep]
    kept = 4 * total * (len(experiment.seeds) + states)
    kinds = {kind for name in searches for kind in leader(experiment, name).rates()}
    prunable = {w.name for w in counted if w.kind in kinds}
    return {
        **layout.as_dict(),
        "memory_bytes": int(PROCESS_BYTES * (1 + layout.workers) + 16 * total * layout.workers + data.inputs.nbytes),
        "disk_bytes": int(kept + tickets * total * MASK_RATIO),
        "images": {"search": images.search, "evaluation": images.evaluation, "total": images.total},
        "trainings": images.trainings,
        "seconds": images.total * calibrate(experiment, data, layout) / layout.workers,
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


def calibrate(experiment: Experiment, data: Dataset, layout: Plan) -> float:
    """Seconds an image of training on this device takes, measured on some steps of it.

    A recipe that diverges even here is timed as far as it came: the run then says where it does.
    """
    torch.set_num_threads(layout.threads)
    trainer = Trainer(data, layout.device)
    start = initialise(experiment.network, data.shape, data.classes, experiment.seeds[0])
    job = Training(experiment.network, experiment.recipe, data.all(), experiment.seeds[0], start, {})
    began = time.monotonic()
    steps = 0

    def should_stop() -> bool:
        nonlocal began, steps
        if steps == WARM_STEPS:
            began = time.monotonic()
        steps += 1
        return steps > WARM_STEPS and time.monotonic() - began >= CALIBRATION_SECONDS

    with suppress(Stopped, NotFinite):
        trainer.train(job, should_stop=should_stop)
    timed = steps - WARM_STEPS if steps > WARM_STEPS else steps
    return (time.monotonic() - began) / (timed * min(experiment.recipe.batch, len(data.train)))
