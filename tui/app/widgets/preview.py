"""A run at a glance: what it is, where it stands, its accuracy against sparsity, and what came out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from rich.text import Text

from store.live import Preview
from tui.app.look import ACCENT, DIM, STRONG, VERDICT_STYLES, series
from tui.app.widgets.canvas import Canvas
from tui.app.widgets.heads import doing_line, progress_line, run_lines
from tui.app.wording import percent, verdict
from tui.cells import left, wrap
from tui.cells import width as width_of
from tui.plain import plain

PLOT = (8, 22)
"""Rows of the plot: fewer say nothing, and more leave the rest without room."""

USUAL: tuple[Any, ...] = (
    *(None, "", False, {}, [], "plain", "0 epochs", "1 epochs"),
    *("global", "kind", "prunable", "class", "kaiming-normal", "float32"),
)
"""Settings that say nothing where they are so: most experiments have them thus."""


class PreviewPane(Canvas):
    """Shows a preview or a part of it, and draws it again when it has another size."""

    def __init__(self, id: str) -> None:
        super().__init__(id=id)
        self._shown: tuple[Callable[..., list[Text]], tuple[Any, ...]] | None = None
        self._drawn: object = None

    def show(self, draw: Callable[..., list[Text]], *what: Any) -> None:
        """Show from now on what `draw` makes of these, a width and a height; drawn only when one of them is another.

        A fault in it is shown in its place.
        """
        self._shown = draw, what
        self.on_resize()

    def on_resize(self) -> None:
        if self._shown is None or not self.size or not self.display:
            return
        wanted = (*self._shown, self.size)
        if wanted == self._drawn:
            return
        self._drawn = wanted
        draw, what = self._shown
        try:
            rows = draw(*what, self.size.width, self.size.height)
        except Exception as error:  # whatever it is, it stays in this pane
            self.log.error(f"preview: {error!r}")
            rows = [Text(plain(f"the preview failed: {error!r}"), "color(203)")]
        self.paint(rows)


def lines(preview: Preview, plots: bool, width: int, height: int) -> list[Text]:
    """All of its parts that there is room for. Until `plots` can be drawn, their place stays empty."""
    head = _head(preview, width, height)
    if height < 12:
        return [*head, *curve(preview, plots, width, height - len(head))]
    parts = _parts(preview, width, height - len(head) - 1 - PLOT[0])
    left = height - len(head) - 1 - sum(len(part) + 1 for part in parts)
    rows = [*head, Text(), *curve(preview, plots, width, min(left, PLOT[1] if parts else left))]
    for part in parts:
        rows += [Text(), *part]
    return rows


def words(preview: Preview, width: int, height: int) -> list[Text]:
    """The same without the plot, which then has a place of its own."""
    rows = _head(preview, width, height)
    for part in _parts(preview, width, height - len(rows)):
        rows += [Text(), *part]
    return rows


def curve(preview: Preview, plots: bool, width: int, height: int) -> list[Text]:
    """Accuracy against sparsity."""
    if not plots or height < 1:
        return [Text()] * max(height, 0)
    from tui.app.widgets import figures

    return figures.lines(preview, None, width, height)


def _parts(preview: Preview, width: int, room: int) -> list[list[Text]]:
    """Verdicts and settings, as far as `room` lines hold them with a blank before each.

    Sentences of verdicts are cut to two lines, or to one, before the settings are left out.
    """
    settings = _settings(preview, width)
    choices = [_verdicts(preview, width, most) for most in (None, 2, 1)]
    for verdicts in choices:
        both = [part for part in (verdicts, settings) if part]
        if sum(len(part) + 1 for part in both) <= room:
            return both
    return next(([part] for part in (*choices, settings) if part and len(part) < room), [])


def _head(preview: Preview, width: int, height: int) -> list[Text]:
    run = preview.run
    if height < 12:
        return [run_lines(run, width)[0], progress_line(run, width)]
    rows = [Text(line, STRONG) for line in wrap(plain(run.title), width)[:2]]
    rows += [Text(line, DIM) for line in wrap(plain(run.paper), width)[:1]]
    rows += [progress_line(run, width), doing_line(run, width)]
    return rows + [Text(line) for line in wrap(plain(run.note), width)[:3]]


def _verdicts(preview: Preview, width: int, most: int | None) -> list[Text]:
    """Every answer: its verdict, and as much of the sentence behind it as `most` lines hold; None: all of it."""
    rows = []
    for check in preview.checks:
        if check.part:
            continue  # parts are among the questions of the run's screen
        word = verdict(check.verdict)
        lead = " " * (len(word) + 2)
        pieces = wrap(plain(check.sentence), max(width, 24), lead, "  ", most)
        rows.append(Text.assemble((word, VERDICT_STYLES.get(check.verdict, "")), (pieces or [lead])[0][len(word) :]))
        rows += [Text(piece, DIM) for piece in pieces[1:]]
    return rows


def _settings(preview: Preview, width: int) -> list[Text]:
    """What the experiment is, a line or two for each of its parts."""
    spec = preview.spec
    searches: Mapping[str, Any] = spec.get("searches", {})
    colours = {lane.search: lane.colour for lane in preview.lanes}
    told = [(name, meaning, ACCENT) for name, meaning in _common(spec)]
    told += [(name, _search(name, settings), series(colours.get(name, 0))) for name, settings in searches.items()]
    if arms := spec.get("arms", {}):
        told.append(("arms", ", ".join(arms), ACCENT))
    lead = min(max((width_of(plain(name)) for name, _, _ in told), default=0), 14)
    rows = []
    for name, meaning, style in told:
        pieces = wrap(plain(meaning), max(width - lead - 2, 16)) or [""]
        rows.append(Text.assemble((left(plain(name, lead), lead), style), "  ", pieces[0]))
        rows += [Text(" " * (lead + 2) + piece) for piece in pieces[1:2]]
    return rows


def _common(spec: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for name in ("data", "network"):
        yield name, _told(spec.get(name, {}), ("name",))
    recipe = spec.get("recipe", {})
    if recipe:
        length = f"{recipe.get('epochs')} epochs, batch {recipe.get('batch')}"
        terms = [str(recipe.get("optimizer")), f"lr {recipe.get('lr')}", str(recipe.get("schedule") or ""), length]
        terms += [f"weight decay {recipe['weight_decay']}"] if recipe.get("weight_decay") else []
        terms += [how for how in ("crop", "flip", "rotate") if (recipe.get("augment") or {}).get(how)]
        yield "recipe", ", ".join(filter(None, terms))
    yield "seeds", ", ".join(map(str, spec.get("seeds", [])))


def _search(name: str, settings: Mapping[str, Any]) -> str:
    rest = {key: value for key, value in settings.items() if (key, value) != ("method", name)}
    return _told(rest, ("method", "segments", "rate", "until"))


def _told(settings: Mapping[str, Any], first: tuple[str, ...]) -> str:
    """Settings in words: those named first, then every other that is not as usual."""
    terms = [_setting(key, settings[key]) for key in first if settings.get(key) is not None]
    for key, value in settings.items():
        if key not in first and value not in USUAL and not _dull(key, value):
            terms.append(_setting(key, value))
    return ", ".join(terms)


def _dull(key: str, value: Any) -> bool:
    """Whether a setting is at its usual figure, or a table of such."""
    if isinstance(value, Mapping):
        return all(inner in USUAL or _dull(name, inner) for name, inner in value.items())
    return (key, value) in (("width", 1.0), ("fraction", 1.0), ("label_noise", 0.0), ("draw", 0), ("shortcut", "conv"))


def _setting(key: str, value: Any) -> str:
    name = key.replace("_", " ")
    if key in ("name", "method"):
        return str(value)
    if key == "segments":
        return f"{value} segments"
    if key == "rate":
        if isinstance(value, Mapping):
            if "like" in value:
                return f"removes what {value['like']} does"
            return "removes " + " and ".join(f"{_percent(rate)} of {kind}" for kind, rate in value.items()) + " a round"
        return f"removes {_percent(value)} a round"
    if key == "until" and isinstance(value, float):
        return f"until {_percent(value)}"
    if isinstance(value, Mapping):
        return f"{name} ({', '.join(_setting(inner, one) for inner, one in value.items() if one not in USUAL)})"
    if isinstance(value, list):
        shown = [_percent(one) if key == "sparsity" else str(one) for one in value]
        return f"{name} {', '.join(shown[:6])}{' …' if len(shown) > 6 else ''}"
    return name if value is True else f"{name} {value}"


def _percent(fraction: Any) -> str:
    return (
        percent(fraction, 0 if round(1000 * fraction) % 10 == 0 else 1)
        if isinstance(fraction, float)
        else str(fraction)
    )
