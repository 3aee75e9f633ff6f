"""Snapshots for the app: what they hold, and that only what is new is read."""

from __future__ import annotations

from pathlib import Path

import pytest

from store import editing, report
from store.answers import Point
from store.comparing import Comparison
from store.live import Live, Published, Round, forecast
from store.viewing import Chosen, Focus, Trace, View
from store.writing import Writer


def ended(*sparsities: float) -> list[Round]:
    return [Round(i + 1, "done", s, s) for i, s in enumerate(sparsities)]


@pytest.mark.parametrize(
    ("settings", "sparsities", "rounds"),
    [
        ({"rate": {"conv": 0.2}, "until": 0.9}, (), 11),
        ({"rate": 0.2, "until": 0.95}, (), 14),
        ({"rate": {"conv": 0.15}, "until": 0.9, "segments": 2}, (), 8),  # as independent members overlap
        ({"rate": {"conv": 0.15}, "until": 0.9, "segments": 2}, (0.15,), 15),  # as members that agree do
        ({"rate": {"conv": 0.15}, "until": 0.9, "segments": 2}, (0.3, 0.51), 7),
        ({"rate": {"conv": 0.2, "linear": 0.1}, "until": 0.9}, (), None),
        ({"rate": {"conv": 0.2, "linear": 0.1}, "until": 0.9}, (0.2,), 11),
        ({"rate": 0.2, "rounds": 5}, (0.2,), 5),
        ({"rate": 0.2, "rounds": 5, "until": 0.95}, (0.2,), 5),
        ({"rate": 0.2, "until": 0.3}, (0.2, 0.36), 2),
        ({"rate": 0.2, "until": 0.3}, (0.2, 0.2), None),  # it does not prune any more
        ({"method": "snip", "sparsity": [0.5, 0.9]}, (0.5,), 2),
        ({"method": "transfer", "run": "demo-bcdf"}, (), None),  # as many as that run has
        ({"method": "transfer", "run": "demo-bcdf"}, (0.2, 0.36), None),
        ({"method": "transfer", "run": "demo-bcdf", "round": 12}, (), 1),
    ],
)
def test_rounds_are_forecast_from_the_last_loss_or_the_rate(settings, sparsities, rounds):
    assert forecast(settings, ended(*sparsities)) == rounds


@pytest.fixture
def colt(writer: Writer, new_run) -> str:
    """A run of one search that trains its first round."""
    run = new_run(searches={"colt": {"method": "colt", "rate": {"conv": 0.15}, "segments": 2, "until": 0.9}}, arms={})
    search = writer.insert("searches", {"run": run, "name": "colt", "method": "colt", "settings": "{}"})
    row = {"search": search, "seed": 0, "round": 1, "step": "train", "started": "2026-01-01T00:00:00.000Z"}
    counts = {"prunable": 100, "remaining": 100, "weights": 120, "weights_remaining": 120}
    round_id = writer.insert("rounds", row | counts)
    for member in (0, 1):
        training = {"run": run, "key": f"k{member}", "seed": 0, "about": "{}", "state": "running"}
        sizes = {"classes": 5, "train_images": 10, "epochs": 4, "steps": 8}
        key = writer.insert("trainings", training | sizes)
        writer.insert("members", {"round": round_id, "member": member, "training": key, "segment": f"part {member}"})
    return run


def epoch(writer: Writer, training: int, number: int, accuracy: float) -> None:
    figures = {"train_loss": 1.0, "train_accuracy": 0.5, "validation_loss": 1.0, "validation_accuracy": accuracy}
    row = {"training": training, "epoch": number, "step": number, "lr": 0.1, "seconds": 0.1}
    writer.put("epochs", row | figures, ("training", "epoch"))


def curves(live: Live, run: str) -> list[tuple[float, ...]]:
    view = live.view(run)
    assert view is not None
    assert view.turn is not None
    return [curve.validation_accuracy for curve in view.turn.curves]


def test_epochs_are_read_once_and_again_after_a_training_began_anew(path: Path, writer: Writer, colt: str):
    live = Live(path)
    assert curves(live, colt) == [(), ()]
    epoch(writer, 1, 1, 0.5)
    epoch(writer, 1, 2, 0.6)
    assert curves(live, colt) == [(0.5, 0.6), ()]
    epoch(writer, 1, 3, 0.7)
    epoch(writer, 2, 1, 0.1)
    assert curves(live, colt) == [(0.5, 0.6, 0.7), (0.1,)]
    writer.delete("epochs", {"training": 1})
    epoch(writer, 1, 1, 0.9)
    assert curves(live, colt) == [(0.9,), (0.1,)]


def test_curves_tell_steps_images_and_time_from_where_a_training_began(path: Path, writer: Writer, colt: str):
    writer.update("trainings", {"id": 2}, {"train_images": 1197, "epochs": 8, "steps": 8 * 19 - 27})
    rest = {"lr": 0.1, "train_loss": None, "train_accuracy": 0.5, "validation_loss": None, "validation_accuracy": None}
    for number in (2, 3, 4):  # rewound to step 27, in the second epoch of 19 steps
        row = {"training": 2, "epoch": number, "step": 19 * number, "seconds": 0.5 * number}
        writer.put("epochs", row | rest, ("training", "epoch"))
    view = Live(path).view(colt)
    assert view is not None
    assert view.turn is not None
    waiting, rewound = view.turn.curves
    assert (waiting.epoch, waiting.step, waiting.images, waiting.seconds) == ((), (), (), ())
    assert (rewound.epoch, rewound.step, rewound.begun) == ((2, 3, 4), (38, 57, 76), 27)
    assert rewound.images == (11 * 1197 // 19, 30 * 1197 // 19, 49 * 1197 // 19)
    assert rewound.seconds == (1.0, 2.5, 4.5)
    assert rewound.train_loss == (None, None, None)


def test_a_training_that_was_rewound_and_ended_early_still_tells_where_it_began(path: Path, writer: Writer, colt: str):
    ended = {"train_images": 1197, "epochs": 8, "start_step": 27, "steps": 2 * 19 - 27}
    writer.update("trainings", {"id": 2}, ended)
    rest = {"lr": 0.1, "train_loss": 1.0, "train_accuracy": 0.5, "validation_loss": None, "validation_accuracy": None}
    row = {"training": 2, "epoch": 2, "step": 38, "seconds": 0.5}
    writer.put("epochs", row | rest, ("training", "epoch"))
    view = Live(path).view(colt)
    assert view is not None
    assert view.turn is not None
    assert (view.turn.curves[1].begun, view.turn.curves[1].images) == (27, (11 * 1197 // 19,))


def test_curves_of_the_weights_to_rewind_to_end_at_their_step(path: Path, writer: Writer, colt: str):
    point = {"about": '{"what": "point"}', "train_images": 1197, "epochs": 30, "steps": 40, "images": 2522}
    writer.update("trainings", {"id": 1}, point)
    writer.update("trainings", {"id": 2}, point | {"steps": 7, "images": 448})
    rest = {"lr": 0.1, "train_loss": 1.0, "train_accuracy": 0.5, "validation_loss": None, "validation_accuracy": None}
    for training, number, step in ((1, 1, 19), (1, 2, 38), (1, 3, 40), (2, 1, 7)):
        row = {"training": training, "epoch": number, "step": step, "seconds": 0.5}
        writer.put("epochs", row | rest, ("training", "epoch"))
    view = Live(path).view(colt)
    assert view is not None
    assert view.turn is not None
    within_an_epoch, less_than_one = view.turn.curves
    assert (within_an_epoch.epochs, within_an_epoch.begun) == (3, 0)
    assert within_an_epoch.images == (1197, 2394, 40 * 1197 // 19)
    assert (less_than_one.epochs, less_than_one.begun, less_than_one.images) == (1, 0, (448,))


@pytest.mark.parametrize("look", ["view", "preview", "runs", "comparison"])
def test_a_run_that_is_deleted_while_it_is_looked_at_is_seen_whole_and_then_gone(
    path: Path, writer: Writer, colt: str, look: str, monkeypatch
):
    epoch(writer, 1, 1, 0.5)
    editing.set_state(writer.conn, colt, "stopped")
    looks = {
        "view": lambda live: live.view(colt),
        "preview": lambda live: live.preview(colt),
        "runs": lambda live: live.runs(),
        "comparison": lambda live: live.comparison((colt,)),
    }
    live, whole = Live(path), looks[look](Live(path))
    rows, asked = live._reader.rows, []

    def slow(sql, params=()):
        if asked == [1]:
            editing.delete_run(writer.conn, colt, path.parent)
        asked.append(1)
        return rows(sql, params)

    monkeypatch.setattr(live._reader, "rows", slow)
    assert looks[look](live) == whole
    assert len(asked) > 1
    assert looks[look](live) == {"view": None, "preview": None, "runs": (), "comparison": Comparison((), (), ())}[look]


def test_a_round_tells_the_epochs_that_its_trainings_came_to(path: Path, writer: Writer, colt: str):
    def told() -> int:
        view = Live(path).view(colt)
        assert view is not None
        assert view.turn is not None
        return view.turn.rounds[0].epochs

    for number in (1, 2, 3):
        epoch(writer, 1, number, 0.5)
    epoch(writer, 2, 1, 0.5)
    assert told() == 4, "what its recipe has"
    writer.update("trainings", {"id": 1}, {"state": "done"})
    assert told() == 4, "one member may still come to that"
    writer.update("trainings", {"id": 2}, {"state": "done"})
    assert told() == 3, "both were stopped early"


def test_a_snapshot_of_an_unchanged_store_equals_the_last_one(path: Path, writer: Writer, colt: str):
    live = Live(path)
    assert live.changed()
    before, listed = live.view(colt), live.runs()
    assert not live.changed()
    assert (live.view(colt), live.runs()) == (before, listed)
    writer.insert("log", {"run": colt, "at": "2026-01-01T00:00:00.000Z", "level": "info", "message": "hello"})
    assert live.changed()
    after = live.view(colt)
    assert after is not None
    assert after != before
    assert [line.message for line in after.log] == ["hello"]


def test_the_newest_round_is_shown_when_it_has_an_epoch_and_any_other_on_request(path: Path, writer: Writer, colt: str):
    epoch(writer, 1, 1, 0.5)
    writer.update("rounds", {"round": 1}, {"step": "done", "remaining": 70})
    row = {"search": 1, "seed": 0, "round": 2, "step": "train", "started": "2026-01-01T00:00:01.000Z"}
    counts = {"prunable": 100, "remaining": 70, "weights": 120, "weights_remaining": 90}
    writer.insert("rounds", row | counts)
    live = Live(path)

    def shown(focus: Focus | None = None) -> int:
        view = live.view(colt, focus)
        assert view is not None
        assert view.turn is not None
        return view.turn.round

    assert shown() == 1, "round 2 waits for a worker"
    assert shown(Focus("colt", 0, 2)) == 2
    assert shown(Focus("colt", 0, 9)) == 1, "a round that is not there"
    for asked, rounds in ((False, []), (True, [1])):
        seen = live.view(colt, Focus("colt", 0, 2), before=asked)
        assert seen is not None
        assert seen.turn is not None
        assert [number for number, _ in seen.turn.before] == rounds
    view = live.view(colt)
    assert view is not None
    assert [lane.state for lane in view.lanes] == ["turning", "waiting"]
    assert view.lanes[0].planned == 7, "at 30 % a round"


def test_tickets_of_another_run_are_a_lane_without_a_target_or_members(path: Path, writer: Writer, new_run):
    settings = {"method": "transfer", "run": "other-bcdf", "search": None, "round": None}
    run = new_run(searches={"given": settings}, seeds=[0])
    search = writer.insert("searches", {"run": run, "name": "given", "method": "transfer", "settings": settings})
    live = Live(path)
    row = {"search": search, "seed": 0, "started": "2026-01-01T00:00:00.000Z", "prunable": 100, "weights": 120}
    row |= {"remaining": 80, "weights_remaining": 100, "images": 600}
    states = []
    for number, step in ((3, "train"), (3, "done"), (4, "done")):
        writer.put("rounds", {**row, "round": number, "step": step}, ("search", "seed", "round"))
        view = live.view(run)
        assert view is not None
        assert view.turn is not None
        assert (view.turn.round, view.turn.members, view.turn.curves) == (number, 0, ())
        (lane,) = view.lanes
        assert (lane.method, lane.planned, lane.target) == ("transfer", None, None)
        states.append((lane.state, [r.round for r in lane.done]))
    assert states == [("turning", []), ("done", [3]), ("done", [3, 4])]


def test_samples_that_rounds_chose_are_seen_with_what_they_are_made_of(path: Path, writer: Writer, new_run):
    searches = {"prac": {"method": "prac", "rate": 0.2}, "drawn": {"method": "prac", "sizes": {"like": "prac"}}}
    run = new_run(searches=searches, seeds=[0])
    live = Live(path)
    seen = live.view(run)
    assert seen is not None
    assert (seen.chosen, seen.samples) == ((), 0)
    sizes = {"classes": 10, "train_images": 50, "epochs": 1, "steps": 1}
    writer.insert("trainings", {"run": run, "key": "k", "seed": 0, "about": {}, "state": "done", **sizes})
    for name, parts in (("prac", {"training": 3, "pruning": 2, "both": 0}), ("drawn", {})):
        search = writer.insert("searches", {"run": run, "name": name, "method": "prac", "settings": {}})
        row = {"search": search, "seed": 0, "round": 1, "step": "done", "started": "x", "prunable": 10, "images": 70}
        round_id = writer.insert("rounds", {**row, "remaining": 8, "weights": 12, "weights_remaining": 10})
        writer.insert("sets", {"round": round_id, "size": 5, **parts})
    seen = live.view(run)
    assert seen is not None
    assert seen.chosen == (
        Chosen("prac", 0, 1, 5, 3, 2, 0, drawn=False),
        Chosen("drawn", 0, 1, 5, None, None, None, drawn=True),
    )
    assert seen.samples == 50
    assert [one.images for lane in seen.lanes for one in lane.rounds] == [70, 70]


def test_traces_are_read_only_when_there_are_others(
    path: Path, writer: Writer, colt: str, monkeypatch: pytest.MonkeyPatch
):
    writer.execute("UPDATE runs SET spec = json_set(spec, '$.searches.colt.stop', json(?))", ('{"epsilon": 0.05}',))
    live = Live(path)
    asked: list[str] = []
    rows = live._reader.rows
    monkeypatch.setattr(live._reader, "rows", lambda sql, params=(): asked.append(sql) or rows(sql, params))

    def traces() -> tuple[Trace, ...]:
        view = live.view(colt)
        assert view is not None
        assert view.turn is not None
        assert view.turn.epsilon == 0.05
        return view.turn.traces

    def read() -> int:
        return sum("FROM traces WHERE training = ? ORDER BY" in sql for sql in asked)

    assert traces() == ()
    row = {"training": 2, "kind": "mask distance", "layer": ""}
    writer.insert_all("traces", [row | {"step": 1, "value": 0.5}, row | {"step": 2, "value": float("nan")}])
    assert traces() == (Trace("mask distance", "", 1, (1, 2), (0.5, None)),)
    times = read()
    assert traces() == traces()
    assert read() == times == 1
    writer.delete("traces", {"training": 2})
    assert traces() == (), "its training began anew"


def test_traces_of_arms_stand_beside_those_of_the_round_whose_ticket_they_train(path: Path, writer: Writer, colt: str):
    writer.execute("UPDATE runs SET spec = json_set(spec, '$.flow', 1)")
    row = {"mask": "m", "start": "s", "start_step": 0, "created": "x"}
    ticket = writer.insert("tickets", {"round": 1, **row})

    def trained(name: str, seed: int, ticket: int | None) -> None:
        arm = writer.put("arms", {"run": colt, "name": name, "settings": {}}, ("run", "name"))
        about = {"run": colt, "key": f"{name} {seed}", "seed": seed, "about": {}, "state": "done"}
        sizes = {"classes": 10, "train_images": 10, "epochs": 1, "steps": 1}
        training = writer.insert("trainings", about | sizes)
        scored = {"arm": arm, "ticket": ticket, "seed": seed, "training": training, "count": 10, "correct": 5}
        writer.insert_all("evaluations", [scored | {"split": one, "created": "x"} for one in ("validation", "test")])
        trace = {"training": training, "step": 0, "kind": "gradient flow", "layer": "", "value": 0.5}
        writer.insert("traces", trace)

    trained("dense", 0, None)
    trained("ticket", 0, ticket)
    trained("dense", 1, None)
    other = {"search": 1, "seed": 1, "round": 1, "step": "done", "started": "x", "prunable": 100, "remaining": 80}
    late = writer.insert("rounds", other | {"weights": 120, "weights_remaining": 100})
    trained("ticket", 1, writer.insert("tickets", {"round": late, **row}))
    writer.insert("traces", {"training": 1, "step": 0, "kind": "gradient flow", "layer": "", "value": 0.25})
    live = Live(path)
    view = live.view(colt, Focus("colt", 0))
    assert view is not None
    assert view.turn is not None
    assert view.turn.traces == (
        Trace("gradient flow", "", 0, (0,), (0.25,)),
        Trace("gradient flow", "", 0, (0,), (0.5,), "dense"),
        Trace("gradient flow", "", 0, (0,), (0.5,), "ticket"),
    )


def test_published_figures_stand_beside_those_measured(path: Path, new_run):
    table = {"label": "random", "source": "Su et al. 2020", "sparsity": [0.9, 0.95], "accuracy": [0.94, 0.93]}
    run, older = new_run(published={"su": table}), new_run()  # a spec from before there were any
    live = Live(path)
    for seen in (live.preview(run), live.view(run)):
        assert seen is not None
        assert seen.published == (Published("random", "Su et al. 2020", (0.9, 0.95), (0.94, 0.93)),)
        assert seen.figures == ()
        assert seen.run.accuracy is None
    preview = live.preview(older)
    assert preview is not None
    assert preview.published == ()


def test_answers_are_shown_with_their_curves_as_soon_as_they_are_there_or_change(
    path: Path, writer: Writer, new_run, monkeypatch: pytest.MonkeyPatch
):
    run = new_run(checks={"q": {"question": "is it?"}})
    read: list[str] = []
    query = report.curves
    monkeypatch.setattr("store.live.curves", lambda run: read.append(run) or query(run))
    live = Live(path)

    def shown() -> View:
        view = live.view(run)
        assert view is not None
        return view

    assert (shown().checks, shown().asked) == ((), (("q", "is it?"),))
    row = {"run": run, "name": "q", "search": "", "method": "m", "question": "is it?", "seeds": 1, "created": "x"}
    check = writer.insert("checks", {**row, "verdict": "none", "sentence": "one seed", "unit": ""})
    assert [(c.verdict, c.part, c.points) for c in shown().checks] == [("none", "", ())]
    writer.insert("points", {"check": check, "series": "a", "seed": 0, "x": 1.0, "y": 2.0})
    assert shown().checks[0].points == (Point("a", 1.0, 1, 2.0, None),)
    times = len(read)
    assert shown() == shown()
    assert len(read) == times, "curves are read only when there are others"
    writer.update("checks", {"id": check}, {"verdict": "stable"})
    assert [c.verdict for c in shown().checks] == ["stable"]
    writer.execute("UPDATE runs SET state = 'finished'")
    editing.ask(writer.conn, run, {"q": {"question": "is it?"}, "later": {"method": "stability"}})
    assert shown().asked == (("q", "is it?"), ("later", ""))


def test_only_the_ticket_itself_counts_as_the_accuracy_of_a_run(path: Path, writer: Writer, new_run):
    run = new_run()
    sizes = {"classes": 10, "train_images": 1, "epochs": 1, "steps": 1}
    search = writer.insert("searches", {"run": run, "name": "imp", "method": "imp", "settings": {}})
    turn = {"search": search, "seed": 0, "round": 1, "step": "done", "prunable": 10, "remaining": 5, "weights": 10}
    round_id = writer.insert("rounds", {**turn, "weights_remaining": 5, "started": "x"})
    ticket = writer.insert("tickets", {"round": round_id, "mask": "m", "start": "s", "start_step": 0, "created": "x"})
    for arm, settings, of, correct in (
        ("own", {}, ticket, 90),
        ("longer", {"recipe": {"epochs": 9}}, ticket, 99),
        ("dense", {}, None, 80),
        ("dense-longer", {"recipe": {"epochs": 9}}, None, 98),
    ):
        arm_id = writer.insert("arms", {"run": run, "name": arm, "settings": settings})
        training = writer.insert(
            "trainings", {"run": run, "key": arm, "seed": 0, "about": {}, "state": "done", **sizes}
        )
        row = {"arm": arm_id, "ticket": of, "seed": 0, "training": training, "split": "test", "count": 100}
        writer.insert("evaluations", {**row, "correct": correct, "created": "x"})
    view = Live(path).view(run)
    assert view is not None
    assert (view.run.accuracy, view.run.dense) == (0.9, 0.8)
    assert {figure.arm: figure.changes for figure in view.figures if figure.search} == {"own": "", "longer": "recipe"}


def test_a_deleted_run_and_a_missing_store_are_no_errors(path: Path, writer: Writer, colt: str, tmp_path: Path):
    live = Live(path)
    assert live.preview(colt) is not None
    writer.delete("runs", {"id": colt})
    assert live.preview(colt) is None
    assert live.view(colt) is None
    assert live.runs() == ()
    assert Live(tmp_path / "none.db").runs() == ()
