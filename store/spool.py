"""What a run could not write into the store, kept in its folder until it can: one line a transaction, each with a
checksum.

A line is only ever added, and flushed to the disk before it counts. A line that was cut off, or whose checksum does
not fit, ends what can be trusted: it and all after it are passed over.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any


class Spool:
    """The file `path`; there is none while nothing waits. Records are plain values, as JSON has them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._end: int | None = None  # bytes that are whole, once they were looked at

    def append(self, record: Mapping[str, Any]) -> None:
        """Add a record, after the last whole one.

        Raises:
            OSError: it cannot be written; what was there before still holds.
        """
        if self._end is None:
            self._end = sum(len(line) for line, _ in self._lines())
        content = json.dumps(record).encode()
        line = b"%08x %s\n" % (zlib.crc32(content), content)
        with open(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600), "r+b", buffering=0) as file:
            file.truncate(self._end)  # a part of a line that a full disk or a kill has left
            file.seek(self._end)
            try:
                left = line
                while left:
                    left = left[file.write(left) :]
                os.fsync(file.fileno())
            except OSError:
                with suppress(OSError):  # a whole line may be there, though not on the disk: it does not count
                    file.truncate(self._end)
                raise
        self._end += len(line)

    def records(self) -> Iterator[dict[str, Any]]:
        """Every record in the order they were added, as far as they are whole."""
        for _, record in self._lines():
            yield record

    def _lines(self) -> Iterator[tuple[bytes, dict[str, Any]]]:
        with suppress(FileNotFoundError), self.path.open("rb") as file:
            for line in file:
                record = _record(line)
                if record is None:
                    return
                yield line, record

    def clear(self) -> None:
        """Everything has been taken in. Where it cannot be removed, the next record takes its place."""
        with suppress(OSError):
            self.path.unlink()
        self._end = 0


def _record(line: bytes) -> dict[str, Any] | None:
    checksum, blank, content = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or not blank or checksum != b"%08x" % zlib.crc32(content):
        return None
    try:
        record = json.loads(content)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
