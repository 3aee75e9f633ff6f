"""What checks answered, as frozen values: each answer with its curve. The queries are those of `store.report`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from store.reading import Reader, Rows


@dataclass(frozen=True)
class Point:
    """A point of a curve: mean over the seeds that have it, and half of its 95 % interval (None for one seed)."""

    series: str
    x: float
    seeds: int
    y: float | None
    half_width: float | None


@dataclass(frozen=True)
class Check:
    """A row of `checks`: the whole check's answer where `part` is empty, else that of a condition or pair."""

    name: str
    search: str
    part: str
    method: str
    question: str
    figure: float | None
    low: float | None
    high: float | None
    unit: str
    threshold: float | None
    detectable: float | None
    sampling: float | None
    seeds: int
    verdict: str
    sentence: str
    x: str
    y: str
    points: tuple[Point, ...] = ()


def checks_of(rows: Rows, curves: Rows) -> tuple[Check, ...]:
    """Answers from rows of the queries `report.checks` and `report.curves`, in the order in which they were written."""
    points: dict[tuple[str, ...], list[Point]] = {}
    for row in curves:
        figures = {name: row[name] for name in Point.__dataclass_fields__}
        points.setdefault(_key(row), []).append(Point(**figures))
    names = [name for name in Check.__dataclass_fields__ if name != "points"]
    return tuple(Check(**{name: row[name] for name in names}, points=tuple(points.get(_key(row), ()))) for row in rows)


def checks(reader: Reader, run: str) -> tuple[Check, ...]:
    """All answers of a run."""
    from store import report

    return checks_of(*(report.answer(reader, sql) for sql in (report.checks(run), report.curves(run))))


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return row["name"], row["search"], row["part"]
