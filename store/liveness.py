"""Whether the engine of a run still lives: what a row says, held against the processes of this machine.

Two rules keep clocks out of it as far as can be. On its own machine an engine is judged by its process alone, however
long it is silent: a suspended one is not dead. And which attempt a run waits for is told by order, not by time.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from store.clock import present

SILENT_SECONDS = 30.0
"""An engine writes its heartbeat every second or two; who cannot see its process gives it up after this long."""


def this_process() -> dict[str, Any]:
    """The columns of `attempts` that tell this process from every other: host, boot_id, pid, pid_started."""
    pid = os.getpid()
    return {"host": _host(), "boot_id": _boot_id(), "pid": pid, "pid_started": _started(pid) or 0.0}


def state_of(run: Mapping[str, Any], attempt: Mapping[str, Any] | None, store: Path | None = None) -> str:
    """The state of a row of `runs` with its newest row of `attempts`: as stored, but lost when its engine is gone.

    On the engine's own machine, in the same boot, its process is looked for, by number and start. From elsewhere, or
    where a container hides the processes of others, a heartbeat older than `SILENT_SECONDS` by the clock of the file
    server that keeps the `store` means lost.
    """
    if run["state"] != "running":
        return run["state"]
    if attempt is None or attempt["ended"]:  # sent for, and its engine is still on its way
        return "lost" if silent(run["started"], store) else "running"
    if not here(attempt):
        return "lost" if silent(attempt["heartbeat"], store) else "running"
    return "running" if _lives(attempt["pid"], attempt["pid_started"]) else "lost"


def newest_attempt(conn: sqlite3.Connection, run: str) -> dict[str, Any] | None:
    """The row of a run's newest attempt."""
    row = conn.execute("SELECT * FROM attempts WHERE run = ? ORDER BY id DESC LIMIT 1", (run,)).fetchone()
    return dict(row) if row else None


def here(attempt: Mapping[str, Any]) -> bool:
    """Whether its process would be seen from here: the same machine, boot and table of processes."""
    return attempt["host"] == _host() and attempt["boot_id"] == _boot_id()


def still_there(attempt: Mapping[str, Any]) -> bool:
    """Whether the process of an attempt, which may have ended, is seen from here."""
    return here(attempt) and _lives(attempt["pid"], attempt["pid_started"])


def silent(moment: str, store: Path | None) -> bool:
    """Whether the last sign of life is too old; one from the future is none, but left by a clock set back since."""
    return abs((present(store) - datetime.fromisoformat(moment)).total_seconds()) > SILENT_SECONDS


def _lives(pid: int, began: float) -> bool:
    """Whether the process is there that began so many seconds after the boot; another may have got its number."""
    if not _exists(pid):
        return False
    started = _started(pid)
    return started is None or abs(started - began) < 0.5


def _host() -> str:
    return os.uname().nodename


def _boot_id() -> str:
    """One boot of one machine, and the part of its processes that can be seen from here; empty without /proc."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return ""


def _exists(pid: int) -> bool:
    fields = _stat(pid)
    if fields is not None:
        return fields[0] not in "ZX"  # a zombie has ended; its parent has not asked yet
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> float | None:
    """When a process started, in seconds since boot (a clock nobody sets); None where that cannot be known."""
    fields = _stat(pid)
    return None if fields is None else int(fields[19]) / os.sysconf("SC_CLK_TCK")


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third on; the second is a name that may hold blanks and brackets."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
