"""How long the commands that people type most take from start to end."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from presets.loading import load
from store.connection import connect
from store.editing import create_run, set_state
from tests.bench.commands import own_store, tombola
from tests.bench.measuring import Figure, in_turn

MOST = 0.12  # seconds, at the median
RUNS = 20  # a store in use; enough that listing them costs what it will cost


def measure(trials: int) -> Iterator[Figure]:
    with TemporaryDirectory() as name:
        folder = Path(name)
        environment = own_store(folder)
        fill(folder / "bench.db", folder / "files")

        def timed(*command: str) -> Callable[[], float]:
            def trial() -> float:
                began = time.perf_counter()
                subprocess.run(command, env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL)
                return time.perf_counter() - began

            return trial

        cases = {
            "python -I -S -c pass": timed(sys.executable, "-I", "-S", "-c", "pass"),
            "python -c pass": timed(sys.executable, "-c", "pass"),
            "tombola --help": timed(tombola(), "--help"),
            "tombola runs": timed(tombola(), "runs"),
        }
        for case, times in in_turn(cases, trials).items():
            yield Figure("startup", case, "s", times, most=MOST if case.startswith("tombola") else None)


def fill(db: Path, files: Path) -> None:
    """Write a store of finished runs, without training them."""
    spec = load("digits-demo").model_dump(mode="json")
    conn = connect(db)
    for _ in range(RUNS):
        run = create_run(
            conn, name="bench", preset="digits-demo", spec=spec, device="cpu", files=str(files), images_planned=1
        )
        set_state(conn, run, "finished")
    conn.close()
