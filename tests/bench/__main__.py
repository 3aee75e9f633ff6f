"""The command `python -m tests.bench`: measures the benches named, or all, and prints or writes the figures."""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

from tests import bench
from tests.bench.measuring import apart, machine

TRIALS = {
    "startup": 21,
    "paint": 7,
    "app": 2,
    "demo": 3,
    "masks": 15,
    "threshold": 7,
    "training": 5,
    "loading": 5,
    "steps": 5,
    "searches": 3,
    "members": 5,
    "gpu": 2,
    "kill": 200,
    "stress": 1,
}
"""How often each bench is tried: more often the shorter it takes. Of kill it is the number of kills."""

ASKED_FOR = ("gpu", "kill", "stress")
"""Benches that run only when they are named."""

SMALL = ("app", "steps", "searches", "members", "gpu", "stress")
"""Benches that know a small size, in which they only show that they run."""


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m tests.bench", description=bench.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"any of: {', '.join(TRIALS)}; left out: all but {' and '.join(ASKED_FOR)}",
    )
    parser.add_argument("--small", action="store_true", help=f"only show that they run, of {', '.join(SMALL)}")
    parser.add_argument("--seconds", type=float, metavar="N", help="most that gpu may take, instead of 150")
    parser.add_argument("--repeats", type=int, metavar="N", help="trials of each case, instead of each bench's own")
    parser.add_argument(
        "--json", metavar="FILE", help="write machine, versions and every trial there too; - for stdout"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(TRIALS):
        parser.error(f"no bench named {', '.join(sorted(unknown))} (there are: {', '.join(TRIALS)})")
    names = options.names or [name for name in TRIALS if name not in ASKED_FOR]
    if options.small and (large := set(names) - set(SMALL)):
        parser.error(f"--small: {', '.join(sorted(large))} has one size only")
    if options.repeats is not None and options.repeats < 1:
        parser.error("--repeats: at least 1")

    shown = sys.stderr if options.json == "-" else sys.stdout
    facts = machine()
    print(", ".join(f"{name} {fact}" for name, fact in facts.items()), file=shown)
    figures = []
    for name in names:
        print(f"\n{name}", file=shown, flush=True)
        sizes = (True,) if options.small else ()
        if name == "gpu" and options.seconds is not None:
            sizes = (options.small, options.seconds)
        measure = import_module(f"tests.bench.{name}").measure
        for figure in apart(measure, options.repeats or TRIALS[name], *sizes):
            print(figure.line(), file=shown, flush=True)
            figures.append(figure.as_dict())
    if options.json:
        text = json.dumps({"machine": facts, "figures": figures}, indent=1) + "\n"
        if options.json == "-":
            sys.stdout.write(text)
        else:
            Path(options.json).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
