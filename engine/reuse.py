"""Finished trainings of other runs in the same store, which a run takes instead of doing them again.

One is taken where its key is equal and it was done under an equal plan and equal versions: its row is then, bit for
bit (on a card in stacks: to rounding), what this run would have come to. Its figures are copied, so that the other run
may go. Trained weights are taken where that run keeps them as files (`keep`); whoever needs weights that are gone
trains.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine import tensors
from engine.networks import State
from engine.training import Result, Score
from engine.versions import SUBSET
from store.files import object_path
from store.liveness import this_process
from store.writing import Writer

SCHEDULING = ("workers", "together")
"""Fields of a plan that decide when and where a training is done, but none of its bits."""

FOUND = """
SELECT t.*, a.host, a.plan, a.versions, r.files
FROM trainings AS t JOIN attempts AS a ON a.id = t.attempt JOIN runs AS r ON r.id = t.run
WHERE t.key = ? AND t.run <> ? AND t.state = 'done' ORDER BY t.id
"""


@dataclass(frozen=True)
class Taken:
    """A training that another run has done: which run, what it came to (in 0 s), its rows of `epochs` and `traces`."""

    origin: str
    result: Result
    epochs: list[dict[str, Any]]
    traces: list[dict[str, Any]]


OBSERVED = "observed."
"""What names begin with, in a file of trained weights, of what hooks observed."""


def joined(result: Result) -> State:
    """What a training ended with, and what its hooks observed, as one file holds it."""
    return result.state | {f"{OBSERVED}{name}": tensor for name, tensor in result.observed.items()}


def parted(held: State) -> tuple[State, State]:
    """The two that `joined` put together."""
    observed = {name.removeprefix(OBSERVED): t for name, t in held.items() if name.startswith(OBSERVED)}
    return {name: tensor for name, tensor in held.items() if not name.startswith(OBSERVED)}, observed


class Elsewhere:
    """What runs other than `run` have done under this plan and these versions."""

    def __init__(self, writer: Writer, run: str, plan: Mapping[str, Any], versions: Mapping[str, str]) -> None:
        self._writer, self._run = writer, run
        self._conditions = conditions(plan, versions)
        # Versions say which processor computed, but not which card: there only this machine's trainings are equal.
        self._host = None if plan["device"] == "cpu" else this_process()["host"]

    def find(self, key: str, weights: bool) -> Taken | None:
        """The training of this key, with its trained weights if asked for; None where there is none to be had."""
        if not self._equal(key):
            return None
        with self._writer.transaction():  # nobody deletes its run, with its rows and files, before all is read
            for row in self._equal(key):
                state = self._weights(row) if weights else {}
                if state is not None:
                    epochs, traces = (self._of(row["id"], table) for table in ("epochs", "traces"))
                    result = result_of(row, state, seconds=0.0)
                    return Taken(row["taken_from"] or row["run"], result, epochs, traces)
        return None

    def _of(self, training: int, table: str) -> list[dict[str, Any]]:
        """A training's rows of a table, without what makes them its own."""
        rows = self._writer.rows(f"SELECT * FROM {table} WHERE training = ? ORDER BY step", (training,))
        return [{name: value for name, value in dict(row).items() if name not in ("id", "training")} for row in rows]

    def _equal(self, key: str) -> list[dict[str, Any]]:
        """Rows of this training in other runs, done under equal conditions."""
        return [
            dict(row)
            for row in self._writer.rows(FOUND, (key, self._run))
            if conditions(json.loads(row["plan"]), json.loads(row["versions"])) == self._conditions
            and self._host in (None, row["host"])
        ]

    def _weights(self, row: Mapping[str, Any]) -> State | None:
        """Trained weights out of the file that the other run keeps, unless it is gone or damaged."""
        kept = "SELECT sha256 FROM file_uses WHERE training = ? AND role = 'trained'"
        for use in self._writer.rows(kept, (row["id"],)):
            content = tensors.verified(object_path(Path(row["files"]), use["sha256"]), use["sha256"])
            if content is not None:
                return tensors.decode(content)[0]
        return None


def conditions(plan: Mapping[str, Any], versions: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """What has to be equal for equal trainings to come to equal bits."""
    made = {name: value for name, value in versions.items() if not name.startswith(SUBSET)}  # those are in the key
    return {name: value for name, value in plan.items() if name not in SCHEDULING}, made


def figures_of(result: Result) -> dict[str, Any]:
    """What a finished training came to, as columns of `trainings`."""
    names = ("epoch_used", "images", "images_forward", "seconds")
    columns = {name: getattr(result, name) for name in names}
    for split in ("validation", "test"):
        score = getattr(result, split)
        columns |= {f"{split}_correct": score.correct, f"{split}_count": score.count, f"{split}_loss": score.loss}
    return columns


def result_of(row: Mapping[str, Any], state: State, seconds: float) -> Result:
    """The result that a row of a finished training holds the figures of."""
    validation, test = (
        Score(*(row[f"{split}_{name}"] for name in ("correct", "count", "loss"))) for split in ("validation", "test")
    )
    own, observed = parted(state)
    return Result(own, row["epoch_used"], validation, test, row["images"], row["images_forward"], seconds, observed)
