"""What earlier attempts at a run have left in the store, for this one to go on from."""

from __future__ import annotations

import json
from typing import Any

from engine.measurements import Measured
from engine.networks import State
from engine.recording import Recorder


def measured(record: Recorder) -> dict[str, Measured]:
    """By key, those whose figures say all."""
    rows = record.rows("SELECT * FROM measurements WHERE run = ? AND figures <> '{}'", (record.run,))
    return {
        row["key"]: Measured(json.loads(row["figures"]), {}, row["images"], row["images_forward"], row["seconds"])
        for row in rows
    }


def trainings(record: Recorder) -> list[Any]:
    """Rows of finished trainings."""
    return record.rows("SELECT * FROM trainings WHERE run = ? AND state = 'done'", (record.run,))


def aside(record: Recorder) -> list[Any]:
    """Files that the run may go on from, in the order of their steps, ends last: key, path, step, sha256."""
    return record.rows(
        "SELECT t.key, c.path, c.step, c.sha256 FROM checkpoints AS c JOIN trainings AS t ON t.id = c.training"
        " WHERE t.run = ? ORDER BY c.step IS NULL, c.step",
        (record.run,),
    )


def kept_weights(record: Recorder, key: str) -> State | None:
    """What a training of this run ended with, out of the file that it keeps; None where there is none."""
    for row in record.rows(
        "SELECT u.sha256 FROM file_uses AS u JOIN trainings AS t ON t.id = u.training"
        " WHERE u.run = ? AND u.role = 'trained' AND t.key = ?",
        (record.run, key),
    ):
        if (state := record.object(row["sha256"])) is not None:
            return state
    return None


def tickets(record: Recorder, search: str, seed: int) -> list[Any]:
    """Tickets in the order of their rounds: round, images, mask, start and samples (hashes), start_step."""
    return record.rows(
        "SELECT r.round, r.images, t.mask, t.start, t.start_step, t.samples "
        "FROM rounds r JOIN tickets t ON t.round = r.id "
        "WHERE r.search = ? AND r.seed = ? AND r.step = 'done' ORDER BY r.round",
        (record.searches[search], seed),
    )


def point(record: Recorder, search: str, seed: int) -> Any | None:
    """The file of the weights that round 0 ended with, and their step; None where there was none."""
    rows = record.rows(
        "SELECT u.sha256, t.steps AS step FROM rounds r JOIN members m ON m.round = r.id "
        "JOIN trainings t ON t.id = m.training JOIN file_uses u ON u.training = t.id AND u.role = 'start' "
        "WHERE r.search = ? AND r.seed = ? AND r.round = 0 AND r.step = 'done'",
        (record.searches[search], seed),
    )
    return rows[0] if rows else None


def evaluated(record: Recorder) -> set[tuple[str, int, str, int]]:
    """(arm, seed, search, round) of every evaluation; search "" and round 0 for dense arms."""
    rows = record.rows(
        "SELECT a.name AS arm, e.seed, coalesce(s.name, '') AS search, coalesce(r.round, 0) AS round "
        "FROM evaluations e JOIN arms a ON a.id = e.arm LEFT JOIN tickets t ON t.id = e.ticket "
        "LEFT JOIN rounds r ON r.id = t.round LEFT JOIN searches s ON s.id = r.search "
        "WHERE a.run = ? AND e.split = 'test'",
        (record.run,),
    )
    return {(row["arm"], row["seed"], row["search"], row["round"]) for row in rows}
