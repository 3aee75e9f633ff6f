"""The results of a run in words, tables and one plot; beside each block the SQL that gives its figures.

Nothing is rounded away or made up in between: every ticket stands at its own sparsity, every mean with its interval and
the number of its seeds, and a control that changed nothing is said to have changed nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from store import report as queries
from store.answers import Check, checks_of
from store.reading import Reader, Rows
from tui import questions, traces
from tui.app.wording import DASH, count, duration, energy, moment, percent, plural
from tui.cells import width
from tui.commands.output import table
from tui.drawing import SPARSITY_TICKS, Series, by_remaining, draw, published
from tui.questions import wrapped
from tui.sets import lines as set_lines

PLOT_ROWS = 22
CURVE_ROWS = 13


@dataclass(frozen=True)
class Block:
    """A part of the report: what it shows, its lines, and the query that gives its figures."""

    title: str
    lines: list[str]
    sql: str = ""


def report(reader: Reader, run: str, columns: int = 80, colour: bool = False) -> list[Block]:
    """Everything there is to say of a run so far, in the order a person asks. Parts without figures are left out."""
    answers = {
        query.__name__: (query(run), queries.answer(reader, query(run)))
        for query in (
            *(queries.accuracy, queries.cost, queries.cost_to_sparsity, queries.overlap, queries.loss),
            *(queries.copies, queries.controls, queries.checks, queries.curves, queries.published),
            *(queries.sets, queries.early, queries.traces),
        )
    }
    answered = checks_of(answers["checks"][1], answers["curves"][1])
    accuracy, cost, printed = (answers[name][1] for name in ("accuracy", "cost", "published"))
    blocks = [
        _block("Accuracy", answers["accuracy"], lambda rows: _accuracy(rows, cost, columns)),
        _block("", answers["cost"], lambda rows: _costs(rows, columns)),
        _block("Accuracy against sparsity", ("", accuracy), lambda _: plot(accuracy, printed, columns, colour)),
        _block("Published, not measured here", answers["published"], lambda rows: _published(rows, columns)),
        _block("What a sparsity cost", answers["cost_to_sparsity"], _reached),
        _block("Samples that matter", answers["sets"], lambda rows: set_lines(rows, columns)),
        _block("Trainings that may end early", answers["early"], lambda rows: traces.early_lines(rows, columns)),
        _block("Traces of trainings", answers["traces"], lambda rows: traces.kind_lines(rows, columns)),
        *_curves(reader, run, answers["traces"][1], answers["early"][1], columns, colour),
        _block("Overlap of members", answers["overlap"], _overlap),
        _block("Loss a round", answers["loss"], _loss),
        _block("", answers["copies"], _copies),
        _block("Found masks against random ones", answers["controls"], lambda rows: _controls(rows, accuracy)),
        _block("Questions", answers["checks"], lambda _: check_lines(answered, columns, colour)),
        _block("", answers["curves"], lambda _: ["curves: means over seeds with half of their 95 % intervals"]),
    ]
    return [block for block in blocks if block is not None]


def heading(row: dict[str, Any], seconds: float | None) -> list[str]:
    """What a run is and how it stands; `row` as `Reader.run` gives it."""
    seeds = ", ".join(map(str, row["spec"]["seeds"]))
    facts = [row["id"], row["state"], f"seeds {seeds}", row["device"], f"{count(row['images_done'])} images"]
    facts += [duration(seconds)] if seconds else []
    lines = [row["title"], " · ".join(facts), f"started {moment(row['created'], '%Y-%m-%d %H:%M')}"]
    lines[-1] += f" from {row['preset']}" + (f", {row['paper']}" if row["paper"] else "")
    for label, text in (("name", row["name"]), ("expected", row["expect"]), ("why", row["message"])):
        if text and text != row["preset"]:
            lines.append(f"{label}: {text}")
    lines += subsets(row["spec"])
    lines += [f"note: {line}" for line in row["note"].splitlines()]
    if row["state"] == "running":
        share = percent(min(1.0, row["images_done"] / row["images_planned"]) if row["images_planned"] else 0.0, 0)
        lines.append(f"{share} done, {duration(row['seconds_left'])} left: {row['doing']}")
    return lines


def subsets(spec: dict[str, Any]) -> list[str]:
    """A line for each set of another run that searches find their tickets on."""
    by_set: dict[str, list[str]] = {}
    for name, settings in spec.get("searches", {}).items():
        if subset := (settings.get("data") or {}).get("subset"):
            part = "/".join(str(subset[key]) for key in ("search", "round") if subset.get(key))
            by_set.setdefault(subset["run"] + (f"@{part}" if part else ""), []).append(name)
    return [f"on the samples that {chosen} chose: {', '.join(names)}" for chosen, names in by_set.items()]


def machine_line(worked: dict[str, Any]) -> str:
    """What the machine gave to a run; `worked` is the answer to `store.report.machine`."""
    facts = [f"{worked['device']} of {worked['host']}", duration(worked["seconds"])]
    if worked["energy"] is not None:
        part = (
            ""
            if worked["metered"] == worked["attempts"]
            else f" in {worked['metered']} of {worked['attempts']} attempts"
        )
        facts.append(energy(worked["energy"]) + part)
    return " · ".join([*facts, f"{count(worked['images_per_second'])} images/s"])


def plot(rows: Rows, printed: Rows, columns: int, colour: bool) -> list[str]:
    """Test accuracy of each search's own tickets against sparsity, what remains on a log scale; dense as a line."""
    series = accuracy_series(rows, x=lambda row: by_remaining(row["sparsity"]))
    text = draw(
        [*series, *published_series(printed)],
        columns,
        PLOT_ROWS,
        x_label="pruned % of the prunable weights",
        y_label="accuracy on test, %",
        y_limits=(None, 100.0),
        x_ticks=SPARSITY_TICKS,
        colour=colour,
    )
    return text.split("\n")


def check_lines(answered: Iterable[Check], columns: int, colour: bool, sentences: bool = False) -> list[str]:
    """Answers of checks, each with its parts and its curves below; `sentences`: each part with its own."""
    found: list[str] = []
    for question in questions.grouped(answered):
        found += [*([""] if found else []), *questions.lines(question, columns, sentences)]
        for curve in questions.curves(question.rows):
            found += ["", *curve_lines(curve, columns, colour)]
    return found


def curve_lines(curve: questions.Curve, columns: int, colour: bool) -> list[str]:
    """A curve of a check as a small plot."""
    head = questions.curve_head(curve, columns)
    rows = questions.height(curve, columns, CURVE_ROWS)
    return [*head, *draw(curve.series, columns, rows, x_label=curve.x, colour=colour).split("\n")]


def published_series(*answers: Rows) -> list[Series]:
    """Series of a plot from answers to the published query, one a run: equal series once."""
    several: list[Series] = []
    for rows in answers:
        for (_, label, source), group in itertools.groupby(rows, key=_table):
            figures = list(group)
            one = published(label, source, *([row[key] for row in figures] for key in ("sparsity", "accuracy")))
            several += [one] * (one not in several)
    return [replace(one, colour=number) for number, one in enumerate(several)]


def _table(row: dict[str, Any]) -> tuple[str, str, str]:
    """What tells published tables apart."""
    return row["name"], row["label"], row["source"]


def accuracy_series(
    rows: Rows, x: Callable[[dict[str, Any]], float], arms: Iterable[str] = (), label: str = ""
) -> list[Series]:
    """Series of a plot from rows of the accuracy query: one a search and arm, and dense arms as lines across.

    Without `arms` those are drawn that train a ticket as it was found: the ones with most tickets of their search.
    """
    tickets = [row for row in rows if row["search"] is not None]
    chosen = set(arms)
    series: list[Series] = []
    keys = dict.fromkeys((row["search"], row["arm"]) for row in tickets if not chosen or row["arm"] in chosen)
    if not chosen:
        own = {search: _own_arm([row for row in tickets if row["search"] == search]) for search, _ in keys}
        keys = dict.fromkeys(own.items())
    for colour, (search, arm) in enumerate(keys):
        points = [row for row in tickets if (row["search"], row["arm"]) == (search, arm)]
        name = f"{label}{search}" if len(chosen) < 2 else f"{label}{search} {arm}"
        series.append(
            Series(
                name,
                [x(row) for row in points],
                [100 * row["accuracy"] for row in points],
                [None if row["half_width"] is None else 100 * row["half_width"] for row in points],
                colour,
            )
        )
    reach = [value for one in series for value in one.xs]
    for row in rows:
        if row["search"] is None and reach:
            level = 100 * row["accuracy"]
            ends = [min(0.0, *reach), max(reach)] if len(reach) > 1 else [0.0, reach[0]]
            series.append(Series(f"{label}{row['arm']}", ends, [level, level], colour=len(keys), dashed=True))
    return series


def _own_arm(tickets: Rows) -> str:
    found = [row["arm"] for row in tickets if row["changes"] == ""]
    arms = found or [row["arm"] for row in tickets]
    return max(arms, key=arms.count, default="")


def _block(title: str, answered: tuple[str, Rows], lines: Callable[[Rows], list[str]]) -> Block | None:
    sql, rows = answered
    return Block(title, lines(rows), sql) if rows else None


# Blocks


def _curves(reader: Reader, run: str, traced: Rows, early: Rows, columns: int, colour: bool) -> list[Block]:
    """A plot of every kind of trace but variants of one, with its threshold where it has one."""
    found = []
    for kind in traces.families(row["kind"] for row in traced):
        sql = queries.trace_curves(run, kind)
        epsilons = [row["epsilon"] for row in early]
        lines = traces.curve_lines(kind, queries.answer(reader, sql), epsilons, columns, colour)
        found += [Block("", ["", *lines], sql)] if lines else []
    return found


def _costs(rows: Rows, columns: int) -> list[str]:
    """What the columns of images count."""
    apart = ", ".join(dict.fromkeys(row["search"] for row in rows if row["apart"]))
    words = "images: of the search so far" + (f" ({apart}: of the training that found the ticket)" if apart else "")
    return wrapped(f"{words}; +tickets: with training its tickets", columns, 0, 2)


def _accuracy(rows: Rows, cost: Rows, columns: int) -> list[str]:
    worth = {row["count"]: 100 / row["count"] for row in rows}
    images = " or ".join(f"one image of {number} is worth {points:.2f}" for number, points in worth.items())
    lines = wrapped(f"on test, in %: mean ± half of the 95 % interval (seeds); {images}", columns, 0, 2)
    dense = [row for row in rows if row["search"] is None]
    lines += [f"{row['arm']}  {_mean(row)}" for row in dense]
    paid = {(row["search"], row["round"]): row for row in cost}
    tickets = [row for row in rows if row["search"] is not None]
    for search, group in itertools.groupby(tickets, key=lambda row: row["search"]):
        found = list(group)
        arms = list(dict.fromkeys(row["arm"] for row in found))
        of = {arm: [row for row in found if row["arm"] == arm] for arm in arms}
        arms.sort(key=lambda arm: (of[arm][0]["changes"] != "", -len(of[arm])))
        by_round: dict[int, dict[str, dict[str, Any]]] = {}
        for row in found:
            by_round.setdefault(row["round"], {})[row["arm"]] = row
        spent = [paid.get((search, number), {}) for number in by_round]
        tested = [next(iter(cells.values()))["sparsity"] for cells in by_round.values()]  # of the tickets trained
        lead = [["round", *map(str, by_round)], ["pruned", *map(percent, tested)]]
        figures = [[[arm, *(_mean(row[arm]) if arm in row else DASH for row in by_round.values())]] for arm in arms]
        cost_columns = [
            [word, *(count(row[key]) if row else DASH for row in spent)]
            for word, key in (("images", "images"), ("+tickets", "images_with_evaluation"))
        ]
        for number, some in enumerate(_beside(lead, [*figures, cost_columns], columns)):
            head, *body = zip(*lead, *some, strict=True)
            lines += ["", f"{search}, continued" if number else search, *table(head, body, right=range(len(head)))]
    return lines


def _beside(lead: list[list[str]], blocks: list[list[list[str]]], columns: int) -> list[list[list[str]]]:
    """Columns of as few tables as the width allows, each to stand beside `lead`; those of a block stay together."""
    tables: list[list[list[str]]] = [[]]
    for block in blocks:
        wide = sum(2 + max(map(width, one)) for one in (*lead, *tables[-1], *block)) - 2
        if tables[-1] and wide > columns:
            tables.append([])
        tables[-1] += block
    return tables


def _mean(row: dict[str, Any]) -> str:
    """Mean and half width of an accuracy, in percent, and over how many seeds."""
    half = "" if row["half_width"] is None else f" ± {100 * row['half_width']:.1f}"
    return f"{100 * row['accuracy']:.1f}{half} ({row['seeds']})"


def _published(rows: Rows, columns: int) -> list[str]:
    """Each table with its source, figures as they are printed there; as many beside each other as there is room for."""
    lines = []
    for (_, label, source), group in itertools.groupby(rows, key=_table):
        figures = [(f"{100 * row['sparsity']:.6g}", f"{100 * row['accuracy']:.6g}") for row in group]
        lines += ["", f"{label}: {source}"]
        room = max((columns - len("accuracy, %")) // (2 + max(len(cell) for pair in figures for cell in pair)), 1)
        for start in range(0, len(figures), room):
            cells = list(zip(*figures[start : start + room], strict=True))
            head, body = ("pruned, %", *cells[0]), [("accuracy, %", *cells[1])]
            lines += table(head, body, right=range(1, len(head)))
    return lines[1:]


def _reached(rows: Rows) -> list[str]:
    body = [
        (
            f"{100 * row['level']:g} %",
            row["search"],
            f"{row['round']:.1f}",
            count(row["images"]),
            count(row["images_with_evaluation"]),
            row["seeds"],
        )
        for row in rows
    ]
    head = ("sparsity", "search", "rounds", "images", "+tickets", "seeds")
    return [
        "means over the seeds that reached it, at the first round that did",
        *table(head, body, right=(0, 2, 3, 4, 5)),
    ]


def _overlap(rows: Rows) -> list[str]:
    by_round: dict[tuple[str, int], dict[str, dict[str, Any]]] = {}
    for row in rows:
        by_round.setdefault((row["search"], row["round"]), {})[row["sets"]] = row
    body = []
    for (search, number), sets in by_round.items():
        cells: list[object] = [search, number]
        for name in ("removed", "kept"):
            both = sets.get(name, {"iou": None, "chance": None})
            cells += [DASH if both[key] is None else f"{both[key]:.3f}" for key in ("iou", "chance")]
        body.append([*cells, sets[next(iter(sets))]["seeds"]])
    head = ("search", "round", "removed", "by chance", "kept", "by chance", "seeds")
    return [
        "intersection over union of what members removed and kept, mean over seeds; chance given each layer's counts",
        *table(head, body, right=range(1, 7)),
    ]


def _loss(rows: Rows) -> list[str]:
    lines = []
    for row in rows:
        words = (
            f"{row['search']} {row['kinds']}: {percent(row['lowest'])} to {percent(row['highest'])} of what was left,"
            f" mean {percent(row['mean'])}, over {plural(row['rounds'], 'round')}"
        )
        if row["least"] is not None:
            low, high = f"{100 * row['least']:g}", f"{100 * row['most']:g}"
            allowed = f"the rate allows {low} %" if low == high else f"the rate allows {low} to {high} %"
            outside = "none outside" if not row["outside"] else f"{row['outside']} OUTSIDE"
            words += f"; {allowed}, {outside}"
        lines.append(words)
    return lines


def _copies(rows: Rows) -> list[str]:
    return [
        f"{row['search']} removed as many weights as {row['copied']}, one for one, in {row['equal']} of"
        f" {row['rounds']} rounds and kinds"
        for row in rows
    ]


def _controls(rows: Rows, accuracy: Rows) -> list[str]:
    worth = 100 / max(row["count"] for row in accuracy)
    lines = ["accuracy of the found mask less that of the control, at the last ticket of both, paired by seed"]
    for row in rows:
        points, half = 100 * row["difference"], row["half_width"]
        interval = "" if half is None else f" ± {100 * half:.1f}"
        if half is None:
            verdict = "one seed gives no interval, so no verdict"
        elif points - 100 * half > 0:
            verdict = f"the {row['arm']} mask is visibly worse"
        else:
            verdict = f"the {row['arm']} mask is NOT visibly worse: the interval holds 0 or less"
        lines.append(
            f"{row['search']} at {percent(row['sparsity'])}: {points:+.1f}{interval} points"
            f" ({plural(row['seeds'], 'seed')}, {abs(points) / worth:.0f} images): {verdict}"
        )
    return lines
