"""How the benches start Tombola: the installed command, on a store of their own."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def tombola() -> str:
    """Path of the installed command, beside the interpreter that runs this."""
    command = Path(sys.executable).with_name("tombola")
    if not command.exists():
        raise SystemExit(f"{command} does not exist: `make bench` installs it, or `pip install --editable .`")
    return str(command)


def own_store(folder: Path) -> dict[str, str]:
    """The environment of a user whose store lies in `folder`, on a terminal with colours."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("TOMBOLA", "NO_COLOR"))}
    own = {"TOMBOLA_DB": str(folder / "bench.db"), "TOMBOLA_FILES": str(folder / "files")}
    return kept | own | {"TERM": "xterm-256color", "XDG_CONFIG_HOME": str(folder / "config")}
