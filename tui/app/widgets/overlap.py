"""How far the members of a round agree, against chance: by layer, for every two of them, by round."""

from __future__ import annotations

from rich.text import Text

from store.viewing import Pair, Turn
from tui.app.look import ACCENT, DIM, STRONG, note, series
from tui.app.widgets.bars import bar, by_round, colour_of, over, place, scrolled, window
from tui.app.widgets.panel import Kind, Scene
from tui.app.wording import layer_name
from tui.cells import left
from tui.drawing import Series
from tui.plain import plain

VIEWS = ("layers", "pairs", "rounds")

_CELL = 7
"""Columns of a cell of the matrix: a sign, a digit, a point, two digits, and air."""

LEAST_MATRIX = 3
"""Members from which a matrix says more than a list."""


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    turn = scene.view.turn
    if turn is None:
        return note("nothing has been trained yet", width)
    if turn.members < 2 and not turn.overlaps:
        return note(f"{turn.search} trains one network a round: there is nothing to overlap", width)
    if not turn.overlaps:
        return note("no round has ended yet: the members hold all weights", width)
    match VIEWS[scene.agree]:
        case "pairs":
            return _pairs(scene, turn, width, height)
        case "rounds":
            return by_round(_trend(scene, turn), width, height, "agreement of the members")
        case _:
            return _layers(scene, turn, width, height)


def _layers(scene: Scene, turn: Turn, width: int, height: int) -> list[Text]:
    """Intersection over union of the members' sets by layer, with chance as a mark; below, the same by round."""
    colour = series(colour_of(scene, turn))
    overlaps = [overlap for overlap in turn.overlaps if overlap.sets == scene.sets]
    name = min(max([5, *(len(layer_name(o.layer)) for o in overlaps)]), max(width // 4, 10))
    rows = [_agreement(layer_name(o.layer), o.iou, o.chance, name, width, colour) for o in overlaps]
    shown, left = window(rows, scene.layer_top, height - 2, "layers")
    lines = [_head("layer", name, width), *shown, *left, _all(scene, turn, name, width)]
    return over(lines, _trend(scene, turn), width, height, f"overlap by round of what was {scene.sets}")


def _head(what: str, name: int, width: int) -> Text:
    return Text(f"{what:<{name}}  {'shared':<{_room(name, width)}}  agree  ┃chance", DIM, no_wrap=True)


def _all(scene: Scene, turn: Turn, name: int, width: int) -> Text:
    """All layers and all pairs pooled."""
    pooled = (
        (iou, chance)
        for number, sets, iou, chance in turn.overlaps_by_round
        if (number, sets) == (turn.pruned, scene.sets)
    )
    return _agreement("all", *next(pooled, (None, None)), name, width, DIM, STRONG)


def _room(name: int, width: int) -> int:
    """Columns of a bar."""
    return max(4, width - name - 20)


def _agreement(
    label: str, iou: float | None, chance: float | None, name: int, width: int, colour: str, style: str = ""
) -> Text:
    row = Text.assemble((left(plain(label, name), name) + "  ", style), no_wrap=True)
    if iou is None:
        return row.append("nothing in these sets", DIM)
    row.append_text(bar(iou, _room(name, width), colour, chance))
    row.append(f"   {iou:.2f}", style or ACCENT)
    return row.append(f"    {chance:.2f}" if chance is not None else "       –", style or DIM)


def _pairs(scene: Scene, turn: Turn, width: int, height: int) -> list[Text]:
    """Every two members: as a matrix where it fits, else as bars; below, who they are, and the same by round."""
    pairs = [pair for pair in turn.pairs if pair.sets == scene.sets]
    members = sorted({member for pair in pairs for member in (pair.a, pair.b)})
    if len(members) >= LEAST_MATRIX and 4 + _CELL * len(members) <= width:
        lines = _matrix(pairs, members)
    else:
        name = max([4, *(len(_pair(pair)) for pair in pairs)])
        colour = series(colour_of(scene, turn))
        rows = [_agreement(_pair(pair), pair.iou, pair.chance, name, width, colour) for pair in pairs]
        shown, left = window(rows, scene.layer_top, height - 2, "pairs")
        together = [_all(scene, turn, name, width)] if len(pairs) > 1 else []
        lines = [_head("pair", name, width), *shown, *left, *together]
    named = {curve.member: curve.segment for curve in turn.curves if curve.segment}
    who = ", ".join(f"{member} {named[member]}" for member in members if member in named)
    told = note(f"members: {who}", width) if who else []
    if len(lines) + len(told) < height:
        lines += [Text(), *told]
    return over(lines, _trend(scene, turn), width, height, f"overlap by round of what was {scene.sets}")


def _pair(pair: Pair) -> str:
    return f"{pair.a} × {pair.b}"


def _matrix(pairs: list[Pair], members: list[int]) -> list[Text]:
    """Agreement below the diagonal; above it, by how much that exceeds chance."""
    found = {(pair.a, pair.b): pair for pair in pairs}
    lines = [Text("    " + "".join(f"{member:>{_CELL - 1}} " for member in members), DIM, no_wrap=True)]
    for row in members:
        line = Text.assemble((f"{row:>3} ", DIM), no_wrap=True)
        for column in members:
            pair = found.get((min(row, column), max(row, column)))
            if row == column:
                words, style = "·", DIM
            elif pair is None or pair.iou is None:
                words, style = "–", DIM
            elif row > column:
                words, style = f"{pair.iou:.2f}", ACCENT
            else:
                words, style = ("–" if pair.chance is None else f"{pair.iou - pair.chance:+.2f}"), ""
            line.append(f"{words:>{_CELL - 1}} ", style)
        lines.append(line)
    return [*lines, Text("below the diagonal: agree; above: more than chance", DIM, no_wrap=True)]


def _trend(scene: Scene, turn: Turn) -> list[Series]:
    rounds = [(number, iou, chance) for number, sets, iou, chance in turn.overlaps_by_round if sets == scene.sets]
    numbers = [number for number, _, _ in rounds]
    return [
        Series("chance", numbers, [_number(chance) for _, _, chance in rounds], dashed=True),
        Series("all layers agree", numbers, [_number(iou) for _, iou, _ in rounds], colour=colour_of(scene, turn)),
    ]


def _number(value: float | None) -> float:
    return float("nan") if value is None else value


def heading(scene: Scene) -> str:
    turn = scene.view.turn
    words = f"overlap of what was {scene.sets}"
    words += {"layers": "", "pairs": ", by pair", "rounds": ", by round"}[VIEWS[scene.agree]]
    return words if turn is None or turn.pruned is None else f"{words} · {place(turn)}"


def _part(scene: Scene) -> object:
    turn = scene.view.turn
    shown = turn and (turn.search, turn.members, turn.pruned, turn.overlaps, turn.pairs, turn.overlaps_by_round)
    return scene.sets, scene.agree, scene.layer_top, shown, _named(turn)


def _named(turn: Turn | None) -> list[tuple[int, str]]:
    return [(curve.member, curve.segment) for curve in turn.curves] if turn is not None else []


def _other_sets(scene: Scene, _width: int, _height: int, _by: int) -> dict[str, str]:
    return {"sets": "kept" if scene.sets == "removed" else "removed"}


def _other_view(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int] | str:
    turn = scene.view.turn
    if turn is None or not turn.overlaps:
        return "there is no overlap to look at in another way"
    return {"agree": (scene.agree + by) % len(VIEWS)}


def _scrolled(scene: Scene, _width: int, height: int, pages: int) -> dict[str, int] | str:
    turn = scene.view.turn
    what = "pairs" if VIEWS[scene.agree] == "pairs" else "layers"
    rows = getattr(turn, "pairs" if what == "pairs" else "overlaps", ())
    return scrolled(scene.layer_top, sum(row.sets == scene.sets for row in rows), height, pages, what)


OVERLAP = Kind(
    "overlap",
    heading,
    _part,
    draw,
    turns={"sets": _other_sets, "agree": _other_view, "scroll": _scrolled},
)
