"""What the app shows of a live store: snapshots as frozen values, read so that only what is new costs time.

Unlike `reading.py`, which answers one question and is done, a `Live` stays open and remembers what it has given:
epochs and log lines are read once, figures again only after rows were added. Two snapshots can be compared with `==`,
so whoever draws them knows what has changed.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.answers import Check, checks_of
from store.errors import StoreError
from store.files import engine_log
from store.reading import Reader
from store.report import checks as report_checks
from store.report import cost, curves, samples

if TYPE_CHECKING:
    from store.comparing import Comparison

LOG_LINES = 1000
"""Lines of a log that the app keeps; `tombola log` has all."""

MOST_SAMPLES = 1000
"""Samples of the machine that the app keeps of an attempt; of more, every second one, or fewer."""
PRINTED_LINES = 6
"""Lines that a broken engine printed last: the end of a traceback, which says what and where."""

PRINTED_BYTES = 8192


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
class Curve:
    """A member's training, epoch by epoch."""

    member: int
    segment: str
    epochs: int
    epoch: tuple[int, ...]
    train_loss: tuple[float | None, ...]
    """None where it was not finite, as for the loss on validation."""
    train_accuracy: tuple[float, ...]
    validation_loss: tuple[float | None, ...]
    validation_accuracy: tuple[float | None, ...]
    """None after epochs that were not validated."""
    step: tuple[int, ...] = ()
    """Optimizer steps of its schedule at each epoch's end."""
    seconds: tuple[float, ...] = ()
    """Time it has taken by then; 0 throughout where another run took it."""
    images: tuple[int, ...] = ()
    """Training images by then, forward and backward, to within a batch."""
    begun: int = 0
    """The step of its schedule that it began at: after 0 where its weights were rewound."""


@dataclass(frozen=True)
class Layer:
    """A weight tensor under the common mask: how many weights it has, had alive when the round began, and has now."""

    layer: str
    kind: str
    prunable: bool
    total: int
    before: int
    alive: int


@dataclass(frozen=True)
class Overlap:
    """Agreement of the members' sets, all pairs pooled: intersection over union, and what chance would give."""

    layer: str
    sets: str
    iou: float | None
    chance: float | None


@dataclass(frozen=True)
class Pair:
    """Agreement of two members' sets, all layers pooled: intersection over union, and what chance would give."""

    sets: str
    a: int
    b: int
    iou: float | None
    chance: float | None


@dataclass(frozen=True)
class Past:
    """What a round did, as far as it is: 0 is the training to the rewind point."""

    round: int
    step: str
    members: int
    epochs: int
    """Of the schedule of its longest training: those that it came to, as it may stop early; until then, planned."""
    images: int
    """Training images, charged in full."""
    seconds: float
    """Time its trainings took, whichever search asked for them; those that another run has done took none here."""
    removed: int | None
    """Prunable weights that its ticket lacks of those alive when it began; None before it has a ticket."""
    sparsity: float
    start_step: int | None
    """Optimizer steps behind the weights that it went back to."""


@dataclass(frozen=True)
class Cost:
    """Training images up to a round, mean over seeds: of the search, and with the training of its tickets so far."""

    search: str
    round: int
    images: float
    images_with_evaluation: float


@dataclass(frozen=True)
class Last:
    """What is known of an engine that has gone or failed: its last sign of life, what it was at, what it said and what
    it printed last, oldest line first."""

    heartbeat: str
    doing: str
    words: str
    printed: tuple[str, ...]


@dataclass(frozen=True)
class Chosen:
    """Training samples that a round chose for the next: how many, and how many by what. None where it has no reasons:
    it was drawn at random (`drawn`), or is that of the round before."""

    search: str
    seed: int
    round: int
    size: int
    training: int | None
    pruning: int | None
    both: int | None
    drawn: bool


@dataclass(frozen=True)
class Trace:
    """A figure that a hook left in a member's training, step by step; `layer` is empty for the whole network."""

    kind: str
    layer: str
    member: int
    steps: tuple[int, ...]
    values: tuple[float | None, ...]


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
class Line:
    at: str
    level: str
    message: str


@dataclass(frozen=True)
class Sample:
    """What the machine did at a moment, as columns of `machine` say it; None is not known."""

    seconds: float
    images: int
    cpu: float | None
    memory: int | None
    card_use: float | None
    card_memory: int | None
    card_memory_used: int | None
    card_memory_total: int | None
    power: float | None
    temperature: float | None
    energy: float | None
    free_store: int | None
    free_files: int | None


@dataclass(frozen=True)
class Worked:
    """An attempt: where it ran, with which versions, and what the machine did meanwhile."""

    host: str
    device: str
    processor: str
    versions: tuple[tuple[str, str], ...]
    """Names and versions, of Tombola, torch and Python."""
    metered: str
    """What tells its energy: "counter", "power", or nothing."""
    samples: tuple[Sample, ...]


@dataclass(frozen=True)
class Focus:
    """What a person looks at: a search, a seed, and a round (None: the newest)."""

    search: str
    seed: int
    round: int | None = None


@dataclass(frozen=True)
class Turn:
    """The round in focus. `layers` and `overlaps` are those of `pruned`, the newest round that has ended by then."""

    search: str
    seed: int
    round: int
    members: int
    curves: tuple[Curve, ...] = ()
    pruned: int | None = None
    layers: tuple[Layer, ...] = ()
    overlaps: tuple[Overlap, ...] = ()
    overlaps_by_round: tuple[tuple[int, str, float | None, float | None], ...] = ()
    traces: tuple[Trace, ...] = ()
    before: tuple[tuple[int, tuple[Curve, ...]], ...] = ()
    """Curves of the rounds before it, by round; empty unless they were asked for."""
    rounds: tuple[Past, ...] = ()
    """What every round of the search and seed did, the oldest first."""
    masks: tuple[tuple[int, tuple[Layer, ...]], ...] = ()
    """Layers under the common mask by round, of every round that has ended."""
    members_masks: tuple[tuple[int, tuple[Layer, ...]], ...] = ()
    """Layers under the members' own masks by member, of `pruned`; none where a round trains one network."""
    pairs: tuple[Pair, ...] = ()
    """Overlap of every two members, of `pruned`."""
    epsilon: float | None = None
    """Distance that a mask at rest stays below, where its search ends trainings early."""


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


@dataclass(frozen=True)
class View(Preview):
    """All that the screen of a run shows."""

    turn: Turn | None
    costs: tuple[Cost, ...]
    last: Last | None
    """None while the engine lives or has ended in order."""
    chosen: tuple[Chosen, ...]
    samples: int
    """Training samples of the whole data, as far as the trainings let tell; 0 while no round has chosen any."""
    alerts: tuple[Line, ...]
    """The oldest first. Of each, `level` is its kind, and the message begins with where it was noticed."""
    log: tuple[Line, ...]
    machine: tuple[Worked, ...] = ()
    """Attempts that have a sample, in their order."""


@dataclass
class _Memory:
    """What has been read of one run, so that it is not read again."""

    text: str
    """The spec as it is stored: a check that is asked later changes it."""
    spec: dict[str, Any]
    epochs: dict[int, list[tuple[Any, ...]]] = field(default_factory=dict)
    layers: dict[int, dict[int | None, tuple[Layer, ...]]] = field(default_factory=dict)
    """By round that has ended, then by member; None: the common mask."""
    overlaps: dict[int, tuple[tuple[Overlap, ...], tuple[Pair, ...]]] = field(default_factory=dict)
    traces: dict[int, tuple[int, tuple[Trace, ...]]] = field(default_factory=dict)
    """By training: how many rows there were, and what they say."""
    evaluated: tuple[Any, ...] = ()
    figures: tuple[Figure, ...] = ()
    paid: tuple[Any, ...] = ()
    costs: tuple[Cost, ...] = ()
    answered: tuple[Any, ...] = ()
    checks: tuple[Check, ...] = ()
    log: tuple[Line, ...] = ()
    log_after: int = 0
    worked: dict[int, Worked] = field(default_factory=dict)
    """By attempt, with its samples up to number `worked_after`."""
    worked_after: int = 0


LISTED = """
    SELECT
        r.id, r.name, r.title, r.preset, r.paper, r.expect, r.message, r.note, r.created, r.images_planned,
        live_state(r.state, r.started, a.host, a.boot_id, a.pid, a.pid_started, a.started, a.heartbeat) AS state,
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
        with self._reader.moment():
            return self._viewed(run, focus, before)

    def _viewed(self, run: str, focus: Focus | None, before: bool) -> View | None:
        known = self._known(run)
        if known is None:
            return None
        listed, memory = known
        lanes = self._lanes(listed, memory)
        chosen = self._chosen(run, memory)
        return View(
            run=listed,
            lanes=lanes,
            figures=self._figures(run, memory),
            published=_published(memory.spec),
            checks=self._checks(run, memory),
            asked=_asked(memory.spec),
            spec=memory.spec,
            turn=self._turn(listed, memory, lanes, focus, before),
            costs=self._costs(run, memory),
            last=self._last(listed) if listed.state in ("lost", "failed") else None,
            chosen=chosen,
            samples=self._samples(run) if chosen else 0,
            alerts=self._alerts(listed),
            log=self._log(run, memory),
            machine=self._machine(run, memory),
        )

    def comparison(self, runs: Sequence[str]) -> Comparison:
        """These runs beside each other, without those that have been deleted."""
        from store.comparing import compare  # the first screen does without

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

    def _turn(
        self, run: Run, memory: _Memory, lanes: tuple[Lane, ...], focus: Focus | None, before: bool
    ) -> Turn | None:
        lane = next((lane for lane in lanes if focus and lane.key == (focus.search, focus.seed)), None)
        lane = lane or _turning(lanes)
        if lane is None or not lane.rounds:
            return None
        rounds = self._reader.rows(
            "SELECT x.id, x.round, EXISTS (SELECT 1 FROM members AS m JOIN epochs AS e ON e.training = m.training"
            " WHERE m.round = x.id) AS begun FROM searches AS s JOIN rounds AS x ON x.search = s.id"
            " WHERE s.run = ? AND s.name = ? AND x.seed = ? ORDER BY x.round",
            (run.id, *lane.key),
        )
        ids: dict[int, int] = {row["round"]: row["id"] for row in rounds}
        # A round may wait for a worker: until its first epoch there is more to see in the round before.
        begun = [row["round"] for row in rounds if row["begun"]]
        newest: int = begun[-1] if begun else rounds[-1]["round"]
        number = focus.round if focus and focus.round is not None and focus.round in ids else newest
        curves, traces = self._curves(ids[number], memory)
        earlier = [round for round in begun if round < number] if before else []
        stop = memory.spec["searches"][lane.search].get("stop") or {}
        pruned = max((r.round for r in lane.done if r.round <= number), default=None)
        masks = {r.round: self._layers(ids[r.round], memory) for r in lane.done}
        layers = masks[pruned] if pruned else {}
        overlaps, pairs = self._overlaps(ids[pruned], memory) if pruned else ((), ())
        by_round = self._reader.rows(
            "SELECT round, sets, iou, chance FROM overlap_by_round WHERE run = ? AND search = ? AND seed = ?"
            " ORDER BY round",
            (run.id, *lane.key),
        )
        return Turn(
            *lane.key,
            round=number,
            members=len(curves),
            curves=curves,
            pruned=pruned,
            layers=layers.get(None, ()),
            overlaps=overlaps,
            overlaps_by_round=tuple((r["round"], r["sets"], r["iou"], r["chance"]) for r in by_round),
            traces=traces,
            before=tuple((round, self._curves(ids[round], memory)[0]) for round in earlier),
            rounds=self._rounds(run, lane, masks),
            masks=tuple((number, by_member.get(None, ())) for number, by_member in masks.items()),
            members_masks=tuple((member, own) for member, own in layers.items() if member is not None),
            pairs=pairs,
            epsilon=stop.get("epsilon"),
        )

    def _curves(self, round_id: int, memory: _Memory) -> tuple[tuple[Curve, ...], tuple[Trace, ...]]:
        """Curves of a round's members, and what hooks traced in them."""
        members = self._reader.rows(
            "SELECT m.member, m.segment, t.id, t.epochs, t.steps, t.train_images, t.images,"
            " json_extract(t.about, '$.what') = 'point' AS point,"
            " (SELECT count(*) FROM epochs WHERE training = t.id) AS known,"
            " (SELECT count(*) FROM traces WHERE training = t.id) AS traced"
            " FROM members AS m JOIN trainings AS t ON t.id = m.training WHERE m.round = ? ORDER BY m.member",
            (round_id,),
        )
        curves = tuple(_curve(m, self._epochs(m["id"], m["known"], memory)) for m in members)
        traces = (trace for m in members for trace in self._traces(m["id"], m["member"], m["traced"], memory))
        return curves, tuple(traces)

    def _traces(self, training: int, member: int, known: int, memory: _Memory) -> tuple[Trace, ...]:
        """A training's traces, read again where there are more or fewer rows than before."""
        count, seen = memory.traces.get(training, (0, ()))
        if known != count:
            figures: dict[tuple[str, str], list[tuple[int, float | None]]] = {}
            for row in self._reader.rows(
                "SELECT kind, layer, step, value FROM traces WHERE training = ? ORDER BY kind, layer, step",
                (training,),
            ):
                figures.setdefault((row["kind"], row["layer"]), []).append((row["step"], row["value"]))
            seen = tuple(Trace(*key, member, *zip(*own, strict=True)) for key, own in figures.items())
            memory.traces[training] = known, seen
        return tuple(replace(trace, member=member) for trace in seen)

    def _epochs(self, training: int, known: int, memory: _Memory) -> list[tuple[Any, ...]]:
        seen = memory.epochs.setdefault(training, [])
        if known < len(seen):  # begun anew after an interruption
            seen.clear()
        if known > len(seen):
            rows = self._reader.rows(
                "SELECT epoch, step, seconds, train_loss, train_accuracy, validation_loss, validation_accuracy"
                " FROM epochs WHERE training = ? AND epoch > ? ORDER BY epoch",
                (training, seen[-1][0] if seen else -1),
            )
            seen += [tuple(row.values()) for row in rows]
        return seen

    def _layers(self, round_id: int, memory: _Memory) -> dict[int | None, tuple[Layer, ...]]:
        if round_id not in memory.layers:
            found: dict[int | None, list[Layer]] = {}
            for row in self._reader.rows(
                "SELECT member, layer, kind, prunable, total, before, alive FROM layers WHERE round = ?"
                " ORDER BY member, position",
                (round_id,),
            ):
                member = row.pop("member")
                found.setdefault(member, []).append(Layer(**{**row, "prunable": bool(row["prunable"])}))
            memory.layers[round_id] = {member: tuple(layers) for member, layers in found.items()}
        return memory.layers[round_id]

    def _overlaps(self, round_id: int, memory: _Memory) -> tuple[tuple[Overlap, ...], tuple[Pair, ...]]:
        if round_id not in memory.overlaps:
            agreement = (
                "1.0 * sum(o.both) / nullif(sum(o.either), 0) AS iou,"
                " sum(o.expected) / nullif(sum(o.count_a + o.count_b - o.expected), 0) AS chance FROM overlaps AS o"
            )
            layers = self._reader.rows(
                f"SELECT o.layer, o.sets, {agreement}"
                " LEFT JOIN layers AS l ON l.round = o.round AND l.member IS NULL AND l.layer = o.layer"
                " WHERE o.round = ? GROUP BY o.layer, o.sets ORDER BY l.position",
                (round_id,),
            )
            pairs = self._reader.rows(
                f"SELECT o.sets, o.a, o.b, {agreement} WHERE o.round = ? GROUP BY o.sets, o.a, o.b", (round_id,)
            )
            memory.overlaps[round_id] = (
                tuple(Overlap(**row) for row in layers),
                tuple(Pair(**row) for row in pairs),
            )
        return memory.overlaps[round_id]

    def _rounds(self, run: Run, lane: Lane, masks: dict[int, dict[int | None, tuple[Layer, ...]]]) -> tuple[Past, ...]:
        rows = self._reader.rows(
            "SELECT x.round, x.step, count(m.member) AS members, ifnull(max(iif(t.state = 'done',"
            " (SELECT max(epoch) FROM epochs WHERE training = t.id), t.epochs)), 0) AS epochs,"
            " ifnull(x.images, 0) AS images, ifnull(sum(t.seconds), 0.0) AS seconds, x.sparsity, k.start_step"
            " FROM searches AS s JOIN rounds AS x ON x.search = s.id LEFT JOIN tickets AS k ON k.round = x.id"
            " LEFT JOIN members AS m ON m.round = x.id LEFT JOIN trainings AS t ON t.id = m.training"
            " WHERE s.run = ? AND s.name = ? AND x.seed = ? GROUP BY x.id ORDER BY x.round",
            (run.id, *lane.key),
        )
        removed = {
            number: sum(layer.before - layer.alive for layer in by_member.get(None, ()) if layer.prunable)
            for number, by_member in masks.items()
        }
        return tuple(Past(**row, removed=removed.get(row["round"])) for row in rows)

    # Samples

    def _chosen(self, run: str, memory: _Memory) -> tuple[Chosen, ...]:
        rows = self._reader.rows(
            "SELECT s.name AS search, x.seed, x.round, c.size, c.training, c.pruning, c.both FROM searches AS s"
            " JOIN rounds AS x ON x.search = s.id JOIN sets AS c ON c.round = x.id WHERE s.run = ?"
            " ORDER BY s.id, x.seed, x.round",
            (run,),
        )
        searches = memory.spec.get("searches", {})
        return tuple(Chosen(**row, drawn=bool(searches.get(row["search"], {}).get("sizes"))) for row in rows)

    def _samples(self, run: str) -> int:
        return self._reader.rows(samples(run))[0]["samples"] or 0

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

    def _costs(self, run: str, memory: _Memory) -> tuple[Cost, ...]:
        """Cost of every ticket: read when a round has ended or a ticket has been evaluated since."""
        ended = self._reader.rows(
            "SELECT count(*) AS ended FROM searches AS s JOIN rounds AS x ON x.search = s.id"
            " WHERE s.run = ? AND x.step = 'done'",
            (run,),
        )[0]["ended"]
        if memory.paid != (ended, memory.evaluated):
            memory.paid = (ended, memory.evaluated)
            rows = self._reader.rows(cost(run))
            memory.costs = tuple(Cost(**{key: row[key] for key in Cost.__dataclass_fields__}) for row in rows)
        return memory.costs

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

    # Words

    def _alerts(self, run: Run) -> tuple[Line, ...]:
        """Those that the engine wrote, with where; of one that has gone and writes no more, since when it is silent."""
        rows = self._reader.rows(
            "SELECT a.at, a.kind AS level,"
            " ifnull(s.name || ' seed ' || x.seed || ' round ' || x.round || ': ', '') || a.message AS message"
            " FROM alerts AS a LEFT JOIN rounds AS x ON x.id = a.round LEFT JOIN searches AS s ON s.id = x.search"
            " WHERE a.run = ? ORDER BY a.id",
            (run.id,),
        )
        told = [Line(**row) for row in rows]
        if run.state == "lost":
            since = self._reader.rows(
                "SELECT max(r.started, ifnull(max(a.heartbeat), '')) AS at FROM runs AS r"
                " LEFT JOIN attempts AS a ON a.run = r.id WHERE r.id = ?",
                (run.id,),
            )[0]["at"]
            told.append(Line(since, "no heartbeat", "no sign of life of its engine since"))
        return tuple(told)

    def _last(self, run: Run) -> Last | None:
        """None where no engine has begun on the run."""
        rows = self._reader.rows(
            "SELECT a.heartbeat, a.doing, a.last_words AS words, r.files FROM attempts AS a"
            " JOIN runs AS r ON r.id = a.run WHERE a.run = ? ORDER BY a.id DESC LIMIT 1",
            (run.id,),
        )
        return Last(printed=_printed(Path(rows[0].pop("files")), run.id), **rows[0]) if rows else None

    def _log(self, run: str, memory: _Memory) -> tuple[Line, ...]:
        rows = self._reader.rows(
            "SELECT * FROM (SELECT id, at, level, message FROM log WHERE run = ? AND id > ? ORDER BY id DESC LIMIT ?)"
            " ORDER BY id",
            (run, memory.log_after, LOG_LINES),
        )
        if rows:
            memory.log_after = rows[-1]["id"]
            new = tuple(Line(row["at"], row["level"], row["message"]) for row in rows)
            memory.log = (memory.log + new)[-LOG_LINES:]
        return memory.log

    # The machine

    def _machine(self, run: str, memory: _Memory) -> tuple[Worked, ...]:
        """What is new since the last look; of an attempt of many samples, one in so many, and always the newest."""
        columns = ", ".join(Sample.__dataclass_fields__)
        rows = self._reader.rows(
            f"SELECT * FROM (SELECT id, attempt, energy_from, {columns},"
            " row_number() OVER (PARTITION BY attempt ORDER BY id DESC) AS back,"
            " count(*) OVER (PARTITION BY attempt) AS count FROM machine"
            " WHERE attempt IN (SELECT id FROM attempts WHERE run = ?) AND id > ?)"
            " WHERE (back - 1) % (1 + count / ?) = 0 ORDER BY id",
            (run, memory.worked_after, MOST_SAMPLES),
        )
        new: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            new.setdefault(row["attempt"], []).append(row)
        for attempt, own in new.items():
            memory.worked_after = max(memory.worked_after, own[-1]["id"])
            known = memory.worked.get(attempt) or self._worked(attempt)
            samples = (
                *known.samples,
                *(Sample(**{name: row[name] for name in Sample.__dataclass_fields__}) for row in own),
            )
            if len(samples) > 2 * MOST_SAMPLES:
                samples = samples[:-1][::2] + samples[-1:]
            metered = next((row["energy_from"] for row in reversed(own) if row["energy_from"]), known.metered)
            memory.worked[attempt] = replace(known, samples=samples, metered=metered)
        return tuple(memory.worked[attempt] for attempt in sorted(memory.worked))

    def _worked(self, attempt: int) -> Worked:
        row = self._reader.rows("SELECT host, device, device_name, versions FROM attempts WHERE id = ?", (attempt,))[0]
        told = json.loads(row["versions"])
        versions = tuple((name, told[name]) for name in ("tombola", "torch", "python") if name in told)
        device = row["device_name"] or row["device"]
        return Worked(row["host"], device, told.get("processor", ""), versions, "", ())


def _turning(lanes: tuple[Lane, ...]) -> Lane | None:
    """What to follow: of the searches that turn the first of the first seed, which stays until it has ended.

    An engine turns several at once, a seed after the other; whoever trains at a moment would change every second.
    """
    seeds = list(dict.fromkeys(lane.seed for lane in lanes))
    turning = [lane for seed in seeds for lane in lanes if lane.seed == seed and lane.state == "turning"]
    return next(iter(turning or lanes), None)


def _printed(files: Path, run: str) -> tuple[str, ...]:
    """The last lines that the engine printed; none where its log cannot be read from here."""
    try:
        with engine_log(files, run).open("rb") as log:
            log.seek(-min(log.seek(0, os.SEEK_END), PRINTED_BYTES), os.SEEK_END)
            lines = log.read().decode(errors="replace").split("\n")
    except (OSError, StoreError):
        return ()
    return tuple(line for line in lines if line.strip())[-PRINTED_LINES:]


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


def _curve(member: dict[str, Any], epochs: list[tuple[Any, ...]]) -> Curve:
    """A member's curve from its training and rows of `epochs`.

    What a round trains has the end of its recipe before it, so that the steps it takes tell where it began; but the
    weights to rewind to, which are a point on the way: their training begins at 0, and may end within an epoch.
    """
    if not epochs:
        return Curve(member["member"], member["segment"], member["epochs"], (), (), (), (), ())
    epoch, step, seconds, train_loss, train_accuracy, validation_loss, validation_accuracy = zip(*epochs, strict=True)
    an_epoch = max(step[0] // epoch[0], 1)
    length = math.ceil(member["steps"] / an_epoch) if member["point"] else member["epochs"]
    begun = 0 if member["point"] else max(length * an_epoch - member["steps"], 0)
    most = member["images"] or math.inf  # known when it is done
    return Curve(
        member["member"],
        member["segment"],
        max(length, epoch[-1]),
        epoch,
        train_loss,
        train_accuracy,
        validation_loss,
        validation_accuracy,
        step,
        tuple(accumulate(seconds)),
        images=tuple(min(max(done - begun, 0) * member["train_images"] // an_epoch, most) for done in step),
        begun=begun,
    )


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
