"""The panel of the machine, on a run that a real engine did, and the line and file that say the same."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from store.live import Live
from store.viewing import Sample
from tests.program import FinishedRun
from tests.tui.test_app import change, drive, one, open_run, panel, running, shown, store, until
from tui.app.screens.run import KINDS
from tui.app.widgets import machine
from tui.app.widgets.panel import Scene
from tui.app.wording import count, energy, size

__all__ = ["running", "store"]

CARD = (
    "INSERT INTO machine (attempt, at, seconds, images, cpu, memory, card_use, card_memory, card_memory_used,"
    " card_memory_total, power, temperature, energy, energy_from, free_store, free_files) SELECT id, '2026', ?, ?,"
    " 1.25, 2300000000, 0.93, 6000000000, 7000000000, 80000000000, 412.0, 61, ?, 'counter', 5e10, 3e11 FROM attempts"
)


@pytest.fixture
def carded(store: Path) -> Path:
    """As a card would have told it, in two attempts."""
    change(store, "DELETE FROM machine")
    for step in range(1, 20):
        change(store, CARD, 10.0 * step, 20_000 * step, 4000.0 * step)
    named = "host, boot_id, pid, pid_started, device, versions, plan, started, heartbeat"
    change(
        store, f"INSERT INTO attempts (run, {named}, device_name) SELECT run, {named}, 'Card X (GPU-1)' FROM attempts"
    )
    newest = one(store, "SELECT max(id) FROM attempts")
    for step in range(1, 3):
        change(store, f"{CARD} WHERE id = {newest}", 10.0 * step, 30_000 * step, 5000.0 * step)
    return store


def sample(seconds: float, images: int) -> Sample:
    return Sample(seconds, images, *[None] * 11)


@given(st.lists(st.tuples(st.floats(0.5, 30.0), st.integers(0, 10**6)), min_size=1, max_size=50))
def test_rates_account_for_every_image_up_to_the_last_moment_that_has_one(steps):
    samples, at, images = [], 0.0, 0
    for seconds, more in steps:
        at, images = at + seconds, images + more
        samples.append(sample(at, images))
    found = machine.rates(samples)
    starts = [0.0, *(end for end, _ in found)]
    counted = sum(rate * (end - start) for start, (end, rate) in zip(starts, found, strict=False))
    known = max((one.images for one in samples if found and one.seconds <= found[-1][0]), default=0)
    assert counted == pytest.approx(known)
    assert all(rate > 0 for _, rate in found)


def test_rates_of_a_steady_training_are_its_speed_however_its_epochs_are_counted():
    assert machine.rates([sample(10.0, 0), sample(20.0, 4000), sample(30.0, 4000), sample(40.0, 8000)]) == [
        (20.0, 200.0),
        (40.0, 200.0),
    ]


def test_energy_is_said_in_the_unit_that_fits():
    assert [energy(joules) for joules in (900.0, 84_600.0, 7.2e6, 9e9)] == ["0.25 Wh", "23.5 Wh", "2 kWh", "2.5 MWh"]


@given(st.floats(1.0, 9e14))
@example(999.7e6)
@example(2e12)
def test_no_figure_with_a_unit_is_written_with_an_exponent(number):
    units = {"B": 1, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
    units |= {"Wh": 3.6e3, "kWh": 3.6e6, "MWh": 3.6e9} | {"": 1, "M": 1e6, "G": 1e9, "T": 1e12}
    for told in (size(number), count(number), energy(min(number, 3e12))):
        figure, unit = re.fullmatch(r"(\d[\d .]*?) ?([A-Za-z]*)", told).groups()
        true = min(number, 3e12) if unit.endswith("h") else number
        assert float(figure.replace(" ", "")) * units[unit] == pytest.approx(true, rel=5.1e-3, abs=0.51)


def test_a_real_run_shows_what_its_engine_sampled(store):
    [mean] = [one(store, "SELECT max(1.0 * images) / max(seconds) FROM machine")]

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("0")
        await until(pilot, lambda: "speed" in panel(app, 0))
        assert re.search(r"speed +" + re.escape(f"{mean:,.0f}".replace(",", " ")) + " images/s, mean", panel(app, 0))
        assert re.search(r"memory +\d+ MB", panel(app, 0))
        assert re.search(r"disk +[\d.]+ [GMT]B free", panel(app, 0))
        assert "cpu of" in panel(app, 0)
        assert "torch" in panel(app, 0)
        assert not re.search("card|power|energy", panel(app, 0)), "what is not known has no place"
        assert "0 machine" in shown(app)
        await pilot.press("tab")
        assert panel(app, 1).strip(), "the first panel comes after the last"

    drive(store, scenario)


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
def test_what_a_card_tells_is_drawn_with_its_newest_figures(carded, size):
    tickets = one(carded, "SELECT count(*) FROM tickets")

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("0")
        await until(pilot, lambda: "card busy" in panel(app, 0))
        text = panel(app, 0)
        assert "2 attempts, the last on Card X (GPU-1) of" in text
        assert f"energy  {energy(86_000)}, {energy(86_000 / tickets)} a ticket" in text
        assert re.search(r"power +412 W", text)
        assert re.search(r"card busy +93 %", text)
        if size[0] == 80:
            assert "PgUp, PgDn: card memory, temperature, processor, memory, disk, store's disk" in text
            await pilot.press("pagedown")
        text = panel(app, 0)
        assert "6 GB of 80 GB" in text
        assert "61 °C" in text
        await pilot.press("pagedown", "pagedown", "pagedown")
        assert re.search(r"store's disk +50 GB free", panel(app, 0))
        assert all(len(line) <= size[0] for line in panel(app, 0).splitlines())

    drive(carded, scenario, size)


def test_attempts_are_told_apart_by_a_gap_and_energy_goes_on_where_the_last_one_ended(carded):
    view = Live(carded).view(one(carded, "SELECT id FROM runs"))
    spent = next(figure for figure in machine.figures(view) if figure.name == "energy")
    gaps = [at for at, value in spent.points if math.isnan(value)]
    assert gaps == [0.0, 190.0]
    assert spent.points[-1] == (210.0, pytest.approx(86_000 / 3600))
    assert spent.points[-3:-1] == ((190.0, pytest.approx(math.nan, nan_ok=True)), (200.0, pytest.approx(81_000 / 3600)))


def test_the_panel_is_drawn_again_for_a_new_sample_and_for_nothing_else(running):
    live = Live(running)
    run = one(running, "SELECT id FROM runs")
    part = KINDS[0].part
    before = part(Scene(live.view(run)))
    change(running, "INSERT INTO log (run, at, level, message) SELECT id, '2026', 'info', 'hello' FROM runs")
    change(running, "UPDATE attempts SET images_done = images_done + 1")
    assert part(Scene(live.view(run))) == before
    change(running, CARD, 1000.0, 10**6, 1.0)
    assert part(Scene(live.view(run))) != before


def test_a_run_of_an_earlier_version_does_not_list_the_panel_but_says_why(store):
    change(store, "DELETE FROM machine")

    async def scenario(app, pilot):
        await open_run(app, pilot)
        assert "0 machine" not in shown(app)
        await pilot.press("0")
        await until(pilot, lambda: "nothing is known of the machine yet" in panel(app, 0))
        await pilot.press("pagedown")

    drive(store, scenario)


def test_commands_say_where_a_run_worked_how_long_and_how_fast(finished_run: FinishedRun, tmp_path: Path):
    text = finished_run.tombola("show", finished_run.id).stdout
    assert re.search(r"^cpu of \S+ · \d+s · [\d ]+ images/s$", text, re.MULTILINE)
    finished_run.tombola("export", finished_run.id, str(tmp_path / "out"))
    rows = list(csv.DictReader((tmp_path / "out" / "machine.csv").open()))
    assert len(rows) >= 2
    assert {row["device_name"] for row in rows} == {"cpu"}
    assert all(float(row["seconds"]) > 0 and row["power"] == "" for row in rows)
