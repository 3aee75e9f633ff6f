"""Rounds and images are known before the first epoch, as far as they can be."""

import pytest

from engine import plan
from engine.data import load
from engine.devices import Plan, macs
from engine.forecast import Cost, Unreachable, cost, nearest, search_forecast
from engine.networks import Weight, build
from presets.schema import Experiment

WEIGHTS = [Weight("a", "conv", (100_000,)), Weight("n", "norm", (1000,)), Weight("h", "head", (9000,))]


def experiment(**searched) -> Experiment:
    return Experiment.model_validate(
        {"title": "t", "seeds": [0], "network": {"name": "conv3"}, "recipe": {"epochs": 3, "batch": 50}}
        | {"searches": searched, "arms": {"dense": {}, "ticket": {"ticket": "each"}}}
    )


def costs(spec: Experiment, paths: dict) -> Cost:
    """With 1000 images of 10 classes."""
    return cost(spec, {"": 1000} | dict.fromkeys(spec.searches, 1000), 10, 200, paths)


@pytest.mark.parametrize(("until", "rounds"), [(0.90, 11), (0.95, 14), (0.98, 18), (0.99, 21)])
def test_imp_at_twenty_per_cent_needs_the_rounds_of_the_arithmetic(until, rounds):
    spec = experiment(imp={"method": "imp", "rate": {"conv": 0.2}, "until": until})
    forecast = search_forecast(spec, "imp", WEIGHTS)
    assert (forecast.rounds, forecast.fewest, forecast.most) == (rounds, rounds, rounds)


@pytest.mark.parametrize(
    ("until", "identical", "independent", "disjoint"), [(0.90, 15, 8, 7), (0.95, 19, 10, 9), (0.98, 25, 13, 11)]
)
def test_colt_needs_rounds_between_agreeing_and_disjoint_members(until, identical, independent, disjoint):
    spec = experiment(colt={"method": "colt", "until": until})
    forecast = search_forecast(spec, "colt", WEIGHTS)
    assert (forecast.most, forecast.rounds, forecast.fewest) == (identical, independent, disjoint)


def test_an_unreachable_total_is_refused_with_the_highest_that_can_be():
    spec = experiment(imp={"method": "imp", "rate": {"conv": 0.2}, "until": 0.95, "of": "total"})
    with pytest.raises(Unreachable, match=r"searches.imp.until: .* 100,000 weights .* the highest is 0\.9091"):
        search_forecast(spec, "imp", WEIGHTS)


def test_a_rate_too_small_to_remove_a_weight_is_refused():
    spec = experiment(imp={"method": "imp", "rate": {"conv": 0.1}, "until": 0.99999})
    with pytest.raises(Unreachable, match="the highest prunable sparsity is"):
        search_forecast(spec, "imp", [Weight("a", "conv", (100,))])


def test_shared_trainings_are_counted_once():
    spec = experiment(imp={"method": "imp", "rate": 0.2, "rounds": 3}, colt={"method": "colt", "rounds": 2})
    whole = 3 * 1000
    found = costs(spec, {("imp", 0): {1: 0.2, 2: 0.36, 3: 0.49}, ("colt", 0): {1: 0.25, 2: 0.44}})
    assert found.search == 3 * whole + 2 * whole
    # The dense network is imp's first round; of imp's tickets only the last is not the next round's training.
    assert found.evaluation == whole + 2 * whole
    assert found.trainings == 3 + 2 * 2 + 1 + 2


def test_late_rewinding_saves_the_steps_before_the_point_and_pays_for_it_once():
    spec = experiment(
        imp={"method": "imp", "rate": 0.2, "rounds": 2, "rewind": 1}, colt={"method": "colt", "rounds": 1, "rewind": 1}
    )
    found = costs(spec, {("imp", 0): {1: 0.2, 2: 0.36}, ("colt", 0): {1: 0.25}})
    assert found.search == 1000 + 2 * 2000 + 2000


@pytest.mark.parametrize(
    ("settings", "rounds"),
    [
        ({"method": "colt", "rate": {"conv": 0.5}, "rounds": 2}, 2),
        ({"method": "colt", "segments": 8, "rounds": 2}, 2),
        (
            {"method": "imp", "rate": {"conv": 0.2}, "rounds": 60},
            49,
        ),  # 2 weights are left, and a fifth of 2 rounds to none
        ({"method": "colt", "rate": {"conv": 0.6}, "until": 0.999}, 4),
    ],
)
def test_bounds_that_run_out_of_weights_do_not_refuse_a_search_that_can_run(settings, rounds):
    assert search_forecast(experiment(s=settings), "s", WEIGHTS).rounds == rounds


def test_a_search_that_goes_on_from_a_round_is_forecast_from_there():
    spec = experiment(imp={"method": "imp", "rate": {"conv": 0.2}, "until": 0.9})
    forecast = search_forecast(spec, "imp", WEIGHTS, done=10, alive={"a": 10_737}, loss={"conv": 0.9})
    assert forecast.path == {11: 1 - 8590 / 100_000}, "IMP's rate is its loss, whatever the last round was"
    colt = experiment(colt={"method": "colt", "until": 0.9})
    forecast = search_forecast(colt, "colt", WEIGHTS, done=3, alive={"a": 40_000}, loss={"conv": 0.25})
    assert list(forecast.path) == [4, 5, 6, 7, 8]


def test_a_training_that_may_end_early_is_no_arms_training():
    hybrid = {"method": "hybrid", "sparsity": [0.5]}
    whole, stopped = (
        costs(experiment(s=hybrid | more), {("s", 0): {1: 0.5}}) for more in ({}, {"stop": {"epsilon": 0.1}})
    )
    assert (whole.trainings, stopped.trainings) == (2, 3), "without, the dense arm is what found the ticket"
    assert whole.search == stopped.search == 3000


def test_controls_cost_what_they_train_at_the_levels_they_name():
    spec = experiment(imp={"method": "imp", "rate": 0.2, "rounds": 3, "rewind": 1}).model_dump(mode="json")
    spec["arms"] = {
        "shuffled": {"ticket": "each", "mask": "shuffled", "at": [0.1, 0.2, 0.5]},
        "reinit": {"ticket": "each", "start": "reinit", "at": [0.9]},
    }
    found = costs(Experiment.model_validate(spec), {("imp", 0): {1: 0.2, 2: 0.36, 3: 0.49}})
    assert found.evaluation == 2 * 2000 + 3000, "two tickets are nearest to three levels; reinit trains from step 0"


def test_the_nearest_ticket_of_two_equally_near_is_the_earlier():
    assert nearest([0.5], {1: 0.4, 2: 0.6}) == {1}
    assert nearest([0.5, 0.9], {1: 0.2, 2: 0.45, 3: 0.7}) == {2, 3}


def test_a_large_batch_is_forecast_from_parts_of_it(monkeypatch: pytest.MonkeyPatch):
    spec = experiment()
    spec = spec.model_copy(update={"recipe": spec.recipe.model_copy(update={"batch": 256})})
    data = load(spec.data)
    layout = Plan("cpu", 1, 1)
    a_batch = 256 * macs(build(spec.network, data.shape, data.classes), data.shape)
    taken, peak = [], [1000]

    def steps(trainer, experiment, data, batch: int) -> float:
        taken.append(batch)
        peak[0] = 5000 + 30 * batch
        return 0.5 * batch

    monkeypatch.setattr(plan, "_seconds_a_step", steps)
    monkeypatch.setattr(plan, "_peak_bytes", lambda: peak[0])
    for most, sizes in ((a_batch, [256]), (a_batch // 4, [16, 64])):
        taken.clear()
        peak[0] = 1000
        monkeypatch.setattr(plan, "MOST_MACS", most)
        assert plan.calibrate(spec, data, layout) == (0.5, 5000 + 30 * 256 - 1000)
        assert taken == sizes
