"""How errors show a value and ask for the nearest right word; of the standard library only, so that it is light."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import Any


def shown(value: Any) -> str:
    """A value much as TOML would write it, made `printable`."""
    return printable(
        f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
    )


def printable(text: str, most: int = 60) -> str:
    """Text on one line, not long, and harmless to a terminal."""
    text = "".join(c if c.isprintable() else "�" for c in text)
    return text if len(text) <= most else text[: most - 1] + "…"


def nearest(word: str, words: Iterable[str]) -> str:
    """What to append to a sentence on a wrong word: a question, or nothing where no word is near."""
    near = difflib.get_close_matches(word, list(words), 1, cutoff=0.6)
    return f"; did you mean {near[0]}?" if near else ""
