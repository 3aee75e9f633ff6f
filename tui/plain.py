"""Text that others wrote (names, notes, log lines), made harmless before it reaches a terminal.

A control character could move the cursor or recolour the screen, and a bidirectional one could make a line read
backwards. Each is shown as the picture of itself, so that nothing is hidden. What joins characters to one, or
chooses how one is drawn, is left out: terminals differ in how wide they make what comes of it.
"""

from __future__ import annotations

import re

from tui.cells import cut

_PICTURES: dict[int, str | None] = {code: chr(0x2400 + code) for code in range(0x20)}
_PICTURES |= {0x7F: "␡", 0x09: " ", 0x0A: " ", 0x0D: " ", 0x2028: " ", 0x2029: " "}
_PICTURES |= dict.fromkeys([*range(0x80, 0xA0), *range(0xD800, 0xE000)], "�")  # C1 controls and lone surrogates
_PICTURES |= dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)], "�")
_PICTURES |= dict.fromkeys([0x200B, 0x200C, 0x200D, 0x2060, 0xFEFF, 0xAD, *range(0xFE00, 0xFE10)])  # of no width
_ACCENTS = r"[\u0300-\u036f\u0483-\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f]"
_PILE = re.compile(f"({_ACCENTS}{{4}}){_ACCENTS}+")  # more of them on a letter than any script has


def plain(text: object, most: int | None = None) -> str:
    """`text` on one line, without anything a terminal would obey; beyond `most` cells it ends in an ellipsis."""
    line = _PILE.sub(r"\1", str(text).translate(_PICTURES))
    return line if most is None else cut(line, most)
