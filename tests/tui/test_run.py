"""Experiments from the command line: started, watched, left, interrupted, paused, resumed, run again."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import time

from store.files import engine_log
from tests.program import LONG, TINY, FinishedRun, Tombola, epochs, until

STEPS = [*TINY, "--seed", "3", "--device", "cpu"]


def state(tombola: Tombola, run: str) -> str:
    with tombola.reader() as reader:
        return reader.run(run)["state"]


def test_a_watched_run_prints_its_id_alone_and_tells_the_rest_beside_it(finished_run: FinishedRun):
    assert re.fullmatch(r"tiny-[a-z]{4}\n", finished_run.stdout)
    assert "COLT against IMP on handwritten digits: " in finished_run.stderr
    assert "colt seed 1 round 2" in finished_run.stderr
    assert f"{finished_run.id} has finished: tombola show {finished_run.id}" in finished_run.stderr
    assert "\x1b" not in finished_run.stderr
    assert "\r" not in finished_run.stderr


def test_a_run_takes_what_another_has_trained_unless_it_is_to_train_afresh(tombola: Tombola):
    first = tombola("run", "digits-demo", *STEPS).stdout.strip()
    second, afresh = (
        tombola("run", *arguments).stdout.strip()
        for arguments in (("digits-demo", *STEPS), ("--like", first, "--device", "cpu", "--afresh"))
    )
    assert re.search(rf"\d+ trainings were taken from {first}, done there", tombola("log", second).stdout)
    assert "taken from" not in tombola("log", afresh).stdout
    with tombola.reader() as reader:
        assert reader.run(afresh)["spec"]["afresh"]


def test_a_detached_run_prints_its_id_alone_and_can_be_waited_for_and_run_again(tombola: Tombola):
    run = tombola("run", "digits-demo", *STEPS, "--detach").stdout
    assert re.fullmatch(r"digits-demo-[a-z]{4}\n", run)
    assert tombola("wait", run.strip()).stdout == f"{run.strip()} finished\n"
    assert tombola("watch", run.strip()).stderr == f"{run.strip()} has finished: tombola show {run.strip()}\n"

    again = tombola("run", "--like", run.strip(), "--set", "recipe.lr=0.05", "--name", "Näher!", "--detach").stdout
    assert re.fullmatch(r"naher-[a-z]{4}\n", again)
    assert tombola("wait", run.strip(), again.strip(), "--json").stdout
    with tombola.reader() as reader:
        first, second = (reader.run(name.strip())["spec"] for name in (run, again))
    assert second == {**first, "recipe": {**first["recipe"], "lr": 0.05}}


def test_a_run_that_diverged_goes_on_with_other_settings_as_a_new_run(tombola: Tombola):
    hot = ("--set", "recipe.lr=100", "--set", "recipe.weight_decay=0.9", "--name", "hot")
    failed = tombola("run", "digits-demo", *STEPS, *hot, code=1)
    # The first to be found so: most likely a member of a round, but it may be the dense network.
    where = r"seed \d+ (dense|round \d+ \w+( \d+)?): the training loss is not finite in epoch \d+, by step \d+"
    assert re.search(where, failed.stderr), failed.stderr
    assert "it has no checkpoint" in failed.stderr
    run = failed.stdout.strip()
    tombola("run", "--like", run, "--set", "recipe.lr=0.1", "--set", "recipe.weight_decay=0", "--name", "cool")
    states = {row["name"]: row["state"] for row in json.loads(tombola("runs", "--json").stdout)}
    assert states == {"hot": "failed", "cool": "finished"}


def test_a_run_is_paused_resumed_and_stopped_from_elsewhere(tombola: Tombola, long_run: str):
    tombola("pause", "long")
    assert tombola("wait", "long", code=1).stdout == f"{long_run} paused\n"
    assert "is paused: there is nothing to pause" in tombola("pause", "long", code=1).stderr
    tombola("resume", "long")
    assert "is running: there is nothing to resume" in tombola("resume", "long", code=1).stderr
    before = epochs(tombola)
    until(lambda: epochs(tombola) > before)
    assert "is running: stop it first" in tombola("delete", "long", "--yes", code=1).stderr
    tombola("stop", "long")
    assert tombola("wait", "long", code=1).stdout == f"{long_run} stopped\n"
    assert "there is nothing to stop" in tombola("stop", "long", code=1).stderr
    tombola("delete", "long", "--yes")
    assert tombola("runs", "--json").stdout == "[]\n"


def test_an_engine_has_a_session_of_its_own_and_reads_from_no_terminal(tombola: Tombola, long_run: str):
    with tombola.reader() as reader:
        pid = reader.run(long_run)["attempts"][0]["pid"]
    assert os.getsid(pid) == os.getpgid(pid) == pid
    assert os.getsid(pid) != os.getsid(0)
    assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
    os.killpg(pid, signal.SIGHUP)
    before = epochs(tombola)
    until(lambda: epochs(tombola) > before)
    assert state(tombola, long_run) == "running"


def test_a_run_whose_engine_was_killed_is_lost_and_can_be_resumed(tombola: Tombola, long_run: str):
    with tombola.reader() as reader:
        pid = reader.run(long_run)["attempts"][0]["pid"]
    os.killpg(pid, signal.SIGKILL)
    assert tombola("wait", "long", code=1).stdout == f"{long_run} lost\n"
    assert json.loads(tombola("runs", "--where", "state = 'lost'", "--json").stdout)[0]["id"] == long_run
    assert f"{long_run} is lost" in tombola("log", "long").stderr
    shown = tombola("show", "long").stdout
    assert re.search(r"its engine has gone; last sign of life [\d: -]{19}", shown)
    assert f"tombola resume {long_run} goes on" in shown
    log = engine_log(tombola.files, long_run)
    log.write_text("first\n" * 50 + "MemoryError: \x1b[2Jno more room\n")
    assert "  | MemoryError: ␛[2Jno more room\n" in tombola("show", "long").stdout
    assert json.loads(tombola("show", "long", "--json").stdout)["printed"][-1] == "MemoryError: \x1b[2Jno more room"
    assert "MemoryError" in tombola("log", "long").stdout
    tombola("resume", "long")
    tombola("stop", "long")  # asked before the engine is there, and done all the same
    assert tombola("wait", "long", code=1).stdout == f"{long_run} stopped\n"


class Terminal:
    """A command in a pseudo-terminal of 100 × 30."""

    def __init__(self, tombola: Tombola, *arguments: str) -> None:
        self.master, slave = pty.openpty()
        size = {"COLUMNS": "100", "LINES": "30"}
        self.process = subprocess.Popen(
            [tombola.command, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            env=tombola.environment | size,
            cwd=tombola.home,
            start_new_session=True,
        )
        os.close(slave)
        self.text = ""

    def read(self) -> None:
        while select.select([self.master], [], [], 0.02)[0]:
            try:
                part = os.read(self.master, 1 << 16)
            except OSError:  # how Linux says that nobody writes any more
                return
            if not part:
                return
            self.text += part.decode(errors="replace")

    def until(self, words: str, seconds: float = 40) -> None:
        deadline = time.monotonic() + seconds
        while words not in self.text:
            self.read()
            assert time.monotonic() < deadline, self.text

    def interrupt(self) -> None:
        os.kill(self.process.pid, signal.SIGINT)

    def end(self, seconds: float = 40) -> int:
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            self.read()
            assert time.monotonic() < deadline, self.text
        self.read()
        return self.process.returncode

    def hang_up(self) -> None:
        os.close(self.master)
        os.kill(self.process.pid, signal.SIGHUP)
        self.process.wait(10)


def test_the_first_ctrl_c_stops_a_run(tombola: Tombola):
    terminal = Terminal(tombola, "run", "digits-demo", *LONG, "--seed", "0")
    terminal.until("/100000")
    assert "━" in terminal.text or "─" in terminal.text
    terminal.interrupt()
    terminal.until("Ctrl-C again")
    assert terminal.end() == 130
    assert "is stopped" in terminal.text
    with tombola.reader() as reader:
        assert [run["state"] for run in reader.runs()] == ["stopped"]


def test_a_second_ctrl_c_leaves_it_running_and_says_how_to_find_it(tombola: Tombola):
    terminal = Terminal(tombola, "run", "digits-demo", *LONG, "--seed", "0", "--name", "left")
    terminal.until("/100000")
    terminal.interrupt()
    terminal.until("Ctrl-C again")
    terminal.interrupt()
    assert terminal.end() == 130
    (run,) = re.findall(r"(left-[a-z]{4}) is left running: tombola watch \1", terminal.text)
    time.sleep(2.5)  # longer than the grace of the first
    assert state(tombola, run) == "running"


def test_watching_can_be_left_without_stopping(tombola: Tombola, long_run: str):
    terminal = Terminal(tombola, "watch", "long")
    terminal.until("/100000")
    terminal.interrupt()
    assert terminal.end() == 130
    assert state(tombola, long_run) == "running"


def test_a_closed_terminal_ends_no_run(tombola: Tombola):
    terminal = Terminal(
        tombola, "run", "digits-demo", *TINY, "--seed", "0", "--set", "recipe.epochs=4", "--name", "kept"
    )
    terminal.until("/4")
    terminal.hang_up()
    assert tombola("wait", "kept").stdout.endswith(" finished\n")


def test_the_demo_ends_with_its_report(tombola: Tombola):
    done = tombola("demo", *TINY, "--seed", "0")
    assert done.stdout.startswith("COLT against IMP on handwritten digits\ndigits-demo-")
    for title in ("Accuracy", "What a sparsity cost", "Overlap of members", "Loss a round", "Questions"):
        assert f"\n{title}\n" in done.stdout


def test_what_is_trained_can_be_watched_as_json(long_run: str, tombola: Tombola):
    watch = subprocess.Popen(
        [tombola.command, "watch", "long", "--json"], env=tombola.environment, stdout=subprocess.PIPE, text=True
    )
    assert watch.stdout is not None
    event = json.loads(watch.stdout.readline())
    assert (event["run"], event["event"], event["training"]["epochs"]) == (long_run, "epoch", 100000)
    watch.send_signal(signal.SIGINT)
    assert watch.wait(10) == 130


BASE = """
title = "an experiment on glyphs"
seeds = [0]
[data]
name = "glyphs"
images = 200
[network]
name = "conv3"
width = 0.0625
[recipe]
epochs = 1
batch = 50
"""

GIVES = """
[searches.colt]
method = "colt"
rounds = 2
[searches.imp]
method = "imp"
rate = { conv = 0.3 }
rounds = 1
"""

TAKES = """
[searches.source]
method = "transfer"
[arms.ticket]
ticket = "source"
"""


def test_tickets_of_one_run_are_trained_on_the_data_of_another(tombola: Tombola):
    (tombola.home / "source.toml").write_text(BASE + GIVES)
    (tombola.home / "taker.toml").write_text(BASE.replace("images = 200", "images = 200\ndraw = 1") + TAKES)
    done = tombola("run", "source.toml", "--name", "giver")
    assert "drawing 200 glyphs of 10 characters" in done.stderr, "what is not there is made before the start"
    giver = done.stdout.strip()
    assert "one search" in tombola("run", "source.toml", "--ticket", giver, code=2).stderr
    assert "name one of colt, imp" in tombola("run", "taker.toml", "--ticket", giver, code=2).stderr
    assert "it has 1, 2" in tombola("run", "taker.toml", "--ticket", f"{giver}@colt/9", code=2).stderr
    assert "write RUN" in tombola("run", "taker.toml", "--ticket", f"{giver}@colt/two", code=2).stderr
    assert "write RUN" in tombola("run", "taker.toml", "--ticket", "", code=2).stderr, "as where a name is not set"
    assert "write RUN" in tombola("run", "source.toml", "--subset", "", code=2).stderr
    taken = tombola("run", "taker.toml", "--ticket", f"{giver[:7]}@colt/2").stdout.strip()
    with tombola.reader() as reader:
        rows = reader.rows(
            "SELECT search, round, seed FROM ticket_accuracies WHERE run = ? AND split = 'test'", (taken,)
        )
    assert rows == [{"search": "source", "round": 2, "seed": 0}]
    assert "source" in tombola("show", taken).stdout
