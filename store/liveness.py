"""Whether the engine of a run still lives: what a row says, held against the processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

SILENT_SECONDS = 30.0
"""An engine writes its heartbeat every second or two; after this long without one it is presumed dead."""


def this_process() -> dict[str, Any]:
    """The columns of `attempts` that tell this process from every other: host, boot_id, pid, pid_started."""
    pid = os.getpid()
    return {"host": _host(), "boot_id": _boot_id(), "pid": pid, "pid_started": _started(pid) or 0.0}


def state_of(run: Mapping[str, Any], attempt: Mapping[str, Any] | None) -> str:
    """The state of a row of `runs` with its newest row of `attempts`: as stored, but lost when its engine is gone.

    On the engine's own machine the process itself is looked for. From elsewhere, or where a container hides the
    processes of others, a heartbeat older than `SILENT_SECONDS` means lost.
    """
    if run["state"] != "running":
        return run["state"]
    if attempt is None or attempt["started"] < run["started"]:  # asked for, and its engine is still on its way
        return "running" if _age(run["started"]) < SILENT_SECONDS else "lost"
    silent = _age(attempt["heartbeat"]) > SILENT_SECONDS
    if attempt["host"] != _host() or attempt["boot_id"] != _boot_id():
        return "lost" if silent else "running"
    if not _exists(attempt["pid"]):
        return "lost"
    # Another process may have got the number: then the start differs, and the heartbeat has stopped.
    started = _started(attempt["pid"])
    same = started is None or abs(started - attempt["pid_started"]) < 0.5
    return "running" if same or not silent else "lost"


def _age(moment: str) -> float:
    """Seconds since a time of the store."""
    return (datetime.now(UTC) - datetime.fromisoformat(moment)).total_seconds()


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
