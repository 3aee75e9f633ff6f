"""The hardest samples of a round, drawn in half blocks, two greys a cell; without colour in plain characters.

What is shown is an answer of `tui.launch.samples`.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.style import Style
from rich.text import Text

from tui.blocks import beside
from tui.plain import plain

WIDEST = 28
"""Columns of one image; a larger one is drawn at a whole fraction of its size."""

BETWEEN = 2
"""Columns between images."""

CAPTION = 13
"""Columns that a caption needs at least."""

SHADES = " .:-=+*#%@"
"""From black to white, where there is no colour."""

_GREYS, _FIRST = 24, 232  # of the 256 colours that every terminal has

Greys = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Sample:
    """A sample of a set; `greys` are its rows of pixels, 0 (black) to 255 (white)."""

    index: int
    label: int
    reason: str
    greys: Greys


@dataclass(frozen=True)
class Gallery:
    """The hardest samples of a round's set; `fault` says why there are none."""

    search: str
    seed: int
    round: int
    size: int = 0
    samples: tuple[Sample, ...] = ()
    hard: bool = False
    """Whether the round wrote down which are hardest; else these are the first of its set."""
    fault: str = ""

    @property
    def title(self) -> str:
        return f"hardest samples of round {self.round}" if self.hard else f"samples of the set of round {self.round}"

    @property
    def key(self) -> tuple[str, int, int]:
        return self.search, self.seed, self.round


def gallery(answer: dict[str, Any]) -> Gallery:
    """An answer of the engine as a gallery."""
    samples = tuple(
        Sample(one["index"], one["label"], one["reason"], greys(base64.b64decode(one["image"]), answer["shape"]))
        for one in answer["samples"]
    )
    hard = any(one["forgotten"] is not None or one["reason"] == "never learned" for one in answer["samples"])
    return Gallery(answer["search"], answer["seed"], answer["round"], answer["size"], samples, hard)


def greys(pixels: bytes, shape: Sequence[int]) -> Greys:
    """Rows of greys of an image of (C, H, W) bytes: of colours their brightness (ITU-R BT.601), at most `WIDEST` wide.

    A larger image is averaged over squares of whole pixels; what is left over at its right and lower edge is cut off.
    """
    channels, height, width = shape
    planes = [pixels[place * height * width :][: height * width] for place in range(channels)]
    weights = (0.299, 0.587, 0.114) if channels == 3 else (1 / channels,) * channels
    step = -(-width // WIDEST)
    return tuple(
        tuple(
            round(
                sum(
                    weight * plane[(y + dy) * width + x + dx]
                    for weight, plane in zip(weights, planes, strict=True)
                    for dy in range(step)
                    for dx in range(step)
                )
                / step**2
            )
            for x in range(0, width - step + 1, step)
        )
        for y in range(0, height - step + 1, step)
    )


def drawn(sample: Sample, colour: bool) -> list[Text]:
    """An image, two rows of pixels a line."""
    rows = [*sample.greys, *([(0,) * len(sample.greys[0])] if len(sample.greys) % 2 else [])]
    pairs = [tuple(zip(*rows[y : y + 2], strict=True)) for y in range(0, len(rows), 2)]
    if not colour:
        return [
            Text("".join(SHADES[(above + below) * len(SHADES) // 512] for above, below in pair), no_wrap=True)
            for pair in pairs
        ]
    return [Text.assemble(*(("▀", _style(above, below)) for above, below in pair), no_wrap=True) for pair in pairs]


def _style(above: int, below: int) -> Style:
    return Style(color=f"color({_code(above)})", bgcolor=f"color({_code(below)})")


def _code(grey: int) -> int:
    return _FIRST + grey * _GREYS // 256


def wall(shown: Gallery, width: int, height: int | None, colour: bool) -> list[Text]:
    """Images side by side with their captions, as many as fit; none of a row that would be cut off."""
    if not shown.samples:
        return []
    wide = max(len(shown.samples[0].greys[0]), CAPTION)
    across = max((width + BETWEEN) // (wide + BETWEEN), 1)
    lines: list[Text] = []
    for start in range(0, len(shown.samples), across):
        some = shown.samples[start : start + across]
        blocks = [[*drawn(one, colour), *_caption(one, wide)] for one in some]
        row = [*([Text()] if lines else []), *beside(blocks, wide + BETWEEN)]
        if height is not None and len(lines) + len(row) > height:
            break
        lines += row
    return lines


def _caption(sample: Sample, wide: int) -> list[Text]:
    return [
        Text(plain(f"#{sample.index} is {sample.label}", wide), no_wrap=True),
        Text(plain(short(sample.reason), wide), no_wrap=True),
    ]


def short(reason: str) -> str:
    """A reason in as many columns as a caption has: "forgotten 12 times" → "forgotten 12×"."""
    words = reason.split()
    if len(words) == 3 and words[0] == "forgotten" and words[1].isdecimal():
        return f"forgotten {words[1]}×"
    return {"forgotten in training": "by training", "changed by pruning": "by pruning", "both": "by both"}.get(
        reason, reason
    )
