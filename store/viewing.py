"""All of a run as its screen shows it: frozen values, read again and again so that only what is new costs time.

A `Viewer` belongs to one run and remembers what it has given: epochs, ended rounds, traces, samples of the machine and
log lines are read once.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any

from store.files import last_printed
from store.live import Lane, Preview
from store.liveness import silent
from store.reading import Reader
from store.report import cost, samples

LOG_LINES = 1000
"""Lines of a log that the app keeps; `tombola log` has all."""

MOST_SAMPLES = 1000
"""Samples of the machine that the app keeps of an attempt; of more, every second one, or fewer."""


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
    """A figure that a hook left in a member's training, or an arm's, step by step; `layer` is empty for the whole
    network."""

    kind: str
    layer: str
    member: int
    steps: tuple[int, ...]
    values: tuple[float | None, ...]
    arm: str = ""
    """Arm that it is of; `member` is 0 then."""


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
    """Those of its members, then those of arms: of its ticket, and without one."""
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


class Viewer:
    """Reads one run of a store, from one thread."""

    def __init__(self, reader: Reader, run: str) -> None:
        self._reader, self._run = reader, run
        self._seen_epochs: dict[int, list[tuple[Any, ...]]] = {}
        self._seen_layers: dict[int, dict[int | None, tuple[Layer, ...]]] = {}
        """By round that has ended, then by member; None: the common mask."""
        self._seen_overlaps: dict[int, tuple[tuple[Overlap, ...], tuple[Pair, ...]]] = {}
        self._seen_traces: dict[int, tuple[int, tuple[Trace, ...]]] = {}
        """By training: how many rows there were, and what they say."""
        self._seen_costs: tuple[Any, tuple[Cost, ...]] = (None, ())
        """What they depend on, and they."""
        self._seen_log: tuple[int, tuple[Line, ...]] = (0, ())
        """The id of the last line, and the last lines."""
        self._seen_work: tuple[int, dict[int, Worked]] = (0, {})
        """The id of the last sample, and attempts with their samples."""

    def view(self, preview: Preview, focus: Focus | None = None, before: bool = False) -> View:
        """All of the run; without a focus, of the first search that turns. `before`: with the curves of the rounds
        before that in focus."""
        run = preview.run
        chosen = self._chosen(preview.spec)
        return View(
            **{name: getattr(preview, name) for name in Preview.__dataclass_fields__},
            turn=self._turn(preview, focus, before),
            costs=self._costs(),
            last=self._last() if run.state in ("lost", "failed") else None,
            chosen=chosen,
            samples=self._reader.rows(samples(run.id))[0]["samples"] or 0 if chosen else 0,
            alerts=self._alerts(run.state),
            log=self._log(),
            machine=self._machine(),
        )

    # The drum

    def _turn(self, preview: Preview, focus: Focus | None, before: bool) -> Turn | None:
        lane = next((lane for lane in preview.lanes if focus and lane.key == (focus.search, focus.seed)), None)
        lane = lane or _turning(preview.lanes)
        if lane is None or not lane.rounds:
            return None
        rounds = self._reader.rows(
            "SELECT x.id, x.round, EXISTS (SELECT 1 FROM members AS m JOIN epochs AS e ON e.training = m.training"
            " WHERE m.round = x.id) AS begun FROM searches AS s JOIN rounds AS x ON x.search = s.id"
            " WHERE s.run = ? AND s.name = ? AND x.seed = ? ORDER BY x.round",
            (self._run, *lane.key),
        )
        ids: dict[int, int] = {row["round"]: row["id"] for row in rounds}
        # A round may wait for a worker: until its first epoch there is more to see in the round before.
        begun = [row["round"] for row in rounds if row["begun"]]
        newest: int = begun[-1] if begun else rounds[-1]["round"]
        number = focus.round if focus and focus.round is not None and focus.round in ids else newest
        curves, traces = self._curves(ids[number])
        earlier = [round for round in begun if round < number] if before else []
        stop = preview.spec["searches"][lane.search].get("stop") or {}
        pruned = max((r.round for r in lane.done if r.round <= number), default=None)
        masks = {r.round: self._layers(ids[r.round]) for r in lane.done}
        layers = masks[pruned] if pruned else {}
        overlaps, pairs = self._overlaps(ids[pruned]) if pruned else ((), ())
        by_round = self._reader.rows(
            "SELECT round, sets, iou, chance FROM overlap_by_round WHERE run = ? AND search = ? AND seed = ?"
            " ORDER BY round",
            (self._run, *lane.key),
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
            traces=traces + (self._arms_traces(ids[number], lane.seed) if preview.spec.get("flow") else ()),
            before=tuple((round, self._curves(ids[round])[0]) for round in earlier),
            rounds=self._rounds(lane, masks),
            masks=tuple((number, by_member.get(None, ())) for number, by_member in masks.items()),
            members_masks=tuple((member, own) for member, own in layers.items() if member is not None),
            pairs=pairs,
            epsilon=stop.get("epsilon"),
        )

    def _curves(self, round_id: int) -> tuple[tuple[Curve, ...], tuple[Trace, ...]]:
        """Curves of a round's members, and what hooks traced in them."""
        members = self._reader.rows(
            "SELECT m.member, m.segment, t.id, t.epochs, t.steps, t.start_step, t.train_images, t.images,"
            " json_extract(t.about, '$.what') = 'point' AS point,"
            " (SELECT count(*) FROM epochs WHERE training = t.id) AS known,"
            " (SELECT count(*) FROM traces WHERE training = t.id) AS traced"
            " FROM members AS m JOIN trainings AS t ON t.id = m.training WHERE m.round = ? ORDER BY m.member",
            (round_id,),
        )
        curves = tuple(_curve(m, self._epochs(m["id"], m["known"])) for m in members)
        traces = (trace for m in members for trace in self._traces(m["id"], m["member"], m["traced"]))
        return curves, tuple(traces)

    def _arms_traces(self, round_id: int, seed: int) -> tuple[Trace, ...]:
        """What watched the trainings of arms: of the round's ticket, and of this seed without one."""
        arms = self._reader.rows(
            "SELECT a.name, e.training, (SELECT count(*) FROM traces WHERE training = e.training) AS traced"
            " FROM arms AS a JOIN evaluations AS e ON e.arm = a.id LEFT JOIN tickets AS k ON k.id = e.ticket"
            " WHERE a.run = ? AND e.seed = ? AND e.split = 'test' AND (k.round = ? OR e.ticket IS NULL)"
            " AND e.training NOT IN (SELECT training FROM members WHERE round = ?) ORDER BY a.id",
            (self._run, seed, round_id, round_id),
        )
        return tuple(
            replace(trace, arm=arm["name"]) for arm in arms for trace in self._traces(arm["training"], 0, arm["traced"])
        )

    def _traces(self, training: int, member: int, known: int) -> tuple[Trace, ...]:
        """A training's traces, read again where there are more or fewer rows than before."""
        count, seen = self._seen_traces.get(training, (0, ()))
        if known != count:
            figures: dict[tuple[str, str], list[tuple[int, float | None]]] = {}
            for row in self._reader.rows(
                "SELECT kind, layer, step, value FROM traces WHERE training = ? ORDER BY kind, layer, step",
                (training,),
            ):
                figures.setdefault((row["kind"], row["layer"]), []).append((row["step"], row["value"]))
            seen = tuple(
                Trace(*key, member, tuple(step for step, _ in own), tuple(value for _, value in own))
                for key, own in figures.items()
            )
            self._seen_traces[training] = known, seen
        return tuple(replace(trace, member=member) for trace in seen)

    def _epochs(self, training: int, known: int) -> list[tuple[Any, ...]]:
        seen = self._seen_epochs.setdefault(training, [])
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

    def _layers(self, round_id: int) -> dict[int | None, tuple[Layer, ...]]:
        if round_id not in self._seen_layers:
            found: dict[int | None, list[Layer]] = {}
            for row in self._reader.rows(
                "SELECT member, layer, kind, prunable, total, before, alive FROM layers WHERE round = ?"
                " ORDER BY member, position",
                (round_id,),
            ):
                member = row.pop("member")
                found.setdefault(member, []).append(Layer(**{**row, "prunable": bool(row["prunable"])}))
            self._seen_layers[round_id] = {member: tuple(layers) for member, layers in found.items()}
        return self._seen_layers[round_id]

    def _overlaps(self, round_id: int) -> tuple[tuple[Overlap, ...], tuple[Pair, ...]]:
        if round_id not in self._seen_overlaps:
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
            self._seen_overlaps[round_id] = (
                tuple(Overlap(**row) for row in layers),
                tuple(Pair(**row) for row in pairs),
            )
        return self._seen_overlaps[round_id]

    def _rounds(self, lane: Lane, masks: dict[int, dict[int | None, tuple[Layer, ...]]]) -> tuple[Past, ...]:
        rows = self._reader.rows(
            "SELECT x.round, x.step, count(m.member) AS members, ifnull(max(iif(t.state = 'done',"
            " (SELECT max(epoch) FROM epochs WHERE training = t.id), t.epochs)), 0) AS epochs,"
            " ifnull(x.images, 0) AS images, ifnull(sum(t.seconds), 0.0) AS seconds, x.sparsity, k.start_step"
            " FROM searches AS s JOIN rounds AS x ON x.search = s.id LEFT JOIN tickets AS k ON k.round = x.id"
            " LEFT JOIN members AS m ON m.round = x.id LEFT JOIN trainings AS t ON t.id = m.training"
            " WHERE s.run = ? AND s.name = ? AND x.seed = ? GROUP BY x.id ORDER BY x.round",
            (self._run, *lane.key),
        )
        removed = {
            number: sum(layer.before - layer.alive for layer in by_member.get(None, ()) if layer.prunable)
            for number, by_member in masks.items()
        }
        return tuple(Past(**row, removed=removed.get(row["round"])) for row in rows)

    # Samples

    def _chosen(self, spec: Mapping[str, Any]) -> tuple[Chosen, ...]:
        rows = self._reader.rows(
            "SELECT s.name AS search, x.seed, x.round, c.size, c.training, c.pruning, c.both FROM searches AS s"
            " JOIN rounds AS x ON x.search = s.id JOIN sets AS c ON c.round = x.id WHERE s.run = ?"
            " ORDER BY s.id, x.seed, x.round",
            (self._run,),
        )
        searches = spec.get("searches", {})
        return tuple(Chosen(**row, drawn=bool(searches.get(row["search"], {}).get("sizes"))) for row in rows)

    # Figures

    def _costs(self) -> tuple[Cost, ...]:
        """Cost of every ticket: read when a round has ended or a ticket has been evaluated since."""
        now = self._reader.rows(
            "SELECT (SELECT count(*) FROM searches AS s JOIN rounds AS x ON x.search = s.id"
            " WHERE s.run = ? AND x.step = 'done') AS ended,"
            " (SELECT count(*) FROM arms AS a JOIN evaluations AS e ON e.arm = a.id WHERE a.run = ?) AS evaluated",
            (self._run, self._run),
        )
        before, costs = self._seen_costs
        if now != before:
            rows = self._reader.rows(cost(self._run))
            costs = tuple(Cost(**{key: row[key] for key in Cost.__dataclass_fields__}) for row in rows)
            self._seen_costs = now, costs
        return costs

    # Words

    def _alerts(self, state: str) -> tuple[Line, ...]:
        """Those that the engine wrote, with where; of one that has gone and writes no more, since when it is silent."""
        rows = self._reader.rows(
            "SELECT a.at, a.kind AS level,"
            " ifnull(s.name || ' seed ' || x.seed || ' round ' || x.round || ': ', '') || a.message AS message"
            " FROM alerts AS a LEFT JOIN rounds AS x ON x.id = a.round LEFT JOIN searches AS s ON s.id = x.search"
            " WHERE a.run = ? ORDER BY a.id",
            (self._run,),
        )
        told = [Line(**row) for row in rows]
        if state == "lost":
            since = self._reader.rows(
                "SELECT max(r.started, ifnull(max(a.heartbeat), '')) AS at FROM runs AS r"
                " LEFT JOIN attempts AS a ON a.run = r.id WHERE r.id = ?",
                (self._run,),
            )[0]["at"]
            told.append(Line(since, "no heartbeat", "no sign of life of its engine since"))
        elif state == "running":
            sql = "SELECT heartbeat FROM attempts WHERE run = ? AND ended IS NULL ORDER BY id DESC LIMIT 1"
            for row in self._reader.rows(sql, (self._run,)):
                if silent(row["heartbeat"], self._reader.path):
                    words = "its engine is there but has written nothing since: suspended, or kept by a slow disk"
                    told.append(Line(row["heartbeat"], "silent", words))
        return tuple(told)

    def _last(self) -> Last | None:
        """None where no engine has begun on the run."""
        rows = self._reader.rows(
            "SELECT a.heartbeat, a.doing, a.last_words AS words, r.files FROM attempts AS a"
            " JOIN runs AS r ON r.id = a.run WHERE a.run = ? ORDER BY a.id DESC LIMIT 1",
            (self._run,),
        )
        return Last(printed=last_printed(Path(rows[0].pop("files")), self._run), **rows[0]) if rows else None

    def _log(self) -> tuple[Line, ...]:
        newest, lines = self._seen_log
        rows = self._reader.rows(
            "SELECT * FROM (SELECT id, at, level, message FROM log WHERE run = ? AND id > ? ORDER BY id DESC LIMIT ?)"
            " ORDER BY id",
            (self._run, newest, LOG_LINES),
        )
        if rows:
            new = tuple(Line(row["at"], row["level"], row["message"]) for row in rows)
            lines = (lines + new)[-LOG_LINES:]
            self._seen_log = rows[-1]["id"], lines
        return lines

    # The machine

    def _machine(self) -> tuple[Worked, ...]:
        """What is new since the last look; of an attempt of many samples, one in so many, and always the newest."""
        newest, worked = self._seen_work
        columns = ", ".join(Sample.__dataclass_fields__)
        rows = self._reader.rows(
            f"SELECT * FROM (SELECT id, attempt, energy_from, {columns},"
            " row_number() OVER (PARTITION BY attempt ORDER BY id DESC) AS back,"
            " count(*) OVER (PARTITION BY attempt) AS count FROM machine"
            " WHERE attempt IN (SELECT id FROM attempts WHERE run = ?) AND id > ?)"
            " WHERE (back - 1) % (1 + count / ?) = 0 ORDER BY id",
            (self._run, newest, MOST_SAMPLES),
        )
        new: dict[int, list[dict[str, Any]]] = {}
        for row in rows:
            new.setdefault(row["attempt"], []).append(row)
        for attempt, own in new.items():
            known = worked.get(attempt) or self._worked(attempt)
            samples = (
                *known.samples,
                *(Sample(**{name: row[name] for name in Sample.__dataclass_fields__}) for row in own),
            )
            if len(samples) > 2 * MOST_SAMPLES:
                samples = samples[:-1][::2] + samples[-1:]
            metered = next((row["energy_from"] for row in reversed(own) if row["energy_from"]), known.metered)
            worked[attempt] = replace(known, samples=samples, metered=metered)
        self._seen_work = max([newest, *(row["id"] for row in rows)]), worked
        return tuple(worked[attempt] for attempt in sorted(worked))

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


def _curve(member: dict[str, Any], epochs: list[tuple[Any, ...]]) -> Curve:
    """A member's curve from its training and rows of `epochs`.

    Its recipe's epochs are ahead of it, but for the weights to rewind to, which are a point on the way: their training
    may end within an epoch. Where an older version wrote it, the steps that were left tell where it began.
    """
    if not epochs:
        return Curve(member["member"], member["segment"], member["epochs"], (), (), (), (), ())
    epoch, step, seconds, train_loss, train_accuracy, validation_loss, validation_accuracy = zip(*epochs, strict=True)
    an_epoch = max(step[0] // epoch[0], 1)
    length = math.ceil(member["steps"] / an_epoch) if member["point"] else member["epochs"]
    begun = member["start_step"]
    if begun is None:
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
