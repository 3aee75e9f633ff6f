"""The small language that picks runs: `method:colt data:cifar10 sparsity>=90% -state:failed`.

Terms are apart by blanks, and a run has to meet every one. A word is looked for in id, name, title and preset; a term
`key:value` in what a run says under that key. `-` before a term turns it round, and what stands in double quotes is
taken as it is, `""` being one of them. Nothing here knows of screens.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from store.live import Run

Value = str | float | None
Sort = Literal["text", "fraction", "number", "count", "duration"]


@dataclass(frozen=True)
class Key:
    """Something that a run can be asked for: what sort of value it is, and how a run gives it (None: not known)."""

    sort: Sort
    of: Callable[[Run], Value]


KEYS: dict[str, Key] = {
    "id": Key("text", lambda run: run.id),
    "name": Key("text", lambda run: run.name),
    "title": Key("text", lambda run: run.title),
    "note": Key("text", lambda run: run.note),
    "state": Key("text", lambda run: run.state),
    "preset": Key("text", lambda run: run.preset),
    "paper": Key("text", lambda run: run.paper),
    "method": Key("text", lambda run: run.methods),
    "data": Key("text", lambda run: run.data),
    "network": Key("text", lambda run: run.network),
    "device": Key("text", lambda run: run.device),
    "seeds": Key("number", lambda run: run.seeds),
    "round": Key("number", lambda run: run.round),
    "sparsity": Key("fraction", lambda run: run.sparsity),
    "best": Key("fraction", lambda run: run.best),
    "ticket": Key("fraction", lambda run: run.accuracy),
    "dense": Key("fraction", lambda run: run.dense),
    "overlap": Key("fraction", lambda run: run.overlap),
    "elapsed": Key("duration", lambda run: run.seconds),
    "left": Key("duration", lambda run: run.seconds_left if run.state == "running" else None),
    "cost": Key("count", lambda run: run.images_done),
}
"""In the order of the table of runs, where a key has a column there."""

WORDS = ("id", "name", "title", "preset")
"""Keys that a word without one is looked for in."""

UNITS: dict[Sort, dict[str, float]] = {
    "fraction": {"": 1, "%": 1 / 100},
    "number": {"": 1},
    "count": {"": 1, "k": 1e3, "m": 1e6, "g": 1e9, "t": 1e12},
    "duration": {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400},
}
EXAMPLES: dict[Sort, str] = {
    "fraction": "0.9 or 90%",
    "number": "12",
    "count": "500k or 1.5M",
    "duration": "90s, 15m, 2h or 1d",
}

_HEAD = re.compile(r"([A-Za-z]\w*)(<=|>=|!=|[:=<>])")
_NUMBER = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(\D?)", re.ASCII)


class FilterError(ValueError):
    """A filter that cannot be understood; the message is one line for the person who types it."""

    def __init__(self, message: str, before: Filter | None = None) -> None:
        super().__init__(message)
        self.before = before or Filter()
        """The terms before the one that cannot be understood."""


@dataclass(frozen=True)
class Term:
    """One condition. `key` is empty for a word; `text` is what the key is held against, as it was written."""

    key: str
    sign: str
    text: str
    negated: bool = False

    def holds(self, run: Run) -> bool:
        """Whether a run meets it. What is not known meets none but a negation."""
        return self._meets(run) != self.negated

    def _meets(self, run: Run) -> bool:
        if not self.key:
            return any(_within(self.text, KEYS[key].of(run)) for key in WORDS)
        key = KEYS[self.key]
        value = key.of(run)
        if key.sort == "text":
            if self.sign == ":":
                return _within(self.text, value)
            return (str(value).casefold() == self.text.casefold()) == (self.sign == "=")
        number, slack = _number(self.key, self.text)
        if value is None:
            return self.sign == "!="
        if self.sign[0] in "<>":
            beyond = float(value) - number
            if math.isclose(float(value), number, rel_tol=1e-9, abs_tol=1e-12):  # 1 - 0.64 is not quite 0.36
                return self.sign.endswith("=")
            return beyond < 0 if self.sign[0] == "<" else beyond > 0
        return (abs(float(value) - number) <= slack) == (self.sign != "!=")

    def __str__(self) -> str:
        text = self.text
        plain = text and '"' not in text and not any(map(str.isspace, text))
        if not self.key:
            plain = plain and not text.startswith("-") and not _HEAD.match(text)
        if not plain:
            text = '"' + text.replace('"', '""') + '"'
        return "-" * self.negated + self.key + self.sign + text


@dataclass(frozen=True)
class Filter:
    """Terms that a run has to meet, every one; without any, all runs do."""

    terms: tuple[Term, ...] = ()

    def holds(self, run: Run) -> bool:
        return all(term.holds(run) for term in self.terms)

    def __str__(self) -> str:
        return " ".join(map(str, self.terms))


def parse(text: str) -> Filter:
    """What a person typed.

    Raises:
        FilterError: a key that no run has, or a value that its key does not take.
    """
    terms: list[Term] = []
    for characters in _split(text):
        try:
            terms.append(_term(characters))
        except FilterError as error:
            raise FilterError(str(error), Filter(tuple(terms))) from None
    return Filter(tuple(terms))


def typed(text: str) -> Filter:
    """The same of text that is still being typed: a last word that may yet become a key is not looked for.

    Raises:
        FilterError: as `parse`.
    """
    found = parse(text)
    if not found.terms or found.terms[-1].key or text[-1].isspace() or text.endswith('"'):
        return found
    begun = found.terms[-1].text.lower()
    return Filter(found.terms[:-1]) if any(key.startswith(begun) for key in KEYS) else found


def _split(text: str) -> list[list[tuple[str, bool]]]:
    """Terms as their characters, each with whether it stood in quotes; a quote that is not closed goes to the end."""
    terms: list[list[tuple[str, bool]]] = []
    term: list[tuple[str, bool]] | None = None
    quoted = False
    at = 0
    while at < len(text):
        character = text[at]
        at += 1
        if not quoted and character.isspace():
            if term is not None:
                terms.append(term)
            term = None
            continue
        term = [] if term is None else term
        if character != '"':
            term.append((character, quoted))
        elif quoted and text[at : at + 1] == '"':
            term.append(('"', True))
            at += 1
        else:
            quoted = not quoted
            term.append(("", True))  # so that "" is a value, if an empty one
    return terms if term is None else [*terms, term]


def _term(characters: list[tuple[str, bool]]) -> Term:
    negated = characters[0] == ("-", False)
    characters = characters[negated:]
    if not characters:
        raise FilterError("- turns round the term after it: -state:failed")
    bare = ""
    for character, quoted in characters:
        if quoted:
            break
        bare += character
    head = _HEAD.match(bare)
    if head is None:
        return Term("", "", "".join(character for character, _ in characters), negated)
    key, sign = head[1].lower(), head[2]
    rest = characters[head.end() :]
    text = "".join(character for character, _ in rest)
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, 1, 0.5)
        ways = f"did you mean {near[0]}?" if near else f"there is {', '.join(KEYS)}"
        raise FilterError(f"no run has {_short(key)!r}; {ways}")
    sort = KEYS[key].sort
    if not rest:
        raise FilterError(f"{key}{sign} wants {'a word' if sort == 'text' else EXAMPLES[sort]} after it")
    if sort == "text" and sign not in (":", "=", "!="):
        raise FilterError(f"{key} is text: it takes : (has), = (is) or != (is not)")
    if sort != "text":
        _number(key, text)
    return Term(key, sign, text, negated)


def _number(key: str, text: str) -> tuple[float, float]:
    """A number with its unit, and what it may be away from another to be equal: half of its last digit.

    So `sparsity=90%` finds what is shown as 90 %, and `elapsed=2h` what took about two hours.
    """
    sort = KEYS[key].sort
    found = _NUMBER.fullmatch(text.strip())
    unit = UNITS[sort].get(found[2].lower()) if found else None
    if found is None or unit is None or not math.isfinite(float(found[1]) * unit):
        raise FilterError(f"{key} is not {_short(text)!r}: write {EXAMPLES[sort]}")
    decimals = len(found[1].partition(".")[2])
    number = float(found[1]) * unit
    if sort == "fraction" and not found[2] and number > 1:
        raise FilterError(f"{key} is at most 1: write {_short(found[1])}% for percent")
    return number, 0.5 * 10.0**-decimals * unit + 1e-12


def _within(text: str, value: Value) -> bool:
    return text.casefold() in str(value).casefold()


def _short(text: str) -> str:
    return text if len(text) <= 20 else text[:19] + "…"
