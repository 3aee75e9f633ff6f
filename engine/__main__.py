"""The engine's command line: `plan` (what a spec will cost and whether it can run), `run` (train it), `prepare` (have a
data set on this machine), `data` (which there are), `samples` (the hardest of a round, with their images) and `cards`
(what one operation on each card says).

Spoken by programs, not people: `plan -` reads an experiment as JSON and prints the forecast as JSON, `prepare -` reads
a preset's [data] and ends with what is known of it as JSON. Exit codes: 0 done, 1 failed, 2 refused with one line on
stderr, 3 paused or stopped on request, 4 no card is free now, 130 interrupted. What `prepare` and a waiting `plan` tell
while they work begins with a mark that a refusal has not.
"""

from __future__ import annotations

import gc

gc.disable()  # to look through what is imported, of which nothing goes, is an eighth of the time that it takes

import argparse
import faulthandler
import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from engine import cards
from engine.alone import Owned
from engine.data import SOURCES, DataError, facts, prepare, there
from engine.devices import Busy, DeviceError
from engine.forecast import Unreachable
from engine.gallery import gallery
from engine.herald import Herald, heed
from engine.plan import plan
from engine.run import run
from engine.trainings import Failed
from engine.tuning import Untried
from engine.vision import VisionMissing
from presets.schema import Data, Experiment
from store.connection import connect
from store.editing import never_began
from store.errors import StoreError

gc.freeze()  # nor is it looked through later: at the end of a short process that would cost as much again
gc.enable()

TOLD = "> "
"""What a line of narration begins with, and that of a refusal does not."""

REFUSED = (
    *(DeviceError, Untried, Unreachable, Failed, Owned, StoreError, DataError, VisionMissing, ValidationError),
    *(ValueError, OSError),
)
"""What is wrong with what was asked, or with this machine: one line and exit code 2."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    planning = verbs.add_parser("plan", help="forecast cost and check that an experiment can run")
    planning.add_argument("spec", help="file with an experiment as JSON, or - for standard input")
    planning.add_argument("--json", action="store_true", required=True, help="print the forecast as JSON")
    planning.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N or a card's UUID")
    planning.add_argument("--db", type=Path, help="the store that tickets of other runs are in")
    planning.add_argument("--hold", action="store_true", help="keep a chosen card for the run that is to start")
    planning.add_argument("--wait", action="store_true", help="wait for a card where none is free")
    running = verbs.add_parser("run", help="train a run that is in the store, from its start or where it ended")
    running.add_argument("run", help="id of the run")
    running.add_argument("--db", type=Path, required=True, help="the store")
    running.add_argument("--files", type=Path, required=True, help="folder of the files beside the store")
    running.add_argument("--claim", default="", help="what its forecast gave, to the card that it kept")
    preparing = verbs.add_parser("prepare", help="download, draw or decode a data set, unless it is there")
    preparing.add_argument("spec", help="file with a preset's [data] as JSON, or - for standard input")
    preparing.add_argument("--download", action="store_true", help="allow a download")
    listing = verbs.add_parser("data", help="what is known of each data set")
    listing.add_argument("spec", nargs="?", help="only that of a preset's [data] as JSON, - for standard input")
    listing.add_argument("--json", action="store_true", required=True, help="print it as JSON")
    showing = verbs.add_parser("samples", help="the hardest samples of a round, with their images")
    showing.add_argument("run", help="id of the run, or its first letters")
    showing.add_argument("--db", type=Path, required=True, help="the store")
    showing.add_argument("--files", type=Path, help="folder of the run's files, where it was moved")
    showing.add_argument("--search", help="search that chose them; else the first that chooses any")
    showing.add_argument("--seed", type=int, help="its seed; else the first")
    showing.add_argument("--round", type=int, help="round that chose them; else the last")
    showing.add_argument("--count", type=int, default=12, help="how many at most")
    showing.add_argument("--json", action="store_true", required=True, help="print them as JSON")
    carding = verbs.add_parser("cards", help="every card, who computes on it, and whether one operation there works")
    carding.add_argument("--json", action="store_true", required=True, help="print it as JSON")
    given = parser.parse_args()
    try:
        if given.verb == "run":
            faulthandler.enable()  # a crash leaves its place in engine.log
            return run(given.run, given.db, given.files, given.claim)
        if given.verb == "cards":
            print(json.dumps(_cards()))
            return 0
        if given.verb == "samples":
            asked = (given.search, given.seed, given.round, given.count)
            print(json.dumps(gallery(given.db, given.run, given.files, *asked)))
            return 0
        if given.verb == "data" and given.spec is None:
            print(json.dumps([_known(Data(name=name)) for name in SOURCES if name != "folder"]))
            return 0
        text = sys.stdin.read() if given.spec == "-" else Path(given.spec).read_text()
        if given.verb == "data":
            print(json.dumps(_described(Data.model_validate_json(text))))
            return 0
        if given.verb == "prepare":
            return _prepare(Data.model_validate_json(text), given.download)
        wait = _say if given.wait else None
        with _interruptible():
            told = plan(Experiment.model_validate_json(text), given.device, given.db, given.hold, wait)
        print(json.dumps(told))
    except KeyboardInterrupt:
        return 130
    except REFUSED as error:
        words = " ".join(str(error).split())
        print(words, file=sys.stderr)
        if given.verb == "run" and not isinstance(error, Owned):  # its engine, or who replaced this one, tells of it
            _never_began(given.db, given.run, words)
        return 4 if isinstance(error, Busy) else 2
    return 0


def _never_began(db: Path, run: str, words: str) -> None:
    """Leave the refusal with the run: whoever asked for it may have gone."""
    with suppress(StoreError, OSError):
        if db.exists():
            conn = connect(db)
            never_began(conn, run, words)
            conn.close()


@contextmanager
def _interruptible() -> Iterator[None]:
    """An interrupt raises KeyboardInterrupt, also in a shell's background job, which starts with it ignored; where no
    Python runs for long, as in a step of a large network, it ends the process all the same."""

    def interrupt(_: str) -> None:
        raise KeyboardInterrupt

    heed(interrupt)
    herald = Herald()
    try:
        yield
    finally:
        herald.dismiss()


def _say(words: str) -> None:
    print(f"{TOLD}{words}", file=sys.stderr, flush=True)


def _cards() -> dict[str, Any]:
    """What is known of the cards, each with what is wrong with it."""
    seen = cards.look()
    with ThreadPoolExecutor() as pool:
        faults = list(pool.map(cards.fault_of, seen.cards)) if not seen.fault else ["" for _ in seen.cards]
    return asdict(seen) | {
        "cards": [asdict(card) | {"fault": fault} for card, fault in zip(seen.cards, faults, strict=True)]
    }


def _prepare(data: Data, download: bool) -> int:
    """Have a data set on this machine; an interrupt leaves nothing of it behind."""
    people = sys.stderr  # what it is now: a download hides it from torchvision

    def say(words: str) -> None:
        print(f"{TOLD}{words}", file=people, flush=True)

    try:
        with _interruptible():
            prepare(data, say, download)
        print(json.dumps(_described(data)))
    except KeyboardInterrupt:
        return 130
    return 0


def _known(data: Data) -> dict[str, Any]:
    """As `_described`, or what is wrong with it: one damaged set does not hide the others."""
    try:
        return _described(data)
    except DataError as error:
        return {"name": data.name, "there": False, "fault": str(error)}


def _described(data: Data) -> dict[str, Any]:
    """What is known of a data set: shape (C, H, W), classes, images of each split, and whether it is on this machine.

    Raises:
        DataError: nothing can be known of it.
    """
    return {"name": data.name, "there": there(data), **asdict(facts(data)), "fault": ""}


if __name__ == "__main__":
    sys.exit(main())
