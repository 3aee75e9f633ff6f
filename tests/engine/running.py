"""Runs of the real engine in a store of their own, as the tests of the engine make them."""

import json
import subprocess
import sys
from pathlib import Path

from presets.schema import Experiment
from store.connection import connect
from store.editing import create_run
from store.files import run_folder

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
        command = [sys.executable, "-P", "-m", "engine", "run", run, "--db", str(self.db), "--files", str(self.files)]
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def finish(self, run: str) -> None:
        engine = self.start(run)
        output, _ = engine.communicate(timeout=120)
        assert engine.returncode == 0, output
        assert output == ""

    def state(self, run: str) -> str:
        return self.conn.execute("SELECT state FROM runs WHERE id = ?", (run,)).fetchone()[0]

    def rows(self, sql: str, run: str) -> list[tuple]:
        return [tuple(row) for row in self.conn.execute(sql, {"run": run})]

    def science(self, run: str) -> dict[str, list[tuple]]:
        """Every figure of a run that may not depend on how often it was interrupted."""
        return {name: self.rows(sql, run) for name, sql in SCIENCE.items()}


def plan(spec: dict, *arguments: str) -> subprocess.CompletedProcess:
    """The engine's forecast of a spec."""
    command = [sys.executable, "-P", "-m", "engine", "plan", "-", "--json", *arguments]
    return subprocess.run(command, input=json.dumps(spec), capture_output=True, text=True)
