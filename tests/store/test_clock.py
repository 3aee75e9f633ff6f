"""The time of a store that several machines share is the file server's, whatever their own clocks say."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from store import clock
from store.clock import present, stamped

SOON = timedelta(seconds=5)


@pytest.fixture
def shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every folder lies on a file server, as far as the mount table tells."""
    monkeypatch.setattr(clock, "shared_file_system", lambda store: "nfs4")


def test_a_file_is_stamped_by_who_keeps_it_and_leaves_nothing(tmp_path: Path) -> None:
    moment = stamped(tmp_path)
    assert moment is not None
    assert abs(moment - datetime.now(UTC)) < SOON
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("shared")
def test_an_answer_is_carried_on_for_a_while_and_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = datetime(2020, 1, 1, tzinfo=UTC)
    asked: list[Path] = []
    passed = [100.0]
    monkeypatch.setattr(clock, "stamped", lambda folder: asked.append(folder) or server)
    monkeypatch.setattr(clock, "_elapsed", lambda: passed[0])
    store = tmp_path / "t.db"
    assert present(store) == server
    passed[0] += 9
    assert present(store) == server + timedelta(seconds=9)
    assert asked == [tmp_path]
    passed[0] += 2
    assert present(store) == server
    assert asked == [tmp_path] * 2


@pytest.mark.usefixtures("shared")
def test_where_nothing_can_be_made_the_clock_of_this_machine_has_to_do(tmp_path: Path) -> None:
    assert stamped(tmp_path / "gone") is None
    assert abs(present(tmp_path / "gone" / "t.db") - datetime.now(UTC)) < SOON


def test_on_a_disk_of_this_machine_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock, "stamped", lambda folder: pytest.fail("asked a file server"))
    assert abs(present(tmp_path / "t.db") - datetime.now(UTC)) < SOON
    assert abs(present(None) - datetime.now(UTC)) < SOON
