"""Where tensors lie in the folder of files: objects named by their content, and one folder for each run."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from store.errors import StoreError

PRINTED_LINES = 6
"""Lines that a broken engine printed last: the end of a traceback, which says what and where."""

PRINTED_BYTES = 8192


def object_path(root: Path, sha256: str) -> Path:
    """`root`/objects/ab/abcd….safetensors for a hash of 64 lower-case hexadecimal digits."""
    if not re.fullmatch(r"[0-9a-f]{64}", sha256):
        raise StoreError(f"not a SHA-256: {sha256!r}")
    return root / "objects" / sha256[:2] / f"{sha256}.safetensors"


def run_folder(root: Path, run: str) -> Path:
    """The folder of one run: its engine's log and its checkpoints."""
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", run):  # nothing that could lead out of `root`
        raise StoreError(f"not the id of a run: {run!r}")
    return root / "runs" / run


def aside_path(folder: Path, path: str) -> Path:
    """A file that a run has set aside in its `folder`, by the name that a row of `checkpoints` gives it."""
    if not re.fullmatch(r"(live|trained)/[a-z0-9][a-z0-9.]*", path):  # nothing that could lead out of `folder`
        raise StoreError(f"not a file that a run sets aside: {path!r}")
    return folder / path


def engine_log(root: Path, run: str) -> Path:
    """Where the engine of a run prints to: nothing, unless something broke."""
    return run_folder(root, run) / "engine.log"


def spool_path(root: Path, run: str, attempt: int) -> Path:
    """Where the rows of an attempt at a run wait while the store cannot be written. Each has its own: one that was
    taken over may not know it yet."""
    return run_folder(root, run) / f"spool.{attempt}.jsonl"


def last_printed(root: Path, run: str) -> tuple[str, ...]:
    """The last lines that the engine of a run printed, oldest first; none where its log cannot be read from here."""
    try:
        with engine_log(root, run).open("rb") as log:
            log.seek(-min(log.seek(0, os.SEEK_END), PRINTED_BYTES), os.SEEK_END)
            lines = log.read().decode(errors="replace").split("\n")
    except (OSError, StoreError):
        return ()
    return tuple(line for line in lines if line.strip())[-PRINTED_LINES:]


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
