"""Runs beside each other: their found tickets, the settings in which they differ, results at chosen sparsities.

Every ticket stands at its own sparsity, and nothing is interpolated: a sparsity is answered by the nearest ticket that
reaches it. Differences to the first run are paired by seed, and given only where both were tested on the same images.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from store.reading import LISTING, Reader
from store.statistics import beside, mean_interval

MOST = 8
"""Runs that are compared at once: more would share colours and marks."""

LEVELS = (0.5, 0.8, 0.9, 0.95)
"""Sparsities at which results are given, unless others are asked for."""

TOLERANCE = 0.5
"""Points that do not count as a difference, as sanity checks take it by default."""

NEAR = 1.25
"""Two tickets of which one keeps more than so many times as much as the other are not set against each other."""

SHORT = 1.005
"""A ticket that keeps so many times what a level leaves still reaches it: whole weights rarely end at a round share."""

WORDS = ("title", "paper", "expect", "published")
"""Parts of a spec that say what it is about and change nothing."""

FOR_TRAINING = ("samples", "fraction", "label_noise")
"""Settings of data that leave the test set as it is."""

SILENT = ("data", "executable")
"""Entries of an attempt's versions that tell nothing about the machine."""


SIDE = f"SELECT l.*, r.spec FROM ({LISTING}) AS l JOIN runs AS r ON r.id = l.id"


@dataclass(frozen=True)
class Measured:
    """What one seed came to: `images` trained on to find the ticket, None for a dense network."""

    seed: int
    sparsity: float
    correct: int
    count: int
    images: int | None = None


@dataclass(frozen=True)
class Ticket:
    """A found ticket of a round on the test set, or (`round` None) the dense network: means over at least one seed."""

    round: int | None
    tested: tuple[Measured, ...]

    @property
    def seeds(self) -> int:
        return len(self.tested)

    @property
    def sparsity(self) -> float:
        return math.fsum(one.sparsity for one in self.tested) / self.seeds

    @property
    def accuracy(self) -> float:
        return self._interval[0]

    @property
    def half_width(self) -> float | None:
        """Half of the 95 % interval of the accuracy; None for one seed."""
        return self._interval[1]

    @property
    def images(self) -> float | None:
        """Training images of the search up to this ticket, evaluation left out; None where a seed's are not known."""
        spent = [one.images for one in self.tested if one.images is not None]
        return sum(spent) / len(spent) if len(spent) == self.seeds else None

    @cached_property
    def _interval(self) -> tuple[float, float | None]:
        counts = {one.count for one in self.tested}
        if len(counts) > 1:
            return mean_interval([one.correct / one.count for one in self.tested])
        count = counts.pop()  # from whole counts, so that equal accuracies give an interval of exactly 0
        mean, half = mean_interval([one.correct for one in self.tested])
        return mean / count, None if half is None else half / count


@dataclass(frozen=True)
class Search:
    """A search with its tickets, the least sparse first."""

    name: str
    method: str
    tickets: tuple[Ticket, ...]


@dataclass(frozen=True)
class Side:
    """One of the runs; `place` is where it was named among them, its colour wherever it is drawn."""

    place: int
    run: str
    title: str
    state: str
    data: str
    network: str
    seeds: tuple[int, ...]
    dense: Ticket | None
    searches: tuple[Search, ...]
    tested: tuple[int, ...]
    """Images of its test set: one number, unless the data changed beneath it."""
    images: str
    """What decides which images these are: settings of the data, as JSON."""

    def alike(self, other: Side) -> bool:
        """Whether both were tested on the same images, as far as settings and counts tell."""
        known = self.tested and other.tested  # nothing has been tested yet: nothing speaks against it
        return self.images == other.images and (not known or self.tested == other.tested)


@dataclass(frozen=True)
class Setting:
    """A path in a spec (or of what an attempt was made on), and its value in each run as JSON; None where absent."""

    path: str
    values: tuple[str | None, ...]


@dataclass(frozen=True)
class Comparison:
    """Runs, the first being the one that others are held against; `settings` and `machines` only where they differ."""

    sides: tuple[Side, ...]
    settings: tuple[Setting, ...]
    machines: tuple[Setting, ...]

    @property
    def searches(self) -> tuple[str, ...]:
        """Names of all searches that have a ticket, in the order of the runs."""
        return tuple(dict.fromkeys(s.name for side in self.sides for s in side.searches if s.tickets))

    @property
    def apart(self) -> str:
        """Which runs cannot be held against the first, and why; empty where all can."""
        if not self.sides:
            return ""
        first, *others = self.sides
        strange = [side for side in others if not side.alike(first)]
        if not strange:
            return ""
        names = ", ".join(side.run for side in strange)
        sets = list(dict.fromkeys(side.data for side in self.sides))
        which = f" ({', '.join(sets)})" if len(sets) > 1 else ""
        return f"tested on other images than {first.run}{which}, so no differences: {names}"


@dataclass(frozen=True)
class Result:
    """What a search came to at a sparsity: the nearest ticket that reaches it (None: no ticket does).

    `difference` to the ticket of search `against` of the first run is in points, with its half width over `pairs` seeds
    that both have; None where there is none, and then `why` says in words why not, but for the first run. `verdict` is
    a word of `beside`, "none" for fewer than three seeds; empty where there is no difference.
    """

    level: float
    side: Side
    search: str
    ticket: Ticket | None
    against: str = ""
    difference: float | None = None
    half_width: float | None = None
    pairs: int = 0
    verdict: str = ""
    why: str = ""


# Reading


def compare(reader: Reader, runs: Sequence[str]) -> Comparison:
    """These runs (whole ids) as they are now; those that are not there (any more) are left out."""
    sides, specs, machines = [], [], []
    for place, run in enumerate(runs):
        found = reader.rows(f"{SIDE} WHERE l.id = ?", (run,))
        if found:
            spec = json.loads(found[0]["spec"])
            sides.append(_side(reader, place, found[0], spec))
            specs.append({"preset": found[0]["preset"]} | {k: v for k, v in spec.items() if k not in WORDS})
            machines.append(_machine(reader, run))
    return Comparison(tuple(sides), differing(specs), differing(machines))


def _side(reader: Reader, place: int, row: dict[str, Any], spec: dict[str, Any]) -> Side:
    run = row["id"]
    spent = _spent(reader, run)
    arms: dict[tuple[str | None, int], dict[int | None, list[Measured]]] = {}
    for one in reader.rows(
        "SELECT t.search, a.id AS arm, t.round, t.seed, t.sparsity, t.correct, t.count FROM ticket_accuracies AS t"
        " JOIN arms AS a ON a.run = t.run AND a.name = t.arm"
        " WHERE t.run = ? AND t.split = 'test' AND a.changes = '' ORDER BY a.id, t.round, t.seed",
        (run,),
    ):
        images = spent.get((one["search"], one["seed"], one["round"]))
        tested = Measured(one["seed"], one["sparsity"], one["correct"], one["count"], images)
        arms.setdefault((one["search"], one["arm"]), {}).setdefault(one["round"], []).append(tested)
    own: dict[str | None, list[Ticket]] = {}
    for (search, _), rounds in arms.items():  # of several arms that train tickets as found, the one with most of them
        tickets = [Ticket(number, tuple(tested)) for number, tested in rounds.items()]
        if len(tickets) > len(own.get(search, ())):
            own[search] = sorted(tickets, key=lambda ticket: (ticket.sparsity, ticket.round))
    data = spec.get("data", {})
    tested_on = {key: value for key, value in data.items() if key not in FOR_TRAINING}
    counts = sorted({one.count for tickets in own.values() for ticket in tickets for one in ticket.tested})
    return Side(
        place=place,
        run=run,
        title=row["title"],
        state=row["state"],
        data=row["data"] or "",
        network=row["network"] or "",
        seeds=tuple(spec.get("seeds", ())),
        dense=next(iter(own.get(None, ())), None),
        searches=tuple(
            Search(name, settings["method"], tuple(own.get(name, ())))
            for name, settings in spec.get("searches", {}).items()
        ),
        tested=tuple(counts),
        images=json.dumps(tested_on, sort_keys=True),
    )


def _spent(reader: Reader, run: str) -> dict[tuple[str, int, int], int]:
    """Training images up to a round, by search, seed and round: what `cost_by_round` has, without its evaluation."""
    total: dict[tuple[str, int], int] = {}
    spent = {}
    for row in reader.rows(
        "SELECT s.name, s.apart, r.seed, r.round, r.images FROM searches AS s JOIN rounds AS r ON r.search = s.id"
        " WHERE s.run = ? AND r.step = 'done' ORDER BY r.round",
        (run,),
    ):
        key = row["name"], row["seed"]
        total[key] = (0 if row["apart"] else total.get(key, 0)) + (row["images"] or 0)
        spent[*key, row["round"]] = total[key]
    return spent


def _machine(reader: Reader, run: str) -> dict[str, Any]:
    """What the newest attempt was made on and with."""
    rows = reader.rows(
        "SELECT host, device, versions, plan FROM attempts WHERE run = ? ORDER BY id DESC LIMIT 1", (run,)
    )
    if not rows:
        return {}
    versions, plan = (json.loads(rows[0][key] or "{}") or {} for key in ("versions", "plan"))
    return {
        "device": rows[0]["device"],
        "host": rows[0]["host"],
        "versions": {name: version for name, version in versions.items() if name not in SILENT},
        "plan": {name: value for name, value in plan.items() if name != "device"},
    }


# Settings


def differing(specs: Sequence[Mapping[str, Any]]) -> tuple[Setting, ...]:
    """The settings in which specs differ, by dotted path, in their order.

    Where some lack a whole part (a search, say), that part is one row, with its method or name for a value, and within
    it only those specs are held against each other that have it.
    """
    by_place = dict(enumerate(specs))
    rows = _differing("", by_place, len(specs))
    return tuple(Setting(path, tuple(texts.get(place) for place in by_place)) for path, texts in rows)


def _differing(path: str, values: Mapping[int, Any], among: int) -> Iterator[tuple[str, dict[int, str]]]:
    """Rows of what `values` (by place of the run) differ in; `among` so many runs that have the part around them."""
    if not all(isinstance(value, Mapping) for value in values.values()):
        texts = {place: json.dumps(value, sort_keys=True) for place, value in values.items()}
        if len(set(texts.values())) > 1 or len(texts) < among:
            yield path, texts
        return
    if len(values) < among:
        yield path, {place: json.dumps(_gist(value)) for place, value in values.items()}
    for key in dict.fromkeys(key for value in values.values() for key in value):
        inner = {place: value[key] for place, value in values.items() if key in value}
        yield from _differing(f"{path}.{key}" if path else key, inner, len(values))


def _gist(part: Mapping[str, Any]) -> str:
    return next((part[key] for key in ("method", "name") if isinstance(part.get(key), str)), "yes")


# Results


def results(comparison: Comparison, levels: Iterable[float] = LEVELS) -> tuple[Result, ...]:
    """For each level every search of every run that has a ticket, those of one name together, runs in their order."""
    first = comparison.sides[0] if comparison.sides else None
    return tuple(
        _result(level, side, search, None if side is first or first is None else first)
        for level in sorted(set(levels))
        for name in comparison.searches
        for side in comparison.sides
        for search in side.searches
        if search.name == name and search.tickets
    )


def _result(level: float, side: Side, search: Search, first: Side | None) -> Result:
    alone = Result(level, side, search.name, reaching(search.tickets, level))
    if first is None or alone.ticket is None:
        return alone
    if not side.alike(first):
        return replace(alone, why="other test images")
    other = _counterpart(search, first)
    if other is None:
        return replace(alone, why="not in first run")
    theirs = reaching(other.tickets, level)
    if theirs is None:
        return replace(alone, against=other.name, why="first ends before")
    left = 1 - alone.ticket.sparsity, 1 - theirs.sparsity
    if max(left) > NEAR * min(left):
        return replace(alone, against=other.name, why=f"far from {100 * theirs.sparsity:.1f} %")
    before = {one.seed: one for one in theirs.tested}
    pairs = [(before[one.seed], one) for one in alone.ticket.tested if one.seed in before]
    if not pairs:
        return replace(alone, against=other.name, why="no common seed")
    count = pairs[0][0].count  # one test set: it has one count
    mean, half = mean_interval([this.correct - that.correct for that, this in pairs])
    points, width = 100 * mean / count, None if half is None else 100 * half / count
    verdict = beside(points, width, len(pairs), TOLERANCE)
    return Result(level, side, search.name, alone.ticket, other.name, points, width, len(pairs), verdict)


def reaching(tickets: Iterable[Ticket], level: float) -> Ticket | None:
    """The least sparse ticket with a mean sparsity of at least `level`; None where none is so sparse."""
    enough = [ticket for ticket in tickets if 1 - ticket.sparsity <= SHORT * (1 - level)]
    return min(enough, key=lambda ticket: ticket.sparsity, default=None)


def _counterpart(search: Search, first: Side) -> Search | None:
    """The search of the first run to hold one against: of its name, else the only one of its method, or at all."""
    there = [other for other in first.searches if other.tickets]
    named = [other for other in there if other.name == search.name]
    alike = [other for other in there if other.method == search.method]
    return next((some[0] for some in (named, alike, there) if len(some) == 1), None)
