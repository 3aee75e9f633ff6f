"""One sentence for what pydantic found wrong in a preset: what the value is, what is allowed, the nearest match.

pydantic speaks of types and tags; a person needs the key and the choice. Where a value may be of several kinds it
reports the complaints of every kind: here the kind that fits best is explained, or all kinds are named.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from presets.schema import Contrast, Experiment
from presets.wording import nearest, shown

Place = tuple[Any, ...]
"""Keys and list positions from the top of a preset to a value."""

_TYPES = {
    "bool_type": "true or false",
    "dict_type": "a table",
    "float_type": "a number",
    "int_type": "a whole number",
    "model_type": "a table",
    "string_type": "text",
    "tuple_type": "a list",
}
_BOUNDS = {
    "greater_than": ("gt", "above"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "below"),
    "less_than_equal": ("le", "at most"),
    "too_short": ("min_length", "a list whose length is at least"),
    "too_long": ("max_length", "a list whose length is at most"),
    "string_too_short": ("min_length", "text whose length is at least"),
    "string_too_long": ("max_length", "text whose length is at most"),
}


def explain(error: ValidationError, tables: Mapping[str, Any]) -> tuple[Place, str]:
    """Place and sentence of the first thing that is wrong in `tables`."""
    errors = error.errors(include_url=False)
    # An unknown or missing key explains more than what follows from it.
    telling = [one for one in errors if one["type"] in ("extra_forbidden", "missing") and _kind(one, tables) is None]
    first = (telling or errors)[0]
    if _kind(first, tables) is None:
        return _place(first, tables), _sentence(first, tables)
    chosen = _best_kind([one for one in errors if _chooses(one, tables) == _chooses(first, tables)], tables)
    place, value = _place(chosen[0], tables), chosen[0]["input"]
    sentences = list(dict.fromkeys(_sentence(one, tables) for one in chosen))
    if len(sentences) == 1:
        return place, sentences[0]
    return place, f"must be {' or '.join(dict.fromkeys(map(_allowed, chosen)))}, not {shown(value)}"


def walk(value: Any, place: Iterable[Any]) -> Place:
    """The parts of `place` that exist in nested tables and lists, from the outside in; others are passed over."""
    found = []
    for key in place:
        if (isinstance(value, Mapping) and key in value) or (
            isinstance(value, list) and isinstance(key, int) and key < len(value)
        ):
            value = value[key]
            found.append(key)
    return tuple(found)


def keys_at(place: Sequence[Any], tables: Mapping[str, Any]) -> list[str]:
    """Keys that the table at `place` may hold, in the order of the schema; none where they are free names."""
    keys: dict[str, None] = {}
    for kind in _annotations(place, tables):
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            keys |= dict.fromkeys(kind.model_fields)
        elif get_origin(kind) is dict and get_origin(get_args(kind)[0]) is Literal:
            keys |= dict.fromkeys(get_args(get_args(kind)[0]))
    return list(keys)


def description_of(place: Sequence[Any], tables: Mapping[str, Any]) -> str:
    """What the schema says of the key at `place`; empty for a free name."""
    for kind in _annotations(place[:-1], tables):
        if isinstance(kind, type) and issubclass(kind, BaseModel) and place[-1] in kind.model_fields:
            return kind.model_fields[place[-1]].description or ""
    return ""


# Kinds of a value


def _kind(one: ErrorDetails, tables: Mapping[str, Any]) -> tuple[int, str] | None:
    """Position and name of the part of an error's location that names one of a value's kinds; None without."""
    for index, key in enumerate(one["loc"]):
        is_key = len(walk(tables, one["loc"][: index + 1])) > len(walk(tables, one["loc"][:index]))
        is_missing = one["type"] == "missing" and index == len(one["loc"]) - 1
        if isinstance(key, str) and not is_key and not is_missing and key != "[key]" and key not in METHODS:
            return index, key
    return None


def _chooses(one: ErrorDetails, tables: Mapping[str, Any]) -> Place | None:
    """Place of the value whose kinds are tried."""
    kind = _kind(one, tables)
    return None if kind is None else walk(tables, one["loc"][: kind[0]])


def _best_kind(errors: list[ErrorDetails], tables: Mapping[str, Any]) -> list[ErrorDetails]:
    """The first complaint of each kind that fits best: of the right type, then with the fewest complaints."""
    kinds: dict[str, list[ErrorDetails]] = {}
    for one in errors:
        kinds.setdefault(_kind(one, tables)[1], []).append(one)  # type: ignore[index]

    def misfit(group: list[ErrorDetails]) -> float:
        wrong_type = group[0]["type"] in (*_TYPES, "literal_error") and _kind(group[0], tables) == _last(group[0])
        return math.inf if wrong_type else len(group)

    least = min(map(misfit, kinds.values()))
    return [group[0] for group in kinds.values() if misfit(group) == least]


def _last(one: ErrorDetails) -> tuple[int, Any]:
    return len(one["loc"]) - 1, one["loc"][-1]


def _annotations(place: Sequence[Any], tables: Any) -> list[Any]:
    """The types that the value at `place` may have."""
    kinds: list[Any] = [Experiment]
    for key in place:
        inner: list[Any] = []
        for kind in kinds:
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                if key in kind.model_fields:
                    inner += _flat(kind.model_fields[key].annotation)
            elif get_origin(kind) is dict:
                inner += _flat(get_args(kind)[1])
        tables = tables.get(key) if isinstance(tables, Mapping) else None
        method = (
            tables.get("method", "contrast" if Contrast in inner else None) if isinstance(tables, Mapping) else None
        )
        kinds = [kind for kind in inner if METHODS.get(method, kind) is kind] if isinstance(method, str) else inner
    return kinds


def _flat(annotation: Any) -> list[Any]:
    """The members of unions, without what `Annotated` adds."""
    if get_origin(annotation) is Annotated:
        return _flat(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [kind for member in get_args(annotation) for kind in _flat(member)]
    return [annotation]


def _methods(tables: str) -> dict[str, Any]:
    kinds = _flat(get_args(Experiment.model_fields[tables].annotation)[1])
    return {get_args(kind.model_fields["method"].annotation)[0]: kind for kind in kinds}


METHODS_OF = {tables: _methods(tables) for tables in ("searches", "checks")}
"""By the tables that they are chosen in, the methods of searches and of checks, by name."""
METHODS = METHODS_OF["searches"] | METHODS_OF["checks"]


# Sentences


def _place(one: ErrorDetails, tables: Mapping[str, Any]) -> Place:
    place = walk(tables, one["loc"])
    return (*place, one["loc"][-1]) if one["type"] == "missing" else place


def _sentence(one: ErrorDetails, tables: Mapping[str, Any]) -> str:
    name, value, context, place = one["type"], one["input"], one.get("ctx", {}), _place(one, tables)
    if name == "missing":
        words = description_of(place, tables).rstrip(".")
        return f"is missing ({words[:1].lower()}{words[1:]})" if words else "is missing"
    if name == "extra_forbidden" or (one["loc"][-1:] == ("[key]",) and name == "literal_error"):
        allowed = keys_at(place[:-1], tables)
        return f"unknown key; allowed here: {', '.join(allowed)}{nearest(str(place[-1]), allowed)}"
    if name in ("union_tag_not_found", "union_tag_invalid"):
        methods = METHODS_OF[str(place[0])]
        if name == "union_tag_not_found":
            return f"method is missing: {_either(methods)}"
        tag = str(context["tag"])
        return f"method must be {_either(methods)}, not {shown(tag)}{nearest(tag, methods)}"
    if name == "json_invalid":  # the one thing that TOML or an option can hold and JSON cannot
        return "holds text that is not Unicode"
    if name == "value_error":
        return str(context["error"])
    near = nearest(str(value), _choices(context["expected"])) if name == "literal_error" else ""
    return f"must be {_allowed(one)}, not {shown(value)}{near}"


def _allowed(one: ErrorDetails) -> str:
    name, context = one["type"], one.get("ctx", {})
    if name in _TYPES:
        return _TYPES[name]
    if name in _BOUNDS:
        bound, words = _BOUNDS[name]
        return f"{words} {context[bound]:g}"
    if name == "literal_error":
        return str(context["expected"]).replace("'", '"')
    if name == "string_pattern_mismatch":
        return "a name of letters, digits, - and _ (at most 40)"
    return str(one["msg"]).removeprefix("Input should be ")


def _either(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"


def _choices(expected: str) -> list[str]:
    return expected.split("'")[1::2]
