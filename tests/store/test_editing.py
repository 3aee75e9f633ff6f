"""What commands do to a run: create, name, annotate, ask, delete."""

from __future__ import annotations

import json
import re
import secrets
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from store import editing
from store.errors import StoreError
from store.files import object_path, run_folder
from store.liveness import this_process
from store.reading import Reader
from store.writing import Writer

NewRun = Callable[..., str]
within_a_test = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=80, deadline=None)

HOSTILE = [
    "x'; DROP TABLE runs; --",
    "\x1b[2J\x1b[31mred",
    "../../etc/passwd",
    "a\nb\tc",
    "\u202egnp.exe",
    "%_*?",
    "null\x00byte",
    "\udcff not text",
    "Größe Ä é ß",
    "試験",
    "-rf",
    "🎟️ ticket",
]


def attempt(writer: Writer, run: str, **values: object) -> None:
    row = {"run": run, "device": "cpu", "versions": {}, "plan": {}, "started": "2999-01-01T00:00:00.000Z"}
    writer.insert("attempts", {**row, "heartbeat": "2999-01-01T00:00:00.000Z", **this_process(), **values})


def file_of(writer: Writer, root: Path, content: str, *runs: str) -> Path:
    """A file that these runs use."""
    sha256 = f"{int(content, 36):064x}"
    path = object_path(root, sha256)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    writer.put("files", {"sha256": sha256, "path": "p", "bytes": 1, "created": "x"}, ("sha256",))
    writer.insert_all("file_uses", [{"sha256": sha256, "run": run, "role": "mask"} for run in runs])
    return path


def test_a_new_run_holds_its_whole_experiment(writer: Writer, new_run: NewRun) -> None:
    run = new_run("My run", paper="a paper", expect="much", keep="all", seeds=[3])
    row = dict(writer.one("SELECT * FROM runs"))
    assert re.fullmatch(f"my-run-[{editing.ID_LETTERS}]{{4}}", run)
    assert json.loads(row["spec"])["seeds"] == [3]
    found = [row[name] for name in ("id", "name", "title", "paper", "expect", "keep", "state", "images_planned")]
    assert found == [run, "My run", "a title", "a paper", "much", "all", "running", 100]


@given(st.one_of(st.text(), st.sampled_from(HOSTILE)))
@within_a_test
def test_any_name_gives_an_id_that_a_hand_can_type_or_is_refused(writer: Writer, new_run: NewRun, name: str) -> None:
    try:
        run = new_run(name)
    except StoreError:
        assert not 0 < len(name.strip()) <= 100 or not name.isprintable()
        return
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", run)
    assert len(run) <= 29
    stored = writer.one("SELECT name FROM runs WHERE id = ?", (run,))["name"]
    assert 0 < len(stored) <= 100
    assert not [c for c in stored if unicodedata.category(c)[0] == "C"]
    assert run_folder(Path("/files"), run).parent == Path("/files/runs")


@pytest.mark.parametrize("name", ["", "   ", "\x1b", "x" * 101])
def test_a_name_of_nothing_or_of_too_much_is_refused(writer: Writer, new_run: NewRun, name: str) -> None:
    with pytest.raises(StoreError, match="name"):
        new_run(name)
    assert writer.rows("SELECT * FROM runs") == []


def test_ids_never_collide(writer: Writer, new_run: NewRun, monkeypatch: pytest.MonkeyPatch) -> None:
    letters = iter("bbbbbbbbbbbc")
    monkeypatch.setattr(secrets, "choice", lambda _: next(letters))
    assert [new_run("x"), new_run("x")] == ["x-bbbb", "x-bbbc"]


def test_renaming_and_noting_keep_the_id(writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    editing.rename(writer.conn, run, "  better \n name ")
    editing.note(writer.conn, run, "first\x07 line\nsecond\n\n")
    assert tuple(writer.one("SELECT id, name, note FROM runs")) == (run, "better name", "first  line\nsecond")
    editing.note(writer.conn, run, "")
    assert writer.one("SELECT note FROM runs")["note"] == ""


def test_states_say_when_a_run_ended_or_was_sent_for(writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    created = writer.one("SELECT started FROM runs")["started"]
    editing.set_state(writer.conn, run, "failed", "out of memory")
    state, message, started, ended = writer.one("SELECT state, message, started, ended FROM runs")
    assert (state, message, started) == ("failed", "out of memory", created)
    assert ended >= started
    writer.update("runs", {"id": run}, {"started": "2020-01-01T00:00:00.000Z"})
    editing.set_state(writer.conn, run, "running")
    state, message, started, ended = writer.one("SELECT state, message, started, ended FROM runs")
    assert (state, message, ended) == ("running", "", None)
    assert started >= created
    editing.set_state(writer.conn, run, "paused")
    assert writer.one("SELECT ended FROM runs")["ended"] is None


def test_who_sends_for_an_engine_ends_what_was_begun_and_asked_before(writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    attempt(writer, run, pid=2**22 + 1, doing="round 2")
    editing.request(writer.conn, run, "stop")
    with Reader(writer.path) as reader:
        assert reader.run(run)["state"] == "lost"
        editing.set_state(writer.conn, run, "running")
        assert reader.run(run)["state"] == "running", "it waits for its next attempt"
    ended, outcome, doing = writer.one("SELECT ended, outcome, doing FROM attempts")
    assert (ended, outcome, doing) == ("2999-01-01T00:00:00.000Z", "lost", "")
    assert editing.take_requests(writer.conn, run) == [], "what was asked of the one that is gone"
    editing.request(writer.conn, run, "pause")
    editing.request(writer.conn, run, "stop")
    assert editing.take_requests(writer.conn, run) == ["pause", "stop"]
    assert editing.take_requests(writer.conn, run) == []


def test_an_engine_on_its_way_shows_itself_until_one_has_taken_up_the_run(writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    writer.update("runs", {"id": run}, {"started": "2020-01-01T00:00:00.000Z"})
    with Reader(writer.path) as reader:
        assert reader.run(run)["state"] == "lost"
        assert editing.still_coming(writer.conn, run, 0)
        assert reader.run(run)["state"] == "running"
    attempt(writer, run)
    assert not editing.still_coming(writer.conn, run, 0)
    editing.set_state(writer.conn, run, "running")
    newest = writer.one("SELECT max(id) AS id FROM attempts")["id"]
    assert editing.still_coming(writer.conn, run, newest)
    editing.set_state(writer.conn, run, "stopped")
    assert not editing.still_coming(writer.conn, run, newest)


def test_requests_wait_in_the_store_until_an_engine_takes_them(writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    editing.request(writer.conn, run, "pause")
    editing.request(writer.conn, run, "stop")
    assert [tuple(row) for row in writer.rows("SELECT run, action, taken FROM requests ORDER BY id")] == [
        (run, "pause", None),
        (run, "stop", None),
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_is_asked_of_a_run_that_is_not_there_is_one_clear_line(writer: Writer, tmp_path: Path, name: str) -> None:
    for change in (
        lambda: editing.rename(writer.conn, name, "x"),
        lambda: editing.note(writer.conn, name, "x"),
        lambda: editing.set_state(writer.conn, name, "paused"),
        lambda: editing.request(writer.conn, name, "stop"),
        lambda: editing.delete_run(writer.conn, name, tmp_path),
    ):
        with pytest.raises(StoreError) as error:
            change()
        assert str(error.value).isprintable()


# Deleting


def test_deleting_a_run_takes_its_rows_its_folder_and_its_own_files(
    writer: Writer, new_run: NewRun, tmp_path: Path
) -> None:
    mine, theirs = new_run("mine"), new_run("theirs")
    own = file_of(writer, tmp_path, "own", mine)
    shared = file_of(writer, tmp_path, "shared", mine, theirs)
    foreign = file_of(writer, tmp_path, "foreign", theirs)
    for run in (mine, theirs):
        folder = aside(writer, tmp_path, run).parents[1]
        for name in ("engine.log", "spool.1.jsonl", "live/.aside.9.safetensors.7"):
            (folder / name).touch()
        editing.set_state(writer.conn, run, "finished")
        search = writer.insert("searches", {"run": run, "name": "imp", "method": "imp", "settings": {}})
        row = {"search": search, "seed": 0, "round": 1, "step": "done", "prunable": 1, "remaining": 1, "weights": 1}
        writer.insert("rounds", {**row, "weights_remaining": 1, "started": "x"})
        writer.insert("log", {"run": run, "at": "x", "level": "info", "message": "m"})
    editing.delete_run(writer.conn, mine, tmp_path)
    assert [file.exists() for file in (own, shared, foreign)] == [False, True, True]
    assert [run_folder(tmp_path, run).exists() for run in (mine, theirs)] == [False, True]
    counts = {t: len(writer.rows(f"SELECT * FROM {t}")) for t in ("runs", "rounds", "log", "files", "checkpoints")}
    assert counts == {"runs": 1, "rounds": 1, "log": 1, "files": 2, "checkpoints": 1}
    assert {row["run"] for row in writer.rows("SELECT run FROM file_uses")} == {theirs}
    editing.delete_run(writer.conn, theirs, tmp_path)
    assert not shared.exists()
    assert not foreign.exists()
    assert writer.rows("SELECT * FROM files") == []


def test_a_run_whose_engine_lives_is_not_deleted(writer: Writer, new_run: NewRun, tmp_path: Path) -> None:
    run = new_run()
    attempt(writer, run)
    with pytest.raises(StoreError, match="is running: stop it first"):
        editing.delete_run(writer.conn, run, tmp_path)
    assert len(writer.rows("SELECT * FROM runs")) == 1


def test_a_run_whose_engine_is_gone_can_be_deleted(writer: Writer, new_run: NewRun, tmp_path: Path) -> None:
    run = new_run()
    attempt(writer, run, pid=2**22 + 1)
    editing.delete_run(writer.conn, run, tmp_path)
    assert writer.rows("SELECT * FROM runs") == []


def test_files_that_are_gone_already_do_not_keep_a_run(writer: Writer, new_run: NewRun, tmp_path: Path) -> None:
    run = new_run()
    editing.set_state(writer.conn, run, "stopped")
    file_of(writer, tmp_path, "own", run).unlink()
    editing.delete_run(writer.conn, run, tmp_path)
    assert writer.rows("SELECT * FROM runs") == []


@given(st.sets(st.tuples(st.sampled_from("abcde"), st.integers(0, 2))), st.permutations([0, 1, 2]))
@example({("a", 0), ("a", 1), ("b", 2)}, [1, 0, 2])
@within_a_test
def test_after_any_deletions_exactly_the_files_in_use_remain(
    writer: Writer, new_run: NewRun, tmp_path: Path, uses: set[tuple[str, int]], order: list[int]
) -> None:
    runs = [new_run() for _ in range(3)]
    files = {
        name: file_of(writer, tmp_path, name, *(runs[i] for n, i in uses if n == name)) for name in {n for n, _ in uses}
    }
    left = set(range(3))
    for number in order:
        editing.set_state(writer.conn, runs[number], "finished")
        editing.delete_run(writer.conn, runs[number], tmp_path)
        left.remove(number)
        assert {name for name, file in files.items() if file.exists()} == {name for name, i in uses if i in left}
    with Reader(writer.path) as reader:
        assert reader.rows("SELECT * FROM files") == []


# Asking


def answered(writer: Writer, run: str, name: str) -> None:
    row = {"run": run, "name": name, "search": "imp", "method": "contrast", "question": "?", "seeds": 3}
    check = writer.insert("checks", {**row, "verdict": "clear", "sentence": "yes", "created": "x"})
    writer.insert("points", {"check": check, "series": "", "seed": 0, "x": 0.0, "y": 1.0})


@pytest.mark.parametrize("state", ["finished", "paused", "stopped", "failed"])
def test_a_run_that_has_ended_is_given_checks_and_sent_for(writer: Writer, new_run: NewRun, state: str) -> None:
    kept, changed = {"method": "contrast", "at": 0.5}, {"method": "contrast", "at": 0.9}
    run = new_run(checks={"kept": kept, "changed": changed}, keep="all")
    before = json.loads(writer.one("SELECT spec FROM runs")["spec"])
    for name in ("kept", "changed"):
        answered(writer, run, name)
    editing.set_state(writer.conn, run, state, "for a reason")
    checks = {"kept": kept, "changed": {**changed, "at": 0.8}, "new": {"method": "stability"}}
    editing.ask(writer.conn, run, checks)
    row = writer.one("SELECT spec, state, message, ended FROM runs")
    assert json.loads(row["spec"]) == {**before, "checks": checks}
    assert tuple(row)[1:] == ("running", "", None)
    assert [row["name"] for row in writer.rows("SELECT name FROM checks")] == ["kept"], "that of another question goes"
    assert len(writer.rows("SELECT * FROM points")) == 1


def test_a_run_whose_engine_lives_or_is_on_its_way_is_asked_nothing(writer: Writer, new_run: NewRun) -> None:
    run = new_run(checks={})
    for begin in (lambda: None, lambda: attempt(writer, run)):
        begin()
        with pytest.raises(StoreError, match="is running: wait until it has ended, or pause it first"):
            editing.ask(writer.conn, run, {"new": {"method": "stability"}})
    assert json.loads(writer.one("SELECT spec FROM runs")["spec"])["checks"] == {}
    with pytest.raises(StoreError, match="no run has the id"):
        editing.ask(writer.conn, "other", {})


def test_a_run_whose_engine_is_gone_can_be_asked(writer: Writer, new_run: NewRun) -> None:
    run = new_run()
    attempt(writer, run, pid=2**22 + 1)
    editing.ask(writer.conn, run, {"new": {"method": "stability"}})
    assert list(json.loads(writer.one("SELECT spec FROM runs")["spec"])["checks"]) == ["new"]


# Room on the disk


def trained(writer: Writer, root: Path, run: str, content: str, member: bool) -> Path:
    """A file of trained weights that a run has kept; `member`: of a training that is a round's member."""
    about = {"run": run, "key": content, "seed": 0, "about": {}, "state": "done", "classes": 10, "train_images": 1}
    training = writer.insert("trainings", about | {"epochs": 1, "steps": 1})
    if member:
        search = writer.put("searches", {"run": run, "name": "s", "method": "imp", "settings": {}}, ("run", "name"))
        row = {"search": search, "seed": 0, "round": 1, "step": "done", "prunable": 1, "remaining": 1, "weights": 1}
        number = writer.put("rounds", row | {"weights_remaining": 1, "started": "x"}, ("search", "seed", "round"))
        writer.insert("members", {"round": number, "member": 0, "training": training, "segment": "all"})
    path = file_of(writer, root, content)
    writer.update("files", {"sha256": path.stem}, {"bytes": 10})
    writer.insert("file_uses", {"sha256": path.stem, "run": run, "role": "trained", "training": training})
    return path


def aside(writer: Writer, root: Path, run: str) -> Path:
    """A file of 7 bytes that a run has set aside to go on from, with its row."""
    about = {"run": run, "key": "aside", "seed": 0, "about": {}, "state": "running", "classes": 10, "train_images": 1}
    training = writer.insert("trainings", about | {"epochs": 1, "steps": 1})
    path = run_folder(root, run) / "live" / "aside.9.safetensors"
    path.parent.mkdir(parents=True)
    path.write_text("content")
    row = {"training": training, "path": "live/aside.9.safetensors", "step": 9, "bytes": 7, "written": "x"}
    writer.insert("checkpoints", row | {"sha256": f"{7:064x}"})
    return path


@pytest.mark.parametrize(("keep", "stays"), [("rounds", [True, False, True]), ("tickets", [False, False, True])])
def test_pruning_lets_go_of_trained_weights_that_are_not_to_be_kept_and_of_nothing_else(
    writer: Writer, new_run: NewRun, tmp_path: Path, keep: str, stays: list[bool]
) -> None:
    run, other = new_run(keep="all"), new_run()
    editing.set_state(writer.conn, run, "finished")
    paths = [trained(writer, tmp_path, run, "1", member=True), trained(writer, tmp_path, run, "2", member=False)]
    paths.append(trained(writer, tmp_path, run, "3", member=False))
    writer.insert("file_uses", {"sha256": paths[2].stem, "run": other, "role": "trained"})
    mask = file_of(writer, tmp_path, "4", run)
    left = aside(writer, tmp_path, run)
    (left.parent / "of a killed engine").write_text("x")
    number, freed = editing.prune_run(writer.conn, run, keep, tmp_path)
    assert [path.exists() for path in paths] == stays
    assert (number, freed) == (stays.count(False) + 2, 10 * stays.count(False) + 8)
    assert mask.exists()
    assert not left.parent.exists()
    assert writer.rows("SELECT * FROM checkpoints") == []
    assert writer.one("SELECT keep FROM runs WHERE id = ?", (run,))["keep"] == keep
    named = {row["sha256"] for row in writer.rows("SELECT sha256 FROM files")}
    assert named == {path.stem for path in (*paths, mask) if path.exists()}
    assert writer.rows("PRAGMA foreign_key_check") == []
    assert editing.prune_run(writer.conn, run, keep, tmp_path) == (0, 0)


def test_a_run_that_may_go_on_keeps_its_checkpoints_when_it_is_pruned(
    writer: Writer, new_run: NewRun, tmp_path: Path
) -> None:
    for state in ("paused", "stopped", "failed"):
        run = new_run()
        trained(writer, tmp_path, run, "1", member=True)
        editing.set_state(writer.conn, run, state)
        left = aside(writer, tmp_path, run)
        assert editing.prune_run(writer.conn, run, "tickets", tmp_path) == (1, 10)
        assert left.exists()
        with Reader(writer.path) as reader:
            assert reader.aside()[run] == (1, 7)


def test_what_a_run_that_was_sent_for_meanwhile_sets_aside_is_not_pruned(
    writer: Writer, new_run: NewRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = new_run(checks={})
    editing.set_state(writer.conn, run, "finished")
    unlink, written = editing._unlink, []

    def meanwhile(*given: Any) -> None:
        unlink(*given)
        editing.ask(writer.conn, run, {})
        written.append(aside(writer, tmp_path, run))

    monkeypatch.setattr(editing, "_unlink", meanwhile)
    assert editing.prune_run(writer.conn, run, "tickets", tmp_path) == (0, 0)
    assert [path.exists() for path in written] == [True]


def test_a_run_whose_engine_lives_is_not_pruned(writer: Writer, new_run: NewRun, tmp_path: Path) -> None:
    run = new_run()
    attempt(writer, run)
    path = trained(writer, tmp_path, run, "1", member=False)
    with pytest.raises(StoreError, match="is running: stop it first"):
        editing.prune_run(writer.conn, run, "tickets", tmp_path)
    assert path.exists()


def test_sizes_tell_what_a_run_uses_and_what_of_it_no_other_does(
    writer: Writer, new_run: NewRun, tmp_path: Path, path: Path
) -> None:
    one, other, third = new_run(), new_run(), new_run()
    for content, size, users in (("1", 100, (one, one)), ("2", 30, (one, other)), ("3", 7, (other,))):
        file = file_of(writer, tmp_path, content)
        writer.update("files", {"sha256": file.stem}, {"bytes": size})
        for number, run in enumerate(users):
            writer.insert("file_uses", {"sha256": file.stem, "run": run, "role": ("mask", "start")[number]})
    aside(writer, tmp_path, one)
    aside(writer, tmp_path, third)
    with Reader(path) as reader:
        assert reader.sizes() == {one: (137, 107), other: (37, 7), third: (7, 7)}
