"""The fast operations, against SciPy, Keras and counting."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import scipy.special
import tensorflow as tf

from kerasft.models.fast import fast_ops
from kerasft.models.fast.fast_ops import affine, gelu, layer_norm

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


RANDOM = np.random.default_rng(0)
AFFINE = [RANDOM.normal(size=shape).astype("float32") for shape in ((300, 8), (8, 5), (5,))]
NORM = [
    RANDOM.normal(mean, deviation, shape).astype("float32")
    for mean, deviation, shape in ((3, 2, (3, 5, 16)), (1, 0.3, 16), (0, 1, 16))
]


def product_and_sum(inputs, kernel, bias):
    return tf.matmul(inputs, kernel) + bias


def norm(x, gamma, beta):
    return layer_norm(x, gamma, beta, epsilon=1e-3)


def keras_norm(x, gamma, beta):
    return keras.ops.layer_normalization(x, gamma, beta, epsilon=1e-3)


@pytest.mark.parametrize(
    ("ours", "theirs", "inputs", "atol", "gradient_atol"),
    [(affine, product_and_sum, AFFINE, 1e-5, 1e-4), (norm, keras_norm, NORM, 2e-6, 5e-6)],
    ids=["affine", "layer_norm"],
)
def test_numbers_and_gradients_are_those_of_keras(ours, theirs, inputs, atol, gradient_atol):
    np.testing.assert_allclose(ours(*inputs), theirs(*inputs), atol=atol)
    received, expected = (gradient_of(function, *inputs) for function in (ours, theirs))
    for mine, other in zip(received, expected, strict=True):
        np.testing.assert_allclose(mine, other, atol=gradient_atol)
    assert np.abs(expected[2]).max() > 0.1


def test_in_bfloat16_the_gradient_of_a_bias_is_rounded_once():
    halves = [tf.cast(value, tf.bfloat16) for value in AFFINE]
    received = gradient_of(affine, *halves)[2]
    expected = gradient_of(product_and_sum, *AFFINE)[2]
    np.testing.assert_allclose(tf.cast(received, tf.float32), expected, rtol=0.01, atol=0.05)


def test_bfloat16_is_normalized_in_float32():
    rows, scale, offset = NORM
    halves = tf.cast(rows, tf.bfloat16)
    received = norm(halves, scale, offset)
    assert received.dtype == tf.bfloat16
    exact = norm(tf.cast(halves, tf.float32), scale, offset)
    np.testing.assert_allclose(tf.cast(received, tf.float32), exact, rtol=2**-8)


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
