"""Dropout by bytes: its rate, its scale, its seeds."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.fast.drop_ops import dropout


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.5, 0.9, 0.01, 0.001])
def test_drops_its_share_and_keeps_the_mean(rate):
    seeds = keras.random.SeedGenerator(1)
    outputs = dropout(tf.ones((400, 1001)), rate, seeds).numpy()
    assert (outputs == 0).mean() == pytest.approx(rate, rel=0.07, abs=1e-4)
    assert outputs.mean() == pytest.approx(1, abs=5 * np.sqrt(rate / (1 - rate) / outputs.size))
    assert len(np.unique(outputs)) == 2


def test_each_unit_draws_for_itself():
    dropped = dropout(tf.ones((64, 4096)), 0.5, keras.random.SeedGenerator(2)).numpy() == 0
    for step in (1, 2, 3, 4, 8):  # neighbours in a word, and in the next ones
        together = (dropped[:, step:] == dropped[:, :-step]).mean()
        assert together == pytest.approx(0.5, abs=0.005)


@pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (0, 4), (2, 3, 5)])
def test_shapes_that_do_not_fill_a_word(shape):
    outputs = dropout(tf.ones(shape), 0.25, keras.random.SeedGenerator(3))
    assert outputs.shape == shape


def test_seeds_move_on_and_repeat():
    inputs = tf.ones((8, 64))
    first, second = (dropout(inputs, 0.5, seeds) for seeds in [keras.random.SeedGenerator(4)] * 2)
    again = dropout(inputs, 0.5, keras.random.SeedGenerator(4))
    assert np.any(first != second)
    np.testing.assert_array_equal(first, again)


def test_the_gradient_is_that_of_the_mask():
    seeds = keras.random.SeedGenerator(5)
    inputs = tf.fill((6, 50), 2.0)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = dropout(inputs, 0.3, seeds)
    np.testing.assert_allclose(tape.gradient(outputs, inputs), outputs / 2)
