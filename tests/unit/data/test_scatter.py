"""Scattered integers: the published ones, and chances that come true as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kerasft.data.plan.scatter import draws, happens, key_of, keys_of, mix64

# The first five outputs of splitmix64 from the state 1234567, as Rosetta Code lists them for
# comparing implementations ("Pseudo-random numbers/Splitmix64").
PUBLISHED = [
    6457827717110365317,
    3203168211198807973,
    9817491932198370423,
    4593380528125082431,
    16408922859458223821,
]
INCREMENT = 0x9E3779B97F4A7C15


def test_is_splitmix64():
    states = [(1234567 + step * INCREMENT) % 2**64 for step in range(5)]
    assert mix64(np.array(states, np.uint64)).tolist() == PUBLISHED
    other = [state + 1 for state in states]
    assert mix64(np.array(other, np.uint64)).tolist() != PUBLISHED  # control


@given(st.integers(0, 2**64 - 1), st.integers(0, 500))
def test_no_two_draws_of_a_key_are_equal(key, count):
    assert len(set(draws(key, count).tolist())) == count


@given(st.lists(st.integers(-5, 2**64), max_size=3), st.integers(0, 2**63 - 1))
def test_many_keys_at_once_are_those_one_by_one(parts, last):
    several = keys_of(key_of(*parts), np.array([last, 0]))
    assert several.tolist() == [key_of(*parts, last), key_of(*parts, 0)]


def test_a_key_knows_the_order_of_its_parts():
    assert key_of(1, 2) == key_of(1, 2)
    assert len({key_of(1, 2), key_of(2, 1), key_of(1), key_of(1, 2, 0), key_of()}) == 5


@pytest.mark.parametrize("chance", [0.0, 0.01, 0.3, 0.99, 1.0])
def test_a_chance_comes_true_as_often_as_it_says(chance):
    count = 200_000
    share = happens(draws(key_of(7, 3), count), chance).mean()
    assert share == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / count))


def test_the_ends_of_the_range():
    ends = np.array([0, 2**64 - 1], np.uint64)
    assert happens(ends, 0.0).tolist() == [False, False]
    assert happens(ends, 1e-9).tolist() == [True, False]
    assert happens(ends, 1 - 1e-9).tolist() == [True, False]
    assert happens(ends, 1.0).tolist() == [True, True]


def test_draws_of_neighbouring_keys_are_independent():
    keys = [key_of(1, epoch) for epoch in range(50)]
    values = np.array([happens(draws(key, 2000), 0.5) for key in keys], float)
    correlations = np.corrcoef(values)[np.triu_indices(50, 1)]
    assert np.abs(correlations).max() < 0.12  # 5 standard deviations
