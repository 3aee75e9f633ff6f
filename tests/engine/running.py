"""Runs of the real engine in a store of their own, as the tests of the engine make them."""

import json
import multiprocessing
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from presets.schema import Experiment
from store.connection import connect
from store.editing import create_run
from store.files import run_folder

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["engine.__main__", "tests.engine.running"])
SECONDS = 120
ENGINE = "import sys; from engine.__main__ import main; sys.exit(main())"

SPEC = {
    "title": "test",
    "seeds": [0, 1],
    "afresh": True,  # runs of one store are compared, and none is to be a copy of another
    "network": {"name": "conv3", "width": 0.1},
    "recipe": {"epochs": 2, "batch": 64, "lr": 0.1},
    "searches": {
        "colt": {"method": "colt", "rounds": 2},
        "imp": {"method": "imp", "rate": {"conv": 0.2}, "rounds": 2},
        "matched": {"method": "imp", "rate": {"like": "colt"}},
    },
    "arms": {
        "dense": {},
        "ticket": {"ticket": "each"},
        "shuffled": {"ticket": "each", "mask": "shuffled", "at": [0.25, 0.9]},
    },
    "checks": {"mask": {"this": {"arm": "ticket"}, "that": {"arm": "shuffled"}, "at": 0.5}},
}

SCIENCE = {
    "rounds": "SELECT s.name, r.seed, r.round, r.step, r.prunable, r.remaining, r.weights_remaining, r.images,"
    " r.images_forward FROM rounds r JOIN searches s ON s.id = r.search WHERE s.run = :run ORDER BY 1, 2, 3",
    "tickets": "SELECT s.name, r.seed, r.round, t.mask, t.start, t.start_step FROM tickets t"
    " JOIN rounds r ON r.id = t.round JOIN searches s ON s.id = r.search WHERE s.run = :run ORDER BY 1, 2, 3",
    "layers": "SELECT s.name, r.seed, r.round, l.member, l.layer, l.kind, l.prunable, l.total, l.before, l.alive"
    " FROM layers l JOIN rounds r ON r.id = l.round JOIN searches s ON s.id = r.search WHERE s.run = :run"
    " ORDER BY 1, 2, 3, 4, 5",
    "overlaps": "SELECT s.name, r.seed, r.round, o.layer, o.sets, o.a, o.b, o.n, o.count_a, o.count_b, o.both,"
    " o.either, o.expected FROM overlaps o JOIN rounds r ON r.id = o.round JOIN searches s ON s.id = r.search"
    " WHERE s.run = :run ORDER BY 1, 2, 3, 4, 5, 6, 7",
    "trainings": "SELECT key, seed, state, classes, train_images, steps, epoch_used, images, images_forward,"
    " validation_correct, validation_loss, test_correct, test_loss FROM trainings WHERE run = :run ORDER BY 1",
    "epochs": "SELECT t.key, e.epoch, e.step, e.lr, e.train_loss, e.train_accuracy, e.validation_loss,"
    " e.validation_accuracy FROM epochs e JOIN trainings t ON t.id = e.training WHERE t.run = :run ORDER BY 1, 2",
    "traces": "SELECT t.key, c.kind, c.layer, c.step, c.value FROM traces c JOIN trainings t ON t.id = c.training"
    " WHERE t.run = :run ORDER BY 1, 2, 3, 4",
    "sets": "SELECT s.name, r.seed, r.round, x.size, x.training, x.pruning, x.both, t.samples FROM sets x"
    " JOIN rounds r ON r.id = x.round JOIN searches s ON s.id = r.search JOIN tickets t ON t.round = r.id"
    " WHERE s.run = :run ORDER BY 1, 2, 3",
    "members": "SELECT s.name, r.seed, r.round, m.member, m.segment, t.key FROM members m"
    " JOIN rounds r ON r.id = m.round JOIN searches s ON s.id = r.search JOIN trainings t ON t.id = m.training"
    " WHERE s.run = :run ORDER BY 1, 2, 3, 4",
    "evaluations": "SELECT a.name, s.name, e.seed, r.round, e.split, e.correct, e.count, e.loss, g.key"
    " FROM evaluations e JOIN arms a ON a.id = e.arm JOIN trainings g ON g.id = e.training"
    " LEFT JOIN tickets t ON t.id = e.ticket LEFT JOIN rounds r ON r.id = t.round"
    " LEFT JOIN searches s ON s.id = r.search WHERE a.run = :run ORDER BY 1, 2, 3, 4, 5",
    "checks": "SELECT name, search, part, figure, low, high, threshold, detectable, sampling, seeds, verdict, sentence"
    " FROM checks WHERE run = :run ORDER BY 1, 2, 3",
    "points": "SELECT c.name, c.search, c.part, p.series, p.seed, p.x, p.y"
    ' FROM points p JOIN checks c ON c.id = p."check" WHERE c.run = :run ORDER BY 1, 2, 3, 4, 5, 6',
    "measurements": "SELECT key, method, figures, images, images_forward FROM measurements WHERE run = :run ORDER BY 1",
    "alerts": "SELECT kind, message FROM alerts WHERE run = :run ORDER BY 1, 2",
}
"""Every figure of a run that may not depend on how often it was interrupted."""


class Bench:
    """A store of its own, and runs in it."""

    def __init__(self, folder: Path) -> None:
        self.db, self.files = folder / "t.db", folder / "files"
        self.conn = connect(self.db)

    def create(self, spec: dict | None = None, **changes) -> str:
        experiment = Experiment.model_validate((spec or SPEC) | changes)
        run = create_run(
            self.conn, name="test", preset="test", spec=experiment.model_dump(mode="json"), device="cpu",
            files=str(self.files), images_planned=0,
        )  # fmt: skip
        run_folder(self.files, run).mkdir(parents=True)
        return run

    def start(self, run: str) -> subprocess.Popen:
        """An engine as users' are started, which goes on by itself."""
        command = [sys.executable, "-P", "-m", "engine", *self.running(run)]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def running(self, run: str) -> tuple[str, ...]:
        """What the engine is told to train a run."""
        return "run", run, "--db", str(self.db), "--files", str(self.files)

    def finish(self, run: str, alone: bool = False) -> None:
        """Have it done; `alone`: by a Python of its own, of which a comparison that is to hold anywhere needs one."""
        done = (python_alone if alone else python)(ENGINE, *self.running(run))
        assert done.returncode == 0, done.stderr
        assert done.stdout + done.stderr == ""

    def state(self, run: str) -> str:
        return self.conn.execute("SELECT state FROM runs WHERE id = ?", (run,)).fetchone()[0]

    def rows(self, sql: str, run: str) -> list[tuple]:
        return [tuple(row) for row in self.conn.execute(sql, {"run": run})]

    def science(self, run: str) -> dict[str, list[tuple]]:
        """Every figure of a run that may not depend on how often it was interrupted."""
        return {name: self.rows(sql, run) for name, sql in SCIENCE.items()}


@contextmanager
def locked(bench: Bench, how: str = "IMMEDIATE") -> Iterator[None]:
    """Another program that holds the store for as long as it likes; EXCLUSIVE, without WAL, from readers as well."""
    with closing(sqlite3.connect(bench.db, isolation_level=None)) as other:
        other.execute(f"BEGIN {how}")
        yield
        other.execute("ROLLBACK")


def plan(spec: dict, *arguments: str) -> subprocess.CompletedProcess:
    """The engine's forecast of a spec."""
    return python(ENGINE, "plan", "-", "--json", *arguments, stdin=json.dumps(spec))


def python_alone(script: str, *arguments: str | Path) -> subprocess.CompletedProcess:
    """`python -c script`, to its end: no other process orders its sets of names alike."""
    command = [sys.executable, "-c", script, *map(str, arguments)]
    return subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SECONDS)


def python(script: str, *arguments: str | Path, stdin: str = "") -> subprocess.CompletedProcess:
    """As `python -c script`, in a process forked from one that has imported the engine and done nothing else.

    Python and torch take two seconds of a core to start, most engines of tests a part of one for all they do.
    """
    with TemporaryDirectory() as folder:
        given, out, err = (Path(folder) / name for name in ("stdin", "stdout", "stderr"))
        given.write_text(stdin)
        argv = ["-c", *map(str, arguments)]
        process = FORKS.Process(target=_fork, args=(script, argv, (given, out, err), Path.cwd(), dict(os.environ)))
        process.start()
        process.join(SECONDS)
        if process.exitcode is None:
            process.kill()
            raise subprocess.TimeoutExpired(argv, SECONDS, out.read_text(), err.read_text())
        return subprocess.CompletedProcess(argv, process.exitcode, out.read_text(), err.read_text())


def _fork(script: str, argv: list[str], streams: tuple[Path, ...], folder: Path, environment: dict[str, str]) -> None:
    """In the fork: run the script with these arguments, standard streams, working directory and environment."""
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate(streams):
        opened = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 the process ends with it
    sys.argv = argv
    exec(script, {"__name__": "__main__"})
