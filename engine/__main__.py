"""The engine's command line: `plan` (what a spec will cost and whether it can run) and `run` (train it).

Spoken by programs, not people: `plan -` reads an experiment as JSON and prints the forecast as JSON. Exit codes:
0 done, 1 failed, 2 refused with one line on stderr, 3 paused or stopped on request.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from pydantic import ValidationError

from engine.devices import DeviceError
from engine.forecast import Unreachable
from engine.plan import plan
from engine.recording import Owned
from engine.run import run
from engine.trainings import Failed
from presets.schema import Experiment
from store.errors import StoreError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m engine", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    planning = verbs.add_parser("plan", help="forecast cost and check that an experiment can run")
    planning.add_argument("spec", help="file with an experiment as JSON, or - for standard input")
    planning.add_argument("--json", action="store_true", required=True, help="print the forecast as JSON")
    planning.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    running = verbs.add_parser("run", help="train a run that is in the store, from its start or where it ended")
    running.add_argument("run", help="id of the run")
    running.add_argument("--db", type=Path, required=True, help="the store")
    running.add_argument("--files", type=Path, required=True, help="folder of the files beside the store")
    given = parser.parse_args()
    try:
        if given.verb == "run":
            return run(given.run, given.db, given.files)
        text = sys.stdin.read() if given.spec == "-" else Path(given.spec).read_text()
        print(json.dumps(plan(Experiment.model_validate_json(text), given.device)))
    except (DeviceError, Unreachable, Failed, Owned, StoreError, ValidationError, ValueError, OSError) as error:
        print(" ".join(str(error).split()), file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
