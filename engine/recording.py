"""What happens in a run, as rows.

Methods take down what happened, as plain values, and return at once; `outbox` brings it to the store. Rows are written
by their natural keys: what is computed again after an interruption replaces what was there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from engine import masks, tensors
from engine.checks import Answer
from engine.masks import Mask
from engine.measurements import Measured, Measurement
from engine.networks import Weight
from engine.outbox import Outbox, deferred
from engine.reuse import Taken, conditions, figures_of
from engine.searches import Point, Ticket
from engine.searches.prac import CEP, CET
from engine.training import Epoch, Result, Training
from presets.schema import AnyCheck, Experiment, Moving
from store.errors import Unusable
from store.writing import Writer


class Recorder(Outbox):
    """Writes one attempt at one run."""

    def __init__(
        self,
        writer: Writer,
        run: str,
        experiment: Experiment,
        files: Path,
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(writer, run, files, given_up)
        self._began = time.monotonic()
        with writer.transaction():
            self._there()
            self.searches = {
                name: self.writer.put(
                    "searches",
                    {"run": run, "name": name, "method": s.method, "settings": s.model_dump_json()}
                    | {"apart": int(isinstance(s, Moving))},
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

    # The attempt

    @deferred
    def fewer_together(self, together: int) -> None:
        """The plan has changed under way: at most so many trainings at once from here on."""
        sql = "UPDATE attempts SET plan = json_set(plan, '$.together', ?), plan_changed = 1 WHERE id = ?"
        self.writer.execute(sql, (together, self.attempt))

    @deferred
    def heartbeat(self, images: int, planned: int, seconds_left: float | None, doing: str) -> None:
        values = {"heartbeat": self.moment, "images_done": images, "seconds_left": seconds_left, "doing": doing}
        self.writer.update("attempts", {"id": self.attempt}, values)
        self.writer.update("runs", {"id": self.run}, {"images_planned": planned})

    def alive(self) -> None:
        """Written at once, where there is nothing else to tell yet."""
        with suppress(Unusable):
            self.writer.update("attempts", {"id": self.attempt}, {"heartbeat": self._now()})

    def requests(self) -> list[str]:
        """What was asked of this run since the last call: "pause" or "stop"."""
        try:
            asked = self.writer.rows(
                "SELECT id, action FROM requests WHERE run = ? AND taken IS NULL ORDER BY id", (self.run,)
            )
        except Unusable:  # a signal still reaches us
            return []
        if asked:
            self._requests_taken([row["id"] for row in asked])
        return [row["action"] for row in asked]

    @deferred
    def _requests_taken(self, ids: Sequence[int]) -> None:
        for number in ids:
            self.writer.update("requests", {"id": number}, {"taken": self.moment})

    def end(self, state: str, message: str) -> None:
        self._ended(state, message, time.monotonic() - self._began)

    @deferred
    def _ended(self, state: str, message: str, seconds: float) -> None:
        self.writer.update("runs", {"id": self.run}, {"state": state, "message": message, "ended": self.moment})
        values = {"ended": self.moment, "seconds": seconds, "outcome": state, "doing": ""}
        self.writer.update("attempts", {"id": self.attempt}, values | {"last_words": message, "heartbeat": self.moment})

    def machine(self, sample: Mapping[str, Any], images: int) -> None:
        """What the machine does, and the training images that this attempt has seen."""
        self._machine({"images": images} | dict(sample))

    @deferred
    def _machine(self, row: dict[str, Any]) -> None:
        self.writer.insert("machine", {"attempt": self.attempt, "at": self.moment} | row)

    @deferred
    def alert(
        self, kind: str, message: str, subject: str = "", where: tuple[str, int, int] | None = None, again: bool = False
    ) -> None:
        """Once of a kind, a subject and a round, or whenever it comes `again`; `where`: search, seed, round, if any."""
        key = {"run": self.run, "kind": kind, "subject": subject, "round": self._round(*where) if where else None}
        known = "SELECT 1 FROM alerts WHERE run = :run AND kind = :kind AND subject = :subject AND round IS :round"
        if again or not self.writer.rows(known, key):
            self.writer.insert("alerts", key | {"at": self.moment, "message": message})

    # Trainings

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
            "start_step": job.start_step,
        }
        self._requested(row)

    @deferred
    def _requested(self, row: dict[str, Any]) -> None:
        self.writer.put("trainings", row, ("run", "key"))

    @deferred
    def started(self, key: str, afresh: bool) -> None:
        row = self.writer.one("SELECT id, attempt FROM trainings WHERE run = ? AND key = ?", (self.run, key))
        same = self.attempt if afresh else row["attempt"] if row["attempt"] in self._alike() else None
        values = {"state": "running", "started": self.moment, "attempt": same, "taken_from": None}
        self.writer.update("trainings", {"id": row["id"]}, values)
        for table in ("epochs", "traces") if afresh else ():
            self.writer.delete(table, {"training": row["id"]})

    def _alike(self) -> set[int]:
        """The attempts at this run whose trainings equal those of this attempt to the bit."""
        attempts = self.writer.rows("SELECT id, plan, versions FROM attempts WHERE run = ?", (self.run,))
        made = {row["id"]: conditions(json.loads(row["plan"]), json.loads(row["versions"])) for row in attempts}
        return {attempt for attempt in made if made[attempt] == made[self.attempt]}

    def epoch(self, key: str, epoch: Epoch) -> None:
        row = {
            "epoch": epoch.epoch,
            "step": epoch.step,
            "lr": epoch.lr,
            "train_loss": epoch.train_loss,
            "train_accuracy": epoch.train_accuracy,
            "validation_loss": epoch.validation.loss if epoch.validation else None,
            "validation_accuracy": epoch.validation.accuracy if epoch.validation else None,
            "seconds": epoch.seconds,
        }
        self._epoch(key, row, [vars(trace) for trace in epoch.traces])

    @deferred
    def _epoch(self, key: str, row: dict[str, Any], traces: list[dict[str, Any]]) -> None:
        training = {"training": self._training(key)}
        self.writer.put("epochs", training | row, ("training", "epoch"))
        self.writer.put_all("traces", [training | trace for trace in traces], ("training", "kind", "layer", "step"))

    def done(self, key: str, result: Result) -> None:
        self._done(key, figures_of(result))

    @deferred
    def _done(self, key: str, figures: dict[str, Any]) -> None:
        values = {"state": "done", "ended": self.moment} | figures
        self.writer.update("trainings", {"run": self.run, "key": key}, values)
        self._steps_taken(self._training(key))

    def _steps_taken(self, training: int) -> None:
        """A training is done: what its epochs come to, which a hook may have ended."""
        steps = "(SELECT max(step) FROM epochs WHERE training = trainings.id) - start_step"
        self.writer.execute(f"UPDATE trainings SET steps = ifnull({steps}, steps) WHERE id = ?", (training,))

    def taken(self, key: str, taken: Taken) -> None:
        """Another run has done this training, which was asked for before: its rows become rows of this run."""
        epochs = [row | {"seconds": 0.0} for row in taken.epochs]
        self._taken(key, {"taken_from": taken.origin} | figures_of(taken.result), epochs, taken.traces)

    @deferred
    def _taken(
        self, key: str, values: dict[str, Any], epochs: list[dict[str, Any]], traces: list[dict[str, Any]]
    ) -> None:
        training = self._training(key)
        values = values | {"state": "done", "attempt": self.attempt, "started": self.moment, "ended": self.moment}
        self.writer.update("trainings", {"id": training}, values)
        for table, rows in (("epochs", epochs), ("traces", traces)):
            self.writer.delete(table, {"training": training})
            self.writer.insert_all(table, [row | {"training": training} for row in rows])
        self._steps_taken(training)

    @deferred
    def tell_taken(self) -> None:
        """Into the log, how many trainings of this run were taken from which."""
        counts = self.writer.rows(
            "SELECT taken_from, count(*) AS count FROM trainings"
            " WHERE run = ? AND taken_from IS NOT NULL GROUP BY taken_from ORDER BY min(id)",
            (self.run,),
        )
        for origin, count in counts:
            taken = "1 training was" if count == 1 else f"{count} trainings were"
            words = f"{taken} taken from {origin}, done there under equal plan and versions"
            self.writer.insert("log", {"run": self.run, "at": self.moment, "level": "info", "message": words})

    @deferred
    def set_aside(self, key: str, file: Mapping[str, Any]) -> None:
        """A training's file that the run may go on from: path, step, sha256, bytes."""
        row = {"training": self._training(key), "written": self.moment} | dict(file)
        self.writer.put("checkpoints", row, ("training", "path"))

    @deferred
    def not_aside(self, key: str, path: str) -> None:
        """That file is not needed any more, or is damaged."""
        self.writer.delete("checkpoints", {"training": self._training(key), "path": path})

    def file(self, content: bytes, role: str, training: str) -> None:
        """Keep a file of a training for as long as this run exists."""
        self._file_used(self._object(content), role, training)

    @deferred
    def _file_used(self, sha256: str, role: str, training: str) -> None:
        self._use(sha256, role, training=self._training(training))

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
            "ended": None,
        }
        self._begin_round(row)

    @deferred
    def _begin_round(self, row: dict[str, Any]) -> None:
        # A spool of before has it in the row.
        self.writer.put("rounds", {"started": self.moment} | row, ("search", "seed", "round"))

    def members(self, search: str, seed: int, number: int, jobs: Sequence[Training]) -> None:
        """The round's trainings, which were asked for before this."""
        self._members(search, seed, number, [(job.key, job.view.name) for job in jobs])

    @deferred
    def _members(self, search: str, seed: int, number: int, jobs: Sequence[tuple[str, str]]) -> None:
        round_id = self._round(search, seed, number)
        for member, (key, segment) in enumerate(jobs):
            row = {"member": member, "training": self._training(key), "segment": segment}
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
        row = {"mask": mask, "start": start, "start_step": ticket.start_step, "samples": chosen}
        size = set_row(ticket.samples, ticket.reasons) if ticket.samples is not None else None
        left = {"remaining": remaining, "weights_remaining": remaining + uncounted}
        hardest = [[(int(n), why) for n, why in member] for member in ticket.hardest]
        self._ticket(search, seed, ticket.round, row, hardest, size, layers, overlaps, left)

    @deferred
    def _ticket(
        self,
        search: str,
        seed: int,
        number: int,
        row: dict[str, Any],
        hardest: Sequence[Sequence[tuple[int, str]]],
        size: dict[str, Any] | None,
        layers: list[dict[str, Any]],
        overlaps: list[dict[str, Any]],
        left: dict[str, int],
    ) -> None:
        round_id = self._round(search, seed, number)
        ticket_id = self.writer.put("tickets", {"round": round_id, "created": self.moment} | row, ("round",))
        for role in ("mask", "start", "samples"):
            if row[role]:
                self._use(row[role], role, ticket=ticket_id)
        for member, samples in enumerate(hardest):
            key = {"search": self.searches[search], "seed": seed, "round": number, "member": member}
            self.writer.delete("samples", key)
            self.writer.insert_all("samples", [key | {"sample": n, "reason": why} for n, why in samples])
        self.writer.delete("sets", {"round": round_id})
        if size is not None:
            self.writer.insert("sets", {"round": round_id} | size)
        for table, rows in (("layers", layers), ("overlaps", overlaps)):
            self.writer.delete(table, {"round": round_id})
            self.writer.insert_all(table, [{"round": round_id} | row for row in rows])
        self.writer.update("rounds", {"id": round_id}, left | {"step": "done", "ended": self.moment})

    @deferred
    def _round_ends(self, search: str, seed: int, number: int) -> None:
        values = {"step": "done", "ended": self.moment}
        self.writer.update("rounds", {"id": self._round(search, seed, number)}, values)

    def segments(self, search: str, seed: int, members: list[tuple[str, Tensor]]) -> None:
        """Which training samples each member sees: (name of the segment, int64 indices)."""
        self._segments(search, seed, [(name, samples.tolist()) for name, samples in members])

    @deferred
    def _segments(self, search: str, seed: int, members: Sequence[tuple[str, list[int]]]) -> None:
        for member, (name, samples) in enumerate(members):
            key = {"search": self.searches[search], "seed": seed, "round": 0, "member": member}
            self.writer.delete("samples", key)
            self.writer.insert_all("samples", [key | {"sample": n, "reason": name} for n in samples])

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
            self.writer.insert("evaluations", row | {"split": split, "created": self.moment})

    def answers(self, name: str, settings: AnyCheck, answers: Sequence[Answer]) -> None:
        """All answers of a check, in place of those that it had."""
        head = {"run": self.run, "name": name, "method": settings.method, "question": settings.question}
        rows = [head | {key: value for key, value in vars(answer).items() if key != "points"} for answer in answers]
        self._answers(name, rows, [[vars(point) for point in answer.points] for answer in answers])

    @deferred
    def _answers(self, name: str, rows: list[dict[str, Any]], points: list[list[dict[str, Any]]]) -> None:
        self.writer.delete("checks", {"run": self.run, "name": name})
        for row, curve in zip(rows, points, strict=True):
            check = self.writer.put("checks", row | {"created": self.moment}, ("run", "name", "search", "part"))
            self.writer.put_all(
                "points", [{"check": check} | point for point in curve], ("check", "series", "seed", "x")
            )
            if not row["part"]:
                words = f"{name}: {row['verdict']}: {row['sentence']}"
                self.writer.insert("log", {"run": self.run, "at": self.moment, "level": "info", "message": words})

    # Measurements

    def measured(self, job: Measurement, about: Mapping[str, Any], measured: Measured) -> None:
        """Its figures; tensors are not kept."""
        row = {"run": self.run, "key": job.key, "seed": job.seed, "method": job.method, "about": dict(about)}
        names = ("figures", "images", "images_forward", "seconds")
        row |= {name: getattr(measured, name) for name in names}
        self._measurement(row)

    @deferred
    def _measurement(self, row: dict[str, Any]) -> None:
        self.writer.put("measurements", row | {"created": self.moment}, ("run", "key"))

    # Rows by their natural keys

    def _training(self, key: str) -> int:
        return self.writer.one("SELECT id FROM trainings WHERE run = ? AND key = ?", (self.run, key))["id"]

    def _round(self, search: str, seed: int, number: int) -> int:
        sql = "SELECT id FROM rounds WHERE search = ? AND seed = ? AND round = ?"
        return self.writer.one(sql, (self.searches[search], seed, number))["id"]


def set_row(samples: Tensor, reasons: Tensor | None) -> dict[str, Any]:
    """How large a set is, and what it is made of where it was not drawn: of what stayed, nothing was chosen."""
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
