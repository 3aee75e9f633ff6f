"""Draws come from their key alone."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.draws import generator, permutation

keys = st.lists(st.one_of(st.integers(-100, 100), st.text(max_size=5)), min_size=1, max_size=4)


@given(keys, keys)
def test_equal_keys_draw_equally_and_different_keys_differently(a, b):
    same = [type(x) for x in a] == [type(x) for x in b] and a == b
    assert (generator(*a).initial_seed() == generator(*b).initial_seed()) == same


def test_a_draw_is_the_same_in_every_process_and_version():
    assert generator(0, "order", "all", 3).initial_seed() == 771549600237381146


def test_other_draws_do_not_move_a_draw():
    first = permutation(50, 1, "order")
    torch.rand(10)
    assert torch.equal(first, permutation(50, 1, "order"))
    assert first.sort().values.tolist() == list(range(50))
