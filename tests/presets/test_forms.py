"""The form of an experiment: every key of the schema is in it, says what it may be, and can be written back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from presets.forms import Setting, settings, text
from presets.loading import PresetError, listing, load, parse_set
from presets.schema import RecipeChange

PRESETS = [info.name for info in listing()]


def of(name: str) -> dict[str, Setting]:
    return {setting.key: setting for setting in settings(load(name))}


@pytest.mark.parametrize("name", PRESETS)
def test_every_value_of_a_preset_can_be_given_as_an_override_and_changes_nothing(name):
    experiment = load(name)
    sets = [f"{one.key}={one.value}" for one in settings(experiment) if one.value]
    again = load(name, sets)
    assert again.model_dump() == experiment.model_dump()


def test_a_setting_says_what_it_means_what_it_may_be_and_what_it_is_by_default():
    form = of("digits-demo")
    assert form["recipe.momentum"] == Setting(
        "recipe.momentum", "0.9", form["recipe.momentum"].meaning, "a number at least 0.0 and below 1.0", "0.9"
    )
    assert form["recipe.momentum"].meaning
    assert form["recipe.optimizer"].allowed == "one of sgd, adam"
    assert form["recipe.warmup"].allowed == 'a count of epochs, or text such as "500 steps"'
    assert form["recipe.nesterov"].allowed == "true or false"
    assert form["recipe.epochs"].default == ""
    assert form["searches.colt.rate"].value == "{ conv = 0.15 }"
    assert form["searches.colt.rate"].allowed.startswith(
        "a number at least 0.0 and below 1.0 or a table { conv, linear"
    )
    assert form["arms.reinit.at"].value == "[0.8, 0.95, 0.98]"
    assert form["flow"].value == ""
    assert form["flow"].allowed == "a whole number at least 1, or left out"


def test_every_setting_has_words():
    for name in ("digits-demo", "prac-resnet20-cifar10", "winning-resnet20-cifar10", "dynamics-wrn-22-2-cifar10"):
        for setting in of(name).values():
            assert setting.meaning, setting.key
            assert setting.allowed != "any value", setting.key


def test_what_an_arm_leaves_to_the_recipe_is_left_out():
    form = of("digits-demo")
    assert {form[f"arms.ticket.recipe.{name}"].value for name in RecipeChange.model_fields} == {""}


def test_a_change_is_seen_in_the_form():
    form = {one.key: one for one in settings(load("digits-demo", ["arms.reinit.recipe.lr=0.5"]))}
    assert form["arms.reinit.recipe.lr"].value == "0.5"


PLAIN = st.recursive(
    st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.from_regex(r"[a-z_]{1,5}", fullmatch=True), inner),
    max_leaves=6,
)


@given(PLAIN)
def test_what_is_written_is_read_back(value):
    try:
        keys, found = parse_set(f"a.b={text(value)}")
    except PresetError:
        # TOML has no lone surrogates and no delete character; JSON writes them as they are.
        assert any(not c.isprintable() for c in text(value))
        return
    assert keys == ("a", "b")
    assert found == value
