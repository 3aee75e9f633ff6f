"""Whether systemd ends what a person has left running when the last of their sessions is over.

logind does so where KillUserProcesses is set, for all but the users that are excepted, and not for one who lingers. An
engine is in a session of its own for the kernel, but still in its user's scope for logind.
"""

from __future__ import annotations

import configparser
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

FILE = "systemd/logind.conf"
PLACES = tuple(Path(place, FILE) for place in ("/etc", "/run", "/usr/local/lib", "/usr/lib"))
"""Where logind looks, the first that is there; what lies in the folders beside them, named *.conf, is read after it."""

LOGINCTL_SECONDS = 5.0


def kills(user: str, places: Iterable[Path] = PLACES) -> bool:
    """Whether logind ends the processes of `user` at logout, by its configuration files (logind.conf(5))."""
    told = settings(places)
    only, excepted = (told.get(name, "").split() for name in ("killonlyusers", "killexcludeusers"))
    if user in (excepted if "killexcludeusers" in told else ["root"]):
        return False
    return told.get("killuserprocesses", "no").lower() in ("yes", "true", "1", "on", "y", "t") and (
        not only or user in only
    )


def settings(places: Iterable[Path]) -> dict[str, str]:
    """What the files say, names in lower case: the later one holds, and a file hides others of its name behind it."""
    places = list(places)
    dropped: dict[str, Path] = {}
    for place in places:
        for path in Path(f"{place}.d").glob("*.conf"):
            dropped.setdefault(path.name, path)
    found: dict[str, str] = {}
    main = [place for place in places if place.exists()][:1]
    for path in (*main, *(dropped[name] for name in sorted(dropped))):
        parser = configparser.ConfigParser(
            interpolation=None, strict=False, delimiters="=", comment_prefixes=("#", ";"), allow_no_value=True
        )
        with suppress(OSError, UnicodeError, configparser.Error):  # such a file tells logind nothing either
            parser.read_string(path.read_text(errors="replace"))
            if parser.has_section("Login"):
                found |= {name: value or "" for name, value in parser.items("Login")}
    return found


def lingers(user: str, marks: Path = Path("/var/lib/systemd/linger")) -> bool:
    """Whether logind keeps what this user runs: what loginctl says, else the mark that it leaves."""
    with suppress(OSError, subprocess.SubprocessError):
        asked = ["loginctl", "show-user", user, "--property=Linger", "--value"]
        done = subprocess.run(asked, capture_output=True, text=True, timeout=LOGINCTL_SECONDS)
        if done.returncode == 0 and done.stdout.strip():
            return done.stdout.strip() == "yes"
    return (marks / user).exists()
