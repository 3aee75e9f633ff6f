"""Runs beside each other: which is which, a plot, the settings that differ, and results at chosen sparsities."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from rich.text import Text

from store.comparing import Comparison, Result, Setting, Side, results
from tui import comparing
from tui.app.look import ACCENT, DIM, LEVELS, STATES, STRONG, VERDICT_STYLES, note, series
from tui.app.widgets.panel import Kind
from tui.app.widgets.plot import plot
from tui.app.wording import DASH, percent, plural
from tui.cells import cut_before, left, wrap
from tui.comparing import Axis
from tui.drawing import MARKS, STROKES, Series
from tui.plain import plain

Intervals = Literal["chosen", "all", "none"]

INTERVALS: tuple[Intervals, ...] = ("chosen", "all", "none")
"""Whose intervals are drawn: of eight runs at once, they would hide the lines."""


@dataclass(frozen=True)
class Beside:
    """Runs compared, and how a person looks at them."""

    comparison: Comparison
    chosen: str
    """Id of the run whose lines lie over the others."""
    x: Axis = "sparsity"
    search: str = ""
    """The search whose tickets are shown; empty: all."""
    dense: bool = True
    intervals: Intervals = "chosen"
    hidden: frozenset[str] = frozenset()
    settings_top: int = 0
    """Lines of settings above the first one shown."""
    results_top: int = 0
    """Lines of results above the first one shown."""

    @property
    def series(self) -> list[Series]:
        """What is drawn, with all intervals unless there shall be none."""
        return comparing.series(
            self.comparison,
            self.x,
            search=self.search,
            hidden=self.hidden,
            dense=self.dense,
            intervals=self.intervals != "none",
            last=self.chosen,
        )


def mark(side: Side) -> str:
    """What stands for a run wherever it is drawn."""
    return MARKS[side.place % len(MARKS)]


# Which is which


def side_lines(scene: Beside, width: int) -> list[Text]:
    """A line a run, with its mark; what there is no room for is left out, the title first."""
    sides = scene.comparison.sides
    columns = [
        [Text(plain(side.run, 40), STRONG) for side in sides],
        [_state(side) for side in sides],
        [_dense(side) for side in sides],
        [Text(plural(len(side.seeds), "seed"), DIM) for side in sides],
        [Text(plain(f"{side.data} {side.network}", 30)) for side in sides],
        [Text(plain(side.title), DIM) for side in sides],
    ]
    needed = [*(2 + _widest(cells) for cells in columns[:-1]), 2 + min(_widest(columns[-1]), 16)]  # titles may be cut
    while len(columns) > 1 and 3 + sum(needed[: len(columns)]) > width:
        columns.pop()
    lines = []
    for number, side in enumerate(sides):
        line = Text(no_wrap=True).append("▸ " if side.run == scene.chosen else "  ", ACCENT)
        if side.run in scene.hidden:
            line.append(f"·  {columns[0][number].plain}  hidden", DIM)
        else:
            line.append(mark(side), f"bold {series(side.place)}")
            for cells in columns:
                cell = cells[number]
                line.append("  ").append_text(cell).append(" " * (_widest(cells) - cell.cell_len))
        line.truncate(width, overflow="ellipsis")
        lines.append(line)
    return lines


def _widest(cells: Sequence[Text]) -> int:
    return max((cell.cell_len for cell in cells), default=0)


def _state(side: Side) -> Text:
    glyph, style = STATES.get(side.state, ("?", ""))
    return Text(f"{glyph} {side.state}", style)


def _dense(side: Side) -> Text:
    return Text(f"dense {DASH if side.dense is None else percent(side.dense.accuracy)}")


# The plot


def draw_plot(scene: Beside, width: int, height: int) -> list[Text]:
    """Every ticket of the runs that are not hidden; strokes tell searches apart, marks and colours runs."""
    drawn = scene.series
    if not drawn:
        hidden = bool(scene.hidden) and bool(scene.comparison.searches)
        return note("nothing to draw: the runs are hidden" if hidden else "nothing has been evaluated yet", width)
    strokes = _strokes(scene, width)
    axes = comparing.axes(drawn, scene.x)  # of all intervals, so that choosing a run does not move them
    chosen = next(side for side in scene.comparison.sides if side.run == scene.chosen)
    if scene.intervals == "chosen":
        drawn = [one if one.colour == chosen.place else replace(one, errors=None) for one in drawn]
        axes["y_label"] = axes["y_label"].replace("its 95 % interval", f"the 95 % interval of {mark(chosen)}")
    rows = plot([replace(one, label="") for one in drawn], width, height - len(strokes), **axes)
    return [*strokes, *(_bold(row, series(chosen.place)) for row in rows)]


def _strokes(scene: Beside, width: int) -> list[Text]:
    """The legend of strokes, where lines have different ones."""
    names = scene.comparison.searches
    if scene.search or len(names) < 2:
        return []
    line = Text(no_wrap=True)
    for number, name in enumerate(names):
        line.append(f"{STROKES[number % len(STROKES)] or '───'} ", DIM).append(f"{plain(name)}   ")
    if scene.dense:
        line.append("┄┄┄ ", DIM).append("dense")
    line.rstrip()
    line.truncate(width, overflow="ellipsis")
    return [line]


def _bold(row: Text, style: str) -> Text:
    row.spans = [span if span.style != style else span._replace(style=f"bold {style}") for span in row.spans]
    return row


def plot_heading(scene: Beside) -> str:
    return f"accuracy against {scene.x}" + _only(scene)


def _only(scene: Beside) -> str:
    return f" · only {scene.search}" if scene.search else ""


# Tables


def draw_settings(scene: Beside, width: int, height: int) -> list[Text]:
    """Settings in which runs differ, then what differs in where and with what they were made."""
    comparison = scene.comparison
    rows = [_setting(setting, scene) for setting in comparison.settings]
    machines = [_setting(setting, scene) for setting in comparison.machines]
    marks = [Text(mark(side), series(side.place)) for side in comparison.sides]
    names = [Text(f" {plain(side.run)}", STRONG) for side in comparison.sides]
    named = [marked + name for marked, name in zip(marks, names, strict=True)]
    for head in ([Text(), *named], [Text(), *marks]):  # marks alone tell which is which, too
        widths = [_widest(column) for column in zip(head, *rows, *machines, strict=True)]
        if _total(widths) <= width:
            top = [_row(head, widths)]
            lines, more = [_row(row, widths) for row in rows], [_row(row, widths) for row in machines]
            break
    else:
        path = min(max((row[0].cell_len for row in [*rows, *machines]), default=0), 2 * width // 5)
        top = []
        lines, more = (
            [line for row in some for line in _by_value(row, marks, path, width)] for some in (rows, machines)
        )
    body = lines or note("no setting differs", width)
    if machines:
        body += [Text(), Text("machines and versions", ACCENT), *more]
    return [*top, *scrolled(body, scene.settings_top, height - len(top))]


def _by_value(row: Sequence[Text], marks: Sequence[Text], path: int, width: int) -> list[Text]:
    """A setting where columns have no room: each of its values once, behind the marks of the runs that have it."""
    runs: dict[str, list[int]] = {}
    for number, cell in enumerate(row[1:]):
        runs.setdefault(cell.plain, []).append(number)
    name = row[0].plain
    shown = cut_before(name, path)  # its end tells it from others
    lines = [Text().append(left(shown, path), row[0].style)]
    for places in runs.values():
        value = next((row[1 + i] for i in places if row[1 + i].style == STRONG), row[1 + places[0]])
        piece = Text("  ").append_text(Text().join(marks[i] for i in places)).append(" ").append_text(value)
        if lines[-1].cell_len > path and lines[-1].cell_len + piece.cell_len > width:
            lines.append(Text(" " * path))
        lines[-1].append_text(piece)
    for line in lines:
        line.no_wrap = True
        line.truncate(width, overflow="ellipsis")
    return lines


def _setting(setting: Setting, scene: Beside) -> list[Text]:
    cells = [Text(plain(setting.path), DIM)]
    for side, stored in zip(scene.comparison.sides, setting.values, strict=True):
        chosen = STRONG if side.run == scene.chosen else ""
        cells.append(Text(plain(comparing.value(stored)), DIM if stored is None else chosen))
    return cells


def _total(widths: Sequence[int]) -> int:
    """Columns of a row with two blanks between its cells."""
    return sum(widths) + 2 * (len(widths) - 1)


def _row(cells: Sequence[Text], widths: Sequence[int], right: Sequence[bool] = ()) -> Text:
    line = Text(no_wrap=True)
    flush = itertools.chain(right, itertools.repeat(False))
    for number, (cell, width, end) in enumerate(zip(cells, widths, flush, strict=False)):
        shown = cell.copy()
        shown.truncate(width, overflow="ellipsis")
        blank = " " * (width - shown.cell_len)
        line.append("  " if number else "").append(blank if end else "").append_text(shown).append("" if end else blank)
    line.rstrip()
    return line


def draw_results(scene: Beside, width: int, height: int) -> list[Text]:
    """At each sparsity the ticket that reaches it, search by search, and its difference to that of the first run."""
    comparison = scene.comparison
    found = [one for one in results(comparison) if scene.search in ("", one.search)]
    if not found:
        return note("no ticket has been evaluated yet", width)
    first = comparison.sides[0]
    names = ["", "search", "pruned", "accuracy, %", "images", f"to {mark(first)}, points", "verdict"]
    right = [False, False, True, True, True, True, False]
    rows = [_result(one, scene) for one in found]
    head = [Text(name, DIM) for name in names]
    kept = _fitting([head, *rows], width)
    widths = [_widest([row[i] for row in [head, *rows]]) for i in kept]
    flush = [right[i] for i in kept]
    body: list[Text] = []
    for level, group in itertools.groupby(zip(found, rows, strict=True), key=lambda pair: pair[0].level):
        body += [*([Text()] if body else []), Text(f"at {100 * level:g} %", f"bold {ACCENT}")]
        body += [_row([row[i] for i in kept], widths, flush) for _, row in group]
    words = f"differences in points to {mark(first)} {first.run}, paired by seed; {comparing.reading(comparison)}"
    body += [Text(), *note(words, width)]
    apart = [Text(line, LEVELS["warning"]) for line in wrap(plain(comparison.apart), max(width, 10))]
    top = [*apart, _row([head[i] for i in kept], widths, flush)]
    return [*top, *scrolled(body, scene.results_top, height - len(top))]


def _result(result: Result, scene: Beside) -> list[Text]:
    """Mark and run, and the cells that the command shows too."""
    side, chosen = result.side, STRONG if result.side.run == scene.chosen else ""
    run, *cells, verdict = comparing.result_cells(result)
    *others, spoken = cells
    return [
        Text.assemble((mark(side), series(side.place)), " ", (plain(run), chosen)),
        *(Text(plain(cell), chosen) for cell in others),
        Text(plain(spoken), DIM if result.difference is None else chosen),
        Text(verdict, VERDICT_STYLES.get(result.verdict, "")),
    ]


def _fitting(rows: Sequence[list[Text]], width: int) -> list[int]:
    """Columns that fit; else names of runs, which their marks tell, are left out, and then the images."""
    kept = list(range(len(rows[0])))

    def wide() -> int:
        return _total([_widest([row[i] for row in rows]) for i in kept])

    if wide() > width:
        for row in rows[1:]:
            row[0] = row[0][:1]
    if wide() > width:
        kept.remove(4)
    return kept


def scrolled(lines: Sequence[Text], top: int, height: int) -> list[Text]:
    """The lines from `top` on; where some are left out below, the last line says how many."""
    top = max(0, min(top, len(lines) - height))
    shown = list(lines[top : top + max(height, 0)])
    left = len(lines) - top - len(shown)
    if left and shown:
        shown[-1] = Text(f"… {plural(left + 1, 'more line')}: PgDn", DIM)
    return shown


def lines_of(draw: Callable[[Beside, int, int], list[Text]], scene: Beside, width: int) -> int:
    """How many lines a table has in all."""
    return len(draw(replace(scene, settings_top=0, results_top=0), width, 100_000))


PLOT: Kind[Beside] = Kind(
    "plot",
    plot_heading,
    lambda scene: replace(scene, settings_top=0, results_top=0),
    draw_plot,
)
SETTINGS: Kind[Beside] = Kind(
    "settings",
    lambda scene: "settings that differ",
    lambda scene: (scene.comparison, scene.chosen, scene.settings_top),
    draw_settings,
)
RESULTS: Kind[Beside] = Kind(
    "results",
    lambda scene: "tickets that reach a sparsity" + _only(scene),
    lambda scene: (scene.comparison, scene.chosen, scene.search, scene.results_top),
    draw_results,
)
