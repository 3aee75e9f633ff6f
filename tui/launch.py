"""Starting engines: forecasts, new runs, and runs that go on. Only here does this house touch the engine's process.

An engine gets a session of its own, so that a closed terminal does not end it, and its output goes to a file.
"""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store import editing
from store.connection import connect, transaction
from store.editing import create_run, never_began, set_state
from store.errors import StoreError
from store.files import engine_log
from store.liveness import newest_attempt, state_of
from store.reading import Reader
from tui.app.wording import size

if TYPE_CHECKING:
    from presets.schema import Data, Experiment

ENGINE = (sys.executable, "-P", "-m", "engine")
"""-P: a folder named engine or store in the working directory is not ours."""

TOLD = "> "
"""What a line begins with that an engine tells while it works; its last words begin without."""

BUSY = 4
"""Exit code of an engine that found no free card."""

CLEARING_SECONDS = 20.0  # an interrupted engine gets this long to remove what it had begun

SPARE = 1.5
"""A disk has room for a run if this times its forecast is free: a forecast may be short, and others write, too."""

RESUMABLE = ("paused", "stopped", "failed", "lost")

STOPPED = 3
"""Exit code of an engine that ended as it was asked to, which it has written down itself."""

_engines: dict[str, subprocess.Popen[bytes]] = {}
_before: dict[str, int] = {}
"""By run, id of its newest attempt when its engine was started here, or 0."""


class LaunchError(Exception):
    """One line: why an experiment cannot be forecast or started.

    `refused`: what was asked cannot be, ever. `busy`: others compute on every card now.
    """

    def __init__(self, words: str, refused: bool = False, busy: bool = False) -> None:
        super().__init__(words)
        self.refused, self.busy = refused, busy


def plan(
    experiment: Experiment,
    device: str = "auto",
    db: Path | None = None,
    hold: bool = False,
    wait: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """What the experiment will cost on a device (auto, cpu, cuda, cuda:1, a card's UUID): the engine's forecast.

    `db` is the store that tickets of other runs are looked for in. `hold`: the card stays reserved for the run that
    `start` is given the forecast for, at once. With `wait`, which is told for what, a free card is waited for.

    Raises:
        LaunchError: it cannot run here, or the engine does not start.
    """
    command = [*ENGINE, "plan", "-", "--json", "--device", device, *(["--db", str(db)] if db else [])]
    command += [*(["--hold"] if hold else []), *(["--wait"] if wait else [])]
    code, answer, words = _told(command, experiment.model_dump_json(), wait or (lambda told: None))
    if code == 0:
        return json.loads(answer)
    if code in (2, BUSY):
        raise LaunchError(words, refused=code == 2, busy=code == BUSY)
    raise LaunchError(f"the engine's forecast failed: {words}")


def prepare(data: Data, download: bool, output: Callable[[str], None]) -> dict[str, Any]:
    """Have a data set on this machine: drawn, decoded, or downloaded where that is allowed; `output` gets what is told.

    Ends when it is there, and gives what `data_set` would; an interrupt ends the engine, too, and leaves nothing half.

    Raises:
        LaunchError: it cannot be had; says what to do.
    """
    command = [*ENGINE, "prepare", "-", *(["--download"] if download else [])]
    code, answer, words = _told(command, data.model_dump_json(), output)
    if code:
        raise LaunchError(words if code == 2 else f"the engine ended early: {words}")
    return json.loads(answer)


def _told(command: list[str], given: str, output: Callable[[str], None]) -> tuple[int, str, str]:
    """Exit code, answer and last words of an engine, whose narration goes to `output`. An interrupt ends it, too."""
    try:
        engine = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # an interrupt at the terminal reaches it once, from here
        )
    except OSError as error:
        raise LaunchError(f"the engine does not start: {error.strerror}") from error
    assert engine.stdin is not None
    assert engine.stdout is not None
    assert engine.stderr is not None
    answers: list[str] = []
    reading = threading.Thread(target=lambda out: answers.append(out.read()), args=(engine.stdout,), daemon=True)
    reading.start()  # a long answer would fill its pipe while the narration is read
    words = "it left no words"
    try:
        with suppress(BrokenPipeError), engine.stdin:  # it ended early: its last words say why
            engine.stdin.write(given)
        for line in engine.stderr:
            if line.startswith(TOLD):
                output(line.removeprefix(TOLD).strip())
            elif line.strip():
                words = line.strip()
        reading.join()
        code = engine.wait()
    except BaseException:
        engine.send_signal(signal.SIGINT)
        try:
            engine.wait(CLEARING_SECONDS)
        finally:
            engine.kill()
        raise
    return code, answers[0], words


def cards() -> dict[str, Any]:
    """The NVIDIA cards of this machine, who computes on each, and what is wrong with it: takes seconds.

    Raises:
        LaunchError: the engine does not start.
    """
    return _asked("cards", "--json")


def data_sets() -> list[dict[str, Any]]:
    """Every data set that has a name: what is known of it, whether it is on this machine, and what is wrong with it.

    Raises:
        LaunchError: the engine does not start.
    """
    return _asked("data", "--json")


def data_set(data: Data) -> dict[str, Any]:
    """What is known of the data set that a preset asks for.

    Raises:
        LaunchError: nothing can be known of it; says why.
    """
    return _asked("data", "-", "--json", given=data.model_dump_json())


def samples(
    db: Path,
    files: Path | None,
    run: str,
    search: str | None = None,
    seed: int | None = None,
    number: int | None = None,
    count: int = 12,
) -> dict[str, Any]:
    """The hardest samples of a round's set with their images: the engine reads both, which takes seconds. Without
    `files` they are looked for where the run put them.

    Raises:
        LaunchError: there is no such set, or its images are not there; says why.
    """
    given = {"--files": files, "--search": search, "--seed": seed, "--round": number, "--count": count}
    options = [f"{name}={value}" for name, value in given.items() if value is not None]
    return _asked("samples", run, f"--db={db}", "--json", *options)


def _asked(*arguments: str, given: str = "") -> Any:
    """What the engine answers to a question, as JSON."""
    try:
        done = subprocess.run([*ENGINE, *arguments], input=given, capture_output=True, text=True)
    except OSError as error:
        raise LaunchError(f"the engine does not start: {error.strerror}") from error
    if done.returncode == 0:
        return json.loads(done.stdout)
    raise LaunchError(_last_line(done.stderr), refused=done.returncode == 2)


def start(
    db: Path, files: Path, experiment: Experiment, preset: str, name: str, device: str, plan: dict[str, Any]
) -> str:
    """Write a new run into the store and start its engine, on the card that `plan` kept; gives back the run's id.

    Raises:
        StoreError, LaunchError: nothing has been started; a run that was written reads failed.
    """
    needed, free = plan["disk_bytes"], _free(files)
    if free < SPARE * needed:
        raise LaunchError(
            f"the run needs about {size(needed)} in {files}, where {size(free)} are free; start with"
            f" {size(SPARE * needed)} free, since more may be needed, or keep fewer files (tombola prune frees some)"
        )
    conn = connect(db)
    try:
        run = create_run(
            conn,
            name=name,
            preset=preset,
            spec=experiment.model_dump(mode="json"),
            device=device,
            files=str(files),
            images_planned=plan["images"]["total"],
        )
    finally:
        conn.close()
    _spawn(db, files, run, plan.get("claim", ""))
    return run


def resume(db: Path, files: Path, run: str) -> None:
    """Start an engine for a run that was paused, stopped, failed or lost; it goes on where the last one ended.

    Its files are looked for where they were put; only if that folder is gone, in `files`.

    Raises:
        StoreError, LaunchError: it runs already, has finished, or does not start.
    """
    conn = connect(db)
    try:
        with transaction(conn):  # of two that resume at once, the second sees a running run
            row = conn.execute("SELECT * FROM runs WHERE id = ?", (run,)).fetchone()
            if row is None:
                raise StoreError(f"no run has the id {run!r}")
            attempt = newest_attempt(conn, run)
            state = state_of(dict(row), attempt, db)
            if state not in RESUMABLE:
                raise LaunchError(f"{run} is {state}: there is nothing to resume")
            set_state(conn, run, "running")
    finally:
        conn.close()
    _go_on(db, files, run, row["files"])


def ask(db: Path, files: Path, run: str, checks: Mapping[str, Any]) -> None:
    """Start an engine for a run that has ended, also one that has finished, to answer `checks` in place of its own.

    Raises:
        StoreError, LaunchError: it is running, or the engine does not start.
    """
    conn = connect(db)
    try:
        editing.ask(conn, run, checks)
        own = conn.execute("SELECT files FROM runs WHERE id = ?", (run,)).fetchone()["files"]
    finally:
        conn.close()
    _go_on(db, files, run, own)


def _go_on(db: Path, files: Path, run: str, own: str) -> None:
    """An engine for a run, with its `own` folder of files; with `files` if that is gone."""
    _spawn(db, Path(own) if Path(own).is_dir() else files, run)


def ours(run: str) -> bool:
    """Whether this process started an engine for `run`."""
    return run in _engines


def gone(run: str) -> bool:
    """Whether an engine that this process started for `run` has ended."""
    return run in _engines and _engines[run].poll() is not None


def _spawn(db: Path, files: Path, run: str, claim: str = "") -> None:
    log = engine_log(files, run)
    command = [*ENGINE, "run", run, "--db", str(db), "--files", str(files)]
    command += ["--claim", claim] if claim else []
    with Reader(db) as reader:
        [newest] = reader.rows("SELECT ifnull(max(id), 0) AS id FROM attempts WHERE run = ?", (run,))
    try:
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("ab") as output:
            _engines[run] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=log.parent,
                umask=0o077,
                start_new_session=True,
            )
            _before[run] = newest["id"]
    except OSError as error:
        words = f"the engine does not start: {error.strerror}: {error.filename}"
        conn = connect(db)
        try:
            set_state(conn, run, "failed", words)
        finally:
            conn.close()
        raise LaunchError(f"{run}: {words}") from error


def bury(db: Path, files: Path, run: str) -> None:
    """Write down that an engine of ours ended before it took up its run, so that nobody waits for it."""
    if _engines[run].returncode == STOPPED:
        return
    conn = connect(db)
    try:
        words = f"the engine ended early: {_last_line_of(engine_log(files, run))}"
        never_began(conn, run, words, _before[run])
    finally:
        conn.close()


def _free(folder: Path) -> int:
    """Bytes free where a folder is or will be."""
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _last_line_of(path: Path) -> str:
    try:
        return _last_line(path.read_text(errors="replace")[-4000:])
    except OSError:
        return "it left no words"


def _last_line(text: str) -> str:
    lines = text.strip().splitlines()
    return lines[-1].strip() if lines else "it left no words"
