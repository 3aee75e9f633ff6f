"""Tickets of another run, read from the store and its files, for a search that takes them from there."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

from torch import Tensor

from engine import tensors
from engine.searches import Given
from presets.schema import Transfer
from store.connection import connect_readonly
from store.errors import NoStore
from store.files import object_path

TICKETS = """
SELECT r.seed, r.round, r.images, r.images_forward, t.mask, t.start
FROM rounds AS r LEFT JOIN tickets AS t ON t.round = r.id WHERE r.search = ? ORDER BY r.seed, r.round
"""


class NotGiven(Exception):
    """There is no such ticket; one line says what there is."""


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
    rounds = [row["round"] for row in own if row["mask"]]
    if not rounds:
        there = sorted({row["seed"] for row in rows if row["mask"]})
        raise NotGiven(f"run: {settings.run} has no tickets of seed {seed} (it has {_listed(there)})")
    if settings.round is not None and settings.round not in rounds:
        raise NotGiven(f"round: {settings.run} has no round {settings.round} of {name} (it has {_listed(rounds)})")
    read = cache(partial(_read, Path(run["files"])))  # the tickets of a run share their start
    tickets: list[Given] = []
    images = forward = 0
    for row in own:
        images, forward = images + row["images"], forward + row["images_forward"]
        if row["mask"] and settings.round in (None, row["round"]):
            tickets.append(Given(row["round"], read(row["mask"]), read(row["start"]), images, forward))
            images = forward = 0
    return tuple(tickets)


def _read(files: Path, sha256: str) -> dict[str, Tensor]:
    path = object_path(files, sha256)
    try:
        return tensors.read(path)[0]
    except OSError as error:
        raise NotGiven(f"run: {path} cannot be read ({error.strerror}): the ticket's file is gone") from None


def _listed(numbers: Sequence[int]) -> str:
    """Numbers in a row, shortened where they are many."""
    shown = ", ".join(map(str, numbers[:8]))
    return shown + (f" … {numbers[-1]}" if len(numbers) > 8 else "") if numbers else "none"
