"""What the fuzz tests share: how many examples, values that break things, and what every command may say.

The suite tries the same few examples each time, so that nobody's change is held up by what it did not do; `make fuzz`
tries many more, others each time.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tui.main import main

TIMES = int(os.environ.get("TOMBOLA_FUZZ", "1"))
"""How many times more examples than in the suite."""

CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
"""What a terminal would obey, or show otherwise than it is."""

HANG_SECONDS = 60
"""More than any command here takes on a machine that is busy."""

EVIL = "\x1b[2J\x1b]0;owned\x07\u202e\x9b31m"

TEXTS = st.one_of(
    st.sampled_from(
        ["", "x", EVIL, "a\nb", "../../x", "/etc/x", "-x", "\0", "x" * 5000, "null", "[]", "😀", "\x1b]8;;x\x07"]
    ),
    st.sampled_from(["9999-01-01T00:00:00.000000Z", "0001-01-01", "2026-13-45", "2026-01-01T00:00:00"]),
    st.text(max_size=20),
)


def examples(number: int) -> settings:
    """Settings for so many examples in the suite."""
    return settings(
        max_examples=number * TIMES,
        derandomize=TIMES == 1,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


@contextlib.contextmanager
def no_hang() -> Iterator[None]:
    """Breaks off what does not end."""

    def give_up(*_: object) -> None:
        raise TimeoutError(f"no end after {HANG_SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(HANG_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def run(*arguments: str) -> tuple[int, str, str]:
    """Exit code, output and words of a command, held against what every command promises about them."""
    out, err = io.StringIO(), io.StringIO()
    with no_hang(), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main(list(arguments))
    said, words = out.getvalue(), err.getvalue()
    assert code in (0, 1, 2), (code, words)
    assert "Traceback" not in said + words
    assert "a fault in Tombola" not in words, words
    assert not CONTROLS.search(said + words), (arguments, CONTROLS.search(said + words), said + words)
    if code == 2 or (code and not said):
        assert words.splitlines()[-1].startswith("tombola: "), words
    return code, said, words


def tree(folder: Path, *without: Path) -> dict[str, tuple[int, int, int]]:
    """Everything below a folder, but for `without`: mode, size and time of change by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if not any(path == other or other in path.parents for other in without):
            stat = path.lstat()
            sizes = (0, 0) if path.is_dir() else (stat.st_size, stat.st_mtime_ns)
            found[str(path.relative_to(folder))] = (stat.st_mode, *sizes)
    return found
