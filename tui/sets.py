"""Sets of samples that matter, in words, tables and series: for the report, `tombola plot --sets` and the app alike."""

from __future__ import annotations

import itertools
from typing import Any

from store.reading import Rows
from store.statistics import mean_interval
from tui.app.wording import DASH, count, percent, plural
from tui.commands.output import table
from tui.drawing import Series
from tui.questions import wrapped

DRAWN = "drawn at random"


def lines(rows: Rows, columns: int) -> list[str]:
    """Rows of `report.sets` in a table a search, in at most about `columns` columns."""
    compared = next((row["plain"] for row in rows if row["plain"]), None)
    words = "training samples that a round chose for the next, and why (training: forgotten or never learned; pruning:"
    words += " answered otherwise by the sparse network); images of the search up to that round"
    words += f", those of {compared} up to as many rounds, and how many fewer" if compared else ""
    found = wrapped(f"{words}; means over seeds", columns, 0, 2)
    for search, group in itertools.groupby(rows, key=lambda row: row["search"]):
        found += ["", *_search_lines(search, list(group), compared, columns)]
    return found


def _search_lines(search: str, turns: Rows, compared: str | None, columns: int) -> list[str]:
    seeds = {row["seeds"] for row in turns}
    drawn = all(row["drawn"] for row in turns)
    title = search + (f", {plural(max(seeds), 'seed')}" if len(seeds) == 1 else "") + (f", {DRAWN}" if drawn else "")
    cells = {"round": [str(row["round"]) for row in turns], "size": [_mean(row["size"]) for row in turns]}
    cells["share"] = [percent(row["share"]) for row in turns]
    cells |= {why: [_mean(row[why]) for row in turns] for why in (() if drawn else ("training", "pruning", "both"))}
    cells["images"] = [_mean(row["images"]) for row in turns]
    if compared:
        cells |= {compared: [_mean(row["plain_images"]) for row in turns]}
        cells["fewer"] = [percent(row["saved"]) for row in turns]
    if len(seeds) > 1:
        cells["seeds"] = [str(row["seeds"]) for row in turns]
    stayed = [_stayed(row) for row in turns if row["unchosen"] and not drawn]
    words = "the set of the round before, or a segment's of it, stayed, too few being critical"
    words = f"{words}: {', '.join(stayed)}" if stayed else ""
    shown = table(list(cells), zip(*cells.values(), strict=True), right=range(len(cells)))
    return [title, *shown, *wrapped(words, columns, 0, 2)]


def _stayed(row: dict[str, Any]) -> str:
    some = f" ({row['unchosen']} of {row['seeds']} seeds)" if row["unchosen"] < row["seeds"] else ""
    return f"round {row['round']}{some}"


def _mean(value: float | None) -> str:
    """A mean of counts: to one decimal where it is small and not whole."""
    if value is None:
        return DASH
    return f"{value:.1f}" if value < 1000 and value != round(value) else count(value)


def series(rows: Rows) -> list[Series]:
    """Size of the sets against the round from rows of `report.sets_by_seed`: one line a search, mean over seeds."""
    found = []
    for colour, (search, group) in enumerate(itertools.groupby(rows, key=lambda row: row["search"])):
        by_round: dict[int, list[float]] = {}
        for row in group:
            by_round.setdefault(row["round"], []).append(row["size"])
        means = {at: mean_interval(by_round[at]) for at in sorted(by_round)}
        ys, errors = zip(*means.values(), strict=True)
        found.append(Series(search, list(means), list(ys), list(errors), colour))
    return found
