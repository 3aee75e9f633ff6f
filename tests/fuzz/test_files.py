"""Files of tensors that are not what they were: found by their hash, or, where a hand made that fit, in words."""

from __future__ import annotations

import hashlib
import json
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.files import engine_log, object_path
from store.reading import Reader
from tests.fuzz.material import CONTROLS, EVIL, examples, run
from tests.program import FinishedRun, Tombola


@pytest.fixture(scope="module")
def own(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    shutil.copytree(finished_run.tombola.db.parent, folder / "store")
    return folder


def mask_of(folder: Path) -> tuple[str, Path]:
    """Hash and file of the mask of the first ticket."""
    conn = sqlite3.connect(folder / "store" / "test.db")
    (sha256,) = conn.execute("SELECT mask FROM tickets ORDER BY id").fetchone()
    conn.close()
    return sha256, object_path(folder / "store" / "test-files", sha256)


def exported(folder: Path) -> tuple[int, str]:
    """Exit code and words of an export of all tickets; one that fails leaves nothing."""
    place = ("--db", str(folder / "store" / "test.db"), "--files", str(folder / "store" / "test-files"))
    code, _, words = run("export", "tiny", str(folder / "out"), *place)
    assert (folder / "out").exists() == (code == 0)
    shutil.rmtree(folder / "out", ignore_errors=True)
    assert {path.name for path in folder.iterdir()} == {"store"}
    return code, words


@examples(12)
@given(st.data())
def test_a_ticket_whose_file_was_changed_is_found_by_its_hash(own: Path, data: st.DataObject):
    _, path = mask_of(own)
    whole = path.read_bytes()
    place = data.draw(st.integers(0, len(whole) - 1))
    flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
    changed = data.draw(st.sampled_from([whole[:place], flipped, whole + b"x", b""]))
    try:
        path.write_bytes(changed)
        code, words = exported(own)
    finally:
        path.write_bytes(whole)
    assert code == 1
    assert f"{path} is damaged" in words


@examples(15)
@given(st.data())
def test_a_file_of_the_right_hash_that_holds_no_mask_is_refused_in_one_line(own: Path, data: st.DataObject):
    sha256, path = mask_of(own)
    whole = path.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header, rest = whole[8 : 8 + size], whole[8 + size :]
    place = data.draw(st.integers(0, size - 1))
    content = data.draw(
        st.sampled_from(
            [
                b"",
                b"\xff" * 8 + whole[8:],
                whole[:8] + b"[" * size + rest,
                whole[:8] + header.replace(b"packed_shapes", b"packed_shape5") + rest,
                whole[:8] + header.replace(b"3, 3]", b"3,99]") + rest,
                whole[:8] + header.replace(b"3, 3]", b"3,-3]") + rest,
                whole[:8] + header.replace(b'"U8"', b'"F8"') + rest,
                whole[:8] + header[:place] + b"\0" + header[place + 1 :] + rest,
                whole[:-1],
            ]
        )
    )
    forged = hashlib.sha256(content).hexdigest()
    other = object_path(own / "store" / "test-files", forged)
    other.parent.mkdir(exist_ok=True)
    other.write_bytes(content)
    conn = sqlite3.connect(own / "store" / "test.db", isolation_level=None)
    try:
        conn.execute("UPDATE tickets SET mask = ? WHERE mask = ?", (forged, sha256))
        code, words = exported(own)
    finally:
        conn.execute("UPDATE tickets SET mask = ? WHERE mask = ?", (sha256, forged))
        conn.close()
        if forged != sha256:
            other.unlink()
    assert code == 1
    assert "holds no mask" in words


def test_a_whole_ticket_is_exported(own: Path):
    assert exported(own)[0] == 0


@examples(15)
@given(st.binary(max_size=200) | st.sampled_from([EVIL.encode(), b"\xff\x9b31m", b"\x00\n" * 50, b"x" * 100_000]))
def test_whatever_an_engine_printed_does_not_act_on_the_terminal(own: Path, printed: bytes):
    with Reader(own / "store" / "test.db") as reader:
        log = engine_log(own / "store" / "test-files", reader.resolve("tiny"))
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_bytes(printed)
    place = ("--db", str(own / "store" / "test.db"), "--files", str(own / "store" / "test-files"))
    assert run("log", "tiny", *place)[0] == 0
    log.unlink()


@pytest.mark.parametrize("spec", ["[" * 900 + "]" * 900, json.dumps({"title": EVIL})], ids=["deep", "evil"])
def test_a_run_whose_experiment_is_none_is_resumed_to_one_line_of_refusal(
    finished_run: FinishedRun, tombola: Tombola, spec: str
):
    shutil.copytree(finished_run.tombola.db.parent, tombola.db.parent)
    conn = sqlite3.connect(tombola.db, isolation_level=None)
    conn.execute("UPDATE runs SET spec = ?, state = 'failed', files = ?", (spec, str(tombola.files)))
    conn.close()
    tombola("resume", "tiny")
    done = tombola("wait", "tiny", code=1)
    assert "Traceback" not in done.stdout + done.stderr
    assert not CONTROLS.search(done.stdout + done.stderr)
    with tombola.reader() as reader:
        (row,) = reader.runs()
    assert row["state"] == "failed"
    assert row["message"]
    assert "\n" not in row["message"]
    printed = engine_log(tombola.files, row["id"]).read_text()
    assert "Traceback" not in printed
    assert len(printed.splitlines()) == 1
