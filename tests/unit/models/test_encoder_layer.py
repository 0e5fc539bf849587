"""A layer of the encoder, against KerasHub's own computation of it."""

from __future__ import annotations

import contextlib

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from kerasft.models import encoder_layer
from kerasft.models.adapters.adapter import add_adapter
from kerasft.models.encoder import Encoder
from kerasft.models.encoder_layer import run_layer
from kerasft.models.fast.fast_ops import gelu, without_gradients
from kerasft.models.layer_map import BlockContext
from kerasft.models.presets import load_preset

HIDDEN = np.random.default_rng(0).normal(size=(3, 7, 24)).astype("float32")
PADDING = np.array([[1] * 7, [1] * 4 + [0] * 3, [1] + [0] * 6], "int32")


@pytest.fixture
def layer():
    """A layer whose every weight is random, so that a bias left out is seen."""
    made = keras_hub.layers.TransformerEncoder(64, 4, activation="gelu", layer_norm_epsilon=1e-12)
    made.build((None, None, 24))
    generator = np.random.default_rng(1)
    for variable in made.weights:
        variable.assign(generator.normal(0, 0.4, variable.shape))
    return made


def outputs_and_gradients(run, layer):
    hidden = tf.constant(HIDDEN)
    real = PADDING[:, :, np.newaxis].astype("float32")
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        outputs = run(hidden) * real
        loss = tf.reduce_sum(tf.sin(outputs))
    variables = [variable.value for variable in layer.trainable_variables]
    return [outputs, *tape.gradient(loss, [hidden, *variables])]


@pytest.mark.parametrize("masked", [False, True])
def test_outputs_and_every_gradient_are_keras_hub_s(layer, masked):
    mask = np.tril(np.ones((3, 7, 7), "int32")) if masked else None
    ours = outputs_and_gradients(lambda x: run_layer(layer, x, BlockContext(PADDING, mask)), layer)
    theirs = outputs_and_gradients(
        lambda x: layer(x, padding_mask=PADDING, attention_mask=mask), layer
    )
    assert len(ours) == 18  # outputs, their gradient, and those of 16 variables
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, atol=2e-4, rtol=2e-4)
    unmasked = outputs_and_gradients(  # control
        lambda x: run_layer(layer, x, BlockContext(np.ones_like(PADDING))), layer
    )
    assert np.abs(unmasked[0] - theirs[0]).max() > 1e-2


def test_without_gradients_the_outputs_are_the_same(layer):
    expected = run_layer(layer, tf.constant(HIDDEN), BlockContext(PADDING))

    @tf.function
    def run(hidden):
        with without_gradients():
            return run_layer(layer, hidden, BlockContext(PADDING))

    outputs = run(tf.constant(HIDDEN))
    real = PADDING[:, :, np.newaxis].astype("float32")
    np.testing.assert_allclose(outputs * real, expected * real, atol=2e-4, rtol=2e-4)
    graph = run.get_concrete_function(tf.constant(HIDDEN)).graph.as_graph_def()
    functions = [function.signature.name for function in graph.library.function]
    assert not any("grad" in name for name in functions)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gelu_is_the_exact_one_where_it_is_merged_with_the_product(dtype):
    dense = keras.layers.Dense(64, dtype=dtype, kernel_initializer=keras.initializers.HeNormal(1))
    dense.build((None, None, 24))
    hidden = tf.cast(HIDDEN, dtype)

    def run(activation, *, merged):
        dense.activation = activation

        @tf.function
        def compute(hidden):
            with without_gradients() if merged else contextlib.nullcontext():
                return encoder_layer._project(dense, hidden)

        outputs = compute(hidden)
        assert outputs.dtype == dtype
        return tf.cast(outputs, "float32").numpy()

    expected = run(gelu, merged=False)
    tolerance = {"atol": 1e-5, "rtol": 1e-5} if dtype == "float32" else {"atol": 5e-3, "rtol": 1e-2}
    np.testing.assert_allclose(run(gelu, merged=True), expected, **tolerance)
    other = run(tf.nn.relu, merged=True)  # control
    assert np.abs(other - expected).max() > 0.1


@pytest.mark.parametrize("method", ["lora", "houlsby"])
def test_what_stands_in_for_a_sublayer_is_asked(method):
    encoder = Encoder(load_preset("tiny_random", dropout=0.0).backbone)
    inputs = {
        "token_ids": np.arange(5, 17, dtype="int32").reshape(2, 6),
        "segment_ids": np.zeros((2, 6), "int32"),
        "padding_mask": np.ones((2, 6), "int32"),
    }
    plain = encoder(inputs)
    matrices = ("query", "key", "value", "output", "feedforward")
    add_adapter(
        encoder,
        method=method,
        matrices=matrices,
        rank=2,
        alpha=4,
        dropout=0,
        bottleneck_dim=4,
        seed=1,
    )
    added = [v for v in encoder.trainable_variables if "lora_b" in v.path or "/up" in v.path]
    assert added
    for variable in added:
        before = variable.numpy()
        variable.assign(before + np.sin(np.arange(before.size)).reshape(before.shape))
        assert np.abs(encoder(inputs) - plain).max() > 1e-5, variable.path
        variable.assign(before)
