"""The fast operations, against SciPy, Keras and counting."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from kerasft.models import fast_ops
from kerasft.models.fast_ops import affine, dropout, gelu, layer_norm

VALUES = np.concatenate([np.linspace(-6, 6, 241), [-40, 40]]).astype("float32")


def gradient_of(function, *inputs):
    tensors = [tf.constant(value) for value in inputs]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = tf.cast(function(*tensors), tf.float32)
        weighted = outputs * tf.reshape(
            tf.sin(tf.cast(tf.range(tf.size(outputs)), tf.float32)), outputs.shape
        )
    return tape.gradient(weighted, tensors)


class TestGelu:
    def test_is_x_times_the_normal_distribution(self):
        expected = VALUES * scipy.special.ndtr(VALUES.astype("float64"))
        np.testing.assert_allclose(gelu(tf.constant(VALUES)), expected, atol=1e-6, rtol=5e-7)
        tanh = tf.nn.gelu(VALUES, approximate=True)  # control
        assert np.abs(tanh - expected).max() > 1e-4

    def test_gradient(self):
        (received,) = gradient_of(gelu, VALUES)
        (expected,) = gradient_of(lambda x: tf.nn.gelu(x, approximate=False), VALUES)
        np.testing.assert_allclose(received, expected, atol=1e-6)

    def test_bfloat16_is_float32_rounded_once(self):
        halves = tf.cast(VALUES, tf.bfloat16)
        received = gelu(halves)
        assert received.dtype == tf.bfloat16
        expected = tf.cast(gelu(tf.cast(halves, tf.float32)), tf.bfloat16)
        np.testing.assert_array_equal(received, expected)


class TestAffine:
    inputs = tuple(
        np.random.default_rng(0).normal(size=shape).astype("float32")
        for shape in ((300, 8), (8, 5), (5,))
    )

    @staticmethod
    def theirs(inputs, kernel, bias):
        return tf.matmul(inputs, kernel) + bias

    def test_is_a_product_and_a_sum(self):
        np.testing.assert_allclose(affine(*self.inputs), self.theirs(*self.inputs), atol=1e-5)

    def test_gradients(self):
        received = gradient_of(affine, *self.inputs)
        expected = gradient_of(self.theirs, *self.inputs)
        for ours, others in zip(received, expected, strict=True):
            np.testing.assert_allclose(ours, others, atol=1e-4)
        assert np.abs(expected[2]).max() > 0.1

    def test_in_bfloat16_the_gradient_of_the_bias_is_rounded_once(self):
        halves = [tf.cast(value, tf.bfloat16) for value in self.inputs]
        received = gradient_of(affine, *halves)[2]
        expected = gradient_of(self.theirs, *self.inputs)[2]
        np.testing.assert_allclose(tf.cast(received, tf.float32), expected, rtol=0.01, atol=0.05)


class TestLayerNorm:
    shape = (3, 5, 16)

    def inputs(self):
        generator = np.random.default_rng(0)
        scale, offset = generator.normal(1, 0.3, 16), generator.normal(0, 1, 16)
        rows = generator.normal(3, 2, self.shape)
        return [value.astype("float32") for value in (rows, scale, offset)]

    @staticmethod
    def ours(x, gamma, beta):
        return layer_norm(x, gamma, beta, epsilon=1e-3)

    @staticmethod
    def keras_s(x, gamma, beta):
        return keras.ops.layer_normalization(x, gamma, beta, epsilon=1e-3)

    def test_is_keras_s(self):
        inputs = self.inputs()
        np.testing.assert_allclose(self.ours(*inputs), self.keras_s(*inputs), atol=2e-6)

    def test_gradients(self):
        received, expected = (gradient_of(f, *self.inputs()) for f in (self.ours, self.keras_s))
        for mine, theirs in zip(received, expected, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=5e-6)

    def test_bfloat16_is_normalized_in_float32(self):
        rows, scale, offset = self.inputs()
        halves = tf.cast(rows, tf.bfloat16)
        received = self.ours(halves, scale, offset)
        assert received.dtype == tf.bfloat16
        exact = self.ours(tf.cast(halves, tf.float32), scale, offset)
        np.testing.assert_allclose(tf.cast(received, tf.float32), exact, rtol=2**-8)


class TestDropout:
    @pytest.mark.parametrize("rate", [0.05, 0.1, 0.3, 0.5, 0.9, 0.01, 0.001])
    def test_drops_its_share_and_keeps_the_mean(self, rate):
        seeds = keras.random.SeedGenerator(1)
        outputs = dropout(tf.ones((400, 1001)), rate, seeds).numpy()
        assert (outputs == 0).mean() == pytest.approx(rate, rel=0.07, abs=1e-4)
        assert outputs.mean() == pytest.approx(1, abs=5 * np.sqrt(rate / (1 - rate) / outputs.size))
        assert len(np.unique(outputs)) == 2

    def test_each_unit_draws_for_itself(self):
        dropped = dropout(tf.ones((64, 4096)), 0.5, keras.random.SeedGenerator(2)).numpy() == 0
        for step in (1, 2, 3, 4, 8):  # neighbours in a word, and in the next ones
            together = (dropped[:, step:] == dropped[:, :-step]).mean()
            assert together == pytest.approx(0.5, abs=0.005)

    @pytest.mark.parametrize("shape", [(1,), (3,), (5, 7), (0, 4), (2, 3, 5)])
    def test_shapes_that_do_not_fill_a_word(self, shape):
        outputs = dropout(tf.ones(shape), 0.25, keras.random.SeedGenerator(3))
        assert outputs.shape == shape

    def test_seeds_move_on_and_repeat(self):
        inputs = tf.ones((8, 64))
        first, second = (
            dropout(inputs, 0.5, seeds) for seeds in [keras.random.SeedGenerator(4)] * 2
        )
        again = dropout(inputs, 0.5, keras.random.SeedGenerator(4))
        assert np.any(first != second)
        np.testing.assert_array_equal(first, again)

    def test_the_gradient_is_that_of_the_mask(self):
        seeds = keras.random.SeedGenerator(5)
        inputs = tf.fill((6, 50), 2.0)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = dropout(inputs, 0.3, seeds)
        np.testing.assert_allclose(tape.gradient(outputs, inputs), outputs / 2)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_without_gradients_the_numbers_are_the_same(dtype):
    generator = np.random.default_rng(3)
    x = tf.cast(generator.normal(0, 3, (2, 5, 3, 8)), dtype)
    gamma, beta = generator.normal(size=8), generator.normal(size=8)
    forms = (
        fast_ops.gelu,
        lambda x: fast_ops.layer_norm(x, gamma, beta, epsilon=1e-12),
        fast_ops.swap_tokens_and_heads,
    )
    for form in forms:
        expected = form(x)
        with fast_ops.without_gradients():
            received = form(x)
        assert received.dtype == expected.dtype == x.dtype
        np.testing.assert_allclose(
            tf.cast(received, "float32"), tf.cast(expected, "float32"), atol=1e-6
        )
        other = form(2 * x + tf.sin(x))  # control
        assert np.abs(tf.cast(other - expected, "float32")).max() > 1e-2


def test_gradients_come_back_after_the_block():
    x = tf.constant([[[[1.0, 2.0]]]])
    with fast_ops.without_gradients():
        pass
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = fast_ops.swap_tokens_and_heads(x)
    np.testing.assert_array_equal(tape.gradient(y, x), np.ones((1, 1, 1, 2)))
