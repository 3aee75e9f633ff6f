"""What happens in a run, as rows: the only part of the engine that writes to the store.

Methods take down what happened and return at once; `flush` writes all of it in one transaction. So nobody else waits
while the engine prunes, and what belongs together becomes visible together. Rows are written by their natural keys:
what is computed again after an interruption replaces what was there.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import torch
from torch import Tensor

from engine import masks, tensors
from engine.checks import Answer
from engine.data import Dataset
from engine.masks import Mask
from engine.measurements import Measured, Measurement
from engine.networks import State, Weight
from engine.reuse import Taken, conditions
from engine.searches import Point, Ticket
from engine.searches.prac import CEP, CET
from engine.training import Epoch, Result, Training
from presets import __version__
from presets.schema import AnyCheck, Experiment
from store.connection import now
from store.files import object_path
from store.liveness import state_of, this_process
from store.writing import Writer

P = ParamSpec("P")


class Owned(Exception):
    """The run belongs to an engine that lives."""


def deferred(method: Callable[Concatenate[Recorder, P], None]) -> Callable[Concatenate[Recorder, P], None]:
    """The method's body runs at the next `flush`, inside its transaction, in the order of the calls."""

    @functools.wraps(method)
    def later(self: Recorder, *args: P.args, **kwargs: P.kwargs) -> None:
        self._pending.append(functools.partial(method, self, *args, **kwargs))

    return later


class Recorder:
    """Writes one attempt at one run."""

    def __init__(self, writer: Writer, run: str, experiment: Experiment, files: Path) -> None:
        self.writer, self.run, self.files = writer, run, files
        self._pending: list[Callable[[], None]] = []
        self._afterwards: list[Callable[[], None]] = []
        self._began = time.monotonic()
        self.attempt = 0
        self._alike: set[int] = set()
        with writer.transaction():
            self.searches = {
                name: self.writer.put(
                    "searches",
                    {"run": run, "name": name, "method": s.method, "settings": s.model_dump_json()},
                    ("run", "name"),
                )
                for name, s in experiment.searches.items()
            }
            self.arms = {
                name: self.writer.put(
                    "arms", {"run": run, "name": name, "settings": arm.model_dump_json()}, ("run", "name")
                )
                for name, arm in experiment.arms.items()
            }

    def flush(self) -> None:
        """Write everything taken down since the last flush, whole or not at all."""
        pending, self._pending = self._pending, []
        if pending:
            with self.writer.transaction():
                for write in pending:
                    write()
        afterwards, self._afterwards = self._afterwards, []
        for act in afterwards:
            act()

    def after_flush(self, act: Callable[[], None]) -> None:
        """Do something once all that was taken down so far is in the store."""
        self._afterwards.append(act)

    # The attempt

    def begin(self, device: str, name: str, plan: Mapping[str, Any], held: Mapping[str, str], changed: bool) -> None:
        """A new attempt by this process, on a device called `name`; the run reads running from now. Written at once."""
        moment = now()
        with self.writer.transaction():
            earlier = self.writer.rows("SELECT * FROM attempts WHERE run = ? ORDER BY id DESC LIMIT 1", (self.run,))
            alone = {"state": "running", "started": ""}  # judged by its process, not by who asked for this attempt
            if earlier and not earlier[0]["ended"] and state_of(alone, dict(earlier[0])) == "running":
                raise Owned(f"{self.run} is being trained by process {earlier[0]['pid']} on {earlier[0]['host']}")
            if earlier:  # what was asked of an engine that is gone
                before = "taken IS NULL AND asked < (SELECT started FROM runs WHERE id = requests.run)"
                self.writer.execute(f"UPDATE requests SET taken = ? WHERE run = ? AND {before}", (moment, self.run))
            self.attempt = self.writer.insert(
                "attempts",
                {
                    **this_process(),
                    "run": self.run,
                    "device": device,
                    "device_name": name,
                    "versions": dict(held),
                    "plan": dict(plan),
                    "plan_changed": int(changed),
                    "started": moment,
                    "heartbeat": moment,
                },
            )
            self.writer.update("runs", {"id": self.run}, {"state": "running", "message": "", "ended": None})
            attempts = self.writer.rows("SELECT id, plan, versions FROM attempts WHERE run = ?", (self.run,))
            self._alike = {
                row["id"]
                for row in attempts
                if conditions(json.loads(row["plan"]), json.loads(row["versions"])) == conditions(plan, held)
            }

    @deferred
    def fewer_together(self, together: int) -> None:
        """The plan has changed under way: at most so many trainings at once from here on."""
        sql = "UPDATE attempts SET plan = json_set(plan, '$.together', ?), plan_changed = 1 WHERE id = ?"
        self.writer.execute(sql, (together, self.attempt))

    @deferred
    def heartbeat(self, images: int, planned: int, seconds_left: float | None, doing: str) -> None:
        values = {"heartbeat": now(), "images_done": images, "seconds_left": seconds_left, "doing": doing}
        self.writer.update("attempts", {"id": self.attempt}, values)
        self.writer.update("runs", {"id": self.run}, {"images_planned": planned})

    def requests(self) -> list[str]:
        """What was asked of this run since the last call: "pause" or "stop"."""
        asked = self.writer.rows(
            "SELECT id, action FROM requests WHERE run = ? AND taken IS NULL ORDER BY id", (self.run,)
        )
        for row in asked:
            self.writer.update("requests", {"id": row["id"]}, {"taken": now()})
        return [row["action"] for row in asked]

    @deferred
    def end(self, state: str, message: str) -> None:
        moment = now()
        self.writer.update("runs", {"id": self.run}, {"state": state, "message": message, "ended": moment})
        values = {"ended": moment, "seconds": time.monotonic() - self._began, "outcome": state, "doing": ""}
        self.writer.update("attempts", {"id": self.attempt}, values | {"last_words": message, "heartbeat": moment})

    @deferred
    def log(self, level: str, message: str) -> None:
        self.writer.insert("log", {"run": self.run, "at": now(), "level": level, "message": message})

    @deferred
    def machine(self, sample: Mapping[str, Any], images: int) -> None:
        """What the machine does, and the training images that this attempt has seen."""
        self.writer.insert("machine", {"attempt": self.attempt, "at": now(), "images": images} | dict(sample))

    @deferred
    def alert(
        self, kind: str, message: str, subject: str = "", where: tuple[str, int, int] | None = None, again: bool = False
    ) -> None:
        """Once of a kind, a subject and a round, or whenever it comes `again`; `where`: search, seed, round, if any."""
        key = {"run": self.run, "kind": kind, "subject": subject, "round": self._round(*where) if where else None}
        known = "SELECT 1 FROM alerts WHERE run = :run AND kind = :kind AND subject = :subject AND round IS :round"
        if again or not self.writer.rows(known, key):
            self.writer.insert("alerts", key | {"at": now(), "message": message})

    # Trainings

    @deferred
    def requested(self, job: Training, about: Mapping[str, Any]) -> None:
        row = {
            "run": self.run,
            "key": job.key,
            "seed": job.seed,
            "about": dict(about),
            "state": "waiting",
            "classes": len(job.view.classes),
            "train_images": len(job.view.samples),
            "weights": job.weights,
            "epochs": job.recipe.epochs,
            "steps": job.last_step - job.start_step,
        }
        self.writer.put("trainings", row, ("run", "key"))

    @deferred
    def started(self, key: str, afresh: bool) -> None:
        row = self.writer.one("SELECT id, attempt FROM trainings WHERE run = ? AND key = ?", (self.run, key))
        same = self.attempt if afresh else row["attempt"] if row["attempt"] in self._alike else None
        values = {"state": "running", "started": now(), "attempt": same, "taken_from": None}
        self.writer.update("trainings", {"id": row["id"]}, values)
        for table in ("epochs", "traces") if afresh else ():
            self.writer.delete(table, {"training": row["id"]})

    @deferred
    def epoch(self, key: str, epoch: Epoch) -> None:
        row = {
            "training": self._training(key),
            "epoch": epoch.epoch,
            "step": epoch.step,
            "lr": epoch.lr,
            "train_loss": epoch.train_loss,
            "train_accuracy": epoch.train_accuracy,
            "validation_loss": epoch.validation.loss if epoch.validation else None,
            "validation_accuracy": epoch.validation.accuracy if epoch.validation else None,
            "seconds": epoch.seconds,
        }
        self.writer.put("epochs", row, ("training", "epoch"))
        traces = [{"training": row["training"]} | vars(trace) for trace in epoch.traces]
        self.writer.put_all("traces", traces, ("training", "kind", "layer", "step"))

    @deferred
    def done(self, key: str, result: Result) -> None:
        values = {"state": "done", "ended": now()} | _figures(result)
        self.writer.update("trainings", {"run": self.run, "key": key}, values)

    @deferred
    def taken(self, key: str, taken: Taken) -> None:
        """Another run has done this training, which was asked for before: its rows become rows of this run."""
        moment = now()
        training = self._training(key)
        values = {"state": "done", "attempt": self.attempt, "taken_from": taken.origin}
        values |= {"started": moment, "ended": moment} | _figures(taken.result)
        self.writer.update("trainings", {"id": training}, values)
        for table in ("epochs", "traces"):
            self.writer.delete(table, {"training": training})
        self.writer.insert_all("epochs", [row | {"training": training, "seconds": 0.0} for row in taken.epochs])
        self.writer.insert_all("traces", [row | {"training": training} for row in taken.traces])

    # Rounds

    def round(self, search: str, seed: int, number: int, mask: Mask, weights: list[Weight]) -> None:
        """A round begins under this mask."""
        remaining = masks.alive(mask)
        uncounted = sum(w.count for w in weights if w.name not in mask)
        row = {
            "search": self.searches[search],
            "seed": seed,
            "round": number,
            "step": "train",
            "prunable": sum(keep.numel() for keep in mask.values()),
            "remaining": remaining,
            "weights": sum(w.count for w in weights),
            "weights_remaining": remaining + uncounted,
            "started": now(),
            "ended": None,
        }
        self._begin_round(row)

    @deferred
    def _begin_round(self, row: dict[str, Any]) -> None:
        self.writer.put("rounds", row, ("search", "seed", "round"))

    @deferred
    def members(self, search: str, seed: int, number: int, jobs: Sequence[Training]) -> None:
        """The round's trainings, which were asked for before this."""
        round_id = self._round(search, seed, number)
        for member, job in enumerate(jobs):
            row = {"member": member, "training": self._training(job.key), "segment": job.view.name}
            self.writer.put("members", {"round": round_id} | row, ("round", "member"))

    @deferred
    def step(self, search: str, seed: int, number: int, step: str) -> None:
        self.writer.update("rounds", {"id": self._round(search, seed, number)}, {"step": step})

    def trained(self, search: str, seed: int, number: int, results: list[Result]) -> None:
        """The round's trainings are done, and charged to it in full."""
        images, forward = (sum(getattr(r, name) for r in results) for name in ("images", "images_forward"))
        self.charge(search, seed, number, images, forward)

    @deferred
    def charge(self, search: str, seed: int, number: int, images: int, forward: int) -> None:
        """What a round has cost: images forward and backward, and forward only."""
        values = {"images": images, "images_forward": forward}
        self.writer.update("rounds", {"id": self._round(search, seed, number)}, values)

    @deferred
    def charge_forward(self, search: str, seed: int, number: int, images: int) -> None:
        """Images that a measurement of the round has seen, forward only, beside what its trainings cost."""
        sql = "UPDATE rounds SET images_forward = images_forward + ? WHERE id = ?"
        self.writer.execute(sql, (images, self._round(search, seed, number)))

    def point(self, search: str, seed: int, key: str, point: Point) -> None:
        """Round 0 ends: the weights at step k are kept as a file."""
        self.file(tensors.encode(point.start, {"step": str(point.step)}), "start", training=key)
        self._round_ends(search, seed, 0)

    def ticket(self, search: str, seed: int, ticket: Ticket, weights: list[Weight]) -> None:
        """A round ends with a ticket: its files are written now, its rows at the next flush."""
        mask = self._object(tensors.encode(*tensors.pack(ticket.mask)))
        start = self._object(tensors.encode(ticket.start, {"step": str(ticket.start_step)}))
        layers = list(layer_rows(ticket, weights))
        overlaps = [vars(row) for row in masks.overlaps(ticket.before, ticket.members)]
        remaining = masks.alive(ticket.mask)
        uncounted = sum(w.count for w in weights if w.name not in ticket.mask)
        chosen = None
        if ticket.samples is not None:
            reasons = {"reasons": ticket.reasons} if ticket.reasons is not None else {}
            chosen = self._object(tensors.encode({"samples": ticket.samples} | reasons))
        self._ticket(search, seed, ticket, mask, start, chosen, layers, overlaps, remaining, remaining + uncounted)

    @deferred
    def _ticket(
        self,
        search: str,
        seed: int,
        ticket: Ticket,
        mask: str,
        start: str,
        chosen: str | None,
        layers: list[dict[str, Any]],
        overlaps: list[dict[str, Any]],
        remaining: int,
        weights_remaining: int,
    ) -> None:
        round_id = self._round(search, seed, ticket.round)
        row = {"mask": mask, "start": start, "start_step": ticket.start_step, "samples": chosen, "created": now()}
        ticket_id = self.writer.put("tickets", {"round": round_id} | row, ("round",))
        for sha256, role in ((mask, "mask"), (start, "start"), (chosen, "samples")):
            if sha256:
                self._use(sha256, role, ticket=ticket_id)
        for member, hardest in enumerate(ticket.hardest):
            key = {"search": self.searches[search], "seed": seed, "round": ticket.round, "member": member}
            self.writer.delete("samples", key)
            self.writer.insert_all("samples", [key | {"sample": n, "reason": why} for n, why in hardest])
        if ticket.samples is not None:
            self.writer.put("sets", {"round": round_id} | set_row(ticket.samples, ticket.reasons), ("round",))
        for table, rows in (("layers", layers), ("overlaps", overlaps)):
            self.writer.delete(table, {"round": round_id})
            self.writer.insert_all(table, [{"round": round_id} | row for row in rows])
        values = {"remaining": remaining, "weights_remaining": weights_remaining, "step": "done", "ended": now()}
        self.writer.update("rounds", {"id": round_id}, values)

    @deferred
    def _round_ends(self, search: str, seed: int, number: int) -> None:
        values = {"step": "done", "ended": now()}
        self.writer.update("rounds", {"id": self._round(search, seed, number)}, values)

    @deferred
    def segments(self, search: str, seed: int, members: list[tuple[str, Tensor]]) -> None:
        """Which training samples each member sees: (name of the segment, int64 indices)."""
        for member, (name, samples) in enumerate(members):
            key = {"search": self.searches[search], "seed": seed, "round": 0, "member": member}
            self.writer.delete("samples", key)
            self.writer.insert_all("samples", [key | {"sample": n, "reason": name} for n in samples.tolist()])

    # Arms and checks

    @deferred
    def evaluation(self, arm: str, seed: int, search: str, number: int, key: str) -> None:
        """An arm's training is done: its figures on both splits. Its ticket is of `search`, "" for a dense arm."""
        ticket = None
        if search:
            round_id = self._round(search, seed, number)
            ticket = self.writer.one("SELECT id FROM tickets WHERE round = ?", (round_id,))["id"]
        training = self.writer.one("SELECT * FROM trainings WHERE run = ? AND key = ?", (self.run, key))
        self.writer.delete("evaluations", {"arm": self.arms[arm], "ticket": ticket, "seed": seed})
        for split in ("validation", "test"):
            row = {name: training[f"{split}_{name}"] for name in ("correct", "count", "loss")}
            row |= {"arm": self.arms[arm], "ticket": ticket, "seed": seed, "training": training["id"]}
            self.writer.insert("evaluations", row | {"split": split, "created": now()})

    @deferred
    def answers(self, name: str, settings: AnyCheck, answers: Sequence[Answer]) -> None:
        """All answers of a check, in place of those that it had."""
        self.writer.delete("checks", {"run": self.run, "name": name})
        head = {"run": self.run, "name": name, "method": settings.method, "question": settings.question}
        for answer in answers:
            row = {key: value for key, value in vars(answer).items() if key != "points"}
            check = self.writer.put("checks", head | row | {"created": now()}, ("run", "name", "search", "part"))
            points = [{"check": check} | vars(point) for point in answer.points]
            self.writer.put_all("points", points, ("check", "series", "seed", "x"))
            if not answer.part:
                self.writer.insert(
                    "log",
                    {
                        "run": self.run,
                        "at": now(),
                        "level": "info",
                        "message": f"{name}: {answer.verdict}: {answer.sentence}",
                    },
                )

    # Files

    @deferred
    def needs(self, files: Sequence[str]) -> None:
        """This run reads files of others: they stay for as long as it exists."""
        for sha256 in files:
            self._use(sha256, "samples")

    def file(self, content: bytes, role: str, training: str) -> None:
        """Keep a file for as long as this run exists."""
        self._file_used(self._object(content), role, training)

    @deferred
    def _file_used(self, sha256: str, role: str, training: str) -> None:
        self._use(sha256, role, training=self._training(training))

    def _object(self, content: bytes) -> str:
        """Store content under its hash; nothing is written twice."""
        sha256 = hashlib.sha256(content).hexdigest()
        self._write_once(object_path(self.files, sha256), content)
        self._file(sha256, content)
        return sha256

    def _write_once(self, path: Path, content: bytes) -> None:
        if not path.exists():
            tensors.write(path, content)

    @deferred
    def _file(self, sha256: str, content: bytes) -> None:
        path = object_path(self.files, sha256)
        self._write_once(path, content)  # the run that had the same file may have been deleted in between
        if not self.writer.rows("SELECT 1 FROM files WHERE sha256 = ?", (sha256,)):
            row = {"sha256": sha256, "path": str(path.relative_to(self.files)), "bytes": len(content), "created": now()}
            self.writer.insert("files", row)

    def _use(self, sha256: str, role: str, ticket: int | None = None, training: int | None = None) -> None:
        values = (sha256, self.run, role, ticket, training)
        known = "SELECT 1 FROM file_uses WHERE sha256 = ? AND run = ? AND role = ? AND ticket IS ? AND training IS ?"
        if not self.writer.rows(known, values):
            names = ("sha256", "run", "role", "ticket", "training")
            self.writer.insert("file_uses", dict(zip(names, values, strict=True)))

    # Measurements

    @deferred
    def measured(self, job: Measurement, about: Mapping[str, Any], measured: Measured) -> None:
        """Its figures; tensors are not kept."""
        row = {"run": self.run, "key": job.key, "seed": job.seed, "method": job.method, "about": dict(about)}
        names = ("figures", "images", "images_forward", "seconds")
        row |= {name: getattr(measured, name) for name in names}
        self.writer.put("measurements", row | {"created": now()}, ("run", "key"))

    def measured_before(self) -> dict[str, Measured]:
        """By key, those whose figures say all."""
        rows = self.writer.rows("SELECT * FROM measurements WHERE run = ? AND figures <> '{}'", (self.run,))
        return {
            row["key"]: Measured(json.loads(row["figures"]), {}, row["images"], row["images_forward"], row["seconds"])
            for row in rows
        }

    # What earlier attempts left

    def done_before(self) -> list[Any]:
        """Rows of finished trainings."""
        return self.writer.rows("SELECT * FROM trainings WHERE run = ? AND state = 'done'", (self.run,))

    def taken_from(self) -> list[Any]:
        """How many trainings of this run were taken from which: origin, count."""
        return self.writer.rows(
            "SELECT taken_from AS origin, count(*) AS count FROM trainings"
            " WHERE run = ? AND taken_from IS NOT NULL GROUP BY taken_from ORDER BY min(id)",
            (self.run,),
        )

    def kept_weights(self, key: str) -> State | None:
        """What a training of this run ended with, out of the file that it keeps; None where there is none."""
        for row in self.writer.rows(
            "SELECT u.sha256 FROM file_uses AS u JOIN trainings AS t ON t.id = u.training"
            " WHERE u.run = ? AND u.role = 'trained' AND t.key = ?",
            (self.run, key),
        ):
            path = object_path(self.files, row["sha256"])
            if path.exists():
                return tensors.read(path)[0]
        return None

    def tickets_before(self, search: str, seed: int) -> list[Any]:
        """Tickets in the order of their rounds: round, images, mask, start and samples (hashes), start_step."""
        return self.writer.rows(
            "SELECT r.round, r.images, t.mask, t.start, t.start_step, t.samples "
            "FROM rounds r JOIN tickets t ON t.round = r.id "
            "WHERE r.search = ? AND r.seed = ? AND r.step = 'done' ORDER BY r.round",
            (self.searches[search], seed),
        )

    def point_before(self, search: str, seed: int) -> Any | None:
        """The file of the weights that round 0 ended with, and their step; None where there was none."""
        rows = self.writer.rows(
            "SELECT u.sha256, t.steps AS step FROM rounds r JOIN members m ON m.round = r.id "
            "JOIN trainings t ON t.id = m.training JOIN file_uses u ON u.training = t.id AND u.role = 'start' "
            "WHERE r.search = ? AND r.seed = ? AND r.round = 0 AND r.step = 'done'",
            (self.searches[search], seed),
        )
        return rows[0] if rows else None

    def evaluated_before(self) -> set[tuple[str, int, str, int]]:
        """(arm, seed, search, round) of every evaluation; search "" and round 0 for dense arms."""
        rows = self.writer.rows(
            "SELECT a.name AS arm, e.seed, coalesce(s.name, '') AS search, coalesce(r.round, 0) AS round "
            "FROM evaluations e JOIN arms a ON a.id = e.arm LEFT JOIN tickets t ON t.id = e.ticket "
            "LEFT JOIN rounds r ON r.id = t.round LEFT JOIN searches s ON s.id = r.search "
            "WHERE a.run = ? AND e.split = 'test'",
            (self.run,),
        )
        return {(row["arm"], row["seed"], row["search"], row["round"]) for row in rows}

    # Rows by their natural keys

    def _training(self, key: str) -> int:
        return self.writer.one("SELECT id FROM trainings WHERE run = ? AND key = ?", (self.run, key))["id"]

    def _round(self, search: str, seed: int, number: int) -> int:
        sql = "SELECT id FROM rounds WHERE search = ? AND seed = ? AND round = ?"
        return self.writer.one(sql, (self.searches[search], seed, number))["id"]


def _figures(result: Result) -> dict[str, Any]:
    """What a finished training came to, as columns of `trainings`."""
    names = ("epoch_used", "images", "images_forward", "seconds")
    columns = {name: getattr(result, name) for name in names}
    for split in ("validation", "test"):
        score = getattr(result, split)
        columns |= {f"{split}_correct": score.correct, f"{split}_count": score.count, f"{split}_loss": score.loss}
    return columns


def set_row(samples: Tensor, reasons: Tensor | None) -> dict[str, Any]:
    """How large a set is, and what it is made of where it was chosen."""
    if reasons is None:
        return {"size": len(samples), "training": None, "pruning": None, "both": None}
    counts = {"training": CET, "pruning": CEP, "both": CET | CEP}
    return {"size": len(samples)} | {name: int((reasons == bits).sum()) for name, bits in counts.items()}


def layer_rows(ticket: Ticket, weights: list[Weight]) -> list[dict[str, Any]]:
    """Rows of `layers` for the common mask and, where there are several, each member's."""
    whole: Mask = masks.full({w.name: w.shape for w in weights if w.name not in ticket.mask})
    before = ticket.before | whole
    several = enumerate(ticket.members) if len(ticket.members) > 1 else ()
    rows = []
    for member, mask in ((None, ticket.mask), *several):
        for position, weight in enumerate(weights):
            rows.append(
                {
                    "member": member,
                    "position": position,
                    "layer": weight.name,
                    "kind": weight.kind,
                    "prunable": int(weight.name in ticket.mask),
                    "total": weight.count,
                    "before": int(torch.count_nonzero(before[weight.name])),
                    "alive": int(torch.count_nonzero(mask[weight.name])) if weight.name in mask else weight.count,
                }
            )
    return rows


def versions(data: Dataset) -> dict[str, str]:
    """What the figures may depend on, besides the plan."""
    return {
        "data": data.identity,
        "tombola": __version__,
        "code": code(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": f"{torch.backends.cpu.get_cpu_capability()} {_processor()}".strip(),
        "executable": sys.executable,
    }


@functools.cache
def code() -> str:
    """Digest of the engine's sources: between two versions, too, a change may move bits."""
    content = hashlib.sha256()
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        content.update(path.read_bytes())
    return content.hexdigest()[:16]


@functools.cache
def _processor() -> str:
    """Which processor this is: its libraries choose their kernels by that. Empty where the system does not say."""
    try:
        first = Path("/proc/cpuinfo").read_text().split("\n\n")[0]
    except OSError:
        return platform.processor()
    told = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
    return " ".join(told[name] for name in ("model name", "cpu family", "model", "stepping") if name in told)
