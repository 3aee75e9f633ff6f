"""`python -m engine run`: one attempt at a run, from its first row or from where the last attempt ended.

This process turns the searches, hands their trainings to workers, and stores what comes back: `trainings.py` says which
are to be done, `workers.py` does them, `recording.py` takes down what happens. Searches of all seeds turn side by side,
and a ticket is evaluated as soon as it is found.
"""

from __future__ import annotations

import json
import os
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from sqlite3 import Row
from typing import Any

import torch

from engine import cards, checks, devices, earlier, masks, searches, tensors
from engine.alone import Owned, Taken, alone, set_out, unowned, waits
from engine.arms import arm_training, dense_training
from engine.checks import Answer, Steps, answer
from engine.data import Dataset, corrupted, load
from engine.forecast import Cost, Spent, Unreachable, cost, disk_bytes, members_of, nearest, search_forecast
from engine.given import Chosen, NotGiven, chosen_by, fitting, tickets_of
from engine.guessing import most_by_guessing
from engine.herald import STATES, Asked, Herald, heed, of_run, stand_down, unwind
from engine.machine import Disk, Machine, Sample
from engine.measurements import Measured
from engine.networks import build, weights
from engine.outbox import printed
from engine.recording import Recorder
from engine.reuse import Elsewhere
from engine.searches import Begun, Context, Follow, Given, Measure, Point, Sized, Step, Ticket, Train
from engine.searches.colt import segments
from engine.searches.transfer import path as given_path
from engine.training import Result, Trainer, Training
from engine.trainings import Failed, Trainings
from engine.turning import WAIT, Turning, told
from engine.versions import SUBSET, versions
from engine.workers import Pool, WorkerDied
from presets.schema import (
    Arm,
    AtOnce,
    Corruption,
    Data,
    Experiment,
    Found,
    Imp,
    Like,
    OfWeights,
    Prac,
    Segmented,
    Transfer,
)
from store.connection import connect_readonly, journal_note
from store.errors import StoreError, Unusable
from store.files import object_path, run_folder
from store.liveness import newest_attempt, still_there
from store.naming import phrase
from store.writing import Writer

FLUSH_SECONDS = 0.25  # rows appear at most this late
POLL_SECONDS = 1.0  # requests are taken and the heartbeat is written this often
LEAST_ROOM = 1e9, 0.05  # bytes of a disk, or a share of a small one, below which it is nearly full
RECOVERED = 1.25  # times as much room as it lacked: a disk at the edge is told of once
LEAVING_WORKERS = 2.0
"""Seconds that workers get to leave what they do: an evaluation, a graph's capture or one step of a large network on a
CPU may take longer, and who asks an engine to end is to wait for 5 s at most. What they lose is done again."""
LEAVING_SECONDS = 8.0  # an engine that was paused just now needs some to leave its card, and the run's folder
FINISHED, FAILED, STOPPED = 0, 1, 3  # exit codes of the process


def run(run_id: str, db: Path, files: Path, claim: str = "") -> int:
    """Attempt the run; gives the exit code. `claim` is that of its forecast, to the card that this kept for it.

    From the first moment it can be stopped, within `herald.GRACE_SECONDS` and what the store takes to be told.

    Raises:
        Owned: another engine has the run.
        Failed: it cannot be begun; says why.
    """
    torch.set_num_threads(1)  # until the fork: OpenMP's threads would not survive it
    reader = connect_readonly(db)
    row = reader.execute("SELECT * FROM runs WHERE id = ?", (run_id,)).fetchone()
    last = newest_attempt(reader, run_id)
    reader.close()
    if row is None:
        raise Failed(f"no run {run_id!r} in {db}")
    if last:
        unowned(last, db, last["id"])
    heed(unwind)
    try:
        with _alone(run_id, last, db, files):
            return _attempt(row, last, db, files, claim)
    except Taken:
        raise Owned(f"{run_id} is being started by another engine") from None
    except Asked as asked:
        heed(lambda action: None)
        stand_down(db, run_id, last["id"] if last else 0, asked.action)
        return STOPPED


@contextmanager
def _alone(run_id: str, last: dict[str, Any] | None, db: Path, files: Path) -> Iterator[None]:
    """`alone` with the run's folder. An engine whose attempt has ended may still have it, until its workers are gone;
    that is waited for.

    Raises:
        Taken: another engine has set out for it.
        Failed: the last one does not go.
    """
    leaving = last if last and still_there(last) else None  # known first: once it is gone the folder is free
    with ExitStack() as held:
        try:
            held.enter_context(alone(run_folder(files, run_id)))
        except Taken:
            if not leaving:
                raise
            herald = of_run(db, run_id, leaving["id"])
            try:
                until = time.monotonic() + LEAVING_SECONDS
                while still_there(leaving):
                    if time.monotonic() > until:
                        words = f"process {leaving['pid']}, which trained {run_id}, has not ended yet"
                        raise Failed(f"{words}; tombola resume {run_id} once it has") from None
                    time.sleep(0.05)
            finally:
                herald.dismiss()
            held.enter_context(alone(run_folder(files, run_id)))
        yield


def _attempt(row: Row, last: dict[str, Any] | None, db: Path, files: Path, claim: str) -> int:
    """Get ready, as one who can be asked to stop at any moment, and go."""
    run_id, before = row["id"], last["id"] if last else 0
    if not waits(row["state"], last):  # started by hand, not by one who has sent for it
        set_out(db, run_id, before)  # before a herald could hear what was asked of an engine that is gone
    herald = of_run(db, run_id, before)
    try:
        return _ready(row, last, db, files, claim, herald)
    finally:
        herald.dismiss()


def _ready(row: Row, last: dict[str, Any] | None, db: Path, files: Path, claim: str, herald: Herald) -> int:
    """Data, device, plan and workers, then all the rest."""
    run_id = row["id"]
    experiment = Experiment.model_validate_json(row["spec"])
    try:
        used = json.loads(last["plan"])["device"] if last else ""
        where = devices.resolve(row["device"], hold=True, claim=claim, prefer=used, patience=LEAVING_SECONDS)
    except devices.Busy as busy:
        raise Failed(f"no card is free: {busy.users}; tombola resume {run_id} when one is") from None
    data = load(experiment.data)
    before = devices.Plan.of(json.loads(last["plan"])) if last else None
    if before and before.device == where.device:
        plan = before
    else:
        plan = devices.choose(experiment, data, where.device, row["images_planned"])
    held = {"data": data.identity, **json.loads(last["versions"])} if last else {}
    if held and held["data"] != data.identity:
        raise Failed(f"{experiment.data.name} has changed since this run began: put the images back, or start anew")
    finding = {name: search for name, search in experiment.searches.items() if isinstance(search, Found)}
    subsets = _subsets(run_id, finding, data, held, db, files)
    made = versions(data, {name: chosen.sha256 for name, chosen in subsets.items()})
    changed = last is not None and (plan != before or held != made)
    forms = {
        search.data: corrupted(data, experiment.data, search.data, subsets[name].samples if name in subsets else None)
        for name, search in finding.items()
    }
    sets = {name: forms[search.data] for name, search in finding.items()}
    pool = Pool(
        lambda: Trainer(data, cards.pin(plan.device), plan.compiled, forms.values()),
        plan.workers,
        plan.threads,
        plan.together,
        plan.stack,
    )
    try:
        attempt = _Attempt(run_id, experiment, data, sets, pool, Writer(db), files)
        return attempt.go(plan, made, changed, where, subsets, last["id"] if last else 0, herald)
    finally:
        pool.close()


def _subsets(
    run_id: str, searches: Mapping[str, Found], data: Dataset, held: Mapping[str, str], db: Path, files: Path
) -> dict[str, Chosen]:
    """By search, the samples of another run that it sees: those that `held`, the versions of the attempt before, name,
    whatever has become of that run since. An older version named none: a run of its that lost its source goes on with
    the one file that it holds on to.

    Raises:
        Failed: they are not there.
    """
    found: dict[str, Chosen] = {}
    uses = "SELECT sha256 FROM file_uses WHERE run = ? AND role = 'samples' AND ticket IS NULL"
    with closing(connect_readonly(db)) as reader:
        holds = [row["sha256"] for row in reader.execute(uses, (run_id,))]
    for name, search in searches.items():
        if search.data.subset is None:
            continue
        place = f"searches.{name}.data.subset"
        sha256 = held.get(f"{SUBSET}{name}")
        if sha256 is None:
            try:
                found[name] = chosen_by(search.data.subset, db)
                fitting(found[name], data)
                continue
            except NotGiven as error:
                if len(holds) != 1:
                    raise Failed(f"{place}.{error}") from None
                [sha256] = holds
        path = object_path(files, sha256)
        content = tensors.verified(path, sha256)
        if content is None:
            raise Failed(f"{place}: {path}, the samples that it saw, is gone or damaged; start the run anew")
        found[name] = Chosen(tensors.decode(content)[0]["samples"], sha256, data.identity, "")
    return found


def _room(octets: float) -> str:
    """Bytes in whole units of a disk, with a digit after the point where these are few; never with an exponent."""
    if octets < 1e8:
        return f"{octets / 1e6:.0f} MB"
    return f"{octets / 1e9:.1f} GB" if octets < 9.95e9 else f"{octets / 1e9:.0f} GB"


Paths = dict[tuple[str, int], dict[int, float]]
"""Prunable sparsity after every round of a search with a seed."""


class _Attempt:
    def __init__(
        self,
        run_id: str,
        experiment: Experiment,
        data: Dataset,
        sets: Mapping[str, Dataset],
        pool: Pool,
        writer: Writer,
        files: Path,
    ) -> None:
        self.run, self.experiment, self.data, self.pool, self.writer = run_id, experiment, data, pool, writer
        self.sets, self.files = sets, files
        self.record = Recorder(writer, run_id, experiment, files, self._given_up)
        self.turning: dict[tuple[str, int], Turning] = {}
        self.following: dict[tuple[str, int], list[tuple[Begun | Follow | Sized, Turning]]] = {}
        self.evaluated: set[tuple[str, int, str, int]] = set()
        self.asked: str | None = None
        self.asked_at = 0.0
        self.begun = False
        """Whether every search turns, so that what is left to do is known."""
        self.full: set[str] = set()
        """Which of the disks have been told to be nearly full, and are."""

    def go(
        self,
        plan: devices.Plan,
        made: Mapping[str, str],
        changed: bool,
        where: devices.Where,
        subsets: Mapping[str, Chosen],
        before: int,
        herald: Herald,
    ) -> int:
        """Everything, to the end of the run or of this attempt. `made`: its versions; `subsets`: by search, samples of
        another run, whose file is to stay; `before`: the attempt before this one."""
        heed(self._ask)
        self.record.begin(plan.device, where.words, plan.as_dict(), made, changed, before)
        herald.dismiss()
        self.machine = Machine(plan.device, [os.getpid(), *self.pool.pids], self.writer.path, self.files)
        self.record.needs([chosen.sha256 for chosen in subsets.values()])
        self.record.remove_drafts()
        if changed:
            self.record.log("warning", "plan or versions changed: figures may differ in their last bits from here on")
        if where.note:
            self.record.log("warning", f"on {where.words}: {where.note}")
        if note := journal_note(self.writer.conn, self.writer.path):
            self.record.log("info", note)
        for name, chosen in subsets.items():
            words = f"that {chosen.source} chose" if chosen.source else "as before"
            self.record.log("info", f"{name} sees {len(chosen.samples):,} of {len(self.data.train):,} samples: {words}")
        self.record.log("info", f"training on {where.words}: {plan.words}")
        if plan.device != "cpu" and self.experiment.recipe.precision == "float32":
            self.record.log(
                "info", "in float32 as asked: recipe.precision = tf32, or bfloat16, is several times as fast"
            )
        folder = run_folder(self.files, self.run)
        afresh = self.experiment.afresh
        elsewhere = None if afresh else Elsewhere(self.writer, self.run, plan.as_dict(), made)
        hold = any(isinstance(check, OfWeights) for check in self.experiment.checks.values())
        seeds, keep = self.experiment.seeds, self.experiment.keep
        try:
            self.trainings = Trainings(self.pool, self.record, folder, seeds, keep, elsewhere, hold, self._guessing)
            self.images_at_start, self.began = self.trainings.images, time.monotonic()
            if not (self._begin() and self._loop() and self._answered()):
                return self._stopped()
            self._end("finished", "finished")
            return FINISHED
        except Owned:  # there is another engine to tell how the run ends
            raise
        except Unusable as error:  # only where nothing but the store is left to wait for
            if self.asked:
                return self._stopped()
            self._fail(str(error))
        except (Failed, WorkerDied, StoreError, OSError) as error:
            self._fail(str(error))
        except Exception as error:
            printed(traceback.format_exc())
            self._fail(f"fault in the engine: {error!r} (the traceback is in the run's engine.log)")
        return FAILED

    def _stopped(self) -> int:
        state = STATES[self.asked or "stop"]
        self._end(state, f"{state} on request")
        return STOPPED

    def _end(self, state: str, words: str) -> None:
        if self.begun:
            self._tell()
        self._sampled(self.machine.last())
        self.record.tell_taken()
        self.record.log("info", words)
        if state == "finished":
            self.trainings.forget_all_weights()
        self.record.end(state, "")
        if state == "finished":
            self._settle()
        else:  # at once: where the store cannot be written the next attempt takes it in
            self.record.flush()

    def _settle(self) -> None:
        """Wait until the store holds all that was taken down; a request to stop ends the wait.

        Raises:
            Unusable: it cannot be written; the run reads lost, and the next attempt takes in what was kept.
        """
        try:
            self.record.settle()
        except Unusable as error:
            raise Unusable(
                f"{error}; tombola resume {self.run}, once it can be written, takes in what was kept"
            ) from None

    def _rows(self, sql: str, params: Any = ()) -> list[Any]:
        """Rows of the store as a check reads them: with all that this attempt has found."""
        if self.record.behind:
            self._settle()
        return self.record.rows(sql, params)

    def _fail(self, message: str) -> None:
        printed(message)
        with suppress(StoreError, Owned):
            self._sampled(self.machine.last())
            self.record.log("error", message)
            self.record.end("failed", message)
            self.record.flush(insist=True)  # where the store cannot be written the run reads lost

    # The loop

    def _loop(self) -> bool:
        """Until all is done (True), or until every training under way has stopped on request (False)."""
        flushed = polled = 0.0
        taken = False
        while self.trainings.open:
            now = time.monotonic()
            if now - polled >= POLL_SECONDS:
                polled = now
                for action in self.record.requests():
                    self._ask(action)
                self._tell()
            while self.pool.notes:
                self.record.log("info", self.pool.notes.pop(0))
            if now - flushed >= FLUSH_SECONDS:
                flushed = now
                self.record.flush()
            if self.asked:
                self.pool.stop()
                if not self.pool.busy:
                    return False
                if now - self.asked_at > LEAVING_WORKERS:
                    words = (
                        "not waited for, since it is in a part that cannot be left: goes on from its last checkpoint"
                    )
                    self.record.log("info", f"{self.trainings.doing}: {words}")
                    return False
            else:
                taken = self.trainings.take_from_elsewhere()
                if not taken:
                    self.trainings.hand_out()
            for key, report in self.pool.reports(0.0 if taken else 0.2):
                self.trainings.take(key, report)
        self.record.flush()
        return True

    def _ask(self, action: str) -> None:
        if not self.asked:
            self.asked, self.asked_at = action, time.monotonic()

    def _given_up(self) -> bool:
        """Whether a request to stop has come, as told by a signal or the store."""
        if not self.asked:
            for action in self.record.requests():
                self._ask(action)
        return self.asked is not None

    def _tell(self) -> None:
        """Write that we live, what is done and what is left."""
        images, paths = self.trainings.images, self._paths()
        planned, gained = self._cost(paths), self._gained()
        left = max(0, planned.total - images) * (time.monotonic() - self.began) / gained if gained else None
        self.record.heartbeat(images, planned.total, left, self.trainings.doing)
        if sample := self.machine.sample():
            self._sampled(sample)
            for disk in sample.disks:
                self._watch(disk, self._to_be_written(planned, paths) if disk.what == "files" else 0)

    def _gained(self) -> int:
        """Training images that this attempt has seen; none before every search turns."""
        if not self.begun:
            return 0
        return self.trainings.images - self.images_at_start - self.trainings.carried

    def _sampled(self, sample: Sample) -> None:
        self.record.machine(sample.values, self._gained())

    def _watch(self, disk: Disk, needed: int) -> None:
        """Tell once of a disk that is nearly full, and again only if it had recovered; `needed` bytes are to come."""
        least = min(LEAST_ROOM[0], LEAST_ROOM[1] * disk.total)
        if disk.free >= RECOVERED * max(least, needed):
            self.full.discard(disk.what)
        elif disk.free < max(least, needed) and disk.what not in self.full:
            self.full.add(disk.what)
            why = f", and the run still needs about {_room(needed)}" if needed > disk.free else ""
            room = f"{_room(disk.free)} of {_room(disk.total)} are free for the {disk.what} in {disk.folder}"
            self.record.alert("disk nearly full", room + why, disk.what, again=True)

    def _to_be_written(self, planned: Cost, paths: Paths) -> int:
        """Bytes of files that are still to come, as forecast."""
        ahead = {key: len(path) for key, path in paths.items()}
        found = {key: len(turning.tickets) for key, turning in self.turning.items()}
        begun = {seed for (_, seed), count in found.items() if count}
        whole = self._written(len(self.experiment.seeds), ahead, planned.trainings)
        return max(whole - self._written(len(begun), found, self.trainings.done), 0)

    def _written(self, starts: int, rounds: dict[tuple[str, int], int], trainings: int) -> int:
        tickets, members = sum(rounds.values()), members_of(self.experiment, rounds)
        return disk_bytes(self.experiment, self._weights, starts, tickets, members, trainings)

    @cached_property
    def _weights(self) -> int:
        """Weights of conv, linear and norm layers."""
        network = build(self.experiment.network, self.data.shape, self.data.classes)
        return sum(weight.count for weight in weights(network))

    def _guessing(self, job: Training) -> int | None:
        """Validation images that a training may get right by guessing; None of one that is to learn little.

        On the way to step k little has been learnt, and from labels that were all drawn anew, or from scrambled images,
        there is nothing to learn.
        """
        data: Dataset = self.data
        made: list[Data | Corruption] = [self.experiment.data]
        for name, own in self.sets.items():
            search = self.experiment.searches[name]
            if own.identity == job.view.data != self.data.identity and isinstance(search, Found):
                data, made = own, [self.experiment.data, search.data]
        if job.end_step is not None or any(one.label_noise == 1.0 or one.pixels == "scrambled" for one in made):
            return None
        return most_by_guessing(data, job.view)

    def _paths(self) -> Paths:
        """Sparsity after every round of each search and seed, as far as the rounds so far let tell."""
        paths: Paths = {}
        for key, turning in self.turning.items():
            settings = turning.context.settings
            if turning.ended:
                paths[key] = turning.sparsity
            elif isinstance(settings, Transfer):
                paths[key] = given_path(turning.context)
            elif (
                isinstance(settings, Imp) and isinstance(settings.rate, Like) and (settings.rate.like, key[1]) in paths
            ):
                paths[key] = paths[settings.rate.like, key[1]]
            else:
                paths[key] = turning.sparsity | self._ahead(turning)
        return paths

    def _cost(self, paths: Paths) -> Cost:
        """Of the whole run."""
        images = {name: len(self._set(name).train) for name in self.experiment.searches} | {"": len(self.data.train)}
        spent = {key: Spent(turning.images, turning.share) for key, turning in self.turning.items()}
        held_out = len(self.data.test)
        return cost(self.experiment, images, self.data.classes, held_out, paths, spent)

    def _ahead(self, turning: Turning) -> dict[int, float]:
        """Sparsity of the rounds still to come, as the last one lets expect."""
        alive = loss = None
        done = max(turning.tickets, default=0)
        kinds = turning.context.kinds
        if done:
            ticket = turning.tickets[done]
            alive = {layer: int(torch.count_nonzero(mask)) for layer, mask in ticket.mask.items()}
            held = {kind: masks.alive(ticket.before, [n for n in kinds if kinds[n] == kind]) for kind in kinds.values()}
            loss = {kind: gone / held[kind] if held[kind] else 0.0 for kind, gone in turning.removed(done).items()}
        try:
            return search_forecast(self.experiment, turning.key[0], turning.context.weights, done, alive, loss).path
        except Unreachable:  # so few weights are left that the rate removes none: the search is about to end
            return {}

    # Beginning, anew or again

    def _begin(self) -> bool:
        """Start every search and arm from what the store holds (True), or stop on request (False)."""
        for seed in self.experiment.seeds:
            for name in self.experiment.searches:
                if self.asked:
                    return False
                turning = Turning(Context(self.experiment, name, seed, self._set(name), whole_data=self.data))
                self._give(turning.context)
                self._recall(turning)
                turning.steps = searches.start(turning.context)
                self.turning[name, seed] = turning
        self.evaluated = earlier.evaluated(self.record)
        for seed in self.experiment.seeds:
            for arm, settings in self.experiment.arms.items():
                if settings.ticket is None:
                    self._evaluate(arm, seed)
            for name in self.experiment.searches:
                turning = self.turning[name, seed]
                for number in sorted(turning.tickets):
                    if self.asked:
                        return False
                    self._arms_of(turning, number)
                if turning.stuck:
                    self._ended(turning)
                else:
                    self._turn(turning, None)
                self.record.alive()
        self.begun = True
        return True

    def _set(self, search: str) -> Dataset:
        """The data that a search sees."""
        return self.sets.get(search, self.data)

    def _recall(self, turning: Turning) -> None:
        """Tickets and rewind point that earlier attempts found; at first, the segments are written down."""
        context, settings = turning.context, turning.context.settings
        mask = context.begin()[1]
        for row in earlier.tickets(self.record, *turning.key):
            roles = [self.record.object(row[role]) if row[role] else {} for role in ("mask", "start", "samples")]
            held = [tensors for tensors in roles if tensors is not None]
            if len(held) < len(roles):
                self._forget(turning, row["round"])
                break
            turning.images[row["round"]] = row["images"]
            before = context.whole() if isinstance(settings, AtOnce) else mask
            mask, start, chosen = held
            context.resumed = Ticket(
                row["round"], before, mask, (), start, row["start_step"], chosen.get("samples"), chosen.get("reasons")
            )
            turning.note(context.resumed)
        point = earlier.point(self.record, *turning.key)
        if point and (weights := self.record.object(point["sha256"])) is not None:
            context.point = Point(weights, point["step"])
        elif point:
            words = f"the weights that {turning.key[0]} seed {turning.key[1]} goes back to are gone or damaged"
            self.record.log("warning", f"{words}: they are trained again")
        if isinstance(settings, Segmented) and settings.split != "class" and not turning.tickets:
            views = segments(context.data, settings, context.seed)
            self.record.segments(*turning.key, [(view.name, view.samples) for view in views])

    def _forget(self, turning: Turning, number: int) -> None:
        """A file of this round's ticket is gone or damaged: the search goes on from the round before, or anew where
        it finds all its tickets in one go."""
        if isinstance(turning.context.settings, AtOnce):
            turning.context.resumed, number = None, 1
            for found in (turning.tickets, turning.sparsity, turning.images):
                found.clear()
            turning.begun = 0
        name, seed = turning.key
        words = f"{name} seed {seed} round {number}: a file of its ticket is gone or damaged"
        self.record.log("warning", f"{words}: going on from round {number - 1}, which comes to the same ticket")

    def _give(self, context: Context) -> None:
        """Hand a search the tickets of the run that it takes them from; where that has gone since, those it has taken.

        Raises:
            Failed: they are not there, and none was taken yet.
        """
        if not isinstance(context.settings, Transfer):
            return
        try:
            context.given = tickets_of(context.settings, context.seed, self.writer.path)
        except NotGiven as error:
            taken = earlier.tickets(self.record, context.name, context.seed)
            if not taken:
                raise Failed(f"searches.{context.name}.{error}") from None
            context.given = tuple(
                Given(row["round"], self._read(row["mask"]), self._read(row["start"]), 0, 0) for row in taken
            )
            self.record.log("warning", f"searches.{context.name}.{error}; going on with the tickets taken before")

    def _read(self, sha256: str) -> dict[str, Any]:
        held = self.record.object(sha256)
        if held is None:
            path = object_path(self.files, sha256)
            raise Failed(f"{path}, a file of an earlier round, is gone or damaged; start the run anew")
        return held

    # Searches

    def _turn(self, turning: Turning, answer: Any) -> None:
        """Let a search go on with the answer to its last request, until it has to wait again."""
        assert turning.steps is not None
        name, seed = turning.key
        while True:
            try:
                request = turning.steps.send(answer)
            except StopIteration:
                return self._ended(turning)
            answer = None
            if isinstance(request, Train):
                self._begin_round(turning, request)
                if request.members:
                    return self._train(turning, request)
                answer = []
            if isinstance(request, Measure):
                about = {"what": request.job.method, "search": name, "seed": seed}
                return self.trainings.measure(request.job, about, partial(self._measured, turning))
            if isinstance(request, Begun | Follow | Sized):
                leader = self.turning[request.search, seed]
                answer = told(leader, request)
                if answer is WAIT:
                    self.following.setdefault(leader.key, []).append((request, turning))
                    return None
            elif isinstance(request, Step):
                self.record.step(name, seed, max(turning.tickets, default=0) + 1, request.name)
            elif isinstance(request, Point):
                self.record.point(name, seed, turning.members[0], request)
                self.trainings.forget_weights(turning.members)
            elif isinstance(request, Ticket):
                self._found(turning, request)
                if turning.stuck:
                    words = "the round removed nothing: the target cannot be reached, and the search ends here"
                    self.record.alert("stuck", words, where=(name, seed, request.round))
                    return self._ended(turning)

    def _begin_round(self, turning: Turning, request: Train) -> None:
        begun = turning.tickets and request.round  # round 0 may come again, where its file was damaged
        mask = turning.tickets[max(turning.tickets)].mask if begun else turning.context.whole()
        if isinstance(turning.context.settings, AtOnce):  # there no ticket builds on the one before
            mask = request.members[0].mask if request.members else turning.context.whole()
        self.record.round(*turning.key, request.round, mask, turning.context.weights)
        self.record.charge(*turning.key, request.round, request.images, request.images_forward)

    def _train(self, turning: Turning, request: Train) -> None:
        """Ask for a round's trainings; the search goes on when all are done."""
        name, seed = turning.key
        jobs = request.members
        turning.members = [job.key for job in jobs]
        results: dict[int, Result] = {}

        def taken(member: int, result: Result) -> None:
            results[member] = result
            if len(results) == len(jobs):
                ordered = [results[index] for index in range(len(jobs))]
                turning.images[request.round] = sum(result.images for result in ordered)
                self.record.trained(name, seed, request.round, ordered)
                self._turn(turning, ordered)

        for member, job in enumerate(jobs):
            about = {"what": "member" if request.round else "point", "search": name, "seed": seed}
            about |= {"round": request.round, "member": member}
            self.trainings.want(job, about, partial(taken, member), keep=True)
        self.record.members(name, seed, request.round, jobs)
        if request.round:
            turning.begun = max(turning.begun, request.round)
            self._wake(turning)

    def _measured(self, turning: Turning, measured: Measured) -> None:
        """A search goes on with what it had measured, which its round is charged with."""
        if turning.begun > max(turning.tickets, default=0):
            self.record.charge_forward(*turning.key, turning.begun, measured.images_forward)
        self._turn(turning, measured)

    def _found(self, turning: Turning, ticket: Ticket) -> None:
        """A round has ended: store its ticket, evaluate it, and wake the searches that follow."""
        name, seed = turning.key
        turning.note(ticket)
        self.record.ticket(name, seed, ticket, turning.context.weights)
        needed = any(arm.start == "trained" for arm in self._arms_on(name))
        if not needed and not isinstance(turning.context.settings, Prac):  # it compares each round with the first
            self.trainings.forget_weights(turning.members)
        for layer, mask in ticket.mask.items():
            if not mask.any() and (ticket.before[layer].any() or isinstance(turning.context.settings, AtOnce)):
                words = f"{layer.removesuffix('.weight')} has no weight left: no image gets through it any more"
                self.record.alert("collapsed", words, layer, (name, seed, ticket.round))
        first, *others = ticket.members
        if others and all((other[layer] == first[layer]).all() for other in others for layer in first):
            self.record.alert("equal", "all members found the same mask", where=(name, seed, ticket.round))
        words = f"{100 * turning.sparsity[ticket.round]:.1f} % sparsity"
        if lost := 1 - masks.alive(ticket.mask) / max(1, masks.alive(ticket.before)):
            words += f", {100 * lost:.1f} % of what was left removed"
        self.record.log("info", f"{name} seed {seed} round {ticket.round}: ticket at {words}")
        self._arms_of(turning, ticket.round)
        self._wake(turning)

    def _ended(self, turning: Turning) -> None:
        """A search has reached its target: levels beyond its last ticket take that ticket."""
        turning.ended = True
        last = max(turning.tickets, default=0)
        follows = turning.context.leader
        if follows and self.begun and not turning.stuck and not turning.finished:
            name, seed = turning.key
            self.record.log("info", f"{name} seed {seed}: ends after round {last}, with {follows}, which it follows")
        for name, arm in self.experiment.arms.items():
            held = last and turning.key[0] in self.experiment.tickets_of(arm)
            if held and any(level > turning.sparsity[last] for level in arm.at or ()):
                self._evaluate(name, turning.key[1], turning, last)
        self._wake(turning)

    def _wake(self, leader: Turning) -> None:
        """Answer the searches that waited for this one, as far as it can now."""
        for request, turning in self.following.pop(leader.key, []):
            answer = told(leader, request)
            if answer is WAIT:
                self.following.setdefault(leader.key, []).append((request, turning))
            else:
                self._turn(turning, answer)

    # Arms

    def _arms_of(self, turning: Turning, number: int) -> None:
        """Ask for the arms of a ticket just found, and of the tickets nearest to the levels it has passed."""
        name, seed = turning.key
        now, before = turning.sparsity[number], turning.sparsity.get(number - 1, -1.0)
        near = {n: turning.sparsity[n] for n in (number - 1, number) if n in turning.sparsity}
        for arm, settings in self.experiment.arms.items():
            if name in self.experiment.tickets_of(settings):
                if settings.at is None:
                    chosen = {number}
                else:
                    chosen = nearest([level for level in settings.at if before < level <= now], near)
                for ticket in sorted(chosen):
                    self._evaluate(arm, seed, turning, ticket)

    def _arms_on(self, search: str) -> list[Arm]:
        """Arms that train its tickets."""
        return [arm for arm in self.experiment.arms.values() if search in self.experiment.tickets_of(arm)]

    def _evaluate(self, arm: str, seed: int, turning: Turning | None = None, number: int = 0) -> None:
        """Ask for an arm's training, of a ticket or dense, unless it was asked for before."""
        search = turning.key[0] if turning else ""
        if (arm, seed, search, number) in self.evaluated:
            return None
        self.evaluated.add((arm, seed, search, number))
        settings = self.experiment.arms[arm]
        if turning is None:
            return self._train_arm(arm, search, number, dense_training(self.experiment, self.data, settings, seed))
        context, ticket = turning.context, turning.tickets[number]
        if settings.start != "trained":
            try:
                job = arm_training(context, self.data, settings, ticket)
            except ValueError as error:  # a rule for counts that reaches no further than an earlier ticket
                return self.record.alert("arm", f"arm {arm}: {error}", arm, (search, seed, number))
            return self._train_arm(arm, search, number, job)
        [member] = searches.members(context, ticket)

        def trained(result: Result) -> None:
            job = arm_training(context, self.data, settings, ticket, result.state)
            self._train_arm(arm, search, number, job)

        about = {"what": "member", "search": search, "seed": seed, "round": number, "member": 0}
        return self.trainings.want(member, about, trained, keep=True)

    def _train_arm(self, arm: str, search: str, number: int, job: Training) -> None:
        about = {"what": "arm", "arm": arm, "seed": job.seed}
        if search:
            about |= {"search": search, "round": number}

        def taken(result: Result) -> None:
            self.record.evaluation(arm, job.seed, search, number, job.key)
            self.record.log("info", f"{phrase(about)}: {100 * result.test.accuracy:.2f} % on test")

        self.trainings.want(job, about, taken, keep=False)

    # Checks

    def _answered(self) -> bool:
        """Answer every check, with what it still needs (True), or stop on request (False)."""
        for name, settings in self.experiment.checks.items():
            if self.asked:
                return False
            asked = checks.Asked(self.run, name, settings, self.experiment, self.data, self._rows, self.turning)
            self._go_on(name, answer(asked), None)
        return self._loop()

    def _go_on(self, name: str, steps: Steps, given: list[Any] | None) -> None:
        """Let a check go on with what it asked for, until it asks again or has its answers.

        A fault in a check is told as its answer: it takes nothing from the run, and another version may answer.
        """
        try:
            need = steps.send(given)  # type: ignore[arg-type]
        except StopIteration as done:
            return self.record.answers(name, self.experiment.checks[name], done.value)
        except (Owned, Unusable):  # no fault of the check: it could not read
            raise
        except Exception as error:
            printed(traceback.format_exc())
            words = f"no verdict: fault in the engine: {error!r} (the traceback is in the run's engine.log)"
            return self.record.answers(name, self.experiment.checks[name], [Answer("none", words)])
        if not need.jobs:
            return self._go_on(name, steps, [])
        results: dict[int, Any] = {}

        def taken(place: int, result: Result | Measured) -> None:
            results[place] = result
            if len(results) == len(need.jobs):
                self._go_on(name, steps, [results[index] for index in range(len(need.jobs))])

        for place, job in enumerate(need.jobs):
            about = {"what": "check", "check": name, "seed": job.seed}
            if isinstance(job, Training):
                self.trainings.want(job, about, partial(taken, place), keep=True)
            else:
                self.trainings.measure(job, about, partial(taken, place))
        return None
