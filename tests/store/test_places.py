"""Where the store and its files lie, and what their names are."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from store.errors import StoreError
from store.files import object_path, run_folder, sha256_of
from store.places import db_path, files_path


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TOMBOLA_DB", "TOMBOLA_FILES"):
        monkeypatch.delenv(name, raising=False)


def test_the_store_lies_in_the_data_folder_of_the_person(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    place = db_path(None)
    assert place.is_relative_to(tmp_path)
    assert (place.parent.name, place.name) == ("tombola", "tombola.db")
    assert files_path(None, place) == place.parent / "tombola-files"


def test_what_is_given_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOMBOLA_DB", "/env/a.db")
    monkeypatch.setenv("TOMBOLA_FILES", "/env/files")
    assert db_path(None) == Path("/env/a.db")
    assert db_path("/given/b.db") == Path("/given/b.db")
    assert files_path(None, Path("/x/a.db")) == Path("/env/files")
    assert files_path("/given/files", Path("/x/a.db")) == Path("/given/files")


def test_places_are_absolute_and_know_the_home_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert db_path("a.db") == tmp_path / "a.db"
    assert db_path("~/a.db") == Path("/home/me/a.db")
    monkeypatch.setenv("TOMBOLA_DB", "")
    monkeypatch.setenv("XDG_DATA_HOME", "/data")
    assert db_path(None).name == "tombola.db"


def test_objects_are_named_by_their_content(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"weights" * 100_000)
    sha256 = sha256_of(file)
    assert sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    assert object_path(tmp_path, sha256) == tmp_path / "objects" / sha256[:2] / f"{sha256}.safetensors"


@pytest.mark.parametrize("name", ["", "..", "../x", "a/b", "/etc", "a b", ".", "A", "-rf", "x-", "x\n", "é"])
def test_no_name_leads_out_of_the_folder_of_files(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError):
        run_folder(tmp_path, name)
    with pytest.raises(StoreError):
        object_path(tmp_path, name)
