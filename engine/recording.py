"""What happens in a run, as rows: the only part of the engine that writes to the store.

Methods take down what happened, as plain values, and return at once; `flush` writes all of it in one transaction. So
nobody else waits while the engine prunes, and what belongs together becomes visible together. Rows are written by their
natural keys: what is computed again after an interruption replaces what was there.

A store that cannot be written does not stop a training: what was taken down goes into the run's spool, and is taken in
from there, once and in order, as soon as the store can be written, or by the next attempt.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
import sqlite3
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec

import torch
from torch import Tensor

from engine import masks, tensors
from engine.alone import Owned, unowned
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
from presets.schema import AnyCheck, Experiment, Moving
from store.clock import present
from store.connection import now, spelled, translated
from store.errors import StoreError, Unusable
from store.files import object_path, spool_path
from store.liveness import newest_attempt, this_process
from store.spool import Spool
from store.writing import Writer

P = ParamSpec("P")

BUSY_SECONDS = 2.0
"""How long an engine at work waits for other writers: a request to stop is not heard meanwhile."""

RETRY_SECONDS = 5.0
"""How long it leaves a store alone that could not be written."""

PATIENCE_SECONDS = 600.0
"""How long it waits for a store without which it cannot go on."""


DEFERRED: dict[str, Callable[..., None]] = {}
"""Bodies of the deferred methods, by the names that a spool calls them."""


def deferred(method: Callable[Concatenate[Recorder, P], None]) -> Callable[Concatenate[Recorder, P], None]:
    """The method's body runs at the next `flush`, inside its transaction, in the order of the calls.

    Until then the call is plain values, as JSON has them, and the moment at which it came, which is `self.moment` in
    the body.
    """
    DEFERRED[method.__name__] = method

    @functools.wraps(method)
    def later(self: Recorder, *args: P.args, **kwargs: P.kwargs) -> None:
        self._pending.append((method.__name__, self._now(), args, kwargs))

    return later


def printed(words: str) -> None:
    """Into the run's engine.log, straight: a disk that has no room for it loses the words, and nothing else."""
    with suppress(OSError):
        os.write(1, f"{words.rstrip()}\n".encode(errors="replace"))


class Recorder:
    """Writes one attempt at one run."""

    def __init__(
        self,
        writer: Writer,
        run: str,
        experiment: Experiment,
        files: Path,
        given_up: Callable[[], bool] = lambda: False,
    ) -> None:
        """`given_up`: whether nobody wants to wait for the store any more; looked at while it cannot be used."""
        self.writer, self.run, self.files, self._given_up = writer, run, files, given_up
        self._pending: list[tuple[str, str, Sequence[Any], Mapping[str, Any]]] = []
        self._afterwards: list[Callable[[], None]] = []
        self._began = time.monotonic()
        self.attempt = 0
        self._damaged: set[Path] = set()
        """Objects that are not what their names say."""
        self.moment = ""
        self._contents: dict[str, bytes] = {}
        self._spool = Spool(spool_path(files, run, self.attempt))
        self._number = 0
        self.behind = ""
        """Why the store could not be written when it was last tried; empty while it holds all that was flushed."""
        self._next_try = 0.0
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

    def flush(self, insist: bool = False) -> None:
        """Write everything taken down since the last flush, whole or not at all.

        Where the store cannot be written it is kept aside, and tried again after a while, or at once with `insist`.

        Raises:
            Owned: another engine has taken the run over, since nobody had heard of this one; nothing is written.
        """
        if self.behind and not insist and time.monotonic() < self._next_try:
            return self._keep_aside()
        pending, self._pending = self._pending, []
        if pending or self.behind:
            try:
                with self.writer.transaction():
                    self._still_ours()
                    if self.behind:
                        for record in self._spool.records():
                            if record["number"] <= self._number:  # a line that could not be flushed may be there, too
                                self._take_in(record)
                        # As a record of its own: of that line the store has all then, should the spool outlive it.
                        self._take_in({"number": self._number + 1, "calls": pending})
                    else:
                        self._apply(pending)
            except Unusable as error:
                self._pending = pending
                return self._fell_behind(str(error))
            self._contents.clear()
            if self.behind:
                self.behind = ""
                self._number += 1
                self._spool.clear()
                self.log("info", "the store can be written again, and holds all that was kept beside it")
        afterwards, self._afterwards = self._afterwards, []
        for act in afterwards:
            with suppress(OSError):
                act()
        return None

    def settle(self) -> None:
        """Write everything, with patience for a store that cannot be written.

        Raises:
            Unusable: it still cannot; what was taken down is kept aside.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        self.flush(insist=True)
        while self.behind:
            if time.monotonic() > deadline or self._given_up():
                raise Unusable(self.behind)
            time.sleep(0.2)
            self.flush()

    def rows(self, sql: str, params: Any = ()) -> list[Any]:
        """The rows of a query, with patience for a store that cannot be read: without WAL whoever writes locks it.

        Raises:
            Unusable: it still cannot.
        """
        deadline = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                return self.writer.rows(sql, params)
            except Unusable:
                if time.monotonic() > deadline or self._given_up():
                    raise
            time.sleep(0.2)

    def _apply(self, calls: Sequence[Sequence[Any]]) -> None:
        for name, self.moment, args, kwargs in calls:
            DEFERRED[name](self, *args, **kwargs)

    def _fell_behind(self, why: str) -> None:
        if not self.behind:
            printed(f"{why}; what happens is kept in {self._spool.path}")
            self.log("warning", f"{why}; what happened from here on was kept in the run's folder until it could be")
        self.behind, self._next_try = why, time.monotonic() + RETRY_SECONDS
        self._keep_aside()

    def _keep_aside(self) -> None:
        """Into the spool; where that cannot be written either, it stays in memory."""
        if self._pending:
            with suppress(OSError):
                self._spool.append({"number": self._number + 1, "calls": self._pending})
                self._number += 1
                self._pending = []
                self._contents.clear()

    def _take_in(self, record: Mapping[str, Any]) -> bool:
        """A transaction out of the spool, unless the store has it: the process may have ended in between."""
        row = self.writer.one("SELECT taken_in FROM runs WHERE id = ?", (self.run,))
        if record["number"] <= row["taken_in"]:
            return False
        self._apply(record["calls"])
        self.writer.update("runs", {"id": self.run}, {"taken_in": record["number"]})
        return True

    def _take_in_what_was_left(self) -> str:
        """The spool of the attempt before, in its name; gives back what is to be said of it.

        Others are of attempts that were taken over and kept more before they heard of it: that is not taken in.
        """
        taken = 0
        lost = ""
        for record in Spool(spool_path(self.files, self.run, self.attempt)).records():
            self.writer.execute("SAVEPOINT spooled")
            try:
                with translated(self.writer.path):
                    taken += self._take_in(record)
            except Unusable:  # no fault of the record: it stays
                raise
            except (LookupError, ValueError, TypeError, StoreError, sqlite3.Error) as error:
                # The store is not the one that it was kept for, or another version kept it.
                self.writer.execute("ROLLBACK TO spooled")
                lost = f"; what came after does not fit the store ({error}), and is computed again"
            self.writer.execute("RELEASE spooled")
            if lost:
                break
        if not taken and not lost:
            return ""
        steps = "1 transaction" if taken == 1 else f"{taken} transactions"
        return f"{steps} that an earlier attempt had kept in the run's folder taken in{lost}"

    def _there(self) -> None:
        if not self.writer.rows("SELECT 1 FROM runs WHERE id = ?", (self.run,)):
            raise Owned(f"{self.run} has been deleted")

    def _still_ours(self) -> None:
        if not self.attempt:  # not begun yet
            return
        newest = newest_attempt(self.writer.conn, self.run)
        if newest is None:
            raise Owned(f"{self.run} has been deleted")
        silent = f"{self.run} was given up for lost while this engine was silent, and"
        if newest["id"] != self.attempt:
            raise Owned(f"{silent} taken over by process {newest['pid']} on {newest['host']}")
        if newest["ended"]:
            raise Owned(f"{silent} goes on without it")

    def _now(self) -> str:
        """The present moment by the clock that signs of life are held against."""
        return spelled(present(self.writer.path))

    def after_flush(self, act: Callable[[], None]) -> None:
        """Clear up once all that was taken down so far is in the store; what cannot be cleared up then stays."""
        self._afterwards.append(act)

    # The attempt

    def begin(
        self,
        device: str,
        name: str,
        plan: Mapping[str, Any],
        held: Mapping[str, str],
        changed: bool,
        before: int,
    ) -> None:
        """A new attempt by this process, on a device called `name`; the run reads running from now. Written at once.

        `before`: id of the attempt that was the newest when this process set out, 0 where there was none.

        Raises:
            Owned: another engine has taken up the run since, or works on it.
        """
        moment = self._now()
        with self.writer.transaction():
            self._there()
            newest = newest_attempt(self.writer.conn, self.run)
            if newest:
                unowned(newest, self.writer.path, before)
                self.attempt = newest["id"]
            found = self._take_in_what_was_left()
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
            self._number = self.writer.one("SELECT taken_in FROM runs WHERE id = ?", (self.run,))["taken_in"]
        self._spool = Spool(spool_path(self.files, self.run, self.attempt))
        for left in self._spool.path.parent.glob("spool*.jsonl"):
            with suppress(OSError):  # then the next attempt passes it over, too
                left.unlink()
        if found:
            self.log("warning", found)
        self.writer.wait_at_most(BUSY_SECONDS)

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

    @deferred
    def log(self, level: str, message: str) -> None:
        self.writer.insert("log", {"run": self.run, "at": self.moment, "level": level, "message": message})

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
        self._done(key, _figures(result))

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
        self._taken(key, {"taken_from": taken.origin} | _figures(taken.result), epochs, taken.traces)

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
        if size is not None:
            self.writer.put("sets", {"round": round_id} | size, ("round",))
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
        self._contents[sha256] = content
        self._file(sha256, len(content))
        return sha256

    def _write_once(self, path: Path, content: bytes) -> None:
        if not path.exists() or path in self._damaged:
            tensors.write(path, content, by=self.run)
            self._damaged.discard(path)

    def remove_drafts(self) -> None:
        """What a killed engine of this run was writing among the objects."""
        for draft in (self.files / "objects").glob(f"*/{tensors.draft_of('*', self.run)}"):
            with suppress(OSError):
                draft.unlink()

    def object(self, sha256: str) -> dict[str, Tensor] | None:
        """Tensors of a stored file; None where it is gone or damaged: whoever has its content then writes it anew."""
        path = object_path(self.files, sha256)
        content = tensors.verified(path, sha256)
        if content is None:
            self._damaged.add(path)
            return None
        return tensors.decode(content)[0]

    @deferred
    def _file(self, sha256: str, size: int) -> None:
        path = object_path(self.files, sha256)
        if sha256 in self._contents:  # the run that had the same file may have been deleted in between
            self._write_once(path, self._contents[sha256])
        elif not path.exists():
            raise StoreError(f"the file {path} has gone")
        if not self.writer.rows("SELECT 1 FROM files WHERE sha256 = ?", (sha256,)):
            row = {"sha256": sha256, "path": str(path.relative_to(self.files)), "bytes": size, "created": self.moment}
            self.writer.insert("files", row)

    def _use(self, sha256: str, role: str, ticket: int | None = None, training: int | None = None) -> None:
        values = (sha256, self.run, role, ticket, training)
        known = "SELECT 1 FROM file_uses WHERE sha256 = ? AND run = ? AND role = ? AND ticket IS ? AND training IS ?"
        if not self.writer.rows(known, values):
            names = ("sha256", "run", "role", "ticket", "training")
            self.writer.insert("file_uses", dict(zip(names, values, strict=True)))

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

    def measured_before(self) -> dict[str, Measured]:
        """By key, those whose figures say all."""
        rows = self.rows("SELECT * FROM measurements WHERE run = ? AND figures <> '{}'", (self.run,))
        return {
            row["key"]: Measured(json.loads(row["figures"]), {}, row["images"], row["images_forward"], row["seconds"])
            for row in rows
        }

    # What earlier attempts left

    def done_before(self) -> list[Any]:
        """Rows of finished trainings."""
        return self.rows("SELECT * FROM trainings WHERE run = ? AND state = 'done'", (self.run,))

    def aside_before(self) -> list[Any]:
        """Files that the run may go on from, in the order of their steps, ends last: key, path, step, sha256."""
        return self.rows(
            "SELECT t.key, c.path, c.step, c.sha256 FROM checkpoints AS c JOIN trainings AS t ON t.id = c.training"
            " WHERE t.run = ? ORDER BY c.step IS NULL, c.step",
            (self.run,),
        )

    def kept_weights(self, key: str) -> State | None:
        """What a training of this run ended with, out of the file that it keeps; None where there is none."""
        for row in self.rows(
            "SELECT u.sha256 FROM file_uses AS u JOIN trainings AS t ON t.id = u.training"
            " WHERE u.run = ? AND u.role = 'trained' AND t.key = ?",
            (self.run, key),
        ):
            if (state := self.object(row["sha256"])) is not None:
                return state
        return None

    def tickets_before(self, search: str, seed: int) -> list[Any]:
        """Tickets in the order of their rounds: round, images, mask, start and samples (hashes), start_step."""
        return self.rows(
            "SELECT r.round, r.images, t.mask, t.start, t.start_step, t.samples "
            "FROM rounds r JOIN tickets t ON t.round = r.id "
            "WHERE r.search = ? AND r.seed = ? AND r.step = 'done' ORDER BY r.round",
            (self.searches[search], seed),
        )

    def point_before(self, search: str, seed: int) -> Any | None:
        """The file of the weights that round 0 ended with, and their step; None where there was none."""
        rows = self.rows(
            "SELECT u.sha256, t.steps AS step FROM rounds r JOIN members m ON m.round = r.id "
            "JOIN trainings t ON t.id = m.training JOIN file_uses u ON u.training = t.id AND u.role = 'start' "
            "WHERE r.search = ? AND r.seed = ? AND r.round = 0 AND r.step = 'done'",
            (self.searches[search], seed),
        )
        return rows[0] if rows else None

    def evaluated_before(self) -> set[tuple[str, int, str, int]]:
        """(arm, seed, search, round) of every evaluation; search "" and round 0 for dense arms."""
        rows = self.rows(
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
