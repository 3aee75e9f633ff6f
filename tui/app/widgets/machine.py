"""What the machine does for a run: throughput, card, power and energy, processor, memory and disk over time.

A small plot for each figure that is known, with its newest value beside the name. Time is that of work: attempts follow
each other with a gap in the lines, however long nothing ran between them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from rich.text import Text

from store.viewing import Sample, View, Worked
from tui.app.look import DIM, STRONG, note
from tui.app.widgets.panel import Kind, Scene
from tui.app.widgets.plot import plot
from tui.app.wording import DASH, count, duration, energy, percent, plural, size
from tui.blocks import beside
from tui.cells import wrap
from tui.drawing import Series
from tui.plain import plain

LEAST_WIDE, LEAST_HIGH = 36, 6
"""Columns and rows of a figure: its name and value, and a plot that still says something."""

SHAPE = 5.0
"""Columns for each row of a figure, as near as the panel allows: a plot more than twice as wide as high."""

STEADY_SECONDS = 60.0
"""Images a second are a mean over this long, or over a sixtieth of the time where that is shorter: trainings side by
side end their epochs, and are counted, in bursts."""

UNITS = (("hours", 3600.0), ("minutes", 60.0), ("seconds", 1.0))
"""Of time, with their seconds."""


@dataclass(frozen=True)
class Figure:
    """A figure over time, in seconds of work; `value` is the newest one in words."""

    name: str
    value: str
    points: tuple[tuple[float, float], ...]
    """NaN at the boundaries of attempts and where nothing is known."""
    colour: int
    top: float | None = None
    """The upper end of its axis, where it has one."""


def figures(view: View) -> list[Figure]:
    """Those that are known of a run, what it is for first and what it takes after."""
    worked, ended = view.machine, view.run.state != "running"
    newest = worked[-1].samples[-1]
    found = [_throughput(worked, ended)]

    def add(name: str, key: str, words: str, colour: int, factor: float = 1.0, top: float | None = None) -> None:
        points = _points(worked, key, factor)
        if any(math.isfinite(value) for _, value in points):
            found.append(Figure(name, words, points, colour, top))

    def add_bytes(name: str, key: str, words: str, colour: int) -> None:
        most = max((getattr(one, key) or 0 for one in _all(worked)), default=0)
        unit = next((unit for unit in (1e12, 1e9) if most >= unit), 1e6)  # as `size` writes it
        add(name, key, words, colour, 1 / unit)

    add("card busy", "card_use", percent(newest.card_use, 0), 1, 100, 100.0)
    add("power", "power", _unit(newest.power, "W"), 1)
    if spent := _energy(worked, sum(len(lane.done) for lane in view.lanes)):
        found.append(spent)
    held = "card_memory" if any(one.card_memory is not None for one in _all(worked)) else "card_memory_used"
    add_bytes("card memory", held, _of(getattr(newest, held), newest.card_memory_total), 1)
    add("temperature", "temperature", _unit(newest.temperature, "°C"), 1)
    add("processor", "cpu", DASH if newest.cpu is None else f"{newest.cpu:.1f} cores", 2)
    add_bytes("memory", "memory", _bytes(newest.memory), 2)
    add_bytes("disk", "free_files", f"{_bytes(newest.free_files)} free", 3)
    if any(_elsewhere(one) for one in _all(worked)):
        add_bytes("store's disk", "free_store", f"{_bytes(newest.free_store)} free", 3)
    return found


def rates(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    """Images a second of one attempt, each up to a moment in seconds, from the one before it or from the beginning.

    Images are counted as epochs end: samples between two counts say nothing by themselves.
    """
    counted = [(0.0, 0)]
    least = min(STEADY_SECONDS, samples[-1].seconds / 60)
    for sample in samples:
        if sample.images > counted[-1][1] and sample.seconds - counted[-1][0] > least:
            counted.append((sample.seconds, sample.images))
    return [(end, (images - before) / (end - start)) for (start, before), (end, images) in pairwise(counted)]


def _throughput(worked: Sequence[Worked], ended: bool) -> Figure:
    points: list[tuple[float, float]] = []
    for begin, one in _in_turn(worked):
        points += [(begin, math.nan), *((begin + at, rate) for at, rate in rates(one.samples))]
    seconds = sum(one.samples[-1].seconds for one in worked)
    mean = sum(one.samples[-1].images for one in worked) / seconds if seconds else 0.0
    newest = points[-1][1]
    words = f"{count(mean)} images/s, mean"
    if not ended and math.isfinite(newest):
        words = f"{count(newest)} images/s, mean {count(mean)}"
    return Figure("speed", words, tuple(points), 0)


def _energy(worked: Sequence[Worked], tickets: int) -> Figure | None:
    """Energy since the first attempt that tells it, and what a ticket took of it."""
    points: list[tuple[float, float]] = []
    spent, metered = 0.0, set()
    for begin, one in _in_turn(worked):
        own = [(begin + sample.seconds, sample.energy) for sample in one.samples if sample.energy is not None]
        points += [(begin, math.nan), *((at, spent + joules) for at, joules in own)]
        spent += max((joules for _, joules in own), default=0.0)
        metered |= {one.metered} if own else {""}
    if metered == {""}:
        return None
    words = energy(spent)
    if tickets:
        words += f", {energy(spent / tickets)} a ticket"
    words += " (from power)" if "power" in metered else ""
    words += " of some attempts" if "" in metered else ""
    unit = 3.6e6 if spent >= 3.6e6 else 3600.0  # kWh or Wh, as `energy` writes it
    return Figure("energy", words, tuple((at, joules / unit) for at, joules in points), 1)


def _points(worked: Sequence[Worked], key: str, factor: float) -> tuple[tuple[float, float], ...]:
    points: list[tuple[float, float]] = []
    for begin, one in _in_turn(worked):
        values = ((sample.seconds, getattr(sample, key)) for sample in one.samples)
        points.append((begin, math.nan))
        points += [(begin + at, math.nan if value is None else factor * value) for at, value in values]
    return tuple(points)


def _in_turn(worked: Sequence[Worked]) -> Iterator[tuple[float, Worked]]:
    """Attempts, each with the seconds that those before it took."""
    begin = 0.0
    for one in worked:
        yield begin, one
        begin += one.samples[-1].seconds


def _all(worked: Sequence[Worked]) -> Iterator[Sample]:
    return (sample for one in worked for sample in one.samples)


def _elsewhere(sample: Sample) -> bool:
    """Whether store and files are on different disks; the same one may change between two looks at it."""
    store, files = sample.free_store, sample.free_files
    return store is not None and files is not None and abs(store - files) > 0.01 * max(store, files)


def _unit(value: float | None, unit: str) -> str:
    return DASH if value is None else f"{value:.0f} {unit}"


def _bytes(octets: int | None) -> str:
    return DASH if octets is None else size(octets)


def _of(octets: int | None, total: int | None) -> str:
    return _bytes(octets) + (f" of {size(total)}" if total else "")


# Lines


def draw(scene: Scene, width: int, height: int) -> list[Text]:
    if not scene.view.machine:
        return note("nothing is known of the machine yet: the first sample comes seconds after the start", width)
    known = figures(scene.view)
    head = _head(scene.view.machine, width)
    room = height - len(head)
    across, down, rows = _grid(len(known), width, room)
    first = max(0, min(scene.machine, rows - down))
    shown, left = known[first * across :][: across * down], rows > down
    _, unit = _time(scene.view.machine)
    high, over = divmod(room - left, down)
    lines = head
    for row in range(down):
        cells = [
            _cell(figure, width // across - 2, high + (row < over), unit) for figure in shown[row * across :][:across]
        ]
        lines += beside(cells, width // across)
    if left:
        others = ", ".join(figure.name for figure in known if figure not in shown)
        lines.append(Text(plain(f"PgUp, PgDn: {others}", width), DIM))
    return lines


def _head(worked: Sequence[Worked], width: int) -> list[Text]:
    """Where it runs or ran last, in at most two lines."""
    last = worked[-1]
    facts = [f"{last.device} of {last.host}", last.processor, *(" ".join(pair) for pair in last.versions)]
    if len(worked) > 1:
        facts.insert(0, f"{plural(len(worked), 'attempt')}, the last on")
    words = plain(" · ".join(fact for fact in facts if fact).replace("the last on · ", "the last on "))
    return [Text(line, DIM) for line in wrap(words, max(width, 10), most=2)]


def _grid(number: int, width: int, height: int) -> tuple[int, int, int]:
    """Figures side by side, rows of them that there is room for, and rows in all: of the shape nearest to `SHAPE`."""
    most = max(1, min(number, width // LEAST_WIDE))
    fits = [across for across in range(1, most + 1) if height // -(-number // across) >= LEAST_HIGH]
    if not fits:
        return most, max(1, (height - 1) // LEAST_HIGH), -(-number // most)

    def squareness(across: int) -> float:
        return abs(math.log(width / across / (height / -(-number // across)) / SHAPE))

    across = min(fits, key=squareness)
    rows = -(-number // across)
    return across, rows, rows


def _cell(figure: Figure, width: int, height: int, unit: float) -> list[Text]:
    """A figure over time, which is counted in `unit` seconds."""
    name = plain(figure.name, width)
    title = Text.assemble((name, DIM), "  ", (plain(figure.value, max(width - len(name) - 2, 1)), STRONG), no_wrap=True)
    xs, ys = zip(*((at / unit, value) for at, value in figure.points), strict=True)
    series = [Series("", xs, ys, colour=figure.colour)]
    end = xs[-1] if xs[-1] > 0 else None
    return [title, *plot(series, width, height - 1, x_limits=(0.0, end), y_limits=(0.0, figure.top))]


def _time(worked: Sequence[Worked]) -> tuple[str, float]:
    """The largest unit of which the time of all attempts is three or more, and its seconds."""
    seconds = sum(one.samples[-1].seconds for one in worked)
    return next(((name, length) for name, length in UNITS if seconds >= 3 * length), UNITS[-1])


def heading(scene: Scene) -> str:
    worked = scene.view.machine
    if not worked:
        return "machine"
    seconds = sum(one.samples[-1].seconds for one in worked)
    return f"machine · over {duration(seconds)} of work, in {_time(worked)[0]}"


def _scrolled(scene: Scene, width: int, height: int, pages: int) -> dict[str, int]:
    """The first row of figures that is shown after going `pages` back."""
    worked = scene.view.machine
    if not worked:
        return {}
    _, down, rows = _grid(len(figures(scene.view)), width, height - len(_head(worked, width)))
    return {"machine": max(0, min(scene.machine - pages * down, rows - down))}


def _part(scene: Scene) -> object:
    view = scene.view
    return scene.machine, view.machine, view.run.state == "running", sum(len(lane.done) for lane in view.lanes)


MACHINE = Kind("machine", heading, _part, draw, lambda scene: bool(scene.view.machine), turns={"scroll": _scrolled})
