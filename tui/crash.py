"""What happens to a fault of our own: its traceback goes into a file, and a person gets one line that names it."""

from __future__ import annotations

import os
import sys
import traceback
from datetime import datetime
from pathlib import Path

MOST_BYTES = 1_000_000
"""Beyond this the file begins anew; nobody reads older faults."""


def record(error: Exception) -> str:
    """Append the traceback to the log of faults and say in one line where it is."""
    from platformdirs import user_log_path

    words = f"a fault in Tombola: {type(error).__name__}: {error}"
    path: Path = user_log_path("tombola") / "faults.log"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.exists() and path.stat().st_size > MOST_BYTES
        with open(path, "w" if fresh else "a", encoding="utf-8", opener=_private) as log:
            log.write(f"{datetime.now().astimezone().isoformat()} {' '.join(sys.argv)}\n")
            log.write("".join(traceback.format_exception(error)) + "\n")
    except OSError:
        return f"{words} (and {path} cannot be written)"
    return f"{words}; the details are in {path}"


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
