"""A preset is found, extended and overridden; whatever is wrong with it is one line that names place and choice."""

from __future__ import annotations

import string
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from presets import loading
from presets.loading import PresetError, again, listing, load, merged, parse_set, source

MINIMAL = """
title = "small"
network.name = "conv3"
recipe.epochs = 1
arms.dense = {}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A person's own folder of presets, empty."""
    own = tmp_path / "own"
    own.mkdir()
    monkeypatch.setattr(loading, "own_folder", lambda: own)
    return own


@contextmanager
def one_line_of_refusal():
    """Lets a `PresetError` pass as long as it is one line of ours."""
    try:
        yield
    except PresetError as error:
        words = str(error)
        assert "\n" not in words
        assert "pydantic" not in words


def refusal(*sets: str, preset: str = "digits-demo") -> str:
    with pytest.raises(PresetError) as caught:
        load(preset, sets)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("info", listing(), ids=lambda info: info.name)
def test_every_shipped_preset_is_valid_and_says_what_it_is(info):
    experiment = load(info.name)
    assert (info.title, info.paper, info.expect) == (experiment.title, experiment.paper, experiment.expect)
    assert all((info.title, info.paper, info.expect))


def test_shipped_presets_are_grouped_by_paper(folder: Path):
    assert {"digits-demo": "colt", "digits-segments": "colt", "digits-imp": "lth"}.items() <= {
        info.name: info.group for info in listing()
    }.items()
    assert not any(info.own or info.fault for info in listing())


def test_listing_imports_neither_pydantic_nor_anything_heavy():
    code = (
        "import sys, presets.loading as l; l.listing(); print([m for m in ('pydantic', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_listing_reads_each_preset_once_however_many_extend_it_and_looks_through_each_folder_once():
    code = """
import sys, presets.loading as l
opened, searched = [], []
of = {"open": opened, "os.scandir": searched}
sys.addaudithook(lambda event, words: event in of and of[event].append(str(words[0])))
infos = l.listing()
presets = [path for path in opened if path.endswith(".toml")]
print(len(infos), len(presets), len(set(presets)))
print(sorted(searched.count(str(folder)) for folder in {info.path.parent for info in infos}))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    counts, folders = done.stdout.splitlines()
    assert len(set(counts.split())) == 1
    assert set(folders.strip("[]").split(", ")) == {"1"}


def test_a_preset_of_ones_own_is_listed_and_found_by_name(folder: Path):
    (folder / "mine.toml").write_text(MINIMAL)
    (folder / "group").mkdir()
    (folder / "group" / "other.toml").write_text(MINIMAL)
    assert [(info.name, info.group) for info in listing() if info.own] == [("other", "group"), ("mine", "own")]
    assert load("mine").title == "small"


def test_a_preset_of_ones_own_hides_a_shipped_one_of_the_same_name(folder: Path):
    (folder / "digits-demo.toml").write_text(MINIMAL)
    assert load("digits-demo").title == "small"
    assert [info.own for info in listing() if info.name == "digits-demo"] == [True]


def test_a_broken_preset_of_ones_own_is_listed_with_its_fault(folder: Path):
    (folder / "broken.toml").write_text("title = ")
    (broken,) = (info for info in listing() if info.name == "broken")
    assert "not TOML" in broken.fault
    assert load("digits-demo")


def test_a_preset_is_loaded_by_its_path(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    assert load(str(path)).title == "small"
    assert source(str(path)) == MINIMAL


def test_the_source_of_a_preset_gives_the_same_experiment(tmp_path: Path):
    copy = tmp_path / "copy.toml"
    copy.write_text(source("digits-demo"))
    assert load(str(copy)) == load("digits-demo")


def test_extending_merges_tables_and_replaces_all_else(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "digits-demo"\nseeds = [7]\n[recipe]\nlr = 0.05\n[searches.colt]\nrate = { head = 0.0 }')
    mine, demo = load(str(path)), load("digits-demo")
    assert mine.seeds == (7,)
    assert mine.recipe == demo.recipe.model_copy(update={"lr": 0.05})
    assert mine.searches["colt"].rate == {"conv": 0.15, "head": 0.0}
    assert mine.arms == demo.arms


def test_a_rate_of_ones_own_replaces_one_that_is_copied(tmp_path: Path):
    path = tmp_path / "mine.toml"
    path.write_text('extends = "digits-demo"\n[searches.matched]\nrate = { conv = 0.1 }\nrounds = 2')
    assert load(str(path)).searches["matched"].rate == {"conv": 0.1}


def test_extending_finds_files_beside_the_preset(tmp_path: Path):
    (tmp_path / "base.toml").write_text(MINIMAL)
    (tmp_path / "mine.toml").write_text('extends = "./base.toml"\ntitle = "mine"')
    assert load(str(tmp_path / "mine.toml")).title == "mine"


def test_extending_in_a_circle_is_refused(tmp_path: Path):
    (tmp_path / "a.toml").write_text('extends = "./b.toml"')
    (tmp_path / "b.toml").write_text('extends = "./a.toml"')
    assert "a.toml → b.toml → a.toml goes round in a circle" in refusal(preset=str(tmp_path / "a.toml"))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"title = ", "not TOML: Invalid value (at end of document)"),
        (b"x = " + b"[" * 20_000, "not TOML"),
        (b"n = " + b"9" * 5_000, "not TOML"),
        (b"title = '\xff'", "not UTF-8"),
        (b"extends = 3", "extends: must be the name or path of one preset, not 3"),
        (b"extends = 'digits-dem'", "did you mean digits-demo?"),
        (b"x" * (loading.MOST_BYTES + 1), "too large"),
    ],
)
def test_a_file_that_is_no_preset_is_named_with_its_fault(tmp_path: Path, content: bytes, words: str):
    path = tmp_path / "mine.toml"
    path.write_bytes(content)
    message = refusal(preset=str(path))
    assert message.startswith(f"{path}: ")
    assert words in message


def test_a_name_that_is_unknown_gets_the_nearest_one():
    assert 'no preset "digit-demo"; did you mean digits-demo?' in refusal(preset="digit-demo")


@pytest.mark.parametrize("preset", ["", "nowhere.toml", "/", "a\0b", "./\0.toml", "x" * 5_000, "~nobody/x.toml"])
def test_what_cannot_be_a_preset_is_refused(preset: str):
    refusal(preset=preset)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("recipe.lr=-1", "--set recipe.lr=-1: must be above 0, not -1"),
        ("recipe.lr=inf", "--set recipe.lr=inf: must be a finite number, not inf"),
        ("recipe.lr='0.1'", "--set recipe.lr='0.1': must be a number, not \"0.1\""),
        ("recipe.epochs=1.5", "--set recipe.epochs=1.5: must be a whole number, not 1.5"),
        ("recipe.nesterov=1", "--set recipe.nesterov=1: must be true or false, not 1"),
        ("recipe.optimizer=sdg", '--set recipe.optimizer=sdg: must be "sgd" or "adam", not "sdg"; did you mean sgd?'),
        ("searches.colt.segments=1", "--set searches.colt.segments=1: must be at least 2, not 1"),
        ("searches.imp.until=1.5", "--set searches.imp.until=1.5: must be below 1, not 1.5"),
        ("searches.colt.rate=abc", '--set searches.colt.rate=abc: must be a number or a table, not "abc"'),
        ("searches.imp.rate.conv=2", "--set searches.imp.rate.conv=2: must be below 1, not 2"),
        ("seeds=[0,0]", "--set seeds=[0,0]: seeds must differ"),
        ("network=conv3", '--set network=conv3: must be a table, not "conv3"'),
        ("recipe={}", "--set recipe={}: recipe.epochs: is missing (passes over the training data)"),
        ("recipe.lr.x=1", "--set recipe.lr.x=1: lr is 0.1 here, which holds no keys"),
    ],
)
def test_a_wrong_value_is_told_with_what_is_allowed(option: str, message: str):
    assert refusal(option) == message


@pytest.mark.parametrize(
    ("option", "near"),
    [
        ("recipe.epoch=3", "epochs"),
        ("searches.colt.segment=2", "segments"),
        ("searches.colt.rate={konv=0.1}", "conv"),
        ("searches.imp.method=ipm", "imp"),
        ("titel=x", "title"),
    ],
)
def test_a_wrong_word_gets_the_nearest_right_one(option: str, near: str):
    assert refusal(option).endswith(f"; did you mean {near}?")


def test_an_unknown_key_is_told_what_its_table_may_hold():
    assert "allowed here: ticket, start, weights, mask, network, recipe, begin, at" in refusal("arms.ticket.x=1")
    assert "allowed here: name, width, init" in refusal("network.depth=3")


def test_a_fault_is_told_with_the_file_that_holds_it(tmp_path: Path):
    (tmp_path / "base.toml").write_text(MINIMAL.replace("epochs = 1", "epochs = 0"))
    (tmp_path / "mine.toml").write_text('extends = "./base.toml"\nrecipe.lr = 0.1')
    assert refusal(preset=str(tmp_path / "mine.toml")).startswith(f"{tmp_path / 'base.toml'}: recipe.epochs: ")


def test_an_override_wins_over_the_file_and_a_later_one_over_an_earlier():
    experiment = load("digits-demo", ["recipe.lr=0.5", "recipe.lr=0.25", "searches.colt.rate=0.3"], seeds=[4])
    assert experiment.recipe.lr == 0.25
    assert experiment.searches["colt"].rates() == {"conv": 0.3, "linear": 0.3}
    assert experiment.seeds == (4,)


def test_the_spec_of_an_earlier_run_is_read_again_and_takes_overrides():
    demo = load("digits-demo")
    spec = demo.model_dump(mode="json")
    assert again(spec, "run x") == demo
    assert again(spec, "run x", ["recipe.lr=0.5"], [9]).seeds == (9,)
    with pytest.raises(PresetError, match=r"^run x: recipe\.epoch: unknown key"):
        again({**spec, "recipe": {**spec["recipe"], "epoch": 1}}, "run x")


keys = st.lists(st.text(string.ascii_letters + string.digits + "_-", min_size=1, max_size=8), min_size=1, max_size=4)
printable = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=20)


@given(keys, st.one_of(st.integers(), st.booleans(), st.floats(allow_nan=False), st.lists(st.integers())))
def test_a_value_written_as_toml_is_read_as_that_value(names: list[str], value: object):
    text = str(value).lower() if isinstance(value, bool) else repr(value)
    assert parse_set(f"{'.'.join(names)}={text}") == (tuple(names), value)


@given(keys, printable)
def test_a_bare_word_is_text(names: list[str], word: str):
    word = word.strip()
    assume(word and word[0] not in "[{\"'#")
    try:
        tomllib.loads(f"v = {word}")
    except ValueError:
        assert parse_set(f"{'.'.join(names)}={word}") == (tuple(names), word)


@given(st.text(max_size=40))
def test_any_text_is_an_override_or_one_line_of_refusal(text: str):
    with one_line_of_refusal():
        names, _ = parse_set(text)
        assert ".".join(names) == ".".join(part.strip() for part in text.partition("=")[0].split("."))


paths = st.sampled_from(
    [
        *("title", "seeds", "keep", "data.name", "network.width", "recipe.lr", "recipe.warmup", "recipe.milestones"),
        *("searches.colt", "searches.colt.rate", "searches.imp.rate", "searches.imp.until"),
        *("arms.ticket", "arms.ticket.ticket", "arms.ticket.at", "checks.mask.this", "x.y"),
    ]
)
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.just("each")),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["conv", "like", "arm", "x"]), inner),
    max_leaves=4,
)


@settings(max_examples=200, suppress_health_check=[HealthCheck.too_slow])
@given(paths, values)
def test_any_value_anywhere_is_taken_or_refused_in_one_line(path: str, value: object):
    demo = load("digits-demo").model_dump(mode="json", exclude_defaults=True)
    changed: dict = {}
    inner = changed
    *outer, last = path.split(".")
    for key in outer:
        inner = inner.setdefault(key, {})
    inner[last] = value
    with one_line_of_refusal():
        again(merged(demo, changed), "run x")
