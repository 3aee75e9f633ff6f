"""Keeping a store in order: what takes room, what frees it, whether everything is there, and no start without room."""

from __future__ import annotations

import json
import re
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from presets.loading import load
from store.connection import connect
from tests.program import TINY, Tombola
from tui.launch import LaunchError, start


def findings(tombola: Tombola, code: int) -> list[tuple[str, str]]:
    found = json.loads(tombola("doctor", "--check", "--json", code=code).stdout)
    return [(finding["state"], finding["words"]) for finding in found if finding["what"] == "check"]


def test_a_run_that_kept_everything_is_pruned_to_its_tickets_which_frees_what_the_list_shows(tombola: Tombola):
    one = tombola("run", "digits-demo", *TINY, "--set", "keep=all", "--seed", "0", "--name", "one").stdout.strip()
    before = json.loads(tombola("runs", "--size", "--json").stdout)[0]
    assert before["bytes"] == before["bytes_own"] == sum(f.stat().st_size for f in tombola.files.rglob("*.safetensors"))
    assert re.search(r"files +its own", tombola("runs", "--size").stdout)
    assert "its own" not in tombola("runs").stdout
    shown = tombola("show", one).stdout
    assert re.search(r"\d+ files of .*B deleted", tombola("prune", one, "--keep", "rounds").stderr)
    assert re.search(r"\d+ files of .*B deleted", tombola("prune", one, "--keep", "tickets").stderr)
    assert "nothing to free" in tombola("prune", one, "--keep", "tickets").stderr
    after = json.loads(tombola("runs", "--size", "--json").stdout)[0]
    assert 0 < after["bytes"] < before["bytes"]
    assert after["bytes"] == sum(file.stat().st_size for file in tombola.files.rglob("*.safetensors"))
    assert tombola("show", one).stdout == shown
    [mask] = list(tombola.files.rglob("*.safetensors"))[:1]
    mask.write_bytes(mask.read_bytes()[:-1])
    with closing(connect(tombola.db)) as conn:
        conn.execute("PRAGMA foreign_keys = OFF")
        conn.execute("INSERT INTO log (run, at, level, message) VALUES ('nobody', 'a', 'info', 'm')")
    found = findings(tombola, code=1)
    assert [state for state, _ in found] == ["wrong", "wrong", "wrong"]
    assert "refers to a row of runs that is not there" in found[0][1]
    assert "the store holds what this Tombola does not write: log.at is 'a'" in found[1][1]
    assert str(mask) in found[2][1]


def test_what_a_stopped_run_goes_on_from_is_counted_checked_kept_and_in_the_end_deleted(
    tombola: Tombola, long_run: str
):
    tombola("stop", long_run)
    tombola("wait", long_run, code=1)
    kept = sorted(tombola.files.rglob("live/*"))
    assert kept
    row = json.loads(tombola("runs", "--size", "--json").stdout)[0]
    assert row["bytes"] == row["bytes_own"] == sum(f.stat().st_size for f in tombola.files.rglob("*.safetensors"))
    assert [state for state, _ in findings(tombola, code=0)] == ["well", "well"]
    assert f"{len(kept)} file" in (said := tombola("prune", long_run, "--keep", "tickets").stderr)
    assert said.endswith(" that it goes on from stay\n")
    kept[0].write_bytes(kept[0].read_bytes()[:-1])
    [_, (state, words)] = findings(tombola, code=0)
    assert state == "unwell"
    assert words.startswith("checkpoint of ")
    assert f", of {long_run}, has " in words
    assert words.endswith(f": {kept[0]}; resume begins that training anew")
    tombola("delete", long_run, "--yes")
    assert [path for path in tombola.files.rglob("*") if path.is_file()] == []


def test_a_start_that_would_not_leave_half_as_much_again_is_refused_with_the_forecast(tmp_path: Path):
    free = shutil.disk_usage(tmp_path).free
    db = tmp_path / "t.db"
    with pytest.raises(LaunchError, match=r"needs about [\d.]+ [GT]B in .*, where [\d.]+ [GT]B are free; start with"):
        start(db, tmp_path / "files", load("digits-demo"), "digits-demo", "x", "cpu", {"disk_bytes": int(free / 1.4)})
    assert not db.exists()
