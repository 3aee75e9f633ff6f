"""From a name, a file and overrides to a checked `Experiment`, or to one line that says what is wrong where.

Presets lie in the package, one folder a paper, and in the person's own folder. Listing them needs only tomllib;
pydantic is imported when one is loaded, so that light commands stay quick.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from presets.wording import nearest, printable, shown

if TYPE_CHECKING:
    from presets.schema import Experiment

MOST_BYTES = 1_000_000
"""A preset is a page of text; what is larger was named by mistake."""


class PresetError(Exception):
    """One line: the file or option, the key, what is wrong with it, what is allowed, the nearest match."""


@dataclass(frozen=True)
class PresetInfo:
    """A preset as lists show it. `group` is its folder; `fault` says why it cannot be read, else empty."""

    name: str
    group: str
    title: str
    paper: str
    expect: str
    path: Path
    own: bool
    fault: str = ""


def own_folder() -> Path:
    """Where a person's own presets are looked for; it need not exist."""
    from platformdirs import user_config_path  # only lists and unknown names need it

    return user_config_path("tombola") / "presets"


def listing() -> list[PresetInfo]:
    """Every preset that goes by a name: the person's own first, which hide shipped ones of the same name."""
    shelf = _Shelf()
    found: dict[str, PresetInfo] = {}
    for path, own in shelf.places:
        if path.stem not in found:
            found[path.stem] = _info(shelf, path, own)
    return sorted(found.values(), key=lambda info: (not info.own, info.group, info.name))


def source(name_or_path: str) -> str:
    """The TOML text of a preset, as it was written.

    Raises:
        PresetError: there is no such preset, or its file cannot be read.
    """
    return _text(_Shelf().find(name_or_path))


def load(name_or_path: str, sets: Sequence[str] = (), seeds: Sequence[int] | None = None) -> Experiment:
    """The experiment that a preset describes, with what it extends and with overrides such as "recipe.lr=0.05".

    Raises:
        PresetError: the preset cannot be found or read, or a key or value is wrong.
    """
    shelf = _Shelf()
    layers = shelf.layers(shelf.find(name_or_path))
    return _overridden(_merged(layers), layers, name_or_path, sets, seeds)


def again(
    spec: Mapping[str, Any], label: str, sets: Sequence[str] = (), seeds: Sequence[int] | None = None
) -> Experiment:
    """The experiment of an earlier run, from its stored spec, with overrides; errors name it as `label`.

    Raises:
        PresetError: an override is wrong, or the spec is of a version that knew other keys.
    """
    tables = _without_none(dict(spec))
    return _overridden(tables, [_Layer(label, tables)], label, sets, seeds)


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Tables merge key by key; every other value of `above` replaces that of `below`.

    A table that copies another search (`like`) and one that does not are alternatives, so one replaces the other.
    """
    result = dict(below)
    for key, value in above.items():
        old = result.get(key)
        both = isinstance(old, dict) and isinstance(value, dict) and ("like" in old) == ("like" in value)
        result[key] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result


def parse_set(text: str) -> tuple[tuple[str, ...], Any]:
    """A dotted key and its value from "key.key=value"; the value is TOML, or text where it is no TOML.

    Raises:
        PresetError: there is no key or no =, or a list, table or string is not closed.
    """
    dotted, equals, value = text.partition("=")
    keys = tuple(key.strip() for key in dotted.split("."))
    if not equals or not all(re.fullmatch(r"[A-Za-z0-9_-]+", key) for key in keys):
        raise PresetError(f"--set {printable(text)}: write it as key=value, such as recipe.lr=0.05")
    value = value.strip()
    try:
        parsed = tomllib.loads(f"value = {value}")
        if parsed.keys() == {"value"}:  # a line break would smuggle in further keys
            return keys, parsed["value"]
    except ValueError:  # also a number of thousands of digits
        pass
    if value[:1] in "[{\"'" or "\n" in value:  # also the empty value, which is no text anyone meant
        raise PresetError(f"--set {printable(text)}: the value is not TOML: text, a number, true, [..] or {{..}}")
    return keys, value


# Finding and reading files


class _Shelf:
    """The presets as one call sees them: the folders are looked through once at most, and each file is read once."""

    def __init__(self) -> None:
        self._read: dict[Path, dict[str, Any]] = {}

    @cached_property
    def places(self) -> list[tuple[Path, bool]]:
        """The file of every preset that goes by a name, and whether it is the person's own; those come first."""
        folder, shipped = own_folder(), Path(str(files("presets")))
        own = sorted((*folder.glob("*.toml"), *folder.glob("*/*.toml"))) if folder.is_dir() else []
        return [(path, True) for path in own] + [(path, False) for path in sorted(shipped.glob("*/*.toml"))]

    def find(self, name_or_path: str, beside: Path | None = None) -> Path:
        """The file of a name or path; a relative path starts in the working folder or, given `beside`, in that file's.

        Raises:
            PresetError: there is no preset of this name.
        """
        if "\0" in name_or_path or not name_or_path.strip():
            raise PresetError("a preset is a name or the path of a TOML file")
        if "/" in name_or_path or name_or_path.endswith(".toml"):
            path = Path(name_or_path).expanduser()
            return path if beside is None else beside.parent / path
        if (named := self._named.get(name_or_path)) is not None:
            return named
        names = [path.stem for path, _ in self.places]
        raise PresetError(
            f"no preset {shown(name_or_path)}{nearest(name_or_path, names)} (presets: {', '.join(names)})"
        )

    @cached_property
    def _named(self) -> dict[str, Path]:
        return {path.stem: path for path, _ in reversed(self.places)}  # of one name, the first counts

    def layers(self, path: Path) -> list[_Layer]:
        """A preset and all it extends, the preset itself first, without the key `extends`.

        Raises:
            PresetError: one cannot be found or read, or they go round in a circle.
        """
        layers: list[_Layer] = []
        seen: list[Path] = []
        following: Path | None = path
        while following is not None:
            here = following.resolve()
            if here in seen:
                circle = " → ".join(place.name for place in (*seen, here))
                raise PresetError(f"{path}: extends: {circle} goes round in a circle")
            seen.append(here)
            tables = dict(self._tables(following))
            base = tables.pop("extends", None)
            if base is not None and not isinstance(base, str):
                raise PresetError(f"{following}: extends: must be the name or path of one preset, not {shown(base)}")
            layers.append(_Layer(str(following), tables))
            try:
                following = None if base is None else self.find(base, beside=following)
            except PresetError as error:
                raise PresetError(f"{layers[-1].label}: extends: {error}") from None
        return layers

    def _tables(self, path: Path) -> dict[str, Any]:
        if path not in self._read:
            try:
                self._read[path] = tomllib.loads(_text(path))
            except ValueError as error:
                raise PresetError(f"{path}: not TOML: {' '.join(str(error).split())}") from None
            except RecursionError:
                raise PresetError(f"{path}: not TOML that can be read: nested too deeply") from None
        return self._read[path]


def _info(shelf: _Shelf, path: Path, own: bool) -> PresetInfo:
    group = "own" if own and path.parent == own_folder() else path.parent.name
    try:
        tables = _merged(shelf.layers(path))
    except PresetError as error:
        return PresetInfo(path.stem, group, "", "", "", path, own, str(error))
    title, paper, expect = (str(tables.get(key, "")) for key in ("title", "paper", "expect"))
    return PresetInfo(path.stem, group, title, paper, expect, path, own)


def _merged(layers: Sequence[_Layer]) -> dict[str, Any]:
    tables: dict[str, Any] = {}
    for layer in reversed(layers):
        tables = merged(tables, layer.tables)
    return tables


def _text(path: Path) -> str:
    try:
        if path.is_dir():
            raise PresetError(f"{path}: a folder, not a TOML file")
        if path.stat().st_size > MOST_BYTES:
            raise PresetError(f"{path}: too large for a preset")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise PresetError(f"{path}: {(error.strerror or str(error)).lower()}") from None
    except UnicodeDecodeError:
        raise PresetError(f"{path}: not UTF-8 text") from None


# Overrides and checking


@dataclass(frozen=True)
class _Layer:
    """Where keys were written: a file, or an option, which then says its key itself."""

    label: str
    tables: dict[str, Any]
    option: tuple[str, ...] = ()


def _overridden(
    tables: dict[str, Any], layers: list[_Layer], label: str, sets: Sequence[str], seeds: Sequence[int] | None
) -> Experiment:
    """`tables` with options on top, checked. `layers` go from the topmost file to the one at the bottom."""
    options: list[_Layer] = []
    for text in sets:
        keys, value = parse_set(text)
        tables = _with(tables, keys, value, text)
        options.insert(0, _Layer(f"--set {printable(text)}", _with({}, keys, value, text), keys))
    if isinstance(data := tables.get("data"), dict) and isinstance(path := data.get("path"), str) and path:
        # From the folder where the person is: engines have another.
        tables = {**tables, "data": {**data, "path": str(Path(path).expanduser().absolute())}}
    if seeds is not None:
        tables = {**tables, "seeds": list(seeds)}
        options.insert(0, _Layer("--seed", {"seeds": list(seeds)}, ("seeds",)))
    return _checked(tables, [*options, *layers], label)


def _with(tables: Mapping[str, Any], keys: Sequence[str], value: Any, text: str) -> dict[str, Any]:
    key, *rest = keys
    if not rest:
        return {**tables, key: value}
    inner = tables.get(key, {})
    if not isinstance(inner, dict):
        raise PresetError(f"--set {printable(text)}: {key} is {shown(inner)} here, which holds no keys")
    return {**tables, key: _with(inner, rest, value, text)}


def _checked(tables: dict[str, Any], layers: list[_Layer], label: str) -> Experiment:
    import json

    from pydantic import ValidationError

    from presets.explaining import explain
    from presets.schema import Experiment

    try:
        # Strict, so that "12" is no number; through JSON, where a list may become a tuple even so.
        return Experiment.model_validate_json(json.dumps(tables, default=_refuse), strict=True)
    except ValidationError as error:
        place, words = explain(error, tables)
        layer = _layer_of(place, tables, layers) or _Layer(label, tables)
        key = "" if layer.option == place else f"{'.'.join(map(str, place))}: " if place else ""
        raise PresetError(f"{layer.label}: {key}{words}") from None
    except RecursionError:
        raise PresetError(f"{label}: nested too deeply") from None


def _refuse(value: Any) -> Any:
    raise PresetError(f"no key of a preset takes a date or time, such as {value}")


def _layer_of(place: Sequence[Any], tables: dict[str, Any], layers: list[_Layer]) -> _Layer | None:
    """The topmost layer in which most of `place` is written."""
    from presets.explaining import walk

    existing = walk(tables, place)
    depths = [len(walk(layer.tables, existing)) for layer in layers]
    return layers[depths.index(max(depths))] if any(depths) else None


def _without_none(tables: dict[str, Any]) -> dict[str, Any]:
    """A stored spec has null where a preset leaves a key out."""
    return {k: _without_none(v) if isinstance(v, dict) else v for k, v in tables.items() if v is not None}
