"""Every smoke preset, run to its end by the real program in a store of its own: `make smoke`.

`python -m tests.smoke [NAME…]` runs those named, and what they take tickets of. A line each says how long it took and
how it ended; the exit code is 1 if any did not end finished.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from presets.loading import listing, load
from presets.schema import Experiment, Transfer
from store.reading import LISTING
from tests.program import Tombola

SUFFIX = "-smoke"
SEARCH = "colt"
"""The search whose tickets are handed on."""


def smokes() -> list[str]:
    """Shipped presets made small enough to end within a minute on a CPU."""
    return [info.name for info in listing() if not info.own and info.name.endswith(SUFFIX)]


@cache
def giver(name: str) -> str | None:
    """The smoke preset whose tickets `name` takes: of the same network on other data; None if it takes none."""
    taker = load(name)
    if not _takes(taker):
        return None
    for other in smokes():
        found = load(other)
        fits = found.network == taker.network and set(taker.seeds) <= set(found.seeds)
        if SEARCH in found.searches and fits and found.data != taker.data:
            return other
    raise AssertionError(f"no smoke preset has tickets that fit {name}")


def _takes(experiment: Experiment) -> bool:
    return any(isinstance(search, Transfer) for search in experiment.searches.values())


def in_order(names: Iterable[str]) -> list[str]:
    """`names` and what they take tickets of, givers first."""
    wanted = list(names)
    return list(dict.fromkeys([*(giver(name) or name for name in wanted), *wanted]))


def main(names: list[str]) -> int:
    unknown = sorted(set(names) - set(smokes()))
    if unknown:
        print(f"no smoke preset {', '.join(unknown)} (there are {', '.join(smokes())})", file=sys.stderr)
        return 2
    runs: dict[str, str] = {}
    failed = 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="tombola-smoke-") as home:
        tombola = Tombola(Path(home))
        for name in in_order(names or smokes()):
            start = time.monotonic()
            run, state, words = ended(tombola, name, runs)
            runs[name] = run
            failed += state != "finished"
            print(f"{time.monotonic() - start:6.1f} s  {state:<8}  {name}{words}", flush=True)
    print(f"{time.monotonic() - began:6.1f} s  {len(runs) - failed} of {len(runs)} finished")
    return 1 if failed else 0


def ended(tombola: Tombola, name: str, runs: dict[str, str]) -> tuple[str, str, str]:
    """Run a preset, with tickets of one of `runs` where it takes some: its id, how it ended, and why if not well."""
    source = giver(name)
    ticket = () if source is None else ("--ticket", f"{runs[source]}@{SEARCH}")
    try:
        done = tombola("run", name, *ticket, code=None)
    except subprocess.TimeoutExpired as error:
        tombola.end_engines()
        return "", "endless", f": no end after {error.timeout:.0f} s"
    run = done.stdout.strip()
    state = "refused"
    if run:
        with tombola.reader() as reader:
            [row] = reader.rows("SELECT state FROM (" + LISTING + ") WHERE id = ?", (run,))
        state = row["state"]
    good = state == "finished" and done.returncode == 0
    return run, state, "" if good else f"\n{done.stderr}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
