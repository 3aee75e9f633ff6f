"""Answers of checks in words, tables and curves: for the report, `tombola check` and the app alike.

A check has a headline for each search or pair that it is answered for: the row whose `part` is empty. Conditions and
pairs stand below it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass

from store.answers import Check
from tui.app.wording import DASH, plural, verdict
from tui.cells import width, wrap
from tui.colours import COLOURS
from tui.commands.output import table
from tui.drawing import Series
from tui.plain import plain

MOST_SERIES = len(COLOURS)
"""Series of one plot: more would share colours and marks."""

LEAST_LABEL = 12  # columns that the name of a part is broken to; with less, a table of parts is not legible


@dataclass(frozen=True)
class Answer:
    """A headline with its parts; `headline` is None where only parts are there yet."""

    headline: Check | None
    parts: tuple[Check, ...]


@dataclass(frozen=True)
class Question:
    """A check with all its answers."""

    name: str
    question: str
    answers: tuple[Answer, ...]

    @property
    def rows(self) -> tuple[Check, ...]:
        """Every row of it, a headline before its parts."""
        return tuple(row for one in self.answers for row in (*([one.headline] if one.headline else []), *one.parts))


@dataclass(frozen=True)
class Curve:
    """One plot: `title` tells it from the others of its check, and is empty where there is only one."""

    title: str
    x: str
    y: str
    series: tuple[Series, ...]
    rows: tuple[Check, ...]


def grouped(checks: Iterable[Check]) -> list[Question]:
    """Answers by check, each part below the headline of its search; one of no such search below the last headline."""
    by_name: dict[str, list[Check]] = {}
    for check in checks:
        by_name.setdefault(check.name, []).append(check)
    return [
        Question(name, next((row.question for row in reversed(rows) if row.question), ""), tuple(_answers(rows)))
        for name, rows in by_name.items()
    ]


def _answers(rows: list[Check]) -> list[Answer]:
    headlines = [row for row in rows if not row.part]
    if not headlines:
        return [Answer(None, tuple(rows))]
    parts: dict[str, list[Check]] = {row.search: [] for row in headlines}
    for row in rows:
        if row.part:
            parts[row.search if row.search in parts else headlines[-1].search].append(row)
    return [Answer(row, tuple(parts[row.search])) for row in headlines]


# Words


def label(part: Check, among: Iterable[Check], headline: Check | None = None) -> str:
    """What a part is called: with its search where the parts of an answer, or the answer, have another."""
    searches = {row.search for row in among} | ({headline.search} if headline else set())
    return plain(f"{part.search} {part.part}" if len(searches) > 1 and part.search else part.part)


def figure(check: Check) -> str:
    """The figure with its interval and unit."""
    value, low, high = check.figure, check.low, check.high
    if value is None:
        return DASH
    unit = f" {plain(check.unit)}" if check.unit else ""
    text = _number(value, check.unit, "+" if check.unit == "points" else "")
    if low is None or high is None:
        return text + unit
    if math.isclose(high - value, value - low, rel_tol=1e-6, abs_tol=1e-9):
        return f"{text} ± {_number(high - value, check.unit)}{unit}"
    return f"{text}{unit} ({_number(low, check.unit)} to {_number(high, check.unit)})"


def facts(check: Check) -> list[str]:
    """All figures of an answer, each with its word."""
    found = [figure(check)] if check.figure is not None else []
    found += [f"threshold {limit(check.threshold)}"] if check.threshold is not None else []
    found += [f"could have seen {limit(check.detectable)}"] if check.detectable is not None else []
    found += [f"another test set: up to ±{limit(check.sampling)}"] if check.sampling is not None else []
    return [*found, plural(check.seeds, "seed")] if found else []


def limit(value: float | None) -> str:
    """A threshold or a detectable difference."""
    return DASH if value is None else f"{value:.3g}"


def _number(value: float, unit: str, sign: str = "") -> str:
    if unit:
        return f"{value:{sign}.2f}"
    return f"{value:,.0f}".replace(",", " ") if abs(value) >= 1000 else f"{value:{sign}.3g}"


# Lines


def lines(question: Question, columns: int, sentences: bool = False) -> list[str]:
    """A check in at most `columns` columns: question, verdicts, then parts in a table.

    `sentences`: below each part its sentence, too. One without a verdict has it in any case: it says why.
    """
    title = f"{question.name}: {question.question}" if question.question else question.name
    found = wrapped(title, columns, 0, 2)
    for one in question.answers:
        if one.headline is not None:
            found += headline_lines(one.headline, columns, len(question.answers) > 1)
        found += part_lines(one, columns, sentences)
    return found


def headline_lines(check: Check, columns: int, several: bool, indent: int = 2) -> list[str]:
    """Verdict, sentence and figures of a whole check; among `several` with the search that it is answered for."""
    of = f" ({check.search})" if several and check.search else ""
    found = wrapped(f"{verdict(check.verdict)}{of}: {check.sentence}", columns, indent, indent + 2)
    figures = facts(check)
    return found + (wrapped(" · ".join(figures), columns, indent + 2, indent + 2) if figures else [])


def part_lines(answer: Answer, columns: int, sentences: bool, indent: int = 4) -> list[str]:
    """Parts in a table; where there is no room for one, each in a sentence of its own."""
    parts = answer.parts
    if not parts:
        return []
    names = [label(part, parts, answer.headline) for part in parts]
    head = ["verdict", "figure", "threshold", "could have seen"]
    cells = [[verdict(part.verdict), figure(part), limit(part.threshold), limit(part.detectable)] for part in parts]
    if len({part.seeds for part in (*parts, *([answer.headline] if answer.headline else []))}) > 1:
        head.append("seeds")
        for row, part in zip(cells, parts, strict=True):
            row.append(str(part.seeds))
    taken = sum(2 + max(map(width, column)) for column in zip(head, *cells, strict=True))
    room = columns - indent - taken
    said = [part.sentence if sentences or part.verdict == "none" else "" for part in parts]
    if room < min(LEAST_LABEL, max(map(width, names))):
        return [
            line
            for part, name, sentence in zip(parts, names, said, strict=True)
            for line in (
                *wrapped(f"{name}: {', '.join([verdict(part.verdict), *facts(part)])}", columns, indent, indent + 2),
                *(wrapped(sentence, columns, indent + 2, indent + 2) if sentence else []),
            )
        ]
    broken = [wrap(name, room) or [""] for name in names]
    body = [
        [piece, *(row if i == 0 else [""] * len(row))]
        for pieces, row in zip(broken, cells, strict=True)
        for i, piece in enumerate(pieces)
    ]
    first, *rest = table(["part", *head], body, right=range(3, len(head) + 1))
    found = [" " * indent + first]
    for pieces, sentence in zip(broken, said, strict=True):
        found += [" " * indent + rest.pop(0) for _ in pieces]
        found += wrapped(sentence, columns, indent + 2, indent + 2) if sentence else []
    return found


def wrapped(text: str, columns: int, indent: int, hang: int) -> list[str]:
    """`text` on lines of at most `columns` columns, the first indented by `indent`, the others by `hang`."""
    return wrap(plain(text), max(columns, hang + 10), " " * indent, " " * hang)


# Curves


def curves(checks: Iterable[Check]) -> list[Curve]:
    """The plots of answers: those of equal axes in one, as far as it can tell their series apart."""
    by_axes: dict[tuple[str, str], list[Check]] = {}
    for check in checks:
        if check.points:
            by_axes.setdefault((check.x, check.y), []).append(check)
    plots: list[list[Check]] = []
    for rows in by_axes.values():
        together = sum(len(_names(row)) for row in rows) <= MOST_SERIES
        plots += [rows] if together else [[row] for row in rows]
    found = [curve for rows in plots for curve in _split(rows)]
    return found if len(found) > 1 else [Curve("", one.x, one.y, one.series, one.rows) for one in found]


def _split(rows: list[Check]) -> list[Curve]:
    """The plot of these answers, or several where they have more series than one can tell apart."""
    first = rows[0]
    title = " ".join(filter(None, (first.search, first.part))) if len(rows) == 1 else first.y
    every = [(row, name) for row in rows for name in _names(row)]
    found = []
    for start in range(0, len(every), MOST_SERIES):
        some = every[start : start + MOST_SERIES]
        series = [_series(row, name, rows, colour) for colour, (row, name) in enumerate(some)]
        limits = dict.fromkeys(row.threshold for row, _ in some if row.threshold is not None and _in_unit(row))
        xs = [x for one in series for x in one.xs]
        series += [
            Series(f"threshold {limit(value)}", [min(xs), max(xs)], [value, value], dashed=True) for value in limits
        ]
        found.append(Curve(title, first.x, first.y, tuple(series), tuple(rows)))
    return found


def _names(check: Check) -> list[str]:
    """Its series, "step 20" before "step 100"."""
    return sorted({point.series for point in check.points}, key=natural)


def natural(text: str) -> list[tuple[int, int, str]]:
    """What names with numbers in them are sorted by: "step 20" before "step 100"."""
    return [(0, int(piece), "") if piece.isdecimal() else (1, 0, piece) for piece in re.split(r"(\d+)", text)]


def _series(check: Check, name: str, rows: list[Check], colour: int) -> Series:
    points = [point for point in check.points if point.series == name]
    pieces = [check.search] if len({row.search for row in rows}) > 1 else []
    pieces += [check.part] if len({row.part for row in rows}) > 1 else []
    pieces += [name] if name else []
    return Series(
        " ".join(filter(None, pieces)) or check.part or check.name,
        [point.x for point in points],
        [math.nan if point.y is None else point.y for point in points],
        [point.half_width for point in points],
        colour,
    )


def _in_unit(check: Check) -> bool:
    """Whether the threshold can be drawn: its unit is that in which the label of the vertical axis ends."""
    if check.unit:
        return re.search(rf"(^|\W){re.escape(check.unit)}$", check.y) is not None
    return "," not in check.y


def curve_head(curve: Curve, columns: int) -> list[str]:
    """What stands above a plot: its title, the label of its vertical axis, and what its points are means of."""
    seeds = {point.seeds for row in curve.rows for point in row.points if point.y is not None}
    if not seeds or max(seeds) == 1:
        words = "one seed"
    else:
        words = f"mean of {'' if len(seeds) == 1 else f'{min(seeds)} to '}{max(seeds)} seeds, 95 % interval"
    title = [curve.title] if curve.title not in ("", curve.y) else []
    return [line for text in (*title, f"{curve.y}; {words}") for line in wrapped(text, columns, 0, 2)]


def height(curve: Curve, columns: int, rows: int) -> int:
    """`rows` for the plot itself, and what its legend takes below, so that no name of a series is left out."""
    used, lines = 0, 2
    for one in curve.series:
        size = 2 + width(plain(one.label))
        lines += used + 2 + size > columns
        used = size if used + 2 + size > columns else used + 2 + size
    return rows + lines
