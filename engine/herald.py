"""While an engine gets ready, a process of its own shows that it lives and lets it be stopped.

Before an engine has a row of `attempts` it may load images for minutes, wait for a card or try ways to train on it,
much of that inside calls that look at nothing. It cannot have a thread for this, nor the store open: workers are forked
at the end. So the herald, forked before all else, looks for requests, hears of signals through the pipe that Python
writes them to at once, and ends an engine that does not end by itself.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from sqlite3 import Connection
from types import FrameType
from typing import NoReturn

import psutil

from store.connection import connect, transaction
from store.editing import set_state, still_coming, take_requests
from store.errors import StoreError

BEAT_SECONDS = 1.0
GRACE_SECONDS = 3.0
"""An engine that was told to stop gets this long to unwind; there is nothing to save yet."""

STORE_SECONDS = 0.5
"""How long a herald waits for other writers of the store: it hears nothing meanwhile."""

SIGNALS = {signal.SIGTERM: "stop", signal.SIGINT: "stop", signal.SIGUSR1: "pause"}
"""What a signal asks of an engine. The last is the herald's own way to say that a pause was asked for."""

STATES = {"pause": "paused", "stop": "stopped"}
"""The state that a run is left in by what was asked of it."""

_READY = b"\0"


class Asked(BaseException):
    """Raised wherever an engine that gets ready is, when it is to end; not an `Exception`, which work may handle."""

    def __init__(self, action: str) -> None:
        super().__init__(action)
        self.action = action


def heed(act: Callable[[str], None]) -> None:
    """Have `act` called with what a signal to this process asks for; that a terminal has closed asks for nothing."""

    def called(number: int, _: FrameType | None) -> None:
        act(SIGNALS[signal.Signals(number)])

    for number in SIGNALS:
        signal.signal(number, called)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def unwind(action: str) -> NoReturn:
    """What getting ready does when it is asked to end."""
    raise Asked(action)


Look = Callable[[], str | None]


class Herald:
    """Of this process, from now until it is dismissed or the process ends. To be made before any thread.

    Each second it calls `look`, which shows that the engine lives and says what is asked of it, if anything. An engine
    that was asked to end and has not within `GRACE_SECONDS` is killed after `give_up` was called with what was asked.
    """

    def __init__(self, look: Look = lambda: None, give_up: Callable[[str], None] = lambda action: None) -> None:
        self._ours, theirs = socket.socketpair()
        engine = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            try:
                self._ours.close()
                _serve(theirs, engine, look, give_up)
            except Exception:
                traceback.print_exc()  # into the run's engine.log; the engine gets ready without it
            finally:
                os._exit(0)  # nothing of the engine's own end is for this process
        theirs.close()
        os.register_at_fork(after_in_child=self._let_go)  # else a worker's end of the pipe would outlive the engine
        self._ours.setblocking(False)
        signal.set_wakeup_fd(self._ours.fileno(), warn_on_full_buffer=False)

    def dismiss(self) -> None:
        """The engine is ready and looks for requests by itself. What was asked until now has been said to it."""
        if self._ours.fileno() < 0:
            return
        signal.set_wakeup_fd(-1)  # first: a signal from here on finds no reader at the other end
        with suppress(OSError):
            self._ours.send(_READY)
        self._let_go()
        with suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def _let_go(self) -> None:
        if self._ours.fileno() >= 0:
            signal.set_wakeup_fd(-1)
            self._ours.close()


def of_run(db: Path, run: str, before: int) -> Herald:
    """One that shows a run as on its way and looks for requests; `before`: id of the newest attempt so far, or 0."""
    opened: list[Connection] = []  # in the herald's process alone

    def look() -> str | None:
        with suppress(StoreError, OSError):  # a store that is busy or full for a while
            if not opened:
                opened.append(connect(db, STORE_SECONDS))
            with transaction(opened[0]):  # a request is taken by the herald or by the engine that begins, never lost
                if still_coming(opened[0], run, before):
                    return next(iter(take_requests(opened[0], run)), None)
        return None

    return Herald(look, lambda action: stand_down(db, run, before, action))


def stand_down(db: Path, run: str, before: int, action: str) -> None:
    """Write that a run was paused or stopped before this engine had begun, unless another engine has taken it up.

    Where the store cannot be written now it reads lost before long.
    """
    with suppress(StoreError, OSError), closing(connect(db, STORE_SECONDS)) as conn, transaction(conn):
        if still_coming(conn, run, before):
            set_state(conn, run, STATES[action], f"{STATES[action]} on request, before it had begun")


def _serve(pipe: socket.socket, engine: int, look: Look, give_up: Callable[[str], None]) -> None:
    """The herald's life: until the engine is ready or gone."""
    for number in (*SIGNALS, signal.SIGHUP):  # a whole group may be told; the engine passes on what it hears
        signal.signal(number, signal.SIG_IGN)
    while os.getppid() == engine:
        if action := look():
            with suppress(ProcessLookupError):
                os.kill(engine, next(number for number, said in SIGNALS.items() if said == action))
        else:
            heard = _heard(pipe, BEAT_SECONDS)
            if heard is None:
                return
            action = next((SIGNALS[signal.Signals(number)] for number in heard if number in SIGNALS), None)
        if action:
            break
    else:
        return
    until = time.monotonic() + GRACE_SECONDS
    while (left := until - time.monotonic()) > 0:
        if _heard(pipe, left) is None:
            return
    give_up(action)
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(engine)
        for child in process.children(recursive=True):
            if child.pid != os.getpid():
                child.kill()
        process.kill()


def _heard(pipe: socket.socket, seconds: float) -> bytes | None:
    """Numbers of the signals that the engine got within this time; None once it is ready or gone."""
    if not select.select([pipe], [], [], seconds)[0]:
        return b""
    try:
        heard = pipe.recv(64)
    except OSError:
        return None
    return None if not heard or _READY in heard else heard
