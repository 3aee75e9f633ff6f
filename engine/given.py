"""What another run has found, read from the store and its files: its tickets, or the samples that it has chosen."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from torch import Tensor

from engine import tensors
from engine.data import Dataset
from engine.searches import Given
from presets.schema import Subset, Transfer
from store.connection import connect_readonly
from store.errors import NoStore
from store.files import object_path

TICKETS = """
SELECT r.seed, r.round, c.images, c.images_forward, t.mask, t.start
FROM searches AS s JOIN rounds AS r ON r.search = s.id JOIN tickets AS t ON t.round = r.id
JOIN cost_by_round AS c ON c.run = s.run AND c.search = s.name AND c.seed = r.seed AND c.round = r.round
WHERE s.id = ? ORDER BY r.seed, r.round
"""


SETS = """
SELECT s.name AS search, r.round, r.seed, t.samples FROM searches AS s
JOIN rounds AS r ON r.search = s.id JOIN tickets AS t ON t.round = r.id
WHERE s.run = ? AND t.samples IS NOT NULL ORDER BY s.id, r.round
"""


class NotGiven(Exception):
    """There is no such ticket or set; one line says what there is."""


def tickets_of(settings: Transfer, seed: int, db: Path | None) -> tuple[Given, ...]:
    """The tickets that `settings` name, of one seed, in the order of their rounds.

    Raises:
        NotGiven: the run, its search, round or seed does not exist, or a file of it is gone.
    """
    if not settings.run:
        raise NotGiven("run is missing: name the run whose tickets are taken, such as --ticket RUN or --ticket RUN@12")
    try:
        reader = connect_readonly(db or Path())
    except (NoStore, OSError):
        raise NotGiven(f"run: {settings.run!r} is looked for in a store, and there is none yet") from None
    try:
        run = reader.execute("SELECT files FROM runs WHERE id = ?", (settings.run,)).fetchone()
        if run is None:
            raise NotGiven(f"run: no run has the id {settings.run!r}")
        searches = reader.execute("SELECT name, id FROM searches WHERE run = ? ORDER BY id", (settings.run,)).fetchall()
        held = {row["name"]: row["id"] for row in searches}
        name = settings.search or (next(iter(held)) if len(held) == 1 else None)
        if name not in held:
            why = f"no search {name!r}" if name else "more than one search" if held else "no search"
            raise NotGiven(f"search: {settings.run} has {why}: name one of {', '.join(held) or 'another run'}")
        rows = reader.execute(TICKETS, (held[name],)).fetchall()
    finally:
        reader.close()
    own = [row for row in rows if row["seed"] == seed]
    rounds = [row["round"] for row in own]
    if not rounds:
        there = sorted({row["seed"] for row in rows})
        raise NotGiven(f"run: {settings.run} has no tickets of seed {seed} (it has {_listed(there)})")
    if settings.round is not None and settings.round not in rounds:
        raise NotGiven(f"round: {settings.run} has no round {settings.round} of {name} (it has {_listed(rounds)})")
    read = cache(partial(_read, Path(run["files"])))  # the tickets of a run share their start
    tickets: list[Given] = []
    images = forward = 0
    for row in own:
        if settings.round in (None, row["round"]):
            since = row["images"] - images, row["images_forward"] - forward
            tickets.append(Given(row["round"], read(row["mask"]), read(row["start"]), *since))
            images, forward = row["images"], row["images_forward"]
    return tuple(tickets)


@dataclass(frozen=True)
class Chosen:
    """Training samples (int64 indices) that another run has chosen, the file they lie in, and what data it had."""

    samples: Tensor
    sha256: str
    data: str
    source: str
    """Run, search and round, as `--subset` takes them."""


def chosen_by(subset: Subset, db: Path | None) -> Chosen:
    """The set that `subset` names, of that run's first seed.

    Raises:
        NotGiven: there is no such run or set, or its file is gone.
    """
    try:
        reader = connect_readonly(db or Path())
    except (NoStore, OSError):
        raise NotGiven(f"run: {subset.run!r} is looked for in a store, and there is none yet") from None
    try:
        run = reader.execute("SELECT files, spec FROM runs WHERE id = ?", (subset.run,)).fetchone()
        if run is None:
            raise NotGiven(f"run: no run has the id {subset.run!r}")
        seed = json.loads(run["spec"])["seeds"][0]
        sets = [row for row in reader.execute(SETS, (subset.run,)) if row["seed"] == seed]
        last = reader.execute("SELECT versions FROM attempts WHERE run = ? ORDER BY id DESC", (subset.run,)).fetchone()
    finally:
        reader.close()
    names = list(dict.fromkeys(row["search"] for row in sets))
    if not names:
        raise NotGiven(f"run: {subset.run} has chosen no samples: only prac searches do")
    name = subset.search or (names[0] if len(names) == 1 else None)
    if name not in names:
        raise NotGiven(
            f"search: {subset.run} has sets of {', '.join(names)}: name one of them, as in {subset.run}@{names[0]}"
        )
    rounds = {row["round"]: row["samples"] for row in sets if row["search"] == name}
    number = subset.round or max(rounds)
    if number not in rounds:
        raise NotGiven(f"round: {subset.run} has no set of round {number} of {name} (it has {_listed(list(rounds))})")
    sha256 = rounds[number]
    samples = _read(Path(run["files"]), sha256)["samples"]
    return Chosen(samples, sha256, json.loads(last["versions"])["data"], f"{subset.run}@{name}/{number}")


def fitting(chosen: Chosen, data: Dataset) -> Tensor:
    """The chosen samples, of the same data.

    Raises:
        NotGiven: they number the samples of other data.
    """
    if chosen.data != data.identity:
        raise NotGiven("run: its samples were chosen from other data, or from this one varied otherwise")
    return chosen.samples


def _read(files: Path, sha256: str) -> dict[str, Tensor]:
    path = object_path(files, sha256)
    content = tensors.verified(path, sha256)
    if content is None:
        raise NotGiven(f"run: {path}, a file of it, is damaged" if path.exists() else f"run: {path} is gone")
    return tensors.decode(content)[0]


def _listed(numbers: Sequence[int]) -> str:
    """Numbers in a row, shortened where they are many."""
    shown = ", ".join(map(str, numbers[:8]))
    return shown + (f" … {numbers[-1]}" if len(numbers) > 8 else "") if numbers else "none"
