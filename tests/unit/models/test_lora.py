"""LoRA beside one matrix: the same numbers as written out in NumPy, merged or not."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.adapters.lora import LoRA, matrix_shape

RANK, ALPHA = 3, 12.0
SCALE = ALPHA / RANK
# Name: layer, shape of its inputs, shape of its outputs.
BASES = {
    "dense": (lambda: keras.layers.Dense(8), (2, 5, 6), (2, 5, 8)),
    "query": (
        lambda: keras.layers.EinsumDense("abc,cde->abde", (None, 2, 4), bias_axes="de"),
        (2, 5, 6),
        (2, 5, 2, 4),
    ),
    "output": (
        lambda: keras.layers.EinsumDense("abcd,cde->abe", (None, 8), bias_axes="e"),
        (2, 5, 2, 3),
        (2, 5, 8),
    ),
}


def build(name="dense", *, make=None, dropout=0.0, alpha=ALPHA, dtype="float32"):
    """Builds a LoRA whose B is not zero, as after training; and inputs for it."""
    keras.utils.set_random_seed(3)
    make_base, shape, _ = BASES[name]
    base = (make or make_base)()
    base.dtype_policy = dtype
    base.build(shape)
    base.bias.assign(np.linspace(-1, 1, math.prod(base.bias.shape)).reshape(base.bias.shape))
    layer = LoRA(base, rank=RANK, alpha=alpha, dropout=dropout, seed=5)
    layer.build()
    random = np.random.default_rng(1)
    layer.lora_b.assign(random.normal(size=layer.lora_b.shape))
    return layer, random.normal(size=shape).astype("float32")


def as_matrices(layer, inputs):
    """Returns x, W, b, A and B as matrices, in float64."""
    num_inputs, num_outputs = matrix_shape(layer.base)
    x = inputs.reshape(-1, num_inputs).astype("float64")
    w = layer.base.kernel.numpy().reshape(num_inputs, num_outputs)
    b = layer.base.bias.numpy().reshape(num_outputs)
    return x, w, b, layer.lora_a.numpy().astype("float64"), layer.lora_b.numpy()


def largest(difference):
    return np.abs(np.asarray(difference, "float64")).max()


@pytest.mark.parametrize("name", BASES)
class TestNumbers:
    def test_forward_equals_numpy(self, name):
        layer, inputs = build(name)
        x, w, b, lora_a, lora_b = as_matrices(layer, inputs)
        expected = (x @ w + b + SCALE * (x @ lora_a) @ lora_b).reshape(BASES[name][2])
        received = layer(inputs).numpy()
        assert received.shape == BASES[name][2]
        assert largest(received - expected) < 1e-5
        assert largest(layer.base(inputs) - expected) > 0.1  # control: the update is there

    def test_gradients_equal_numpy(self, name):
        """Of `sum(outputs * g)`: for B `s (xA)^T g`, for A `s x^T g B^T`."""
        layer, inputs = build(name)
        g = np.random.default_rng(2).normal(size=BASES[name][2]).astype("float32")
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(inputs) * g)
        received = tape.gradient(total, [layer.lora_a.value, layer.lora_b.value])
        x, _, _, lora_a, lora_b = as_matrices(layer, inputs)
        rows = g.reshape(len(x), -1)
        expected = SCALE * x.T @ (rows @ lora_b.T), SCALE * (x @ lora_a).T @ rows
        for ours, theirs in zip(received, expected, strict=True):
            assert largest(ours - theirs) < 1e-4
            assert largest(ours - theirs / SCALE) > 0.1  # control: the scale shows

    def test_merging_gives_a_plain_layer_of_the_same_answer(self, name):
        layer, inputs = build(name)
        before, plain = layer(inputs), layer.base(inputs)
        merged = layer.merge()
        assert merged is layer.base
        assert largest(merged(inputs) - before) < 1e-5
        assert largest(plain - before) > 0.1


def test_a_is_gaussian_with_the_variance_of_the_authors_code():
    base = keras.layers.Dense(300)
    base.build((None, 2, 400))
    layer = LoRA(base, rank=200, alpha=1.0, seed=1)
    layer.build()
    values = layer.lora_a.numpy() * np.sqrt(3 * 400)
    assert abs(values.mean()) < 0.02
    assert abs(values.std() - 1) < 0.02
    # A normal distribution, and neither a uniform nor a truncated one.
    assert abs(np.mean(np.abs(values) > 2) - 0.0455) < 0.005
    assert not layer.lora_b.numpy().any()


def test_the_activation_comes_after_the_sum_and_goes_back_when_merged():
    layer, inputs = build(make=lambda: keras.layers.Dense(8, activation="gelu"))
    x, w, b, lora_a, lora_b = as_matrices(layer, inputs)
    linear, update = x @ w + b, SCALE * (x @ lora_a) @ lora_b

    def gelu(values):
        return keras.ops.convert_to_numpy(keras.ops.gelu(values, approximate=False))

    received = layer(inputs).numpy().reshape(len(x), -1)
    assert largest(received - gelu(linear + update)) < 1e-5
    assert largest(received - (gelu(linear) + update)) > 0.1  # control: the other order
    assert largest(layer.merge()(inputs).numpy().reshape(len(x), -1) - received) < 1e-5


class TestDropout:
    def test_is_before_the_update_alone_and_in_training_alone(self):
        layer, inputs = build(dropout=0.5)
        outputs = layer(inputs, training=False)
        assert largest(outputs - build()[0](inputs)) == 0
        assert largest(layer(inputs, training=True) - outputs) > 0.1
        layer.lora_b.assign(0 * layer.lora_b)
        assert largest(layer(inputs, training=True) - layer.base(inputs)) == 0

    def test_keeps_the_expectation(self):
        layer, inputs = build(dropout=0.5)
        drawn = [layer(inputs, training=True).numpy() for _ in range(800)]
        error = np.abs(np.mean(drawn, axis=0) - layer(inputs).numpy()).max()
        assert error < 6 * np.std(drawn, axis=0).max() / np.sqrt(800)

    def test_is_on_inside_a_layer_that_is_called_for_training(self):
        layer, inputs = build(dropout=0.5)

        class Parent(keras.layers.Layer):
            def call(self, inputs, training=None):
                return layer(inputs)  # as keras's MultiHeadAttention calls its projections

        parent = Parent()
        assert largest(parent(inputs, training=True) - layer(inputs)) > 0.1
        assert largest(parent(inputs, training=False) - layer(inputs)) == 0


def test_the_dtype_policy_is_that_of_the_base_layer():
    layer, inputs = build("query", dtype="mixed_bfloat16", dropout=0.1)
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    assert layer(inputs).dtype == tf.bfloat16
    exact, _ = build("query")
    difference = largest(tf.cast(layer(inputs), tf.float32) - exact(inputs))
    assert 1e-5 < difference < 0.3  # computed in bfloat16, and rightly


def test_what_is_no_matrix_is_refused():
    base = keras.layers.EinsumDense("abc,bcd->abd", (5, 8))  # another matrix for each position
    base.build((2, 5, 6))
    with pytest.raises(
        ValueError, match=r"no product .*Received: 'abc,bcd->abd'\. Expected: .*cde"
    ):
        LoRA(base, rank=RANK, alpha=ALPHA)
