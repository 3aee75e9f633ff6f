"""Steps, batches and learning rates are what the recipe says."""

import math

from hypothesis import given
from hypothesis import strategies as st

from engine.schedules import batch_sizes, in_proportion, lr_at, steps_per_epoch
from presets.schema import Recipe


@given(st.integers(1, 500), st.integers(2, 64))
def test_batches_cover_every_image_once_and_none_is_alone(images, batch):
    sizes = batch_sizes(images, batch)
    assert sum(sizes) == images
    assert len(sizes) == steps_per_epoch(images, batch)
    assert all(size == batch for size in sizes[:-1])
    assert images == 1 or all(2 <= size <= batch + 1 for size in sizes)


def test_a_tail_of_one_joins_the_batch_before():
    assert batch_sizes(9, 4) == [4, 5]
    assert batch_sizes(10, 4) == [4, 4, 2]


def test_warmup_rises_to_the_peak_and_milestones_cut_it():
    recipe = Recipe(epochs=4, lr=1.0, schedule="step", milestones=(2, "35 steps"), gamma=0.1, warmup="5 steps")
    rates = [lr_at(recipe, step, 10) for step in range(40)]
    assert rates[:5] == [0.2, 0.4, 0.6, 0.8, 1.0]
    assert rates[5] == rates[19] == 1.0
    assert math.isclose(rates[20], 0.1)
    assert math.isclose(rates[35], 0.01)


def test_a_cosine_falls_from_the_end_of_warmup_to_nothing():
    recipe = Recipe(epochs=2, lr=0.4, schedule="cosine", warmup="1 epoch")
    rates = [lr_at(recipe, step, 10) for step in range(20)]
    assert rates[10] == 0.4
    assert math.isclose(rates[15], 0.2)
    assert math.isclose(rates[19], 0.4 * 0.5 * (1 + math.cos(math.pi * 0.9)))


def test_lengths_in_steps_go_with_the_training_and_those_in_epochs_go_by_themselves():
    recipe = Recipe(epochs=4, schedule="step", milestones=("2 epochs", "35 steps"), warmup="5 steps")
    half = in_proportion(recipe, 20, 40)
    assert (half.milestones, half.warmup) == (("2 epochs", "18 steps"), "2 steps")
    assert in_proportion(recipe, 40, 40) is recipe
