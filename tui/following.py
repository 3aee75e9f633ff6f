"""Watching a run from the command line: a bar that moves on a terminal, plain lines everywhere else.

Nothing here trains, and whoever watches may leave at any time: the engine is a process of its own.
"""

from __future__ import annotations

import shutil
import signal
import sys
import time
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, TextIO

from store.connection import connect
from store.editing import request
from store.reading import Reader
from store.report import Progress, Training, progress
from tui import launch
from tui.app.wording import duration, percent
from tui.plain import plain

LOOK_SECONDS = 0.2  # between two questions whether something was written
LIVENESS_SECONDS = 1.0  # a process that has gone writes nothing: look at the run even so
QUIET_SECONDS = 10.0  # plain lines: within a round not more often than this
GRACE_SECONDS = 2.0  # from the first Ctrl-C to the request, so that a second one can take it back
ROOMY = 110  # columns from which words need not be shortened
BAR_SIZES = (24, 16, 8, 5)  # the bar takes the longest of these that fits

Form = Literal["bar", "lines", "json"]


class Left(Exception):
    """The person stopped watching; the run goes on."""


def form_for(stream: TextIO) -> Form:
    return "bar" if stream.isatty() else "lines"


def follow(db: Path, files: Path, run: str, stream: TextIO, form: Form, stops: bool) -> tuple[Progress, bool]:
    """Show a run on `stream` until it no longer runs; gives its last state, and whether Ctrl-C brought it about.

    Ctrl-C leaves. With `stops`, the first one asks the engine to stop, a second takes that back and leaves.

    Raises:
        Left: on Ctrl-C; the run goes on.
    """
    with Reader(db) as reader, _Interrupts() as interrupts:
        screen = _Screen(stream, form, run)
        try:
            follower = _Follower(db, files, run, reader, screen, interrupts, stops)
            return follower.go(), follower.asked
        finally:
            screen.clear()


class _Interrupts:
    """Counts Ctrl-C instead of obeying it."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> _Interrupts:
        self._before = signal.signal(signal.SIGINT, self._note)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _note(self, *_: object) -> None:
        self.count += 1


class _Follower:
    def __init__(
        self,
        db: Path,
        files: Path,
        run: str,
        reader: Reader,
        screen: _Screen,
        interrupts: _Interrupts,
        stops: bool,
    ) -> None:
        self.db, self.files, self.run, self.reader = db, files, run, reader
        self.screen, self.interrupts, self.stops = screen, interrupts, stops
        self.stop_at: float | None = None
        self.asked = False
        # What a run logged before one began to watch is what `tombola log` is for; our own is shown from its start, or
        # from where we let it go on.
        started = reader.run(run)["started"] if launch.ours(run) else None
        before = [line for line in reader.log(run) if started is None or line["at"] < started]
        self.logged = max((line["id"] for line in before), default=0)
        self.alerts = sum(started is None or alert["at"] < started for alert in reader.alerts(run))

    def go(self) -> Progress:
        looked = 0.0
        while True:
            now = time.monotonic()
            if self.reader.changed() or now - looked >= LIVENESS_SECONDS:
                looked = now
                state = self.look()
                if state.state != "running":
                    return state
            self.obey()
            time.sleep(LOOK_SECONDS)

    def look(self) -> Progress:
        """Read what is new and show it."""
        if launch.gone(self.run):
            launch.bury(self.db, self.files, self.run)
        state = progress(self.reader, self.run)
        for line in self.reader.log(self.run, after=self.logged):
            self.logged = line["id"]
            self.screen.logged(line, state)
        alerts = self.reader.alerts(self.run)
        for alert in alerts[self.alerts :]:
            self.screen.note(f"{alert['search'] or self.run}: {alert['message']}")
        self.alerts = len(alerts)
        if state.state == "running":
            self.screen.now(state)
        return state

    def obey(self) -> None:
        """Do what Ctrl-C asks for, and keep to it."""
        if not self.interrupts.count:
            return
        if not self.stops or self.interrupts.count > 1:
            raise Left
        now = time.monotonic()
        if self.stop_at is None:
            self.stop_at = now + GRACE_SECONDS
            self.screen.note("stopping; Ctrl-C again within two seconds leaves it running")
        elif now >= self.stop_at and not self.asked:
            self.asked = True
            conn = connect(self.db)
            try:
                request(conn, self.run, "stop")
            finally:
                conn.close()


class _Screen:
    """Where lines go, and the bar that stays below them."""

    def __init__(self, stream: TextIO, form: Form, run: str) -> None:
        self.stream, self.form, self.run = stream, form, run
        self.bar = ""
        self.told: tuple[Any, ...] = ()
        self.spoke = 0.0

    def note(self, words: str) -> None:
        """A line for people."""
        if self.form != "json":
            self.line(words)
        else:
            print(plain(words), file=sys.stderr, flush=True)

    def logged(self, line: dict[str, Any], state: Progress) -> None:
        """A new line of the run's log; above a bar only what must not be missed."""
        grave = line["level"] in ("warning", "error")
        if self.form == "json":
            self.record({"event": "log", **line})
        elif self.form == "lines" or grave:
            self.line(f"{_clock()}  {_share(state)}  {line['level'] + ': ' if grave else ''}{line['message']}")
            self.spoke = time.monotonic()

    def now(self, state: Progress) -> None:
        """What is being trained this moment."""
        if self.form == "bar":
            return self.show(bar(state, shutil.get_terminal_size().columns - 1))
        if state.training is None or (state.training == self.told):
            return None
        if time.monotonic() - self.spoke < QUIET_SECONDS and self.told:
            return None
        self.told, self.spoke = state.training, time.monotonic()  # type: ignore[assignment]
        if self.form == "json":
            self.record({"event": "epoch", **asdict(state)})
        else:
            self.line(f"{_clock()}  {_share(state)}  {' · '.join(details(state.training))}{_left(state)}")
        return None

    def record(self, event: dict[str, Any]) -> None:
        import json

        print(json.dumps({"run": self.run, **event}), file=self.stream, flush=True)

    def show(self, bar: str) -> None:
        if bar != self.bar:
            self.bar = bar
            self.stream.write(f"\r\x1b[K{bar}")
            self.stream.flush()

    def line(self, words: str) -> None:
        self.clear()
        print(plain(words), file=self.stream, flush=True)

    def clear(self) -> None:
        if self.bar:
            self.stream.write("\r\x1b[K")
            self.stream.flush()
            self.bar = ""


def bar(state: Progress, columns: int) -> str:
    """One line of at most `columns`: how much is done, what is trained, how it does, how long it will take."""
    middle = [state.doing or "the engine starts"]
    if state.training is not None:
        middle = details(state.training, short=columns < ROOMY)
    left = [duration(state.seconds_left)] if state.seconds_left is not None else []
    left = left if columns < ROOMY else [f"{words} left" for words in left]
    words = " · ".join([_share(state), *left, *middle])
    room = next((size for size in BAR_SIZES if size + 1 + len(words) <= columns), 0)
    full = round(state.fraction * room)
    return plain(f"{'━' * full}{'─' * (room - full)} {words}".lstrip(" "), columns)


def details(training: Training, short: bool = False) -> list[str]:
    """What is trained and how it does on validation; a member that sees some classes only is judged on those."""
    where = [training.search or training.arm]
    for name in ("seed", "round", "member"):
        number = getattr(training, name)
        if number or (name != "round" and number is not None):
            where.append(f"{name[0]}{number}" if short else f"{name} {number}")
    if training.search and training.arm:
        where.append(training.arm)
    accuracy = percent(training.accuracy)
    if training.classes < training.all_classes:
        accuracy += f" of {training.classes}" if short else f" of {training.classes} classes"
    sparse = [] if training.sparsity is None else [f"{percent(training.sparsity)} sparse"]
    return [" ".join(where), f"{'e' if short else 'epoch '}{training.epoch}/{training.epochs}", accuracy, *sparse]


def _share(state: Progress) -> str:
    return f"{100 * state.fraction:3.0f} %"


def _left(state: Progress) -> str:
    return f", {duration(state.seconds_left)} left" if state.seconds_left is not None else ""


def _clock() -> str:
    return datetime.now().strftime("%H:%M:%S")
