"""A short trial of the ways to train on a card: how many trainings take turns, and whether networks are compiled first.

It runs in a process of its own, since the engine's parent must not start the card. What it found is kept in the
person's cache, under what it depends on but for who else has memory of the card, so that the next start of the like
need not try again.
"""

from __future__ import annotations

import gc
import hashlib
import json
import math
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
from engine.data.batches import MOST_OF_DEVICE
from engine.networks import build, initialise
from engine.networks.stacked import can_stack
from engine.training import PATIENCE, Course, Trainer, Training
from engine.versions import code
from presets.schema import Experiment

COUNTS = (1, 2, 4, 8)
"""Trainings at once that are tried."""
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
    """A way to train: `together` at once in stacks of `stack`, networks `compiled` or not; seconds an image took, and
    bytes that all of them took beside the images."""

    together: int
    stack: int
    compiled: bool
    seconds: float
    memory: int


def way(experiment: Experiment, data: Dataset, device: str, most: int, alike: int, images: int) -> Way:
    """The fastest way on a card (its UUID, or "cuda:N") for at most `most` trainings at once, `images` in all.

    Of those that are at work together at most `alike` can be stacked.

    Raises:
        Untried: there is none.
    """
    counts = [count for count in COUNTS if count <= max(1, most)]
    path = _path(experiment, data, device, counts, alike)
    ways = _read(path) or _apart(lambda: _plain(experiment, data, pin(device), counts, alike))
    best = ways[0]
    for other in ways[1:]:
        if not other.compiled and other.seconds * WORTHWHILE < best.seconds:
            best = other
    compiled = [other for other in ways if other.compiled]
    if not compiled and best.seconds * images > LONG:
        try:
            compiled = _apart(lambda: _compiled(experiment, data, pin(device), best))
        except Untried:  # a machine without the compiler's compiler, say: not to be tried again
            compiled = [Way(best.together, best.stack, True, math.inf, 0)]
        ways += compiled
    _write(path, ways)
    if compiled and compiled[0].seconds * images + COMPILING < best.seconds * images:
        return compiled[0]
    return best


def _plain(experiment: Experiment, data: Dataset, device: str, counts: list[int], alike: int) -> list[Way]:
    """Side by side, and in one stack where that can be: each with more, as long as that is worthwhile."""
    ways: list[Way] = []
    free, held = _free(torch.device(device)), data.images.numel()
    stacks = held <= MOST_OF_DEVICE * free and can_stack(
        build(experiment.network, data.shape, data.classes), data.shape
    )
    for stacking in (False, True) if stacks else (False,):
        last = ways[0] if stacking else None
        for count in [count for count in counts if 1 < count <= alike] if stacking else counts:
            try:
                found = _tried(experiment, data, device, count, count if stacking else 1, False)
            except torch.OutOfMemoryError:
                if not ways:
                    raise
                break
            ways.append(found)
            if (last and found.seconds * WORTHWHILE > last.seconds) or 2 * found.memory + held > ROOM * free:
                break
            last = found
    return ways


def _compiled(experiment: Experiment, data: Dataset, device: str, best: Way) -> list[Way]:
    return [_tried(experiment, data, device, best.together, best.stack, True)]


def _tried(experiment: Experiment, data: Dataset, device: str, together: int, stack: int, compiled: bool) -> Way:
    on_card = device != "cpu"  # tests have it tried where there is none
    gc.collect()  # the last one's images, before it is asked whether there is room for them
    if on_card:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    trainer = Trainer(data, device, compiled)
    before = torch.cuda.memory_reserved(device) if on_card else 0
    jobs = []
    for seed in range(together):
        start = initialise(experiment.network, data.shape, data.classes, seed)
        jobs.append(Training(experiment.network, experiment.recipe, data.all(), seed, start, {}))
    courses = [trainer.course(jobs[first : first + stack]) for first in range(0, together, stack)]
    seconds = _measured(trainer, courses)
    memory = torch.cuda.max_memory_reserved(device) - before if on_card else 0
    return Way(together, stack, compiled, seconds, memory)


def _free(device: torch.device) -> float:
    """Bytes of its memory that nobody has."""
    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else math.inf


def _done(device: torch.device) -> None:
    """Wait until it has done all that it was asked for."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _measured(trainer: Trainer, courses: list[Course]) -> float:
    """Seconds an image."""
    seconds = 0.0
    for steps in (WARM_STEPS, STEPS):
        before = sum(course.images * len(course.jobs) for course in courses)
        _done(trainer.device)
        began = time.perf_counter()
        advance(courses, steps)
        _done(trainer.device)
        if images := sum(course.images * len(course.jobs) for course in courses) - before:
            seconds = (time.perf_counter() - began) / images  # the last steps that there were, of short trainings
    return seconds


def advance(courses: list[Course], steps: int) -> None:
    """So many steps of each, or as many as it has left; one that diverges is timed as far as it came."""
    left = {course: min(course.step + steps, course.last_step) for course in courses if not course.over}
    while left:
        for course, until in list(left.items()):
            course.advance()
            if course.over or (course.settled and course.step >= until):
                del left[course]
        if left and all(course.waiting for course in left):
            time.sleep(PATIENCE)


def _apart(act: Callable[[], list[Way]]) -> list[Way]:
    """What `act` gives, done in a forked process."""
    context = mp.get_context("fork")
    ours, theirs = context.Pipe()
    process = context.Process(target=_send, args=(theirs, act), daemon=True)
    process.start()
    theirs.close()
    try:
        told = ours.recv()
    except EOFError:
        process.join()
        told = f"its process ended with exit code {process.exitcode}"
    except BaseException:  # an interrupt: the card is not held any longer
        process.kill()
        raise
    finally:
        process.join()
    if isinstance(told, str):
        raise Untried(f"no training came through on the card: {told}")
    return told


def _send(pipe: Connection, act: Callable[[], list[Way]]) -> None:
    torch.set_num_threads(1)  # the parent's threads of OpenMP did not survive the fork
    try:
        pipe.send(act())
    except Exception as error:
        pipe.send(f"{type(error).__name__}: {' '.join(str(error).split())[:300]}")


# What was found before


def _path(experiment: Experiment, data: Dataset, device: str, counts: list[int], alike: int) -> Path:
    recipe = experiment.recipe
    depends = {
        "card": device,
        "torch": torch.__version__,
        "code": code(),
        "data": [*data.shape, data.classes, len(data.images), data.mapped, data.there],
        "network": experiment.network.model_dump(mode="json"),
        "recipe": recipe.model_dump(mode="json", include={"batch", "optimizer", "precision", "augment"}),
        "counts": [*counts, alike],
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
