"""The command itself: quick to start, documented throughout, and every error one line with its exit code."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import click
import pytest

from tests.program import TINY, FinishedRun, Tombola
from tui import main as program
from tui.main import SECTIONS, cli

HEAVY = ("torch", "numpy", "pandas", "textual", "pydantic", "plotext", "sqlite_utils", "rich")
COMMANDS = {name: words for section in SECTIONS.values() for name, words in section.items()}


@pytest.mark.parametrize("arguments", [["--help"], ["runs"], ["runs", "--json"], ["presets"], ["wait", "--help"]])
def test_light_commands_import_nothing_heavy(tombola: Tombola, arguments: list[str]):
    code = f"import sys; from tui.main import main; main({arguments!r}); print(set({HEAVY!r}) & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], env=tombola.environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_and_option_says_what_it_is_for(name: str):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, f"{name} {option.opts}"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_overview_says_what_the_command_itself_says(name: str):
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    assert (command.help or "").split("\n\n")[0].replace("\n", " ") == COMMANDS[name]


def test_every_command_module_is_in_the_overview():
    folder = Path(program.__file__).parent / "commands"
    shared = {"__init__", "options", "output"}
    assert {path.stem for path in folder.glob("*.py")} - shared == set(COMMANDS)


def test_the_version_is_that_of_the_package(tombola: Tombola):
    from presets import __version__

    assert tombola("--version").stdout == f"tombola {__version__}\n"


def one_line(tombola: Tombola, *arguments: str, code: int, **environment: str) -> str:
    done = tombola(*arguments, code=code, **environment)
    assert done.stdout == ""
    assert re.fullmatch(r"tombola: [^\n]+\n", done.stderr), done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["rums"], "did you mean runs?"),
        (["runs", "--whre", "1"], "--where"),
        (["runs", "--where", "nonsense"], "columns: id, name"),
        (["runs", "--where", "1; DROP TABLE runs"], "cannot tell runs by"),
        (["show"], "RUN"),
        (["show", "x"], "there is no run yet"),
        (["presets", "digits-dem"], "did you mean digits-demo?"),
        (["presets", "--toml"], "--toml goes with the name"),
        (["run"], "give a preset or --like RUN"),
        (["run", "digits-demo", "--like", "x"], "exclude each other"),
        (["run", "nowhere.toml"], "no such file"),
        (["run", "digits-demo", "--set", "recipe.epoch=1"], "did you mean epochs?"),
        (["run", "digits-demo", "--set", "recipe.lr"], "write it as key=value"),
        (["run", "digits-demo", "--set", "searches.imp.until=1.5"], "must be below 1"),
        (["run", "digits-demo", "--seed", "-1"], "--seed"),
        (["query", "SELECT 1", "-f", "x"], "give one of the two"),
        (["query", "-f", "nowhere.sql"], "No such file"),
        (["query", "SELECT 1; SELECT 2"], "one statement"),
        (["query", "DELETE FROM runs"], "only what reads is allowed"),
        (["query", "ATTACH 'x.db' AS x"], "only what reads is allowed"),
        (["query", "PRAGMA user_version = 3"], "only what reads is allowed"),
        (["plot", "x", "--x", "time"], "--x"),
        ([], "needs a terminal"),
    ],
)
def test_wrong_usage_is_one_line_and_2(tombola: Tombola, arguments: list[str], words: str):
    assert words in one_line(tombola, *arguments, code=2)
    assert not tombola.db.exists()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["--device", "abacus"], "devices: auto, cpu"),
        (["--set", "searches.colt.segments=11"], "segments"),
        (["--set", "searches.imp.of=total", "--set", "searches.imp.until=0.9999"], "the highest"),
    ],
)
def test_what_only_the_engine_can_refuse_is_refused_before_anything_is_written(
    tombola: Tombola, settings: list[str], words: str
):
    assert words in one_line(tombola, "run", "digits-demo", *TINY, *settings, code=2)
    assert not tombola.db.exists()


def test_a_file_that_is_no_store_is_left_as_it_is(tombola: Tombola):
    tombola.db.parent.mkdir()
    tombola.db.write_text("my diary " * 100)
    for arguments in (["runs"], ["query", "SELECT 1"], ["run", "digits-demo", *TINY]):
        done = tombola(*arguments, code=None)
        assert done.returncode == 1
        assert done.stderr.splitlines()[-1] == f"tombola: {tombola.db} is not an SQLite database"
    assert tombola.db.read_text() == "my diary " * 100


def test_a_store_of_a_newer_version_is_refused(tombola: Tombola):
    from store.connection import connect

    connect(tombola.db).close()
    with sqlite3.connect(tombola.db) as conn:
        conn.execute("PRAGMA user_version = 999")
    assert "newer Tombola" in one_line(tombola, "runs", code=1)


def test_the_options_for_the_store_stand_before_or_after_the_command(tombola: Tombola, finished_run: FinishedRun):
    db = str(finished_run.tombola.db)
    for arguments in (["--db", db, "runs", "--json"], ["runs", "--json", "--db", db]):
        assert finished_run.id in tombola(*arguments).stdout


def test_a_fault_of_our_own_is_one_line_and_its_traceback_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setattr(program.cli, "main", lambda *_, **__: 1 / 0)
    assert program.main(["runs"]) == 1
    words = capsys.readouterr().err
    assert words.startswith("tombola: a fault in Tombola: ZeroDivisionError")
    assert words.count("\n") == 1
    (log,) = tmp_path.rglob("faults.log")
    assert str(log) in words
    assert "Traceback" in log.read_text()


def test_an_interrupt_is_130(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program.cli, "main", interrupted)
    assert program.main([]) == 130


def test_a_reader_that_has_seen_enough_is_no_fault(finished_run: FinishedRun):
    tombola = finished_run.tombola
    done = subprocess.run(
        ["sh", "-c", f"{tombola.command} query 'SELECT * FROM epochs e, epochs f' --csv | head -n 1"],
        env=tombola.environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout.startswith("id,")
    assert done.stderr == ""


def test_a_namesake_that_hides_a_house_is_named(tombola: Tombola, tmp_path: Path):
    stray = tmp_path / "stray" / "engine"
    stray.mkdir(parents=True)
    (stray / "__init__.py").write_text("raise SystemExit('a stranger was imported')\n")
    code = "import sys; from tui.main import main; sys.exit(main(['runs']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=tombola.environment | {"PYTHONPATH": str(tmp_path / "stray")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert re.fullmatch(rf"tombola: tui lies in .*, but engine lies in {tmp_path / 'stray'}: install .*\n", done.stderr)
