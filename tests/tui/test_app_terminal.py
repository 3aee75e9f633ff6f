"""The real program in a pseudo-terminal: an experiment is started by keys and outlives its terminal."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.program import LONG, TINY, Tombola
from tests.tui import snapshots

CHANGES = "network.width=0.125; recipe.epochs=2; searches.colt.until=0.6; searches.imp.until=0.6; arms.reinit.at=[0.5]"
ESCAPES = re.compile(r"\x1b(\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\)|P[^\x1b]*\x1b\\|.)")
MOUSE = ("\x1b[?1000h", "\x1b[?1002h", "\x1b[?1003h", "\x1b[?1006h")
"""What asks a terminal to tell of its mouse."""


class Terminal:
    """A terminal of 80×24 with `tombola` in it."""

    def __init__(self, tombola: Tombola, *arguments: str, nohup: bool = False, **environment: str) -> None:
        coloured = {name: value for name, value in tombola.environment.items() if name != "NO_COLOR"}
        self.output = ""
        self.master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [tombola.command, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=coloured | environment,
            cwd=tombola.home,
            start_new_session=True,
            preexec_fn=lambda: self._begin(nohup),
        )
        os.close(slave)

    @staticmethod
    def _begin(nohup: bool) -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)

    def type(self, keys: str) -> None:
        os.write(self.master, keys.encode())

    def read(self, seconds: float) -> None:
        """Take up what is written for so long."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                try:
                    self.output += os.read(self.master, 1 << 16).decode(errors="replace")
                except OSError:  # the program has closed it
                    return

    def until(self, condition: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, self.words[-3000:]
            self.read(0.1)

    def wait_for(self, words: str) -> None:
        """Until these words have been written since the last call."""
        self.until(lambda: words in self.words)
        self.output = ""

    @property
    def words(self) -> str:
        return ESCAPES.sub("", self.output)

    def close(self) -> None:
        """As a lost connection does: the terminal goes, and the session is hung up."""
        os.close(self.master)
        self.process.wait(20)


@pytest.fixture
def terminals(tombola: Tombola) -> Iterator[Callable[..., Terminal]]:
    opened: list[Terminal] = []

    def open_terminal(*arguments: str, **options: Any) -> Terminal:
        opened.append(Terminal(tombola, *arguments, **options))
        return opened[-1]

    yield open_terminal
    for terminal in opened:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()


def ask(tombola: Tombola, sql: str):
    """The first figure of the first row; None while there is no row, or no store."""
    with tombola.reader() as reader:
        rows = reader.rows(sql)
    return next(iter(rows[0].values())) if rows else None


def test_an_experiment_started_by_keys_outlives_its_terminal_and_is_found_again(tombola, terminals):
    first = terminals()
    first.wait_for("No experiment has been run yet")
    first.type("n")
    first.wait_for("COLT, arXiv 2212.12770")
    first.type("\t\t")  # from the list over its description to the seeds
    first.type("0")
    first.type("\t\t")  # over the name to the changes
    first.type(CHANGES)
    first.wait_for("can be pruned")  # what it costs is known
    first.type("\x13")  # Ctrl+S
    first.until(lambda: bool(ask(tombola, "SELECT count(*) FROM epochs")))
    engine = ask(tombola, "SELECT pid FROM attempts")

    first.close()
    assert first.process.returncode == -signal.SIGHUP, "the app went with its terminal"
    os.kill(engine, 0)  # and the engine did not
    deadline = time.monotonic() + 90
    while ask(tombola, "SELECT state FROM runs") == "running" and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ask(tombola, "SELECT state FROM runs") == "finished", ask(tombola, "SELECT message FROM runs")
    assert ask(tombola, "SELECT json_extract(spec, '$.seeds') FROM runs") == "[0]"
    assert ask(tombola, "SELECT json_extract(spec, '$.recipe.epochs') FROM runs") == 2
    assert ask(tombola, "SELECT count(*) FROM attempts") == 1

    again = terminals()
    again.wait_for("digits-demo-")
    again.type("q")
    again.until(lambda: again.process.poll() is not None)
    assert again.process.returncode == 0


def test_leaving_names_what_keeps_running(tombola, terminals):
    terminal = terminals()
    terminal.wait_for("No experiment has been run yet")
    terminal.type("n")
    terminal.wait_for("can be pruned")
    terminal.type("\r\r")
    terminal.until(lambda: bool(ask(tombola, "SELECT count(*) FROM epochs")))
    terminal.wait_for("1 running")
    terminal.type("\x11")  # Ctrl+Q
    terminal.until(lambda: terminal.process.poll() is not None)
    terminal.read(0.5)
    assert "1 experiment keeps running (digits-demo-" in terminal.words
    assert "Come back with: tombola" in terminal.words
    os.kill(ask(tombola, "SELECT pid FROM attempts"), signal.SIGTERM)  # to an engine, that is a request to stop
    deadline = time.monotonic() + 30
    while ask(tombola, "SELECT state FROM runs") == "running" and time.monotonic() < deadline:
        time.sleep(0.1)
    assert ask(tombola, "SELECT state FROM runs") == "stopped"


def test_an_app_goes_with_its_terminal_also_where_hangups_are_ignored(terminals):
    terminal = terminals(nohup=True)
    terminal.wait_for("No experiment has been run yet")
    terminal.close()
    assert terminal.process.returncode == -signal.SIGHUP


def test_no_color_means_none(terminals):
    terminal = terminals(NO_COLOR="1")
    terminal.until(lambda: "No experiment has been run yet" in terminal.words)
    terminal.type("n")
    terminal.until(lambda: "COLT, arXiv 2212.12770" in terminal.words)
    codes = {code for codes in re.findall(r"\x1b\[([0-9;]*)m", terminal.output) for code in codes.split(";")}
    assert codes <= {"", "0", "1", "2", "3", "4", "7", "39", "49"}, "only weight, underline and reverse"


def test_a_run_is_watched_from_two_terminals_and_compared_with_its_successor(tombola, terminals):
    first = terminals()
    first.wait_for("No experiment has been run yet")
    first.type("n")
    first.wait_for("COLT, arXiv 2212.12770")
    first.type("\t\t0\t\t" + "; ".join(TINY[1::2]))
    first.wait_for("can be pruned")
    first.type("\x13")  # Ctrl+S
    first.wait_for("digits-demo-")
    first.type("\r")
    first.wait_for("1 drum")

    second = terminals()
    second.wait_for("digits-demo-")
    second.type("\r")
    second.wait_for("1 drum")
    for terminal in (first, second):
        terminal.until(lambda terminal=terminal: "finished; started" in terminal.words)
        terminal.output = ""

    first.type("\x1b")
    first.wait_for("elapsed")
    first.type("N")
    first.wait_for("can be pruned")
    first.type("\x13")
    first.until(lambda: ask(tombola, "SELECT count(*) FROM runs WHERE state = 'finished'") == 2)
    first.wait_for("2 runs")
    first.type("g  c")
    first.wait_for("2 runs compared")
    for terminal in (first, second):
        terminal.type("q")
        terminal.until(lambda terminal=terminal: terminal.process.poll() is not None)
        assert terminal.process.returncode == 0
    assert tombola("runs").stdout.count("finished") == 2


def test_an_engine_that_is_killed_shows_as_lost_and_is_resumed_by_a_key(tombola, terminals):
    run = tombola("run", "digits-demo", *LONG, "--seed", "0", "--detach").stdout.strip()
    terminal = terminals()
    terminal.wait_for(run)
    terminal.type("\r")
    terminal.until(lambda: bool(ask(tombola, "SELECT count(*) FROM epochs")))
    terminal.output = ""
    os.kill(ask(tombola, "SELECT pid FROM attempts"), signal.SIGKILL)
    terminal.wait_for("the engine has gone")
    terminal.type("6")
    terminal.wait_for("last sign of life")
    terminal.type("r")
    terminal.until(lambda: ask(tombola, "SELECT count(*) FROM attempts") == 2)
    terminal.type("q")
    terminal.until(lambda: terminal.process.poll() is not None)
    assert f"1 experiment keeps running ({run})" in terminal.words


def test_plain_characters_and_no_mouse_are_all_that_is_sent_when_asked(tombola, terminals):
    tombola.db.parent.mkdir(parents=True, exist_ok=True)
    snapshots.restore(tombola.db)
    for options, ascii, mouse in (((), False, True), (("--ascii", "--no-mouse"), True, False)):
        terminal = terminals(*options)
        sent = ""
        for keys, words in (("", "sparsity"), ("\r", "1 drum"), ("5", "dense"), ("q", "")):
            terminal.type(keys)
            terminal.until(lambda words=words, terminal=terminal: words in terminal.words)
            sent, terminal.output = sent + terminal.output, ""
        terminal.until(lambda terminal=terminal: terminal.process.poll() is not None)
        sent += terminal.output
        assert sent.isascii() == ascii
        assert any(code in sent for code in MOUSE) == mouse
