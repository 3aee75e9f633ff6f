"""Questions about a run, answered with figures: one file a method, all of one shape.

A file named like its method has `answer(asked)`: a generator that may ask for trainings and measurements (`Need`), is
sent their results, and returns its answers, the headline (part "") first. What it asks for is done once, shared with
whatever else needs it, so a check asked after the run finds there what is there. It never trains, stores or waits.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from importlib import import_module
from typing import Any

from engine.data import Dataset
from engine.measurements import Measurement
from engine.training import Training
from engine.turning import Turning
from presets.schema import AnyCheck, Experiment, Found


@dataclass(frozen=True)
class Point:
    """A point of an answer's curve, of one seed."""

    series: str
    seed: int
    x: float
    y: float


@dataclass(frozen=True)
class Answer:
    """A row of `checks`: figures in `unit`, points being percentage points; what each means is said in store/schema."""

    verdict: str
    sentence: str
    search: str = ""
    part: str = ""
    figure: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = "points"
    threshold: float | None = None
    detectable: float | None = None
    sampling: float | None = None
    seeds: int = 0
    query: str = ""
    x: str = ""
    y: str = ""
    points: tuple[Point, ...] = ()


@dataclass(frozen=True)
class Need:
    """Do these; the answer is a list of what each came to, a `Result` with its weights or a `Measured`."""

    jobs: tuple[Training | Measurement, ...]


Steps = Generator[Need, list[Any], list[Answer]]


@dataclass(frozen=True)
class Asked:
    """A check of a run whose searches have ended."""

    run: str
    name: str
    settings: AnyCheck
    experiment: Experiment
    data: Dataset
    rows: Callable[..., Sequence[Any]]
    """Rows of a query: (sql, parameters)."""
    found: Mapping[tuple[str, int], Turning]
    """What each search found with each seed."""

    @property
    def own_searches(self) -> list[str]:
        """Names of the searches that found tickets on this network."""
        return [name for name, search in self.experiment.searches.items() if isinstance(search, Found)]


def answer(asked: Asked) -> Steps:
    """The check's answers as they come about."""
    method = asked.settings.method.replace("-", "_")
    steps: Steps = import_module(f"engine.checks.{method}").answer(asked)
    return steps


def from_rows(answers: Callable[[Asked], list[Answer]]) -> Callable[[Asked], Steps]:
    """A check that needs nothing but the rows of its run."""

    @wraps(answers)
    def steps(asked: Asked) -> Steps:
        yield from ()
        return answers(asked)

    return steps
