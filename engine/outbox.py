"""What an engine takes down, rows and files, on its way to the store.

Methods marked `deferred` take down what happened, as plain values, and return at once; `flush` writes all of it in one
transaction. So nobody else waits while the engine prunes, and what belongs together becomes visible together.

A store that cannot be written does not stop a training: what was taken down goes into the run's spool, and is taken in
from there, once and in order, as soon as the store can be written, or by the next attempt.
"""

from __future__ import annotations

import functools
import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from torch import Tensor

from engine import tensors
from engine.alone import Owned, unowned
from store.clock import present
from store.connection import spelled, translated
from store.errors import StoreError, Unusable
from store.files import object_path, spool_path
from store.liveness import newest_attempt, this_process
from store.spool import Spool
from store.writing import Writer

P = ParamSpec("P")
Box = TypeVar("Box", bound="Outbox")

BUSY_SECONDS = 2.0
"""How long an engine at work waits for other writers: a request to stop is not heard meanwhile."""

RETRY_SECONDS = 5.0
"""How long it leaves a store alone that could not be written."""

PATIENCE_SECONDS = 600.0
"""How long it waits for a store without which it cannot go on."""


DEFERRED: dict[str, Callable[..., None]] = {}
"""Bodies of the deferred methods, by the names that a spool calls them."""


def deferred(method: Callable[Concatenate[Box, P], None]) -> Callable[Concatenate[Box, P], None]:
    """The method's body runs at the next `flush`, inside its transaction, in the order of the calls.

    Until then the call is plain values, as JSON has them, and the moment at which it came, which is `self.moment` in
    the body.
    """
    DEFERRED[method.__name__] = method

    @functools.wraps(method)
    def later(self: Box, *args: P.args, **kwargs: P.kwargs) -> None:
        self._pending.append((method.__name__, self._now(), args, kwargs))

    return later


def printed(words: str) -> None:
    """Into the run's engine.log, straight: a disk that has no room for it loses the words, and nothing else."""
    with suppress(OSError):
        os.write(1, f"{words.rstrip()}\n".encode(errors="replace"))


class Outbox:
    """Where what one attempt at a run takes down waits until the store has it, as long as the run is that attempt's."""

    def __init__(self, writer: Writer, run: str, files: Path, given_up: Callable[[], bool]) -> None:
        """`given_up`: whether nobody wants to wait for the store any more; looked at while it cannot be used."""
        self.writer, self.run, self.files, self._given_up = writer, run, files, given_up
        self._pending: list[tuple[str, str, Sequence[Any], Mapping[str, Any]]] = []
        self._contents: dict[str, bytes] = {}
        """Of files whose rows are pending, by hash."""
        self._damaged: set[Path] = set()
        """Objects that are not what their names say."""
        self._afterwards: list[Callable[[], None]] = []
        self.attempt = 0
        self.moment = ""
        self._spool = Spool(spool_path(files, run, self.attempt))
        self._number = 0
        self.behind = ""
        """Why the store could not be written when it was last tried; empty while it holds all that was flushed."""
        self._next_try = 0.0

    # Whose the run is

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

    # To the store

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

    def after_flush(self, act: Callable[[], None]) -> None:
        """Clear up once all that was taken down so far is in the store; what cannot be cleared up then stays."""
        self._afterwards.append(act)

    @deferred
    def log(self, level: str, message: str) -> None:
        self.writer.insert("log", {"run": self.run, "at": self.moment, "level": level, "message": message})

    def _now(self) -> str:
        """The present moment by the clock that signs of life are held against."""
        return spelled(present(self.writer.path))

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

    # Files, by the hash of their content

    @deferred
    def needs(self, files: Sequence[str]) -> None:
        """This run reads files of others: they stay for as long as it exists."""
        for sha256 in files:
            self._use(sha256, "samples")

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
