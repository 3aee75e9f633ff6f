"""What a preset may say of searches, arms and checks, and what it may not."""

import pytest

from presets.loading import PresetError, again, load
from presets.schema import Arm, Contrast, Experiment, Recipe, RecipeChange, changed

CHANGES = [
    'searches.omp={method="one-shot",sparsity=[0.5]}',
    'searches.given={method="transfer",run="x"}',
]


def loaded(*sets: str) -> Experiment:
    return load("digits-demo", [*CHANGES, *sets])


def refusal(*sets: str) -> str:
    with pytest.raises(PresetError) as refused:
        loaded(*sets)
    return str(refused.value)


def test_a_change_of_the_recipe_says_only_what_differs_also_after_it_was_stored():
    spec = loaded("searches.imp.recipe={lr=0.01}", 'arms.long={ticket="imp",recipe={epochs=20}}')
    stored = spec.model_dump(mode="json")
    assert stored["searches"]["imp"]["recipe"] == {"lr": 0.01}
    assert again(stored, "a run") == spec
    assert (spec.recipe_of("imp").lr, spec.recipe_of("imp").epochs) == (0.01, 8)
    long = spec.recipe_of("imp", spec.arms["long"])
    assert (long.lr, long.epochs, long.schedule) == (0.01, 20, "cosine"), "an arm begins from its search's recipe"
    assert spec.recipe_of("colt") == spec.recipe_of() == spec.recipe


def test_a_recipe_that_leaves_the_step_schedule_leaves_its_milestones():
    steps = Recipe(epochs=4, schedule="step", milestones=["2 epochs"], gamma=0.5)
    flat = changed(steps, RecipeChange(schedule="constant"))
    assert (flat.schedule, flat.milestones, flat.gamma) == ("constant", (), 0.1)
    assert changed(steps, RecipeChange(milestones=["3 epochs"])).gamma == 0.5
    assert changed(steps, RecipeChange()) is steps


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        (["searches.imp.recipe={milestones=[1]}"], "imp.recipe: with the rest of the recipe, milestones go with"),
        (["arms.a={ticket=\"imp\",recipe={nesterov=true,momentum=0.0}}"], "arms.a.recipe: with the rest of the recipe"),
        (["arms.a={ticket=\"colt\",start=\"trained\"}"], "'colt' (colt) does not find its masks on one"),
        (["arms.a={ticket=\"given\",start=\"trained\"}"], "'given' (transfer) does not find its masks"),
        (["arms.dense.mask=shuffled"], "start, weights, mask, network, begin and at are read with a ticket only"),
        (["arms.a={ticket=\"imp\",network=\"small\",mask=\"full\"}"], "leave start, weights and mask out"),
        (["arms.a={ticket=\"imp\",weights=\"shuffled\",mask=\"full\"}"], "mask = \"full\" keeps all"),
        (["searches.omp.sparsity=[0.5,0.5]"], "sparsity: each once, in rising order"),
        (["searches.matched.spare_first=true"], "spare_first and stop are that search's"),
        (["searches.matched.rate={like=\"omp\"}"], "name a search with a rate of its own"),
        (["searches.r={method=\"random\",sparsity=[0.5],data={fraction=0.5}}"], "random tickets look at none"),
        (["checks.mask.match=rounds"], "match is read with two searches"),
        (["checks.w={method=\"winning-ticket\",searches=[\"nope\"]}"], "checks.w.searches: no search 'nope'"),
        (["checks.s={method=\"sanity\",at=0.5,this={arm=\"ticket\"},against={}}"], "a list whose length is at least 1"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused_in_one_line(sets, words):
    found = refusal(*sets)
    assert words in found
    assert "\n" not in found


def test_a_check_without_a_method_is_a_contrast_as_it_was_before_there_were_others():
    stored = load("digits-demo").model_dump(mode="json")
    del stored["checks"]["mask"]["method"]
    assert isinstance(again(stored, "a run").checks["mask"], Contrast)


def test_a_dense_arm_may_have_a_recipe_of_its_own():
    spec = loaded("arms.slow={recipe={lr=0.01}}")
    assert spec.recipe_of("", spec.arms["slow"]).lr == 0.01
    assert spec.arms["slow"].changes == ("recipe",)


def test_an_arm_names_what_it_changes():
    assert Arm(ticket="each").changes == ()
    assert Arm(ticket="each", start="trained", begin="0 epochs").changes == ("start", "begin")
    assert Arm(ticket="each", recipe=RecipeChange(lr=0.1)).changes == ("recipe",), "also where it is the default"
