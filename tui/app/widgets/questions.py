"""Questions and their answers: verdicts with their parts, and the curve of the one that is chosen.

The chosen question is always in sight; what does not fit is scrolled, and a line at the foot says how much there is.
"""

from __future__ import annotations

import re

from rich.text import Text

from tui.app.look import ACCENT, DIM, STRONG, VERDICT_STYLES, note
from tui.app.widgets.panel import Kind, Scene
from tui.app.widgets.plot import plot
from tui.app.wording import GLYPHS
from tui.plain import plain
from tui.questions import (
    Curve,
    Question,
    curve_head,
    curves,
    grouped,
    headline_lines,
    part_lines,
    wrapped,
)

BESIDE = 120
"""Columns from which the curve stands beside the answers, not below."""

LEAST_PLOT = 9
"""Rows of a curve with its labels and legend; with fewer it says nothing."""

LEAST_LIST = 5
"""Rows that the answers keep above a curve."""

_VERDICT = re.compile("|".join(re.escape(f"{glyph} {word}") for word, glyph in GLYPHS.items()))


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    """Answers, and beside or below them the curve of the chosen question."""
    asked = questions(scene)
    if not asked:
        return note(f"no questions in this preset; tombola check {scene.view.run.id} METHOD asks one", width)
    curve = _curve(scene, asked)
    if curve is None:
        return _window(scene, asked, width, height)
    if width >= BESIDE:
        left, _ = _room(scene, asked, width, height)
        texts = _window(scene, asked, left, height)
        texts += [Text()] * (height - len(texts))
        drawn = _plot(curve, width - left - 2, height)
        for text in texts:
            text.append(" " * (left + 2 - text.cell_len))
        return [text + more for text, more in zip(texts, drawn, strict=False)]
    _, room = _room(scene, asked, width, height)
    texts = _window(scene, asked, width, room)
    texts += [Text()] * (room - len(texts))
    if height - room < LEAST_PLOT:
        return [*texts, Text(plain("its curve needs a larger terminal", width), DIM)]
    return [*texts, *_plot(curve, width, height - room)]


def questions(scene: Scene) -> list[Question]:
    """Every check of the experiment in its order, answered or not, and answers to any other."""
    answered = {question.name: question for question in grouped(scene.view.checks)}
    known = [answered.get(name, Question(name, question, ())) for name, question in scene.view.asked]
    names = {question.name for question in known}
    return known + [question for question in answered.values() if question.name not in names]


def _other_question(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int | None]:
    asked = questions(scene)
    return {"question": max(0, min(_chosen(scene, asked) + by, len(asked) - 1)), "curve": 0, "top": None}


def _other_curve(scene: Scene, _width: int, _height: int, by: int) -> dict[str, int]:
    """Another curve of the chosen question."""
    asked = questions(scene)
    several = curves(asked[_chosen(scene, asked)].rows) if asked else []
    return {"curve": max(0, min(scene.curve + by, len(several) - 1))}


def _scrolled(scene: Scene, width: int, height: int, pages: int) -> dict[str, int]:
    """The first line shown after scrolling by `pages`, back where that is positive."""
    asked = questions(scene)
    if not asked:
        return {}
    columns, rows = _room(scene, asked, width, height)
    lines, starts = _lines(scene, asked, columns)
    page = max(rows - 1, 1)
    return {"top": max(0, min(_top(scene, asked, lines, starts, page) - pages * page, len(lines) - page))}


def _room(scene: Scene, asked: list[Question], width: int, height: int) -> tuple[int, int]:
    """Columns and rows of the answers."""
    if _curve(scene, asked) is None:
        return width, height
    if width >= BESIDE:
        return width // 2 - 1, height
    rows = max(height // 2, LEAST_PLOT) if height >= LEAST_PLOT + LEAST_LIST else 1
    return width, height - rows


def _chosen(scene: Scene, asked: list[Question]) -> int:
    return max(0, min(scene.question, len(asked) - 1))


def _curve(scene: Scene, asked: list[Question]) -> Curve | None:
    several = curves(asked[_chosen(scene, asked)].rows)
    return several[min(scene.curve, len(several) - 1)] if several else None


def _window(scene: Scene, asked: list[Question], width: int, height: int) -> list[Text]:
    """The lines of all answers that fit, from the chosen question on or as scrolled."""
    lines, starts = _lines(scene, asked, width)
    if len(lines) <= height:
        return lines
    page = max(height - 1, 1)
    top = _top(scene, asked, lines, starts, page)
    where = f"lines {top + 1} to {min(top + page, len(lines))} of {len(lines)}: PgUp, PgDn"
    return [*lines[top : top + page], Text(plain(where, width), DIM)][:height]


def _top(scene: Scene, asked: list[Question], lines: list[Text], starts: list[int], page: int) -> int:
    wanted = scene.top if scene.top is not None else starts[_chosen(scene, asked)]
    return max(0, min(wanted, len(lines) - page))


def _lines(scene: Scene, asked: list[Question], width: int) -> tuple[list[Text], list[int]]:
    """All answers, and the line at which each question begins."""
    lines: list[Text] = []
    starts = []
    for number, question in enumerate(asked):
        starts.append(len(lines))
        lines += _title(question, number == _chosen(scene, asked), width)
        if not question.answers:
            ended = scene.view.run.state == "finished"
            words = (
                f"not answered: tombola check {scene.view.run.id} {question.name} asks" if ended else "no answer yet"
            )
            lines += [Text(line, DIM) for line in wrapped(words, width, 4, 4)]
        for one in question.answers:
            if one.headline is not None:
                lines += map(_verdicts, headline_lines(one.headline, width, len(question.answers) > 1, 4))
            lines += map(_verdicts, part_lines(one, width, sentences=True, indent=6))
    return lines, starts


def _title(question: Question, chosen: bool, width: int) -> list[Text]:
    words = f"{question.name}: {question.question}" if question.question else question.name
    first, *more = wrapped(words, width - 2, 0, 2)
    end = len(plain(question.name))
    title = Text.assemble(("▸ " if chosen else "  ", ACCENT), (first[:end], f"bold {ACCENT}" if chosen else STRONG))
    return [title.append(first[end:]), *(Text(f"  {line}") for line in more)]


def _verdicts(line: str) -> Text:
    """A line with the verdicts in it coloured."""
    text = Text(line)
    for found in _VERDICT.finditer(line):
        text.stylize(VERDICT_STYLES[found[0][2:]], found.start(), found.end())
    return text


def _plot(curve: Curve, width: int, height: int) -> list[Text]:
    head = [Text(line, DIM) for line in curve_head(curve, width)]
    return [*head, *plot(curve.series, width, height - len(head), x_label=curve.x)]


def heading(scene: Scene) -> str:
    asked = questions(scene)
    if not asked:
        return "questions"
    several = curves(asked[_chosen(scene, asked)].rows)
    which = f", curve {min(scene.curve, len(several) - 1) + 1} of {len(several)}" if len(several) > 1 else ""
    return f"questions · {asked[_chosen(scene, asked)].name}{which}"


QUESTIONS = Kind(
    "questions",
    heading,
    lambda scene: (
        *(scene.question, scene.curve, scene.top, scene.view.checks, scene.view.asked),
        *(scene.view.run.id, scene.view.run.state),
    ),
    draw,
    turns={"lane": _other_question, "round": _other_curve, "scroll": _scrolled},
)
