"""A short trial of the ways to train on a card: how many trainings take turns, and whether networks are compiled first.

It runs in a process of its own, since the engine's parent must not start the card. What it found is kept in the
person's cache, under all that it depends on, so that the next start of the like need not try again.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing as mp
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import torch
from platformdirs import user_cache_path

from engine.cards import pin
from engine.data import Dataset
from engine.networks import initialise
from engine.training import PATIENCE, Course, NotFinite, Trainer, Training
from presets.schema import Experiment

COUNTS = (1, 2, 4, 8)
"""Trainings at once that are tried, as long as each is better than the one before."""
WARM_STEPS, STEPS = 5, 30  # of each training, before the clock starts and while it runs
WORTHWHILE = 1.05  # more at once must be so much faster to be worth their memory
LONG = 600.0
"""Seconds that a whole run must take before compiling is tried: it gains a fifth to a half, and costs `COMPILING`."""
COMPILING = 60.0  # seconds for the networks of members and of arms, where nothing of them is in torch's cache
ROOM = 0.8  # share of the free memory that trainings may fill; evaluation needs some beside them


class Untried(Exception):
    """Not even one training came through on the card; the text is why."""


@dataclass(frozen=True)
class Way:
    """A way to train: `together` at once, `compiled` or not; seconds an image took, and bytes that all of them took."""

    together: int
    compiled: bool
    seconds: float
    memory: int


def way(experiment: Experiment, data: Dataset, device: str, most: int, images: int) -> Way:
    """The fastest way on a card (its UUID, or "cuda:N") for at most `most` trainings at once, `images` in all.

    Raises:
        Untried: there is none.
    """
    counts = [count for count in COUNTS if count <= max(1, most)]
    path = _path(experiment, data, device, counts)
    ways = _read(path) or _apart(lambda: _plain(experiment, data, pin(device), counts))
    best = ways[0]
    for other in ways[1:]:
        if not other.compiled and other.seconds * WORTHWHILE < best.seconds:
            best = other
    compiled = [other for other in ways if other.compiled]
    if not compiled and best.seconds * images > LONG:
        with suppress(Untried):  # a machine without the compiler's compiler, say
            compiled = _apart(lambda: _compiled(experiment, data, pin(device), best.together))
            ways += compiled
    _write(path, ways)
    if compiled and compiled[0].seconds * images + COMPILING < best.seconds * images:
        return compiled[0]
    return best


def _plain(experiment: Experiment, data: Dataset, device: str, counts: list[int]) -> list[Way]:
    trainer, courses, ways = Trainer(data, device), [], []  # type: ignore[var-annotated]
    free = torch.cuda.mem_get_info(device)[0]
    for count in counts:
        try:
            courses += [_course(trainer, experiment, seed) for seed in range(len(courses), count)]
            ways.append(_measured(trainer, courses, False))
        except torch.OutOfMemoryError:
            if not ways:
                raise
            break
        slower = len(ways) > 1 and ways[-1].seconds * WORTHWHILE > ways[-2].seconds
        if slower or 2 * ways[-1].memory > ROOM * free:
            break
    return ways


def _compiled(experiment: Experiment, data: Dataset, device: str, count: int) -> list[Way]:
    trainer = Trainer(data, device, compiled=True)
    return [_measured(trainer, [_course(trainer, experiment, seed) for seed in range(count)], True)]


def _course(trainer: Trainer, experiment: Experiment, seed: int) -> Course:
    data = trainer.data
    start = initialise(experiment.network, data.shape, data.classes, seed)
    return trainer.course(Training(experiment.network, experiment.recipe, data.all(), seed, start, {}))


def _measured(trainer: Trainer, courses: list[Course], compiled: bool) -> Way:
    taken = 0.0
    images = sum(course.images for course in courses)
    for steps in (WARM_STEPS, STEPS):
        images = sum(course.images for course in courses)
        torch.cuda.synchronize(trainer.device)
        began = time.perf_counter()
        _advance(courses, steps)
        torch.cuda.synchronize(trainer.device)
        taken = time.perf_counter() - began
    images = sum(course.images for course in courses) - images
    return Way(len(courses), compiled, taken / max(1, images), torch.cuda.max_memory_reserved(trainer.device))


def _advance(courses: list[Course], steps: int) -> None:
    """So many steps of each, or as many as it has left; one that diverges is timed as far as it came."""
    left = {course: min(course.step + steps, course.job.last_step) for course in courses}
    while left:
        for course, until in list(left.items()):
            try:
                course.advance()
            except NotFinite:
                del left[course]
                continue
            if course.step >= until:
                del left[course]
        if left and all(course.waiting for course in left):
            time.sleep(PATIENCE)


def _apart(act: Callable[[], list[Way]]) -> list[Way]:
    """What `act` gives, done in a forked process."""
    context = mp.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_send, args=(theirs, act))
    process.start()
    theirs.close()
    try:
        told = ours.recv()
    except EOFError:
        process.join()
        told = f"its process ended with exit code {process.exitcode}"
    process.join()
    if isinstance(told, str):
        raise Untried(f"no training came through on the card: {told}")
    return told


def _send(pipe: Connection, act: Callable[[], list[Way]]) -> None:
    try:
        pipe.send(act())
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


# What was found before


def _path(experiment: Experiment, data: Dataset, device: str, counts: list[int]) -> Path:
    recipe = experiment.recipe
    depends = {
        "card": device,
        "torch": torch.__version__,
        "data": [*data.shape, data.classes, len(data.images), data.mapped],
        "network": experiment.network.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json", include={"batch", "optimizer", "precision", "augment"}),
        "counts": counts,
    }
    name = hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:16]
    return user_cache_path("tombola") / "tuning" / f"{name}.json"


def _read(path: Path) -> list[Way]:
    with suppress(OSError, ValueError, TypeError):
        return [Way(**kept) for kept in json.loads(path.read_text())]
    return []


def _write(path: Path, ways: list[Way]) -> None:
    with suppress(OSError):  # then it is tried again next time
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_suffix(f".{time.time_ns()}")
        draft.write_text(json.dumps([asdict(way) for way in ways]))
        draft.replace(path)
