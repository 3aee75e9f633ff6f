"""What happens to a fault: its traceback goes into a file, and a person gets one line that names it.

Where the store holds what no Tombola writes, the line says so: what breaks over it is hardly a fault of ours.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from datetime import datetime
from pathlib import Path

from store.errors import StoreError

MOST_BYTES = 1_000_000
"""Beyond this the file begins anew; nobody reads older faults."""


def record(error: Exception, db: Path | None = None) -> str:
    """Append the traceback to the log of faults and say in one line what broke over what, and where the log is.

    `db`: the store that was read.
    """
    from platformdirs import user_log_path

    words = f"a fault in Tombola: {type(error).__name__}: {error}"
    if db is not None and (foreign := _foreign(db)):
        words = f"the store {db} holds what this Tombola does not write: {foreign}"
    path: Path = user_log_path("tombola") / "faults.log"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        fresh = path.exists() and path.stat().st_size > MOST_BYTES
        with open(path, "w" if fresh else "a", encoding="utf-8", errors="backslashreplace", opener=_private) as log:
            log.write(f"{datetime.now().astimezone().isoformat()} {' '.join(sys.argv)}\n")
            log.write("".join(traceback.format_exception(error)) + "\n")
    except OSError:
        return f"{words} (and {path} cannot be written)"
    return f"{words}; the details are in {path}"


def _foreign(db: Path) -> str:
    """What in a store is not of this Tombola, as one line; empty where nothing is found."""
    from presets.loading import PresetError, again
    from store.reading import Reader
    from store.soundness import strange

    if not db.exists():
        return ""
    try:
        if found := strange(db):
            return found
        with Reader(db) as reader:
            specs = reader.rows("SELECT id, spec FROM runs")
    except StoreError as error:
        return str(error)
    for row in specs:
        try:
            again(json.loads(row["spec"]), f"the spec of run {row['id']}")
        except PresetError as error:
            return str(error)
        except (ValueError, RecursionError):
            return f"the spec of run {row['id']} cannot be read"
    return ""


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
