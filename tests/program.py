"""The real program as tests run it: the command `tombola`, with a store, settings and a home of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from store.errors import StoreError
from store.reading import LISTING, Reader

TINY = (
    *("--set", "recipe.epochs=1", "--set", "recipe.warmup=0", "--set", "network.width=0.0625"),
    *("--set", "searches.colt.rounds=2", "--set", "searches.imp.rounds=2"),
    *("--set", "searches.colt.rate=0.3", "--set", "searches.imp.rate=0.3"),
)
"""Settings that leave everything of the demo in place and little of each: an engine is done in a second."""

LONG = (*TINY, "--set", "recipe.epochs=100000")
"""Settings of a run that a test has to end."""


@dataclass(frozen=True)
class Tombola:
    """The command `tombola` with a store, settings and home of its own."""

    home: Path

    @property
    def db(self) -> Path:
        return self.home / "store" / "test.db"

    @property
    def files(self) -> Path:
        return self.home / "store" / "test-files"

    @property
    def environment(self) -> dict[str, str]:
        kept = {
            name: value for name, value in os.environ.items() if not name.startswith(("TOMBOLA", "XDG_", "COLUMNS"))
        }
        own = {"HOME": str(self.home), "TOMBOLA_DB": str(self.db), "NO_COLOR": "1", "TERM": "xterm-256color"}
        return kept | own

    @property
    def command(self) -> str:
        return str(Path(sys.executable).with_name("tombola"))

    def __call__(
        self, *arguments: str, code: int | None = 0, stdin: str = "", **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run it to its end and check its exit code (None: any)."""
        done = subprocess.run(
            [self.command, *arguments],
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment | environment,
            cwd=self.home,
            timeout=120,
        )
        assert code is None or done.returncode == code, f"{done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def reader(self) -> Reader:
        return Reader(self.db)

    def end_engines(self) -> None:
        """Kill every engine that still works for this store; those that are starting get time to be known."""
        deadline = time.monotonic() + 20
        while self.db.exists() and time.monotonic() < deadline:
            with suppress(StoreError), self.reader() as reader:
                live = reader.rows(
                    "SELECT a.pid FROM runs AS r LEFT JOIN attempts AS a ON a.run = r.id AND a.ended IS NULL"
                    " WHERE r.id IN (SELECT id FROM (" + LISTING + ") WHERE state = 'running')"
                )
                live = [row for row in live if row["pid"] != os.getpid()]  # where a test plays the engine
                for row in live:
                    if row["pid"]:
                        with suppress(ProcessLookupError):
                            os.killpg(row["pid"], signal.SIGKILL)
                if live:
                    time.sleep(0.1)
                    continue
            return


@dataclass(frozen=True)
class FinishedRun:
    """A run of the demo, tiny, with its id and all that the command printed."""

    tombola: Tombola
    id: str
    stdout: str
    stderr: str


def until(condition: Callable[[], bool], seconds: float = 40) -> None:
    """Wait for it."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)


def epochs(tombola: Tombola) -> int:
    """How many have ended, of all trainings."""
    with tombola.reader() as reader:
        return reader.rows("SELECT count(*) AS n FROM epochs")[0]["n"]
