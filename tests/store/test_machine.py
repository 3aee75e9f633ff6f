"""Samples of the machine are read once, thinned where they are many, and a silent engine is an alert."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from store import viewing
from store.live import Live
from store.liveness import this_process
from store.reading import Reader
from store.report import answer, machine
from store.viewing import Sample
from store.writing import Writer


def attempt(writer: Writer, run: str, **values: object) -> int:
    row = {"run": run, "device": "GPU-1", "device_name": "Card (GPU-1)", "plan": {}, "started": "2026-01-01T00:00:00Z"}
    row |= {"versions": {"torch": "2.13", "tombola": "1", "processor": "fast"}, "heartbeat": "2026-01-01T00:00:09Z"}
    return writer.insert("attempts", {**this_process(), **row, **values})


def sample(writer: Writer, attempt: int, seconds: float, **values: object) -> None:
    at = {"attempt": attempt, "at": "2026-01-01T00:00:00Z", "seconds": seconds, "images": int(100 * seconds)}
    writer.insert("machine", at | values)


def seen(reader: Live, run: str) -> list[list[float]]:
    view = reader.view(run)
    assert view is not None
    return [[sample.seconds for sample in worked.samples] for worked in view.machine]


def test_only_new_samples_are_read_and_each_attempt_has_its_own(path: Path, writer: Writer, new_run) -> None:
    run, other = new_run(), new_run("other")
    reader = Live(path)
    assert seen(reader, run) == []
    first = attempt(writer, run)
    sample(writer, first, 1.0, energy=5.0, energy_from="power")
    sample(writer, attempt(writer, other), 7.0)
    before = reader.view(run)
    assert before is not None
    [worked] = before.machine
    assert (worked.device, worked.processor, worked.metered) == ("Card (GPU-1)", "fast", "power")
    assert worked.versions == (("tombola", "1"), ("torch", "2.13"))
    assert reader.view(run) == before
    sample(writer, first, 2.0)
    sample(writer, attempt(writer, run), 1.5)
    after = reader.view(run)
    assert after is not None
    assert after.machine[0].samples[0] is worked.samples[0]
    assert after.machine[0].metered == "power"
    assert seen(reader, run) == [[1.0, 2.0], [1.5]]
    columns = {row["name"] for row in Reader(path).rows("PRAGMA table_info(machine)")}
    assert set(Sample.__dataclass_fields__) < columns


def test_many_samples_are_thinned_evenly_and_the_newest_is_there(
    path: Path, writer: Writer, new_run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewing, "MOST_SAMPLES", 10)
    run = new_run()
    own = attempt(writer, run)
    with writer.transaction():
        for second in range(1, 96):
            sample(writer, own, float(second))
    reader = Live(path)
    [seconds] = seen(reader, run)
    assert len(seconds) <= 10
    assert seconds[-1] == 95.0
    assert {b - a for a, b in pairwise(seconds)} == {10.0}
    for second in range(96, 150):
        sample(writer, own, float(second))
        [seconds] = seen(reader, run)
        assert seconds[-1] == second
        assert len(seconds) <= 21
        assert seconds == sorted(seconds)


def test_a_suspended_engine_is_running_and_said_to_be_silent(path: Path, writer: Writer, new_run) -> None:
    run = new_run()
    attempt(writer, run)
    view = Live(path).view(run)
    assert view is not None
    assert view.run.state == "running"
    assert [(line.at, line.level) for line in view.alerts] == [("2026-01-01T00:00:09Z", "silent")]


def test_an_engine_that_fell_silent_is_an_alert_with_the_time_of_its_last_sign_of_life(
    path: Path, writer: Writer, new_run
) -> None:
    run = new_run()
    attempt(writer, run, host="elsewhere")
    writer.update("runs", {"id": run}, {"started": "2026-01-01T00:00:00Z"})
    view = Live(path).view(run)
    assert view is not None
    assert view.run.state == "lost"
    assert [(line.at, line.level) for line in view.alerts] == [("2026-01-01T00:00:09Z", "no heartbeat")]
    writer.update("runs", {"id": run}, {"state": "stopped"})
    view = Live(path).view(run)
    assert view is not None
    assert view.alerts == ()


def test_what_the_machine_gave_is_summed_over_attempts(path: Path, writer: Writer, new_run) -> None:
    run = new_run()
    reader = Reader(path)
    assert answer(reader, machine(run)) == []
    first, second = attempt(writer, run), attempt(writer, run)
    sample(writer, first, 10.0, energy=50.0)
    sample(writer, first, 20.0)  # the card did not answer in time
    sample(writer, second, 30.0)
    [row] = answer(reader, machine(run))
    assert row == {
        "device": "Card (GPU-1)", "host": this_process()["host"], "attempts": 2, "seconds": 50.0, "images": 5000,
        "images_per_second": 100.0, "energy": 50.0, "metered": 1,
    }  # fmt: skip
