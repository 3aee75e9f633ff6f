"""Checks answer from rows as their papers ask: every condition failing alone, missing arms and seeds refused."""

import itertools
from types import SimpleNamespace

import pytest

from engine.checks import Asked, answer
from engine.data import load
from presets.schema import Data, Experiment
from store.writing import Writer

DATA = load(Data())
RATES = {"low": 0.01, "high": 0.1}
ARMS = {
    "ticket": {"ticket": "each"},
    "reinit": {"ticket": "each", "start": "reinit"},
    "small": {"ticket": "each", "network": "small"},
    "dense": {"ticket": "each", "mask": "full", "start": "init"},
    "longer": {"ticket": "each", "mask": "full", "start": "init", "recipe": {"epochs": 2}},
}
JACKPOT = {
    # On test, in points, by learning rate: the ticket beats fresh weights and the small network at any rate, and is
    # within half a point of the best dense network.
    "ticket": {"low": 88.0, "high": 90.0},
    "reinit": {"low": 80.0, "high": 89.0},
    "small": {"low": 70.0, "high": 75.0},
    "dense": {"low": 88.1, "high": 90.1},
    "longer": {"low": 88.2, "high": 90.2},
}


def experiment(arms=ARMS, seeds=(0, 1, 2, 3), **check) -> Experiment:
    searches = {
        name: {"method": "one-shot", "sparsity": [0.5, 0.8], "recipe": {"lr": rate}} for name, rate in RATES.items()
    }
    return Experiment.model_validate(
        {
            "title": "t",
            "seeds": seeds,
            "network": {"name": "conv3"},
            "recipe": {"epochs": 1},
            "searches": searches,
            "arms": arms,
            "checks": {"c": check},
        }
    )


@pytest.fixture
def store(tmp_path):
    """Accuracies that a test makes up, under the name of the view."""
    with Writer(tmp_path / "t.db") as writer:
        columns = "run, search, arm, seed, round, split, sparsity, accuracy, count, training"
        writer.execute(f"CREATE TEMP TABLE made ({columns})")
        writer.execute("CREATE TEMP VIEW ticket_accuracies AS SELECT * FROM made")
        writer.execute("CREATE TEMP TABLE weighed (id, weights)")
        writer.execute("CREATE TEMP VIEW trainings AS SELECT * FROM weighed")
        writer.execute("INSERT INTO weighed VALUES (1, 1000), (2, 1200)")

        def put(search, arm, seed, accuracy, sparsity=0.8, number=2, chosen_by=None, training=1):
            for split, value in (("test", accuracy), ("validation", accuracy if chosen_by is None else chosen_by)):
                row = ("r", search, arm, seed, number, split, sparsity, value / 100, 1000, training)
                writer.execute("INSERT INTO made VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)

        def answers(spec: Experiment):
            asked = Asked("r", "c", spec.checks["c"], spec, DATA, writer.rows, {})
            steps = answer(asked)
            with pytest.raises(StopIteration) as done:
                next(steps)
            return done.value.value

        yield SimpleNamespace(put=put, answers=answers, writer=writer)


def judged(store, table=JACKPOT, seeds=(0, 1, 2, 3), scatter=0.02, sparsity=0.8, arms=ARMS, **settings):
    """The headline, and the verdict on each condition by its first letter or words."""
    for (arm, rates), seed in itertools.product(table.items(), seeds):
        for search, points in rates.items():
            store.put(search, arm, seed, points + scatter * (seed % 3 - 1), sparsity)
    spec = experiment(arms, seeds, method="winning-ticket", at=0.8, **settings)
    head, *parts = store.answers(spec)
    return head, {part.part: part for part in parts}


def test_all_five_conditions_make_a_jackpot(store):
    head, parts = judged(store)
    assert head.verdict == "jackpot"
    assert {part.verdict for part in parts.values()} == {"passed"}
    assert parts["3 fresh weights are worse"].figure == pytest.approx(1.0), "against fresh weights at their best rate"
    assert parts["2 small dense is worse"].figure == pytest.approx(15.0)
    assert parts["5 near the best dense"].figure == pytest.approx(-0.2), "trained longer, at its best rate"
    assert head.seeds == 4


def test_all_but_the_last_condition_make_a_secondary_prize(store):
    # The dense network has a rate that the ticket has not: near dense at the low one, far below the best.
    table = JACKPOT | {"ticket": {"low": 90.0, "high": 89.7}, "dense": {"low": 90.1, "high": 92.0},
                       "longer": {"low": 90.2, "high": 92.1}}  # fmt: skip
    head, parts = judged(store, table)
    assert head.verdict == "secondary"
    assert [part.part for part in parts.values() if part.verdict != "passed"] == ["5 near the best dense"]


@pytest.mark.parametrize(
    ("failing", "changes"),
    [
        ("1 training is long enough", {"longer": {"low": 88.2, "high": 91.5}}),
        ("2 small dense is worse", {"small": {"low": 89.8, "high": 70.0}}),
        ("3 fresh weights are worse", {"reinit": {"low": 89.9, "high": 85.0}}),
        ("4 near dense at its rate", {"dense": {"low": 91.0, "high": 91.0}, "longer": {"low": 91.0, "high": 91.0}}),
    ],
)
def test_each_condition_can_fail(store, failing, changes):
    head, parts = judged(store, JACKPOT | changes)
    assert head.verdict == "no ticket"
    assert failing in head.sentence
    failed = {part.part for part in parts.values() if part.verdict == "failed"}
    # What is below dense at every rate is below the best dense as well, and so is what training longer gains.
    assert failed - {"5 near the best dense"} == {failing}
    assert ("5 near the best dense" in failed) == (failing[0] in "14")


def test_a_trivial_sparsity_fails_alone(store):
    head, parts = judged(store, sparsity=0.55)
    assert head.verdict == "no ticket"
    assert [part.part for part in parts.values() if part.verdict == "failed"] == ["1 sparsity is not trivial"]
    assert parts["1 sparsity is not trivial"].figure == pytest.approx(55.0)


def test_what_the_seeds_cannot_tell_is_undecided(store):
    head, parts = judged(store, scatter=0.0, seeds=(0, 1, 2))
    assert head.verdict == "jackpot", "without scatter even a narrow figure is decided"
    store.writer.execute("DELETE FROM made")
    for search, arm, seed in itertools.product(RATES, ARMS, range(3)):
        jitter = (2.0, -2.0, 0.0)[(seed + list(ARMS).index(arm)) % 3]
        store.put(search, arm, seed, JACKPOT[arm][search] + jitter)
    head, *parts = store.answers(experiment(seeds=(0, 1, 2), method="winning-ticket", at=0.8))
    assert head.verdict == "undecided"
    assert {p.part: p.verdict for p in parts}["3 fresh weights are worse"] == "undecided"
    assert {p.part: p.verdict for p in parts}["2 small dense is worse"] == "passed"


@pytest.mark.parametrize(
    ("arm", "parts"),
    [
        ("longer", ["1 training is long enough", "5 near the best dense"]),
        ("small", ["2 small dense is worse"]),
        ("reinit", ["3 fresh weights are worse"]),
        ("dense", ["1 training is long enough", "4 near dense at its rate", "5 near the best dense"]),
    ],
)
def test_a_missing_arm_is_refused_by_name_and_the_rest_is_judged(store, arm, parts):
    arms = {name: settings for name, settings in ARMS.items() if name != arm}
    table = {name: rates for name, rates in JACKPOT.items() if name != arm}
    head, found = judged(store, table, arms=arms)
    assert head.verdict == "none"
    assert f"arm '{arm}' is missing" in head.sentence
    assert [part.part for part in found.values() if part.verdict == "none"] == parts
    assert all(found[part].verdict == "passed" for part in found.keys() - set(parts))


def test_too_few_seeds_are_refused(store):
    head, parts = judged(store, seeds=(0, 1))
    assert head.verdict == "none"
    assert "2 of at least 3 seeds" in parts["3 fresh weights are worse"].sentence


def test_an_arm_that_lacks_a_search_of_the_grid_is_refused(store):
    arms = ARMS | {"small": {"ticket": "low", "network": "small"}}
    table = JACKPOT | {"small": {"low": 70.0}}
    head, parts = judged(store, table, arms=arms)
    assert "does not train the tickets of the whole grid" in parts["2 small dense is worse"].sentence
    assert head.verdict == "none"


def test_validation_chooses_the_rate_and_the_test_set_judges(store):
    for (arm, rates), seed in itertools.product(JACKPOT.items(), range(3)):
        for search, points in rates.items():
            # On validation the low rate looks best for the ticket; on test it is the worse one.
            store.put(search, arm, seed, points, chosen_by=99.0 if (arm, search) == ("ticket", "low") else points)
    _, *parts = store.answers(experiment(seeds=(0, 1, 2), method="winning-ticket", at=0.8))
    figures = {part.part: part.figure for part in parts}
    assert figures["3 fresh weights are worse"] == pytest.approx(88.0 - 89.0)
    assert figures["4 near dense at its rate"] == pytest.approx(-0.1)


def test_many_classes_forgive_a_whole_point():
    from dataclasses import replace

    from engine.checks.winning_ticket import _Judge

    spec = experiment(method="winning-ticket", at=0.8)
    for classes, drop in ((10, 0.5), (100, 1.0)):
        data = replace(DATA, classes=classes)
        judge = _Judge(Asked("r", "c", spec.checks["c"], spec, data, lambda *_: [], {}), spec.checks["c"])
        assert judge.drop == drop


# Su et al.


def test_a_sanity_check_passes_where_the_corrupted_ticket_is_clearly_worse_and_fails_where_it_is_as_good(store):
    for seed in range(4):
        jitter = 0.05 * seed
        store.put("low", "ticket", seed, 90.0 + jitter)
        store.put("high", "ticket", seed, 89.9 + jitter)  # found on other data, and as good
        store.put("low", "reinit", seed, 85.0 - jitter)
        store.put("low", "small", seed, 90.0 + 9 * (-1) ** seed)
    spec = experiment(
        method="sanity",
        this={"arm": "ticket", "search": "low"},
        at=0.8,
        against={
            "labels": {"arm": "ticket", "search": "high"},
            "fresh": {"arm": "reinit"},
            "wild": {"arm": "small"},
            "none": {"arm": "dense"},
        },
    )
    head, *parts = store.answers(spec)
    assert {part.part: part.verdict for part in parts} == {
        "labels": "failed", "fresh": "passed", "wild": "undecided", "none": "none",
    }  # fmt: skip
    assert head.verdict == "failed"
    assert head.sentence == "low near 80 %: fails labels; passes fresh; undecided on wild; no verdict on none"
    assert parts[1].figure == pytest.approx(5.15)
    assert all(part.search == "low" for part in parts)


def test_the_query_beside_an_answer_gives_its_figures(store):
    for seed in range(3):
        store.put("low", "ticket", seed, 90.0)
        store.put("low", "reinit", seed, 85.0)
    spec = experiment(
        method="sanity", this={"arm": "ticket", "search": "low"}, at=0.8, against={"fresh": {"arm": "reinit"}}
    )
    _, part = store.answers(spec)
    rows = store.writer.rows(part.query)
    assert [row["difference"] for row in rows] == pytest.approx([5.0] * 3)


@pytest.mark.parametrize(
    ("arm", "settings", "words"),
    [
        ("ticket", {"ticket": "each", "mask": "shuffled"}, "is not the ticket as it was found"),
        ("reinit", {"ticket": "each", "start": "reinit", "mask": "random"}, "with start = "),
        ("reinit", {"ticket": "each", "start": "reinit", "recipe": {"lr": 1e-5}}, "with start = "),
        ("small", {"ticket": "each", "mask": "random"}, "is not network = "),
        ("dense", {"ticket": "each", "mask": "shuffled"}, "is not the dense network"),
        ("dense", {"ticket": "each", "mask": "full", "recipe": {"lr": 1.0}}, "is not the dense network"),
        ("longer", {"ticket": "each", "mask": "full", "start": "init"}, "more epochs"),
        ("longer", {"ticket": "each", "mask": "full", "recipe": {"epochs": 9, "lr": 1.0}}, "nothing changed but"),
    ],
)
def test_an_arm_that_is_not_what_its_role_says_is_refused(store, arm, settings, words):
    head, parts = judged(store, arms=ARMS | {arm: settings})
    assert head.verdict == "none"
    assert any(words in part.sentence for part in parts.values() if part.verdict == "none")


def test_a_small_network_of_another_size_is_refused(store):
    for (arm, rates), seed in itertools.product(JACKPOT.items(), range(3)):
        for search, points in rates.items():
            store.put(search, arm, seed, points, training=2 if arm == "small" else 1)
    head, *parts = store.answers(experiment(seeds=(0, 1, 2), method="winning-ticket", at=0.8))
    assert head.verdict == "none"
    [refused] = [part for part in parts if part.verdict == "none"]
    assert "1,200 weights against the ticket's 1,000" in refused.sentence


def test_tickets_of_unlike_sparsity_get_no_verdict(store):
    for seed in range(3):
        store.put("low", "ticket", seed, 90.0, sparsity=0.8)
        store.put("high", "ticket", seed, 85.0, sparsity=0.7)
    spec = experiment(
        method="sanity",
        this={"arm": "ticket", "search": "low"},
        at=0.8,
        against={"other": {"arm": "ticket", "search": "high"}},
    )
    head, part = store.answers(spec)
    assert (head.verdict, part.verdict) == ("none", "none")
    assert "sparsities of 80.0 and 70.0 % are too far apart" in part.sentence


def test_a_ticket_is_set_against_the_dense_network_at_the_nearest_sparsity(store):
    for seed in range(3):
        store.put(None, "base", seed, 91.0, sparsity=0.0, number=None)
        for number, sparsity in ((1, 0.5), (2, 0.8)):
            store.put("low", "ticket", seed, 90.0 + number, sparsity=sparsity, number=number)
    spec = experiment(arms=ARMS | {"base": {}}, this={"arm": "ticket", "search": "low"}, that={"arm": "base"}, at=0.75)
    [answer_] = store.answers(spec)
    assert answer_.figure == pytest.approx(1.0)
    assert answer_.sentence.startswith("ticket of low over base at 80.0 % sparsity: +1.00")
    both = experiment(arms=ARMS | {"base": {}}, this={"arm": "base"}, that={"arm": "ticket"}, at=0.5)
    found = {one.search: one for one in store.answers(both)}
    assert found["low"].figure == pytest.approx(0.0)
    assert found["high"].verdict == "none"
