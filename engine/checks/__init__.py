"""Questions answered from a run's rows: one file a kind, each giving figures with verdict and sentence."""

from __future__ import annotations

from typing import Any

from engine.checks import contrast
from presets.schema import Experiment
from store.writing import Writer


def answers(run: str, experiment: Experiment, writer: Writer) -> list[dict[str, Any]]:
    """Rows of `checks` for every check of the experiment."""
    return [
        row
        for name, check in experiment.checks.items()
        for row in contrast.answer(run, name, check, experiment, writer)
    ]
