"""Samples that matter: how many each round chose for the next, by what, and what the search saves by that.

Below the bars, or beside them, images seen by round against those of the other searches, and the hardest samples.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.text import Text

from store.viewing import Chosen
from tui.app.look import ACCENT, DIM, STRONG, note
from tui.app.widgets.panel import Kind, Scene
from tui.app.widgets.plot import plot
from tui.app.wording import count, percent
from tui.commands.options import no_colour
from tui.drawing import Series, ticks
from tui.gallery import wall
from tui.plain import plain

BESIDE = 120
"""Columns from which the plot stands beside the bars, not below."""

LEAST_PLOT = 10
"""Rows of a plot with its labels and legend; with fewer it says nothing."""

LOW = 16
"""Rows below which the plot holds the search in focus and plain ones only: a legend of all would take its room."""

LEAST_GALLERY = 9
"""Rows of small images with their captions and a heading."""

LEAST_BARS = 6
"""Rows that the bars keep above a plot: a heading, four rounds and what the marks mean."""


@dataclass(frozen=True)
class Part:
    """Why samples are in a set: a mark of its own, since colour alone says nothing."""

    name: str
    words: str
    mark: str
    style: str


PARTS = (
    Part("training", "forgotten or never learned", "█", "color(33)"),
    Part("both", "both", "▓", "color(170)"),
    Part("pruning", "changed by pruning", "▒", "color(208)"),
    Part("other", "without reasons", "░", DIM),
)

PLAIN = ("imp", "colt")
"""Methods that train on all their data in every round."""


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    view, turn = scene.view, scene.view.turn
    if not view.chosen or turn is None:
        if any(lane.method == "prac" for lane in view.lanes):
            return note("no round has chosen samples yet", width)
        return note("no search of this run chooses samples: the method prac does", width)
    spent = _spent(scene, few=width < BESIDE and height // 2 < LOW)
    if width >= BESIDE and spent:
        left = width // 2 - 1
        texts = _bars(scene, left, height)[:height]
        texts += _hardest(scene, left, height - len(texts))
        texts += [Text()] * (height - len(texts))
        drawn = _plot(spent, width - left - 2, height)
        return [
            Text.assemble(text, " " * (left + 2 - text.cell_len), more, no_wrap=True)
            for text, more in zip(texts, drawn, strict=False)
        ]
    plotted = max(height // 2, LEAST_PLOT)
    if not spent or height - plotted < LEAST_BARS:
        return _bars(scene, width, height)
    bars = _bars(scene, width, height - plotted)
    return [*bars, Text(), *_plot(spent, width, height - len(bars) - 1)]


def wanted(scene: Scene, width: int, height: int) -> tuple[str, int, int] | None:
    """Search, seed and round whose hardest samples there is room for; None where there is none, or no such set."""
    turn = scene.view.turn
    if turn is None or width < BESIDE or height - len(_bars(scene, width // 2 - 1, height)) < LEAST_GALLERY:
        return None
    own = (one for one in scene.view.chosen if (one.search, one.seed) == (turn.search, turn.seed))
    rounds = [one.round for one in own if one.round <= turn.round]
    return (turn.search, turn.seed, rounds[-1]) if rounds else None


def _hardest(scene: Scene, width: int, height: int) -> list[Text]:
    """The hardest samples with their images, below the bars; or why they are not there."""
    turn, shown = scene.view.turn, scene.gallery
    if height < LEAST_GALLERY or shown is None or turn is None or shown.key[:2] != (turn.search, turn.seed):
        return []
    head = Text(plain(shown.title, width), DIM)
    if shown.fault:
        return [Text(), head, *note(shown.fault, width)]
    return [Text(), head, Text(), *wall(shown, width, height - 3, colour=not no_colour())]


def _bars(scene: Scene, width: int, height: int) -> list[Text]:
    """A bar for each set of the search and seed in focus, as many as fit around the round in focus."""
    turn = scene.view.turn
    assert turn is not None
    own = [one for one in scene.view.chosen if (one.search, one.seed) == (turn.search, turn.seed)]
    if not own:
        choosing = list(dict.fromkeys(one.search for one in scene.view.chosen))
        words = f"{turn.search} has chosen no samples"
        if turn.search in choosing:
            return note(f"{words} with seed {turn.seed} yet", width)
        return note(f"{words}: up and down go to another search (those that have: {', '.join(choosing)})", width)
    legend = _legend(own, width)
    rooms = max(height - 1 - len(legend), 1)
    at = next((i for i, one in enumerate(own) if one.round >= turn.round), len(own) - 1)
    top = max(0, min(at - rooms // 2, len(own) - rooms))
    shown = own[top : top + rooms]
    figures = width >= 84
    room = max(4, width - 27 - (27 if figures else 0))
    head = f"  round  {'chosen for the next':<{room}.{room}}  samples    share"
    head += f"{'training':>10}{'pruning':>9}{'both':>8}" if figures else ""
    most = max(one.size for one in own)
    rows = [Text(head, DIM, no_wrap=True)]
    for one in shown:
        here = one.round == turn.round
        row = Text.assemble(
            ("▸ " if here else "  ", ACCENT), (f"{one.round:>5}  ", STRONG if here else ""), no_wrap=True
        )
        row.append_text(_bar(one, room, most))
        row.append(f"  {count(one.size):>7}  {percent(one.size / scene.view.samples):>7}", STRONG if here else "")
        if figures:
            cells = (one.training, one.pruning, one.both)
            row.append("".join(f"{'–' if n is None else count(n):>9}" for n in cells), DIM)
        rows.append(row)
    if len(shown) < len(own):
        legend[-1].append(f"  rounds {shown[0].round} to {shown[-1].round} of {own[-1].round}", DIM)
    return [*rows, *legend]


def parts(chosen: Chosen) -> dict[str, int]:
    """Samples by why they are in the set, in the order of `PARTS`; "other" is what has no reason."""
    known = {"training": chosen.training or 0, "both": chosen.both or 0, "pruning": chosen.pruning or 0}
    return known | {"other": max(chosen.size - sum(known.values()), 0)}


def _bar(chosen: Chosen, room: int, most: int) -> Text:
    """A stacked bar, each boundary where its sum says; a part that is there has one cell at least."""
    bar = Text(no_wrap=True)
    total, cells = 0, 0
    own = parts(chosen)
    for part in PARTS:
        if not own[part.name]:
            continue
        total += own[part.name]
        end = min(max(round(total / max(most, 1) * room), cells + 1), room)
        bar.append(part.mark * (end - cells), part.style)
        cells = end
    return bar.append(" " * (room - cells))


def _legend(own: list[Chosen], width: int) -> list[Text]:
    """What the marks mean that are there."""
    there = [part for part in PARTS if any(parts(one)[part.name] for one in own)]
    line = Text(no_wrap=True)
    lines = [line]
    for part in there:
        words = part.words
        if part.name == "other":
            words = (
                "drawn at random" if all(one.drawn for one in own) else "that of the round before: few were critical"
            )
        if line.cell_len and line.cell_len + 4 + len(words) > width:
            line = Text(no_wrap=True)
            lines.append(line)
        line.append("  ").append(part.mark, part.style).append(f" {words}", DIM)
    return lines


def _spent(scene: Scene, few: bool) -> list[Series]:
    """Images seen up to each round by every search, for the seed in focus; the one in focus over the others.

    `few`: only of that one and of plain searches.
    """
    turn = scene.view.turn
    assert turn is not None
    found = []
    for lane in sorted(scene.view.lanes, key=lambda lane: lane.search == turn.search):
        if lane.seed != turn.seed or not lane.done or (few and lane.search != turn.search and lane.method not in PLAIN):
            continue
        xs, ys, total = [0], [0], 0
        for one in lane.rounds:
            if one.step == "done":
                total += one.images
                xs.append(one.round)
                ys.append(total)
        plain = ", plain" if lane.method in PLAIN else ""
        found.append(Series(f"{lane.search}{plain} {count(total)}", xs, ys, colour=lane.colour))
    return found


def _plot(spent: list[Series], width: int, height: int) -> list[Text]:
    longest = int(max(max(one.xs) for one in spent))
    return plot(
        spent,
        width,
        height,
        x_label="round",
        y_label="images trained on up to a round",
        x_limits=(0, longest),
        y_limits=(0.0, None),
        x_ticks=ticks(0, longest, max(width // 8, 2), least=1),
    )


def heading(scene: Scene) -> str:
    turn = scene.view.turn
    if turn is None or not scene.view.chosen:
        return "sets"
    return f"samples that matter · {turn.search} seed {turn.seed} round {turn.round}"


def _part(scene: Scene) -> object:
    turn = scene.view.turn
    here = turn and (turn.search, turn.seed, turn.round)
    return scene.view.chosen, scene.view.samples, scene.view.lanes, here, scene.gallery


SETS = Kind("sets", heading, _part, draw, lambda scene: bool(scene.view.chosen))
