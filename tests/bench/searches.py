"""Whole searches on the digits from process start to end: `tombola run` in an empty store, and the naive script."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from presets.loading import source
from tests.bench.commands import own_store, tombola
from tests.bench.measuring import Figure, in_turn, ratios

ROOT = Path(__file__).parents[2]
SEEDS = (0,)
LEAST = {"colt": 2.5}  # times faster than the naive script
ALONE = {"OMP_NUM_THREADS": "1"}
TICKETS = """
SELECT r.round, 1.0 - CAST(r.remaining AS REAL) / r.prunable, CAST(e.correct AS REAL) / e.count
FROM evaluations AS e JOIN tickets AS t ON t.id = e.ticket JOIN rounds AS r ON r.id = t.round
WHERE e.split = 'test' ORDER BY r.seed, r.round
"""

Tickets = list[tuple[int, float, float]]
"""Round, sparsity and test accuracy of every ticket."""


def measure(trials: int, small: bool = False) -> Iterator[Figure]:
    with TemporaryDirectory() as name:
        for search in ("colt",) if small else ("colt", "imp"):
            file = Path(name) / f"{search}.toml"
            file.write_text(preset(search, small))
            yield from compared(search, file, trials)


def preset(search: str, small: bool) -> str:
    """The demo with this search only, every ticket of it trained, and nothing else."""
    tables = tomllib.loads(source("digits-demo"))
    kept = {key: tables[key] for key in ("title", "data", "network", "recipe")} | {"seeds": list(SEEDS)}
    if small:
        kept["network"]["width"] = 0.0625
        kept["recipe"] |= {"epochs": 1, "warmup": 0}
        tables["searches"][search]["rounds"] = 2
    sections = {name: kept.pop(name) for name in ("data", "network", "recipe")}
    sections |= {f"searches.{search}": tables["searches"][search], "arms.ticket": {"ticket": "each"}}
    return "\n".join([*lines(kept), *(f"[{name}]\n" + "\n".join(lines(own)) for name, own in sections.items())]) + "\n"


def lines(table: Mapping[str, Any]) -> list[str]:
    return [f"{key} = {value(own)}" for key, own in table.items()]


def value(held: Any) -> str:
    """In TOML: as in JSON, but for tables."""
    return "{ " + ", ".join(lines(held)) + " }" if isinstance(held, dict) else json.dumps(held)


def compared(search: str, file: Path, trials: int) -> Iterator[Figure]:
    found: dict[str, Tickets] = {}
    ways: dict[str, Callable[[], Tickets]] = {
        "tombola run": lambda: engine(file),
        "naive": lambda: naive(search, file),
        "naive, 1 thread": lambda: naive(search, file, "--workers", "0", **ALONE),
    }

    def timed(way: str) -> Callable[[], float]:
        def trial() -> float:
            began = time.perf_counter()
            found[way] = ways[way]()
            return time.perf_counter() - began

        return trial

    taken = in_turn({way: timed(way) for way in ways}, trials, discard=0)
    for way, times in taken.items():
        number, sparsity, accuracy = found[way][-1]
        mean = sum(own for _, _, own in found[way]) / len(found[way])
        note = f"{number} rounds to {sparsity:.1%}, {accuracy:.1%} on test there, {mean:.1%} over all tickets"
        yield Figure("searches", f"{search}: {way}", "s", times, note=note)
    for way in list(ways)[1:]:
        least = LEAST.get(search) if way == "naive" else None
        gained = ratios(taken[way], taken["tombola run"])
        yield Figure("searches", f"{search}: {way} / tombola", "times", gained, least=least)


def engine(file: Path) -> Tickets:
    """Run the preset as a person does, in a new store."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        call([tombola(), "run", str(file)], folder, own_store(folder))
        conn = sqlite3.connect(folder / "bench.db")
        try:
            return conn.execute(TICKETS).fetchall()
        finally:
            conn.close()


def naive(search: str, file: Path, *options: str, **environment: str) -> Tickets:
    command = [sys.executable, "-m", "tests.bench.naive", search, "--preset", str(file), "--json", *options]
    printed = call(command, ROOT, os.environ | environment)
    return [(row["round"], row["sparsity"], row["accuracy"]) for row in map(json.loads, printed.splitlines())]


def call(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    """What a command printed.

    Raises:
        RuntimeError: it failed; the text is what it said.
    """
    done = subprocess.run(
        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done.stdout
