"""What the app shows of a live store: snapshots as frozen values, read so that only what is new costs time.

Unlike `reading.py`, which answers one question and is done, a `Live` stays open and remembers what it has given:
figures are read again only after rows were added. Two snapshots can be compared with `==`, so whoever draws them knows
what has changed. Here are the list of runs and a run at a glance; `viewing.py` has all of one, `comparing.py` several.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.answers import Check, checks_of
from store.reading import Reader
from store.report import checks as report_checks
from store.report import curves

if TYPE_CHECKING:
    from store.comparing import Comparison
    from store.viewing import Focus, View, Viewer


@dataclass(frozen=True)
class Run:
    """A row of the list of runs. Accuracies are means over seeds on the test set, of tickets as they were found."""

    id: str
    name: str
    title: str
    preset: str
    paper: str
    expect: str
    state: str
    message: str
    note: str
    created: str
    device: str
    seeds: int
    methods: str
    data: str
    network: str
    round: int
    planned: int | None
    """Rounds of the search that takes the most, as far as the loss so far lets tell; None while one cannot be known."""
    sparsity: float | None
    accuracy: float | None
    """Of the sparsest tickets."""
    best: float | None
    """Of the tickets that do best."""
    dense: float | None
    overlap: float | None
    """Agreement of members on what to remove, intersection over union in the newest round: the mean over searches that
    have members to compare, and seeds."""
    images_done: int
    images_planned: int
    seconds: float | None
    seconds_left: float | None
    doing: str

    @property
    def fraction(self) -> float:
        """How much of the planned training is done."""
        if self.state == "finished":
            return 1.0
        return min(self.images_done / self.images_planned, 1.0) if self.images_planned else 0.0


@dataclass(frozen=True)
class Round:
    round: int
    step: str
    sparsity: float
    total_sparsity: float
    images: int = 0
    """Training images of this round alone."""


@dataclass(frozen=True)
class Lane:
    """A search with one of its seeds, and how far it has turned."""

    search: str
    method: str
    seed: int
    colour: int
    """Place of the search in the experiment; its colour wherever it is drawn."""
    rounds: tuple[Round, ...]
    planned: int | None
    """Rounds to its target, as far as the loss so far lets tell."""
    target: float | None
    """Prunable sparsity to be reached, where that is what ends it."""
    state: str
    """"waiting", "turning" or "done"."""
    members: int
    """Trainings that each of its rounds is the overlap of."""

    @property
    def key(self) -> tuple[str, int]:
        return self.search, self.seed

    @property
    def done(self) -> tuple[Round, ...]:
        return tuple(r for r in self.rounds if r.step == "done" and r.round > 0)


@dataclass(frozen=True)
class Figure:
    """Mean accuracy on the test set of an arm at a ticket, over the seeds that have one."""

    arm: str
    search: str | None
    start: str
    mask: str
    changes: str
    """What the arm has otherwise than the ticket itself; empty for the ticket."""
    round: int | None
    seeds: int
    sparsity: float
    accuracy: float
    half_width: float | None


@dataclass(frozen=True)
class Published:
    """Test accuracies that a paper prints, as the experiment holds them: beside figures, never among them."""

    label: str
    source: str
    sparsity: tuple[float, ...]
    accuracy: tuple[float, ...]


@dataclass(frozen=True)
class Preview:
    """A run at a glance."""

    run: Run
    lanes: tuple[Lane, ...]
    figures: tuple[Figure, ...]
    published: tuple[Published, ...]
    checks: tuple[Check, ...]
    asked: tuple[tuple[str, str], ...]
    """Name and question of every check of the experiment, answered or not."""
    spec: Mapping[str, Any]
    """The experiment, as the run holds it."""


@dataclass
class _Memory:
    """What has been read of one run, so that it is not read again."""

    text: str
    """The spec as it is stored: a check that is asked later changes it."""
    spec: dict[str, Any]
    evaluated: tuple[Any, ...] = ()
    figures: tuple[Figure, ...] = ()
    answered: tuple[Any, ...] = ()
    checks: tuple[Check, ...] = ()


LISTED = """
    SELECT
        r.id, r.name, r.title, r.preset, r.paper, r.expect, r.message, r.note, r.created, r.images_planned,
        live_state(r.state, r.started, a.host, a.boot_id, a.pid, a.pid_started, a.ended, a.heartbeat) AS state,
        ifnull(a.device, r.device) AS device, ifnull(a.images_done, 0) AS images_done, a.seconds_left,
        ifnull(a.doing, '') AS doing, r.started, r.ended, a.id AS attempt, a.heartbeat, a.ended AS attempt_ended,
        (SELECT sum(ifnull(seconds, 86400 * (julianday(heartbeat) - julianday(started)))) FROM attempts
            WHERE run = r.id) AS seconds
    FROM runs AS r
    LEFT JOIN attempts AS a ON a.id = (SELECT max(id) FROM attempts WHERE run = r.id)
"""
"""What a look at two rows of each run tells; the figures of a run take more, and stay while nobody works on it."""

SPEC = """
    SELECT json_array_length(spec, '$.seeds') AS seeds, json_extract(spec, '$.network.name') AS network,
        json_extract(spec, '$.data.name') AS data
    FROM runs WHERE id = ?
"""

TURNED = """
    SELECT s.id, s.name, s.method, s.settings, x.seed, x.round, x.step, x.sparsity, x.total_sparsity
    FROM searches AS s LEFT JOIN rounds AS x ON x.search = s.id
    WHERE s.run = ? ORDER BY s.id, x.seed, x.round
"""

FOUND = """
    SELECT avg(e.accuracy) AS accuracy
    FROM arms AS a
    JOIN evaluations AS e ON e.arm = a.id
    JOIN tickets AS t ON t.id = e.ticket
    JOIN rounds AS x ON x.id = t.round
    WHERE e.split = 'test' AND a.run = ? AND a.changes = ''
    GROUP BY x.search, x.round
    ORDER BY avg(x.sparsity)
"""
"""Accuracy of every ticket as it was found; the last row is the sparsest."""

DENSE = """
    SELECT avg(e.accuracy) AS accuracy FROM arms AS a JOIN evaluations AS e ON e.arm = a.id
    WHERE a.run = ? AND a.changes = '' AND ifnull(e.ticket, -1) = -1 AND e.split = 'test'
"""

OVERLAP = """
    SELECT avg(iou) AS iou FROM (
        SELECT 1.0 * sum(o.both) / nullif(sum(o.either), 0) AS iou
        FROM (
            SELECT x.id, max(x.round) FROM searches AS s JOIN rounds AS x ON x.search = s.id
            WHERE s.run = ? AND EXISTS (SELECT 1 FROM overlaps WHERE round = x.id) GROUP BY x.search, x.seed
        ) AS newest
        JOIN overlaps AS o ON o.round = newest.id AND o.sets = 'removed'
        GROUP BY newest.id
    )
"""


class Live:
    """Reads one store, again and again, from one thread. A store that does not exist yet has no runs."""

    def __init__(self, path: Path) -> None:
        self._reader = Reader(path)
        self._memory: dict[str, _Memory] = {}
        self._viewers: dict[str, Viewer] = {}
        self._standings: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}
        self.behind = False
        """Whether the last list of runs lacks figures, for which there was no time."""

    def changed(self) -> bool:
        """Whether anything was written since the last call."""
        return self._reader.changed()

    def close(self) -> None:
        self._reader.close()

    def runs(self, seconds: float = math.inf) -> tuple[Run, ...]:
        """Every run, the newest first. Figures that this thread would work on for longer than `seconds` are left out
        at first: `behind` says so, and the next call goes on."""
        with self._reader.moment():
            return self._listed(seconds)

    def _listed(self, seconds: float) -> tuple[Run, ...]:
        rows = self._reader.rows(f"{LISTED} ORDER BY r.created DESC, r.id")
        self._standings = {row["id"]: self._standings[row["id"]] for row in rows if row["id"] in self._standings}
        until = time.thread_time() + seconds
        self.behind = False
        found = []
        for row in rows:
            if row["id"] not in self._standings and time.thread_time() > until:
                self.behind = True
                found.append(_run(row, NOT_YET))
            else:
                found.append(_run(row, self._standing(row)))
        return tuple(found)

    def preview(self, run: str) -> Preview | None:
        """A run at a glance; None when it has been deleted."""
        with self._reader.moment():
            return self._previewed(run)

    def _previewed(self, run: str) -> Preview | None:
        known = self._known(run)
        if known is None:
            return None
        listed, memory = known
        lanes, figures = self._lanes(listed, memory), self._figures(run, memory)
        return Preview(
            run=listed,
            lanes=lanes,
            figures=figures,
            published=_published(memory.spec),
            checks=self._checks(run, memory),
            asked=_asked(memory.spec),
            spec=memory.spec,
        )

    def view(self, run: str, focus: Focus | None = None, before: bool = False) -> View | None:
        """All of a run; without a focus, the first search that turns. None when the run has been deleted. `before`:
        with the curves of the rounds before that in focus."""
        from store.viewing import Viewer  # the first screen does without, as for a comparison

        with self._reader.moment():
            preview = self._previewed(run)
            if preview is None:
                self._viewers.pop(run, None)
                return None
            if run not in self._viewers:
                self._viewers[run] = Viewer(self._reader, run)
            return self._viewers[run].view(preview, focus, before)

    def comparison(self, runs: Sequence[str]) -> Comparison:
        """These runs beside each other, without those that have been deleted."""
        from store.comparing import compare

        with self._reader.moment():
            return compare(self._reader, runs)

    def _known(self, run: str) -> tuple[Run, _Memory] | None:
        rows = self._reader.rows(f"{LISTED} WHERE r.id = ?", (run,))
        if not rows:
            self._memory.pop(run, None)
            return None
        spec = self._reader.rows("SELECT spec FROM runs WHERE id = ?", (run,))[0]["spec"]
        memory = self._memory.get(run)
        if memory is None:
            self._memory[run] = _Memory(spec, json.loads(spec))
        elif memory.text != spec:
            memory.text, memory.spec = spec, json.loads(spec)
        return _run(rows[0], self._standing(rows[0])), self._memory[run]

    def _standing(self, row: dict[str, Any]) -> dict[str, Any]:
        """How far a run is and how well it does: read again while it is running, and after an engine worked on it."""
        run = row["id"]
        key = tuple(row[name] for name in ("state", "started", "ended", "attempt", "heartbeat", "attempt_ended"))
        known, standing = self._standings.get(run, (None, NOT_YET))
        if known == key and row["state"] != "running":
            return standing
        found = [each["accuracy"] for each in self._reader.rows(FOUND, (run,))]
        standing = {
            **self._reader.rows(SPEC, (run,))[0],
            **_turned(self._reader.rows(TURNED, (run,))),
            "accuracy": found[-1] if found else None,
            "best": max(found, default=None),
            "dense": self._reader.rows(DENSE, (run,))[0]["accuracy"],
            "overlap": self._reader.rows(OVERLAP, (run,))[0]["iou"],
        }
        self._standings[run] = key, standing
        return standing

    # The drum

    def _lanes(self, run: Run, memory: _Memory) -> tuple[Lane, ...]:
        rounds: dict[tuple[str, int], list[Round]] = {}
        for row in self._reader.rows(
            "SELECT s.name, x.seed, x.round, x.step, x.sparsity, x.total_sparsity, x.images FROM searches AS s"
            " JOIN rounds AS x ON x.search = s.id WHERE s.run = ? ORDER BY x.round",
            (run.id,),
        ):
            turned = Round(row["round"], row["step"], row["sparsity"], row["total_sparsity"], row["images"] or 0)
            rounds.setdefault((row["name"], row["seed"]), []).append(turned)
        searches = memory.spec.get("searches", {})
        lanes = []
        for colour, (name, settings) in enumerate(searches.items()):
            leader = _leader(searches, settings)
            for seed in memory.spec.get("seeds", []):
                turns = tuple(rounds.get((name, seed), ()))
                ended = [r for r in turns if r.step == "done" and r.round > 0]
                planned = forecast(leader, ended)
                # Tickets of another run come all at once: there is no round to wait for.
                whole = settings["method"] == "transfer" and len(ended) == len(turns)
                enough = whole if planned is None else len(ended) >= planned
                done = run.state == "finished" or (ended and enough)
                state = "done" if done else "turning" if turns else "waiting"
                target = leader.get("until") if leader.get("of") == "prunable" else None
                members = settings.get("segments", 1)
                lanes.append(Lane(name, settings["method"], seed, colour, turns, planned, target, state, members))
        return tuple(lanes)

    # Figures

    def _figures(self, run: str, memory: _Memory) -> tuple[Figure, ...]:
        evaluated = self._reader.rows(
            "SELECT count(*) AS count, max(e.id) AS newest FROM arms AS a JOIN evaluations AS e ON e.arm = a.id"
            " WHERE a.run = ?",
            (run,),
        )[0]
        if memory.evaluated != tuple(evaluated.values()):
            memory.evaluated = tuple(evaluated.values())
            rows = self._reader.rows(
                "SELECT f.arm, f.search, ifnull(json_extract(a.settings, '$.start'), 'ticket') AS start,"
                " ifnull(json_extract(a.settings, '$.mask'), 'found') AS mask, a.changes, f.round, f.seeds,"
                " f.sparsity, f.accuracy, f.half_width FROM accuracy_by_sparsity AS f JOIN arms AS a"
                " ON a.run = f.run AND a.name = f.arm LEFT JOIN searches AS s ON s.run = f.run AND s.name = f.search"
                " WHERE f.run = ? AND f.split = 'test' ORDER BY a.id, s.id, f.sparsity",
                (run,),
            )
            memory.figures = tuple(Figure(**row) for row in rows)
        return memory.figures

    def _checks(self, run: str, memory: _Memory) -> tuple[Check, ...]:
        """Answers with their curves, which are means that SQLite takes again and again: only when there are others."""
        rows = self._reader.rows(report_checks(run))
        points = self._reader.rows(
            "SELECT count(*) AS points FROM checks AS c JOIN points AS p ON p.[check] = c.id WHERE c.run = ?", (run,)
        )
        if memory.answered != (rows, points):
            memory.answered = (rows, points)
            memory.checks = checks_of(rows, self._reader.rows(curves(run)))
        return memory.checks


NOT_YET: dict[str, Any] = {
    "seeds": 0,
    "methods": "",
    "data": "",
    "network": "",
    "round": 0,
    **dict.fromkeys(("planned", "sparsity", "accuracy", "best", "dense", "overlap")),
}
"""Where a run stands before that has been read."""


def _run(row: dict[str, Any], standing: dict[str, Any]) -> Run:
    return Run(**{key: value for key, value in (row | standing).items() if key in Run.__dataclass_fields__})


def _turned(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Methods, and how far their rounds are; `rows` are those of `TURNED`."""
    settings = {row["name"]: json.loads(row["settings"]) for row in rows}
    lanes: dict[tuple[str, int | None], list[Round]] = {}
    for row in rows:
        ended = lanes.setdefault((row["name"], row["seed"]), [])
        if row["step"] == "done" and row["round"] > 0:
            ended.append(Round(row["round"], row["step"], row["sparsity"], row["total_sparsity"]))
    planned = [forecast(_leader(settings, settings[name]), ended) for (name, _), ended in lanes.items()]
    reached = max((row["round"] for row in rows if row["round"] is not None), default=0)
    known = [rounds for rounds in planned if rounds is not None]
    return {
        "methods": ", ".join(dict.fromkeys(row["method"] for row in rows)),
        "round": reached,
        "planned": max(reached, *known) if known and len(known) == len(planned) else None,
        "sparsity": max((row["sparsity"] for row in rows if row["step"] == "done"), default=None),
    }


def _published(spec: dict[str, Any]) -> tuple[Published, ...]:
    tables = spec.get("published", {}).values()
    return tuple(Published(t["label"], t["source"], tuple(t["sparsity"]), tuple(t["accuracy"])) for t in tables)


def _asked(spec: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((name, check.get("question", "")) for name, check in spec.get("checks", {}).items())


def _leader(searches: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
    """The search whose target and rate another has: its own, unless it copies."""
    rate = settings.get("rate")
    return searches.get(rate["like"], settings) if isinstance(rate, dict) and "like" in rate else settings


def forecast(settings: dict[str, Any], ended: list[Round]) -> int | None:
    """Rounds that a search will take in all, if it goes on losing what its last round lost; None when unknown.

    Before the first round has ended, the rate tells, for independent members as overlap by chance would have it. A
    transfer brings as many tickets as the other run has, unless one is named; a search that finds all its tickets at
    once has one for each sparsity.
    """
    if "sparsity" in settings:
        return len(settings["sparsity"])
    if settings.get("method") == "transfer":
        return None if settings.get("round") is None else 1
    until, most = settings.get("until"), settings.get("rounds")
    total = settings.get("of") == "total"
    sparsities = [r.total_sparsity if total else r.sparsity for r in ended]
    if until is None:
        return most
    if sparsities and sparsities[-1] >= until:
        return len(ended)
    before, alive = (1 - sparsity for sparsity in [0.0, 0.0, *sparsities][-2:])
    kept = alive / before if sparsities else _kept(settings)
    if kept is None or not 0 < kept < 1 or alive <= 0:
        return most
    rounds = len(ended) + math.ceil(math.log((1 - until) / alive) / math.log(kept) - 1e-9)
    return min(rounds, most) if most else rounds


def _kept(settings: dict[str, Any]) -> float | None:
    """What a round leaves of the prunable weights, where one rate says so."""
    rate = settings.get("rate")
    rates = set(rate.values() if isinstance(rate, dict) else [rate]) - {0.0, None}
    if len(rates) != 1 or settings.get("of") == "total":
        return None
    return float((1 - rates.pop()) ** settings.get("segments", 1))
