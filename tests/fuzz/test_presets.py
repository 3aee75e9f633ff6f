"""Presets, overrides, settings and filters that nobody meant: each is taken, or refused in one line, at once."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from presets.loading import PresetError, listing, load, source
from presets.schema import Experiment
from tests.fuzz.material import CONTROLS, EVIL, examples, no_hang
from tui.filtering import FilterError, parse
from tui.settings import Settings, read

SHIPPED = [source(info.name) for info in listing()]

SPLINTERS = st.one_of(
    st.sampled_from(
        [
            *(
                '"',
                "'",
                "[",
                "]",
                "{",
                "}",
                "=",
                ".",
                ",",
                "#",
                "\n",
                "\\",
                "\0",
                "\x1b[2J",
                "\ufeff",
                "é",
                '"""',
                "[[x]]\n",
            ),
            *("nan", "inf", "-1", "1e400", "9" * 5000, "0x", "true", "1979-05-27T07:32:00Z", '"each"', "[" * 2000),
            *('extends = "digits-demo"\n', 'extends = "/dev/zero"\n', 'extends = "../../etc/passwd"\n', "seeds = []\n"),
            *('name = "folder"\npath = "../.."\n', "like = ", "rate = { conv = 2 }\n", "[searches.x]\n", "at = [2]\n"),
        ]
    ),
    st.text(max_size=8),
)


@st.composite
def mutated(draw: st.DrawFn) -> str:
    """A shipped preset with a few places cut out, doubled or replaced."""
    text = draw(st.sampled_from(SHIPPED))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(start + draw(st.integers(0, 60)), len(text))
        how = draw(st.sampled_from(["cut", "double", "replace"]))
        middle = {"cut": "", "double": text[start:end] * 2}.get(how, "") or draw(SPLINTERS)
        text = text[:start] + middle + text[end:]
    return text


SCALARS = st.one_of(
    *(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=12),
        st.sampled_from(["each", "colt", EVIL]),
    ),
)
KEYS = st.sampled_from(
    [
        *("title", "seeds", "data", "network", "recipe", "searches", "arms", "checks", "published", "keep", "extends"),
        *(
            "name",
            "method",
            "rate",
            "at",
            "like",
            "epochs",
            "batch",
            "lr",
            "ticket",
            "this",
            "arm",
            "path",
            "stop",
            "x",
        ),
    ]
)
TABLES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=25
)


def written(value: object) -> str:
    """A value as TOML; what TOML cannot say becomes text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {written(inner)}" for key, inner in value.items()) + "}"
    shown = "".join(f"\\U{ord(c):08x}" if not 0xD800 <= ord(c) < 0xE000 else "?" for c in str(value))
    return f'"{shown}"'


def refusal(path: Path, *sets: str) -> str:
    """The one line by which a preset is refused; empty where it is taken."""
    with no_hang():
        try:
            assert isinstance(load(str(path), sets), Experiment)
        except PresetError as error:
            words = str(error)
            assert words
            assert "\n" not in words
            assert len(words) < 6000  # an unknown name is told with all that there are
            assert not CONTROLS.search(words), words
            return words
    return ""


@pytest.fixture
def preset(tmp_path: Path) -> Path:
    return tmp_path / "mine.toml"


@examples(60)
@given(mutated())
def test_a_preset_with_splinters_in_it_is_taken_or_refused_in_one_line(preset: Path, text: str):
    preset.write_text(text, encoding="utf-8", errors="replace")
    refusal(preset)


@examples(40)
@given(st.dictionaries(KEYS, TABLES, max_size=8))
def test_any_tables_are_taken_or_refused_in_one_line(preset: Path, tables: dict[str, object]):
    text = "\n".join(f"{key} = {written(value)}" for key, value in tables.items())
    tomllib.loads(text)
    preset.write_text(text, encoding="utf-8")
    refusal(preset)


@examples(30)
@given(st.binary(max_size=200))
def test_any_bytes_are_taken_or_refused_in_one_line(preset: Path, content: bytes):
    preset.write_bytes(content)
    assert refusal(preset)


@examples(40)
@given(st.lists(KEYS, min_size=1, max_size=4).map(".".join), TABLES.map(written) | SPLINTERS)
@example("recipe.lr", "[" * 5000)
@example("recipe.lr", "9" * 5000)
def test_any_override_is_taken_or_refused_in_one_line(preset: Path, key: str, value: str):
    preset.write_text(source("digits-demo"))
    refusal(preset, f"{key}={value}")


@examples(60)
@given(st.text(max_size=60) | mutated())
def test_any_filter_is_taken_or_refused_in_one_line(text: str):
    words = ""
    with no_hang():
        try:
            parse(text)
        except FilterError as error:
            words = str(error)
    assert "\n" not in words
    assert len(words) < 300


@examples(60)
@given(
    st.one_of(
        st.binary(max_size=100),
        st.dictionaries(st.sampled_from(["theme", "ascii", "mouse", "keys", "x"]), TABLES).map(
            lambda tables: "\n".join(f"{key} = {written(value)}" for key, value in tables.items()).encode()
        ),
        st.dictionaries(st.text(max_size=12), st.text(max_size=8)).map(
            lambda keys: ("[keys]\n" + "\n".join(f"{written(k)} = {written(v)}" for k, v in keys.items())).encode()
        ),
    )
)
@example(b"theme = " + b"[" * 5000)
@example(b"theme = " + b"9" * 5000)
def test_any_settings_are_taken_or_refused_in_words(preset: Path, content: bytes):
    preset.write_bytes(content)
    words = str(preset)
    with no_hang():
        try:
            assert isinstance(read(preset), Settings)
        except click.ClickException as error:
            words = error.message
    assert str(preset) in words
