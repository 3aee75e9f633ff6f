"""Curves of a round's members, epoch by epoch."""

from __future__ import annotations

from rich.text import Text

from tui.app.look import note
from tui.app.widgets.panel import Kind, Scene
from tui.app.widgets.plot import plot
from tui.drawing import Series, ticks

MEASURES = (
    ("validation_accuracy", "validation accuracy"),
    ("train_accuracy", "training accuracy"),
    ("validation_loss", "validation loss"),
    ("train_loss", "training loss"),
)


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    turn = scene.view.turn
    if turn is None:
        return note("nothing has been trained yet", width)
    if not any(curve.epoch for curve in turn.curves):
        return note(f"round {turn.round} of {turn.search}, seed {turn.seed}, waits for its first epoch", width)
    measure, words = MEASURES[scene.measure]
    accuracy = measure.endswith("accuracy")
    scale = 100.0 if accuracy else 1.0
    several = turn.members > 1
    series = []
    for curve in turn.curves:
        known = [(e, scale * v) for e, v in zip(curve.epoch, getattr(curve, measure), strict=True) if v is not None]
        values = [value for _, value in known]
        label = _label(curve.member, curve.segment, several, values, accuracy)
        series.append(Series(label, [epoch for epoch, _ in known], values, colour=curve.member))
    # A member that sees some classes only is measured on those: never on one axis with accuracy over all.
    own = " over its own classes" if accuracy and any("class" in curve.segment for curve in turn.curves) else ""
    longest = max((curve.epochs for curve in turn.curves), default=1)
    return plot(
        series,
        width,
        height,
        x_label="epoch",
        y_label=f"{words}{own}{', %' if accuracy else ''}",
        x_limits=(0, longest),
        x_ticks=ticks(0, longest, max(width // 8, 2), least=1),
        y_limits=(None, 100.0) if accuracy else (0.0, None),
    )


def _label(member: int, segment: str, several: bool, values: list[float], accuracy: bool) -> str:
    name = f"member {member}, {segment}" if several else segment or "all data"
    last = "" if not values else f" {values[-1]:.1f} %" if accuracy else f" {values[-1]:.3f}"
    return name + last


def heading(scene: Scene) -> str:
    turn = scene.view.turn
    return "members" if turn is None else f"members · {turn.search} seed {turn.seed} round {turn.round}"


def _other_measure(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int]:
    return {"measure": (scene.measure + by) % len(MEASURES)}


CURVES = Kind(
    "members",
    heading,
    lambda scene: (scene.measure, scene.view.turn and scene.view.turn.curves),
    draw,
    turns={"measure": _other_measure},
)
