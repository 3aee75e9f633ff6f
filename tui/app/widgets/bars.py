"""Bars by layer: how sparse each is, and how far the members of a round agree, against chance."""

from __future__ import annotations

from rich.text import Text

from store.live import Layer, Overlap, Turn
from tui.app.look import ACCENT, DIM, STRONG, note, series
from tui.app.widgets.panel import Kind, Scene
from tui.app.widgets.plot import plot
from tui.app.wording import count, layer_name, percent
from tui.drawing import Series, ticks
from tui.plain import plain

_PLOT_ROWS = 7
"""Below this a plot under the bars says too little."""


def bar(fraction: float, width: int, style: str, mark: float | None = None) -> Text:
    """A bar of `fraction` of `width` cells; `mark` stands across it at another fraction."""
    halves = round(min(max(fraction, 0.0), 1.0) * width * 2)
    if fraction > 0:
        halves = max(halves, 1)
    cells = "━" * (halves // 2) + "╸" * (halves % 2)
    text = Text.assemble((cells, style), ("─" * (width - len(cells)), DIM))
    if mark is None or not width:
        return text
    at = min(int(min(max(mark, 0.0), 1.0) * width), width - 1)
    return Text.assemble(text[:at], ("┃", STRONG), text[at + 1 :])


def draw_layers(scene: Scene, width: int, height: int) -> list[Text]:
    """Every layer that can be pruned, under the common mask; below, how sparse each search is by round."""
    turn = scene.view.turn
    if turn is None or not turn.layers:
        return note("no round has ended yet: nothing is pruned", width)
    colour = series(_colour(scene, turn))
    prunable = [layer for layer in turn.layers if layer.prunable]
    others = [layer for layer in turn.layers if not layer.prunable]
    name = min(max(5, *(len(layer_name(layer.layer)) for layer in prunable)), max(width // 4, 8))
    totals = width >= name + 40  # else the bars need that room more
    room = max(4, width - name - (30 if totals else 20))
    head = f"{'layer':<{name}}  {'pruned':<{room + 9}}{'left':>9}" + (f" {'of':>9}" if totals else "")
    rows = [Text(head, DIM, no_wrap=True)]
    rows += [_layer(layer, name, room, totals, colour) for layer in prunable]
    alive, total = sum(layer.alive for layer in prunable), sum(layer.total for layer in prunable)
    rows.append(_layer(Layer("all", "conv", True, total, 0, alive), name, room, totals, DIM, STRONG))
    words = ", ".join(f"{layer_name(layer.layer)} {count(layer.total)}" for layer in others)
    more = note(f"not pruned: {words}", width) if others else []
    if len(rows) + len(more) < height:
        rows += more
    return _over(rows, _by_round(scene, turn), width, height, "pruned by round, %")


def _layer(layer: Layer, name: int, room: int, totals: bool, colour: str, style: str = "") -> Text:
    sparsity = 1 - layer.alive / layer.total if layer.total else 0.0
    row = Text.assemble((plain(layer_name(layer.layer), name).ljust(name) + "  ", style), no_wrap=True)
    row.append_text(bar(sparsity, room, colour))
    row.append(f" {percent(sparsity):>7} ", style)
    row.append(f"{count(layer.alive):>9}" + (f" {count(layer.total):>9}" if totals else ""), style or DIM)
    return row.append("  collapsed", "bold color(203)") if layer.alive == 0 else row


def _by_round(scene: Scene, turn: Turn) -> list[Series]:
    """Sparsity by round of every search, for the seed in focus; the one in focus is drawn over the others."""
    lanes = sorted(scene.view.lanes, key=lambda lane: lane.search == turn.search)
    return [
        Series(
            lane.search,
            [0, *(r.round for r in lane.done)],
            [0.0, *(100 * r.sparsity for r in lane.done)],
            colour=lane.colour,
        )
        for lane in lanes
        if lane.seed == turn.seed and lane.done
    ]


def draw_overlap(scene: Scene, width: int, height: int) -> list[Text]:
    """Intersection over union of the members' sets by layer, with chance as a mark; below, the same by round."""
    turn = scene.view.turn
    if turn is None:
        return note("nothing has been trained yet", width)
    if turn.members < 2 and not turn.overlaps:
        return note(f"{turn.search} trains one network a round: there is nothing to overlap", width)
    if not turn.overlaps:
        return note("no round has ended yet: the members hold all weights", width)
    colour = _colour(scene, turn)
    shown = [overlap for overlap in turn.overlaps if overlap.sets == scene.sets]
    rounds = [r for r in turn.overlaps_by_round if r[1] == scene.sets]
    pooled = next(((r[2], r[3]) for r in rounds if r[0] == turn.pruned), (None, None))
    name = min(max(5, *(len(layer_name(o.layer)) for o in shown)), max(width // 4, 10))
    room = max(4, width - name - 20)
    rows = [Text(f"{'layer':<{name}}  {'shared':<{room}}  agree  ┃chance", DIM, no_wrap=True)]
    rows += [_overlap(overlap, name, room, series(colour)) for overlap in shown]
    rows.append(_overlap(Overlap("all", scene.sets, *pooled), name, room, DIM, STRONG))
    trend = [
        Series("chance", [r[0] for r in rounds], [_number(r[3]) for r in rounds], dashed=True),
        Series("all layers agree", [r[0] for r in rounds], [_number(r[2]) for r in rounds], colour=colour),
    ]
    return _over(rows, trend, width, height, f"overlap by round of what was {scene.sets}")


def _overlap(overlap: Overlap, name: int, room: int, colour: str, style: str = "") -> Text:
    row = Text.assemble((plain(layer_name(overlap.layer), name).ljust(name) + "  ", style), no_wrap=True)
    if overlap.iou is None:
        return row.append("nothing in these sets", DIM)
    row.append_text(bar(overlap.iou, room, colour, overlap.chance))
    row.append(f"   {overlap.iou:.2f}", style or ACCENT)
    return row.append(f"    {overlap.chance:.2f}" if overlap.chance is not None else "       –", style or DIM)


def _over(rows: list[Text], trend: list[Series], width: int, height: int, label: str) -> list[Text]:
    """Bars, and a plot in the room below them."""
    left = height - len(rows) - 1
    if left < _PLOT_ROWS or not any(len(one.xs) > 1 for one in trend):
        return rows
    longest = int(max(max(one.xs, default=0) for one in trend))
    options = {"x_label": "round", "y_label": label, "x_ticks": ticks(0, longest, max(width // 8, 2), least=1)}
    return [*rows, Text(), *plot(trend, width, left, x_limits=(0, longest), y_limits=(0.0, None), **options)]


def _colour(scene: Scene, turn: Turn) -> int:
    return next((lane.colour for lane in scene.view.lanes if lane.search == turn.search), 0)


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def _layers_heading(scene: Scene) -> str:
    turn = scene.view.turn
    return "sparsity" if turn is None or turn.pruned is None else f"sparsity · {_place(turn)}"


def _overlap_heading(scene: Scene) -> str:
    turn = scene.view.turn
    words = f"overlap of what was {scene.sets}"
    return words if turn is None or turn.pruned is None else f"{words} · {_place(turn)}"


def _place(turn: Turn) -> str:
    return f"{turn.search} seed {turn.seed} round {turn.pruned}"


def _layers_part(scene: Scene) -> object:
    return scene.view.turn and (scene.view.turn.seed, scene.view.turn.layers), scene.view.lanes


def _overlap_part(scene: Scene) -> object:
    turn = scene.view.turn
    return scene.sets, turn and (turn.search, turn.members, turn.overlaps, turn.overlaps_by_round)


def _other_sets(scene: Scene, _width: int, _height: int, _by: int) -> dict[str, str]:
    return {"sets": "kept" if scene.sets == "removed" else "removed"}


LAYERS = Kind("sparsity", _layers_heading, _layers_part, draw_layers)
OVERLAP = Kind("overlap", _overlap_heading, _overlap_part, draw_overlap, turns={"sets": _other_sets})
