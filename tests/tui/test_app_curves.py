"""Curves in the app: keys that turn them, a cursor that reads them, a window that stays, and figures of the store."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest
from rich.text import Text

from store.live import Live
from store.viewing import Curve, Turn, View
from tests.program import FinishedRun
from tests.tui.test_app import change, drive, one, open_run, panel, shown, until
from tui.app.widgets.curves import CURVES, _epoch
from tui.app.widgets.panel import Scene
from tui.colours import COLOURS

EPOCHS = 12


@pytest.fixture(scope="module")
def trained(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of a real run in which the members of colt's last round have trained twelve epochs; to be read only."""
    copy = copied(finished_run.tombola.db, tmp_path_factory.mktemp("trained"))
    members = (
        "SELECT m.training FROM members AS m JOIN rounds AS r ON r.id = m.round JOIN searches AS s ON s.id = r.search"
        " WHERE s.name = 'colt' AND r.seed = 0 AND r.round = (SELECT max(round) FROM rounds WHERE search = s.id"
        " AND seed = 0)"
    )
    an_epoch = one(copy, f"SELECT max(step) FROM epochs WHERE training IN ({members})")
    change(
        copy,
        f"UPDATE trainings SET epochs = {EPOCHS}, steps = {EPOCHS * an_epoch}, images = {EPOCHS} * train_images"
        f" WHERE id IN ({members})",
    )
    for epoch in range(2, EPOCHS + 1):
        change(
            copy,
            "INSERT INTO epochs (training, epoch, step, lr, train_loss, train_accuracy, validation_loss,"
            " validation_accuracy, seconds) SELECT training, ?, ? * step, lr, train_loss / ?, 0.5, 2.0 / ?,"
            f" 0.5 + 0.04 * (training % 2) + 0.03 * ?, 0.5 FROM epochs WHERE epoch = 1 AND training IN ({members})",
            *(epoch, epoch, epoch, epoch, epoch),
        )
    return copy


def copied(db: Path, folder: Path) -> Path:
    copy = folder / "store.db"
    with sqlite3.connect(db) as source, sqlite3.connect(copy) as target:
        source.backup(target)
    return copy


def scene(db: Path, **looked: object) -> Scene:
    """What the panel shows of colt's last round."""
    live = Live(db)
    view = live.view(one(db, "SELECT id FROM runs"), before=True)
    live.close()
    assert view is not None
    return Scene(view, **looked)  # type: ignore[arg-type]


def drawn(scene: Scene, width: int = 100, height: int = 24) -> str:
    lines = CURVES.draw(scene, width, height)
    assert all(isinstance(line, Text) and line.cell_len <= width for line in lines)
    assert len(lines) <= height
    return "\n".join(line.plain for line in lines)


def turned(scene: Scene, name: str, by: int = 1) -> Scene | str:
    changes = CURVES.turns[name](scene, 100, 24, by)
    return changes if isinstance(changes, str) else Scene(scene.view, **{**looks(scene), **changes})


def looks(scene: Scene) -> dict[str, object]:
    return {name: getattr(scene, name) for name in ("measure", "axis", "log", "smooth", "rounds", "cursor", "window")}


def with_curves(scene: Scene, *curves: Curve) -> Scene:
    """The same scene with other curves."""
    turn = Turn("colt", 0, 1, len(curves), curves)
    values = {name: getattr(scene.view, name) for name in View.__dataclass_fields__}
    return Scene(View(**{**values, "turn": turn}), **looks(scene))  # type: ignore[arg-type]


def curve(member: int, *losses: float | None, seconds: float = 1.0) -> Curve:
    epochs = tuple(range(1, len(losses) + 1))
    accuracy = tuple(0.5 for _ in epochs)
    place = (tuple(10 * e for e in epochs), tuple(seconds * e for e in epochs), tuple(100 * e for e in epochs))
    return Curve(member, f"part {member}", len(losses), epochs, losses, accuracy, losses, accuracy, *place)


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_arrows_read_the_curves_of_a_panel_that_is_alone(trained, size):
    where = "t.id IN (SELECT training FROM members) AND e.epoch = 11 AND m.member = 0 AND e.training = t.id"
    sql = f"SELECT {{}} FROM epochs AS e, trainings AS t JOIN members AS m ON m.training = t.id WHERE {where}"
    accuracy = one(trained, sql.format("e.validation_accuracy"))
    step = one(trained, sql.format("e.step"))
    images = one(trained, sql.format("11 * t.train_images"))

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("2")
        await until(pilot, lambda: "its own classes" in panel(app, 2))
        assert "┊" not in panel(app, 2)
        await pilot.press("left", "h")
        assert f"epoch 11 of {EPOCHS} · step {step}" in panel(app, 2)
        assert f"{images:,}".replace(",", " ") in panel(app, 2)
        assert f"member 0, classes 0-4 {100 * accuracy:.1f} %" in panel(app, 2)
        assert "┊" in panel(app, 2)
        await pilot.press("home")
        assert f"epoch 1 of {EPOCHS}" in panel(app, 2)
        await pilot.press("l", "right", "end", "l")
        assert f"epoch {EPOCHS} of {EPOCHS}" in panel(app, 2)
        assert "cursor" in shown(app).split("\n")[-1], "the foot names the keys of the panel that is alone"
        await pilot.press("z")
        assert "┊" not in panel(app, 2)

    drive(trained, scenario, size)


def test_a_window_and_the_cursor_stay_when_an_epoch_comes_and_in_another_round(trained, tmp_path):
    trained = copied(trained, tmp_path)
    last = "epoch > 9"
    with sqlite3.connect(trained) as conn:
        kept = conn.execute(f"SELECT * FROM epochs WHERE {last}").fetchall()
    change(trained, f"DELETE FROM epochs WHERE {last}")

    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("2")
        await until(pilot, lambda: "its own classes" in panel(app, 2))
        await pilot.press("left", "plus")
        assert "4.5 to 10.5 of 12 epochs" in panel(app, 2)
        before = panel(app, 2)
        for row in kept:
            change(trained, f"INSERT INTO epochs VALUES ({', '.join('?' * len(row))})", *row)
        await until(pilot, lambda: panel(app, 2) != before)
        assert "4.5 to 10.5 of 12 epochs" in panel(app, 2)
        assert "epoch 9 of 12" in panel(app, 2)
        await pilot.press("H", "less_than_sign", "greater_than_sign")
        assert "3 to 9 of 12 epochs" in panel(app, 2)
        await pilot.press("left_parenthesis")
        await until(pilot, lambda: "epoch 9 of 1 has not come yet" in panel(app, 2))
        assert "this panel failed" not in panel(app, 2)
        await pilot.press("right_parenthesis")
        await until(pilot, lambda: "3 to 9 of 12 epochs" in panel(app, 2))

    drive(trained, scenario)


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_all_rounds_stand_in_a_row_with_their_own_epochs_under_the_cursor(trained, size):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("2")
        await until(pilot, lambda: "members · colt seed 0 round 2" in shown(app))
        await pilot.press("w")
        await until(pilot, lambda: "rounds 1 to 2" in shown(app))
        assert re.search(r"\n +1 +2 *\n", panel(app, 2)), "a tick a round"
        assert panel(app, 2).endswith(" round")
        await pilot.press("home")
        assert "round 1 · epoch 1 of 1 · step" in panel(app, 2)
        await pilot.press("right")
        assert f"round 2 · epoch 1 of {EPOCHS} · step" in panel(app, 2)
        await pilot.press("w")
        await until(pilot, lambda: "members · colt seed 0 round 2" in shown(app))
        assert "┊" not in panel(app, 2)
        await pilot.press("left_parenthesis")
        await until(pilot, lambda: "members · colt seed 0 round 1" in shown(app))
        await pilot.press("w")
        await until(pilot, lambda: "there is no round before this one" in shown(app))

    drive(trained, scenario, size)


def test_keys_that_cannot_act_say_why(trained):
    async def scenario(app, pilot):
        await open_run(app, pilot)
        await pilot.press("2")
        await until(pilot, lambda: "its own classes" in panel(app, 2))
        await pilot.press("greater_than_sign")
        await until(pilot, lambda: "all epochs are in sight" in shown(app))
        await pilot.press("3", "S")
        await until(pilot, lambda: "that key is for members: 2 shows it" in shown(app))

    drive(trained, scenario)


def test_axes_are_told_apart_by_their_words_and_ticks(trained):
    seen = scene(trained)
    steps = max(curve.step[-1] for curve in seen.view.turn.curves)
    words = []
    for _ in range(4):
        foot = drawn(seen).split("\n")
        words.append(foot[-1].split()[-1])
        seen = turned(seen, "axis")
    assert words == ["epoch", "step", "images", "seconds"]
    assert turned(seen, "axis", -1).axis == 3
    (ticks,) = [row for row in drawn(scene(trained, axis=1)).split("\n") if re.fullmatch(r" +[\d .]+", row)]
    assert 0 == int(ticks.split()[0]) < int(ticks.split()[-1]) <= steps


def test_measures_come_one_by_one_and_both_of_a_kind_together(trained):
    seen, heads = scene(trained), []
    for _ in range(6):
        heads.append(drawn(seen).split("\n")[0].strip())
        seen = turned(seen, "measure")
    assert heads[1] == "training accuracy over its own classes, %"
    assert heads[2:4] == ["validation loss", "training loss"]
    assert heads[4:] == ["accuracy over its own classes, %", "loss"]
    both = drawn(scene(trained, measure=5))
    assert all(f"member {member}, {of}" in both for member in (0, 1) for of in ("validation", "training"))
    many = with_curves(seen, *(curve(member, 1.0, 0.5) for member in range(len(COLOURS) // 2 + 1)))
    assert turned(Scene(many.view, measure=3), "measure").measure == 0, "not more lines than there are colours"


def test_a_log_axis_has_powers_of_ten_and_is_refused_where_a_value_is_zero(trained):
    seen = with_curves(scene(trained, measure=3), curve(0, 1.0, 0.1, 0.01, 0.001))
    seen = turned(seen, "log")
    text = drawn(seen)
    assert "training loss, log axis" in text
    rows = [row for row in text.split("\n") if re.match(r" *(1|0.1|0.01|0.001)┤", row)]
    assert len(rows) == 4
    straight = [row.index("●") for row in rows if "●" in row]
    assert straight == sorted(straight)
    assert turned(seen, "log").log is False
    perfect = with_curves(seen, curve(0, 1.0, 0.0))
    assert "no log axis: a value is 0" in drawn(perfect)
    refused = turned(Scene(perfect.view, measure=3), "log")
    assert refused == "a log axis has no place for 0, which training loss is somewhere"


def test_smoothing_draws_the_mean_over_dots_and_reads_both(trained):
    noisy = with_curves(scene(trained, measure=3), curve(0, *(1.0 + (e % 2) for e in range(40))))
    seen = turned(noisy, "smooth")
    text = drawn(seen)
    assert "training loss, smoothed 0.6" in text
    assert "part 0 2.000, smooth 1.6" in text
    assert "smooth" not in drawn(turned(turned(turned(seen, "smooth"), "smooth"), "smooth"))


def test_losses_that_are_not_finite_are_gaps_and_read_as_such(trained):
    seen = with_curves(scene(trained, measure=3, cursor=2), curve(0, 1.0, None, 0.5, None))
    assert "part 0 not finite" in drawn(seen)
    assert "part 0 not finite" in drawn(with_curves(scene(trained, measure=3), curve(0, 1.0, None)))


def test_time_that_was_not_measured_is_not_drawn(trained):
    taken = with_curves(scene(trained, axis=3, cursor=2), curve(0, 1.0, 0.5, 0.2, seconds=0.0))
    text = drawn(taken)
    assert "epoch; its time is not known: trained by another run" in text
    assert "epoch 2 of 3 · step 20 · 200 images\n" in text


@pytest.mark.parametrize("size", [(1, 1), (20, 6), (40, 12), (78, 17), (300, 76)])
def test_any_size_and_any_look_will_do(trained, size):
    for axis in range(4):
        for looked in ({}, {"cursor": 3, "window": (2.0, 7.0)}, {"log": True, "smooth": 1, "cursor": 99}):
            for before in (False, True):
                drawn(scene(trained, measure=axis + 2, axis=axis, rounds=before, **looked), *size)


def test_a_curve_of_very_many_epochs_is_drawn_of_few_points(trained, monkeypatch):
    sent = []
    monkeypatch.setattr("tui.app.widgets.curves.plot", lambda series, *_, **__: sent.extend(series) or [])
    long = curve(0, *(1.0 + (e % 7) / 10 for e in range(100_000)))
    drawn(with_curves(scene(trained, measure=3), long))
    (line,) = sent
    assert len(line.xs) <= 4 * 200 + 2
    assert (min(line.ys), max(line.ys)) == (1.0, 1.6)


def test_a_window_of_many_epochs_is_told_without_exponents():
    assert [_epoch(place) for place in (0.5, 12.25, 999.4, 999.5, 1234.5, 160_000)] == [
        *("0.5", "12.2", "999", "1000", "1234", "160000"),
    ]
