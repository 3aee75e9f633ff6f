"""Masks: how much of each layer is left, as bars of a round, by round, and in the members' own masks.

A layer without a weight is told as collapsed: nothing passes through it any more.
"""

from __future__ import annotations

from rich.text import Text

from store.viewing import Layer, Turn
from tui.app.look import BAD, DIM, NONE, STRONG, note, series
from tui.app.widgets.bars import bar, colour_of, over, place, scrolled, window
from tui.app.widgets.heat import Row, heat
from tui.app.widgets.panel import Kind, Scene
from tui.app.wording import count, layer_name, percent
from tui.cells import left
from tui.drawing import Series
from tui.plain import plain

VIEWS = ("layers", "rounds", "members")
TICKET = "ticket"


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    turn = scene.view.turn
    if turn is None or not turn.layers:
        return note("no round has ended yet: nothing is pruned", width)
    shown = _shown(scene, turn)
    if shown == "layers":
        return _bars(scene, turn, width, height)
    if shown == "members":
        masks = _members(turn)
        return _heat(scene, [layers for _, layers in masks], [who for who, _ in masks], None, width, height)
    chosen = next((i for i, (number, _) in enumerate(turn.masks) if number == turn.pruned), None)
    layers, columns = [layers for _, layers in turn.masks], [str(number) for number, _ in turn.masks]
    lines = _heat(scene, layers, columns, chosen, width, height)
    return over(lines, _by_round(scene, turn), width, height, "pruned by round, %")


def _shown(scene: Scene, turn: Turn | None) -> str:
    """The view that is chosen, while there is one: members have masks of their own where there are several."""
    views = _views(turn)
    return views[scene.masks % len(views)]


def _views(turn: Turn | None) -> tuple[str, ...]:
    return VIEWS if turn is not None and turn.members_masks else VIEWS[:2]


def _members(turn: Turn) -> list[tuple[str, tuple[Layer, ...]]]:
    """The members' own masks, and the common one, which the ticket has."""
    return [*((str(member), layers) for member, layers in turn.members_masks), (TICKET, turn.layers)]


# Bars


def _bars(scene: Scene, turn: Turn, width: int, height: int) -> list[Text]:
    """Every layer that can be pruned, under the common mask; below, how sparse each search is by round."""
    colour = series(colour_of(scene, turn))
    prunable = [layer for layer in turn.layers if layer.prunable]
    others = [layer for layer in turn.layers if not layer.prunable]
    name = min(max([5, *(len(layer_name(layer.layer)) for layer in prunable)]), max(width // 4, 8))
    totals = width >= name + 40  # else the bars need that room more
    room = max(4, width - name - (30 if totals else 20))
    head = f"{'layer':<{name}}  {'pruned':<{room + 9}}{'left':>9}" + (f" {'of':>9}" if totals else "")
    rows = [_layer(layer, name, room, totals, colour) for layer in prunable]
    alive, total = sum(layer.alive for layer in prunable), sum(layer.total for layer in prunable)
    whole = _layer(Layer("all", "conv", True, total, 0, alive), name, room, totals, DIM, STRONG)
    shown, left = window(rows, scene.layer_top, height - 2, "layers")
    rows = [Text(head, DIM, no_wrap=True), *shown, *left, whole]
    words = ", ".join(f"{layer_name(layer.layer)} {count(layer.total)}" for layer in others)
    more = note(f"not pruned: {words}", width) if others else []
    if len(rows) + len(more) < height:
        rows += more
    return over(rows, _by_round(scene, turn), width, height, "pruned by round, %")


def _layer(layer: Layer, name: int, room: int, totals: bool, colour: str, style: str = "") -> Text:
    sparsity = 1 - layer.alive / layer.total if layer.total else 0.0
    row = Text.assemble((left(plain(layer_name(layer.layer), name), name) + "  ", style), no_wrap=True)
    row.append_text(bar(sparsity, room, colour))
    if layer.alive == 0:
        return row.append(f" {NONE} collapsed", BAD)
    row.append(f" {percent(sparsity):>7} ", style)
    return row.append(f"{count(layer.alive):>9}" + (f" {count(layer.total):>9}" if totals else ""), style or DIM)


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


# Heat maps


def _heat(
    scene: Scene, masks: list[tuple[Layer, ...]], columns: list[str], chosen: int | None, width: int, height: int
) -> list[Text]:
    """A column each mask, a row each layer that can be pruned, and below which have collapsed.

    Columns are rounds, of which one is chosen, or members.
    """
    what = "members" if chosen is None else "rounds"
    found = [{layer.layer: layer for layer in layers if layer.prunable} for layers in masks]
    names = list(dict.fromkeys(name for layers in found for name in layers))
    name = min(max([3, *(len(layer_name(layer)) for layer in names)]), max(width // 4, 8))
    rows = [Row(layer_name(layer), [_share(layers.get(layer)) for layers in found]) for layer in names]
    whole = Row("all", [_pooled(list(layers.values())) for layers in found], strong=True)
    told = [words for layer in names if (words := _collapse(layer, found, columns, what))]
    if len(told) > 2:
        told = [*told[:2], f"{NONE} and {len(told) - 2} more collapsed"]
    head, _, scale = heat([], columns, chosen, name, width, what)
    shown, left = window(rows, scene.layer_top, height - len(head) - 2 - len(told), "layers")
    _, lines, _ = heat([*shown, whole], columns, chosen, name, width, what)
    lines = [*head, *lines[:-1], *left, lines[-1], *(Text(plain(words, width), BAD, no_wrap=True) for words in told)]
    return [*lines, *scale[: max(height - len(lines), 0)]]


def _share(layer: Layer | None) -> float | None:
    return layer.alive / layer.total if layer is not None and layer.total else None


def _pooled(layers: list[Layer]) -> float | None:
    total = sum(layer.total for layer in layers)
    return sum(layer.alive for layer in layers) / total if total else None


def _collapse(layer: str, found: list[dict[str, Layer]], columns: list[str], what: str) -> str:
    """Where a layer lost its last weight, in words; empty where it has some everywhere."""
    empty = [
        column for column, layers in zip(columns, found, strict=True) if layer in layers and not layers[layer].alive
    ]
    if not empty:
        return ""
    if what == "rounds":
        return f"{NONE} {layer_name(layer)} collapsed in round {empty[0]}"
    whose = ["the ticket" if one == TICKET else f"member {one}" for one in empty]
    return f"{NONE} {layer_name(layer)} has no weight in {', '.join(whose)}"


def heading(scene: Scene) -> str:
    turn = scene.view.turn
    if turn is None or turn.pruned is None:
        return "masks"
    words = {"layers": "masks", "rounds": "masks by round", "members": "masks by member"}[_shown(scene, turn)]
    return f"{words} · {place(turn)}"


def _part(scene: Scene) -> object:
    turn = scene.view.turn
    return (
        scene.masks,
        scene.layer_top,
        turn and (turn.seed, turn.pruned, turn.masks, turn.members_masks),
        _trend(scene),
    )


def _trend(scene: Scene) -> object:
    """What bars have below them."""
    return [(lane.search, lane.seed, lane.done) for lane in scene.view.lanes]


def _other_view(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int]:
    return {"masks": (scene.masks + by) % len(_views(scene.view.turn))}


def _scrolled(scene: Scene, _width: int, height: int, pages: int) -> dict[str, int] | str:
    turn = scene.view.turn
    layers = sum(layer.prunable for layer in turn.layers) if turn is not None else 0
    return scrolled(scene.layer_top, layers, height, pages, "layers")


MASKS = Kind("masks", heading, _part, draw, turns={"masks": _other_view, "scroll": _scrolled})
