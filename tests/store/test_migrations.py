"""A store of an earlier version keeps its rows when it is brought up to date."""

from pathlib import Path

import pytest

from store import connection
from store.connection import connect
from store.migrations import STEPS

RUN = (
    "INSERT INTO runs (id, name, preset, title, spec, state, keep, files, created, started)"
    " VALUES ('r', 'r', 'p', 't', '{}', 'finished', 'tickets', '/f', '2026-01-01', '2026-01-01')"
)
CHECK = (
    "INSERT INTO checks (id, run, name, search, method, question, figure, low, high, threshold, seeds, verdict,"
    " sentence, query, created)"
    " VALUES (7, 'r', 'mask', 'imp', 'contrast', 'q', 1.0, 0.5, 1.5, 0.0, 3, 'clear', 's', 'SELECT 1', 'c')"
)


def test_answers_and_arms_of_the_second_version_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "old.db"
    monkeypatch.setattr(connection, "STEPS", STEPS[:2])
    old = connect(path)
    old.execute(RUN)
    old.execute(CHECK)
    arms = {
        "dense": '{"ticket": null, "start": "ticket", "mask": "found"}',
        "ticket": '{"ticket": "each", "start": "ticket", "mask": "found"}',
        "both": '{"ticket": "each", "start": "reinit", "mask": "shuffled"}',
    }
    old.executemany("INSERT INTO arms (run, name, settings) VALUES ('r', ?, ?)", arms.items())
    old.close()
    monkeypatch.undo()
    new = connect(path)
    [check] = new.execute("SELECT id, name, part, figure, unit, verdict, detectable, x FROM checks").fetchall()
    assert tuple(check) == (7, "mask", "", 1.0, "points", "clear", None, "")
    changes = dict(tuple(row) for row in new.execute("SELECT name, changes FROM arms"))
    assert changes == {"dense": "", "ticket": "", "both": "start mask"}
    new.execute(
        "INSERT INTO points (\"check\", series, seed, x, y) VALUES (7, 'a', 0, 1.0, 2.0), (7, 'a', 1, 1.0, 4.0)"
    )
    [curve] = new.execute("SELECT series, x, seeds, y, half_width FROM check_curves").fetchall()
    assert tuple(curve) == ("a", 1.0, 2, 3.0, 12.706204736175)
    new.execute("DELETE FROM runs")
    assert new.execute("SELECT count(*) FROM points").fetchone()[0] == 0
    new.close()


def test_an_arms_changes_are_told_from_its_settings(tmp_path: Path):
    from presets.schema import Arm

    conn = connect(tmp_path / "t.db")
    conn.execute(RUN)
    for number, settings in enumerate(
        [
            {},
            {"recipe": {"lr": 0.1}},
            {"start": "trained", "begin": 0},
            {"network": "small"},
            {"weights": "shuffled", "mask": "erk", "recipe": {"epochs": 3}},
        ]
    ):
        arm = Arm(ticket="each", **settings)
        conn.execute("INSERT INTO arms (run, name, settings) VALUES ('r', ?, ?)", (str(number), arm.model_dump_json()))
        [row] = conn.execute("SELECT changes FROM arms WHERE name = ?", (str(number),)).fetchall()
        assert row["changes"] == " ".join(arm.changes)
    conn.close()
