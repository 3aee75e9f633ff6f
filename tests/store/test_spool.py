"""What waits for the store survives what may happen to a file, in order, and nothing false is made of it."""

from __future__ import annotations

import errno
import os
import resource
import stat
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.spool import Spool

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(st.text(), PLAIN, max_size=3), max_size=5)


@given(RECORDS)
def test_records_come_back_as_they_were_in_their_order(records: list[dict]) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        for record in records:
            Spool(path).append(record)  # each time by another process, as it were
        assert list(Spool(path).records()) == records


@given(RECORDS, st.data())
def test_a_file_cut_off_anywhere_gives_the_records_before_the_cut_and_takes_more(records: list, data: st.DataObject):
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        spool, ends = Spool(path), [0]
        path.touch()
        for record in records:
            spool.append(record)
            ends.append(path.stat().st_size)
        cut = data.draw(st.integers(0, ends[-1]))
        path.write_bytes(path.read_bytes()[:cut])
        whole = records[: sum(end <= cut for end in ends[1:])]
        assert list(Spool(path).records()) == whole
        Spool(path).append({"next": 1})
        assert list(Spool(path).records()) == [*whole, {"next": 1}]


@given(RECORDS.filter(bool), st.data())
def test_a_changed_byte_ends_what_is_trusted(records: list, data: st.DataObject) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        spool, ends = Spool(path), [0]
        for record in records:
            spool.append(record)
            ends.append(path.stat().st_size)
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        content[place] ^= data.draw(st.integers(1, 255))
        path.write_bytes(content)
        found = list(Spool(path).records())
        assert found == records[: sum(end <= place for end in ends[1:])]


@given(st.binary(max_size=200))
def test_no_content_is_too_strange(content: bytes) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "spool"
        path.write_bytes(content)
        assert all(isinstance(record, dict) for record in Spool(path).records())


def test_it_is_private_and_gone_once_it_is_cleared(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append({"a": 1})
    assert stat.S_IMODE(spool.path.stat().st_mode) == 0o600
    spool.clear()
    spool.clear()
    assert not spool.path.exists()
    assert list(spool.records()) == []
    spool.append({"b": 1})
    assert list(spool.records()) == [{"b": 1}]


def test_a_record_that_did_not_reach_the_disk_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spool = Spool(tmp_path / "spool")
    spool.append({"a": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", no_quota)
        with pytest.raises(OSError, match="quota"):
            spool.append({"b": 1})
    assert list(spool.records()) == [{"a": 1}]
    spool.append({"c": 1})
    assert list(spool.records()) == [{"a": 1}, {"c": 1}]


def no_quota(_: int) -> None:
    raise OSError(errno.EDQUOT, "no quota left")


def test_a_disk_that_fills_up_in_the_middle_of_a_record_takes_nothing_from_those_before(tmp_path: Path) -> None:
    script = (
        "import resource, sys; from pathlib import Path; from store.spool import Spool\n"
        "spool = Spool(Path(sys.argv[1])); spool.append({'a': 1})\n"
        "hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))\n"
        "try: spool.append({'big': 'x' * 5000})\n"
        "except OSError as error: print(type(error).__name__)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard)); spool.append({'b': 2})"
    )
    if resource.getrlimit(resource.RLIMIT_FSIZE)[1] != resource.RLIM_INFINITY:
        pytest.skip("the sizes of files are limited here")
    path = tmp_path / "spool"
    done = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert (done.stdout, done.stderr) == ("OSError\n", "")
    assert list(Spool(path).records()) == [{"a": 1}, {"b": 2}]
