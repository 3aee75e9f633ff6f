"""Accuracy against sparsity or cost: each ticket at its own, with intervals, and the dense network as a line.

Figures that a paper prints stand beside them, against sparsity, as marks of their own; no mean, window or target is
made from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from rich.text import Text

from store.live import Figure, Preview
from store.viewing import Cost
from tui.app.look import ACCENT, DIM, STRONG, note
from tui.app.widgets.panel import Kind, Scene
from tui.app.widgets.plot import plot
from tui.app.wording import count, percent, plural
from tui.drawing import SPARSITY_TICKS, Series, by_remaining, percent_window, published, widened
from tui.plain import plain

AXES = (
    ("sparsity", "sparsity, %"),
    ("images", "training images to find it"),
    ("images_with_evaluation", "training images to find it, and of tickets so far"),
)
"""What accuracy is shown against: the figure, or a field of `Cost`, and its words."""

Place = Callable[[Figure], float]
"""Where a ticket lies on the horizontal axis; NaN where it has no place there."""

ROOMY = 18
"""Rows from which the legend has room for the sources of published figures."""


def _by_sparsity(figure: Figure) -> float:
    return by_remaining(figure.sparsity)


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    place = _place(scene.against, scene.view.costs)
    read = _read(scene, width)
    rows = lines(scene.view, _chosen(scene), width, height - len(read), scene.against, place, scene.ticket)
    return [*read, *rows]


def _chosen(scene: Scene) -> str | None:
    """The search whose arms are shown; None: the tickets of all."""
    searches = _searches(scene)
    return searches[scene.arms - 1] if 0 < scene.arms <= len(searches) else None


def _searches(scene: Scene) -> list[str]:
    return list(dict.fromkeys(lane.search for lane in scene.view.lanes))


def _place(against: int, costs: Sequence[Cost]) -> Place:
    """The place of a ticket: as sparsities are drawn, or the decimal logarithm of images."""
    axis, _ = AXES[against]
    if axis == "sparsity":
        return _by_sparsity
    paid = {(cost.search, cost.round): getattr(cost, axis) for cost in costs}

    def place(figure: Figure) -> float:
        images = paid.get((figure.search or "", figure.round or 0), 0.0)
        return math.log10(images) if images > 0 else math.nan

    return place


def lines(
    view: Preview,
    search: str | None,
    width: int,
    height: int,
    against: int = 0,
    place: Place = _by_sparsity,
    ticket: tuple[str, int] | None = None,
) -> list[Text]:
    """The found tickets of every search, or every arm of one; a line stands at the ticket that is read."""
    colours = {lane.search: lane.colour for lane in view.lanes}
    groups: dict[tuple[str | None, str], list[Figure]] = {}
    for figure in view.figures:
        if figure.search is None or _seen(figure, search):
            groups.setdefault((figure.search, figure.arm), []).append(figure)
    found = [figure for figures in groups.values() for figure in figures if figure.search is not None]
    ends = _ends(found, place) if against else (0.0, _sparsest(found))
    dense = [_dense(figures[0], ends) for (of, _), figures in groups.items() if of is None]
    tickets = [
        _series(figures, place, arm if search else of, i if search else colours.get(of, 0))
        for i, ((of, arm), figures) in enumerate((key, fs) for key, fs in groups.items() if key[0] is not None)
        if of is not None
    ]
    if not dense and not tickets:
        return note("nothing has been evaluated yet", width)
    if against and not any(math.isfinite(place(figure)) for figure in found):
        return note("no ticket with a cost has been evaluated yet", width)
    printed = [] if against else _printed(view, height)
    window = _window([*dense, *tickets], printed)
    read = [place(figure) for figure in found if (figure.search, figure.round) == ticket][:1]
    free = sum(not math.isfinite(place(figure)) for figure in found) if against else 0
    label = "test accuracy, %"
    whole = label + _seeds(view.figures)
    return plot(
        [*dense, *tickets, *printed],
        width,
        height,
        x_label=AXES[against][1] + (f" ({plural(free, 'ticket')} without any)" if free else ""),
        y_label=whole if len(whole) <= width else label,
        x_limits=ends if against else (0.0, _far(view, printed)),
        y_limits=window,
        x_ticks=_image_ticks(*ends, width) if against else SPARSITY_TICKS,
        cursor=next(iter(read), None),
    )


def _seen(figure: Figure, search: str | None) -> bool:
    """Whether a ticket's figure is drawn: of any search, as it was found, or any arm of the search that is chosen."""
    return figure.search == search if search else figure.search is not None and figure.changes == ""


def _printed(view: Preview, height: int) -> list[Series]:
    return [
        replace(published(one.label, one.source if height >= ROOMY else "", one.sparsity, one.accuracy), colour=number)
        for number, one in enumerate(view.published)
    ]


def _ends(found: list[Figure], place: Place) -> tuple[float, float]:
    """From the cheapest to the dearest ticket, with some air; a factor of ten around the only one."""
    places = [at for at in map(place, found) if math.isfinite(at)] or [0.0]
    low, high = min(places), max(places)
    air = 0.02 * (high - low) if high - low > 1e-6 else 0.5
    return low - air, high + air


def _image_ticks(low: float, high: float, width: int) -> list[tuple[float, str]]:
    """Ticks at 1, 2 and 5 times powers of ten, or at powers only where those would touch."""
    powers = range(math.floor(low), math.ceil(high) + 1)
    factors = (1, 2, 5) if (high - low) * 25 <= width else (1,)
    numbers = [factor * 10.0**power for power in powers for factor in factors]
    return [(math.log10(number), _short(number)) for number in numbers if low <= math.log10(number) <= high]


def _short(number: float) -> str:
    """50000 → "50k"."""
    size, suffix = next(((s, x) for s, x in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")) if number >= s), (1, ""))
    return f"{number / size:g}{suffix}"


def _far(view: Preview, printed: list[Series]) -> float | None:
    """The right end: the target of the searches, so that the plot stands still while it fills; None beyond it."""
    target = max((lane.target for lane in view.lanes if lane.target is not None), default=None)
    if target is None or any(figure.sparsity > target for figure in view.figures):
        return None
    return widened((0.0, by_remaining(target)), [x for one in printed for x in one.xs])[1]


def _window(series: list[Series], printed: list[Series]) -> tuple[float, float]:
    """Means and intervals measured here; what is printed may widen it."""
    return widened(percent_window(series, 5.0), [y for one in printed for y in one.ys])


def _series(figures: Iterable[Figure], place: Place, label: str | None, colour: int) -> Series:
    chosen = list(figures)
    return Series(
        label or "",
        [place(f) for f in chosen],
        [100 * f.accuracy for f in chosen],
        errors=[None if f.half_width is None else 100 * f.half_width for f in chosen],
        colour=colour,
    )


def _sparsest(found: list[Figure]) -> float:
    sparsest = max((figure.sparsity for figure in found), default=0.0)
    return max(by_remaining(min(sparsest, 0.9999)), 0.3)


def _dense(figure: Figure, ends: tuple[float, float]) -> Series:
    """A line at the dense accuracy, as far as tickets go; its interval stands at its left end."""
    width = None if figure.half_width is None else 100 * figure.half_width
    level = 100 * figure.accuracy
    return Series(f"{figure.arm} {level:.1f} %", ends, [level, level], errors=[width, None], dashed=True)


# Reading


def _read(scene: Scene, width: int) -> list[Text]:
    """What is known of the ticket under the cursor: its sparsity and cost, and how each arm does on it."""
    own = [figure for figure in scene.view.figures if scene.ticket == (figure.search, figure.round)]
    if not own:
        return []
    cost = next((c for c in scene.view.costs if (c.search, c.round) == scene.ticket), None)
    words = [f"{plain(own[0].search, 20)} round {own[0].round}", f"{percent(own[0].sparsity)} sparsity"]
    if cost is not None:
        words.append(f"{count(cost.images)} images to find it, {count(cost.images_with_evaluation)} with tickets")
    dense = [figure for figure in scene.view.figures if figure.search is None]
    pieces = [Text(words[0], f"bold {ACCENT}"), *(Text(word, DIM) for word in words[1:])]
    arms = [Text.assemble((plain(f.arm, 16), STRONG), " ", _value(f)) for f in [*own, *dense]]
    return [*_wrapped(pieces, width), *_wrapped(arms, width)]


def _value(figure: Figure) -> str:
    half = "" if figure.half_width is None else f" ± {100 * figure.half_width:.1f}"
    return f"{100 * figure.accuracy:.1f}{half} %, {plural(figure.seeds, 'seed')}"


def _wrapped(pieces: list[Text], width: int) -> list[Text]:
    rows = [Text(no_wrap=True)]
    for piece in pieces:
        if rows[-1].cell_len and rows[-1].cell_len + 3 + piece.cell_len > width:
            rows.append(Text(no_wrap=True))
        rows[-1].append("   " if rows[-1].cell_len else "").append_text(piece)
    return rows


def _other_ticket(scene: Scene, _width: int, _height: int, by: int) -> dict[str, tuple[str, int]] | str:
    """The next ticket along the axis; at first the one farthest to the side that one comes from."""
    place, search = _place(scene.against, scene.view.costs), _chosen(scene)
    places = {
        (figure.search, figure.round): place(figure)
        for figure in reversed(scene.view.figures)
        if figure.search is not None and figure.round is not None and _seen(figure, search)
    }
    order = _searches(scene)
    tickets = [ticket for ticket, at in places.items() if math.isfinite(at)]
    tickets.sort(key=lambda ticket: (places[ticket], order.index(ticket[0]) if ticket[0] in order else 0))
    if not tickets:
        return "no ticket has been evaluated yet"
    if scene.ticket not in tickets:
        return {"ticket": tickets[0 if by > 0 else -1]}
    return {"ticket": tickets[max(0, min(tickets.index(scene.ticket) + by, len(tickets) - 1))]}


def _seeds(figures: tuple[Figure, ...]) -> str:
    most = max((f.seeds for f in figures), default=0)
    least = min((f.seeds for f in figures), default=0)
    seeds = f"{most}" if least == most else f"{least} to {most}"
    return f", mean of {seeds} seeds, 95 % interval" if most > 1 else ", one seed"


def heading(scene: Scene) -> str:
    search = _chosen(scene)
    what = "accuracy against cost" if scene.against else "accuracy"
    return f"{what} · all arms of {search}" if search else f"{what} · tickets of every search"


def _other_arms(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int]:
    """Tickets of all searches, then all arms of one search after another."""
    return {"arms": (scene.arms + by) % (len(_searches(scene)) + 1)}


def _other_axis(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int]:
    return {"against": (scene.against + by) % len(AXES)}


def _part(scene: Scene) -> object:
    return scene.arms, scene.against, scene.ticket, scene.view.figures, scene.view.costs, scene.view.published


FIGURES = Kind(
    "accuracy",
    heading,
    _part,
    draw,
    turns={"arms": _other_arms, "against": _other_axis, "round": _other_ticket, "lane": _other_arms},
)
