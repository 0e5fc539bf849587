"""A Houlsby adapter behind one projection: its formula, its start, its dtype."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
from scipy.special import erf

from kerasft.models.adapters.bottleneck import Bottleneck


def build(dtype="float32"):
    keras.utils.set_random_seed(3)
    base = keras.layers.EinsumDense("abcd,cde->abe", (None, 8), bias_axes="e", dtype=dtype)
    base.build((2, 5, 2, 3))
    layer = Bottleneck(base, bottleneck_dim=3, seed=5)
    layer.build()
    return layer, np.random.default_rng(1).normal(size=(2, 5, 2, 3)).astype("float32")


def enlarge(layer):
    """Gives the adapter weights that count, as after training."""
    random = np.random.default_rng(2)
    for variable in (*layer.down.weights, *layer.up.weights):
        variable.assign(random.normal(size=variable.shape))


def test_equals_numpy():
    layer, inputs = build()
    enlarge(layer)
    y = layer.base(inputs).numpy().astype("float64")
    (down, down_bias), (up, up_bias) = (
        [weight.numpy() for weight in dense.weights] for dense in (layer.down, layer.up)
    )
    inner = y @ down + down_bias
    gelu = inner * 0.5 * (1 + erf(inner / np.sqrt(2)))
    expected = y + gelu @ up + up_bias
    assert np.abs(layer(inputs).numpy() - expected).max() < 1e-5
    assert np.abs(y - expected).max() > 0.1  # control: the adapter is there
    assert np.abs(gelu @ up + up_bias - expected).max() > 0.1  # and y beside it


def test_it_starts_near_the_identity_but_not_at_a_standstill():
    layer, inputs = build()
    difference = np.abs(layer(inputs) - layer.base(inputs)).max()
    assert 0 < difference < 1e-3
    for dense in (layer.down, layer.up):
        assert 0 < np.abs(dense.kernel.numpy()).max() <= 0.023  # two deviations of 0.01, cut off
        assert not dense.bias.numpy().any()
    flat = [np.sort(dense.kernel.numpy(), axis=None) for dense in (layer.down, layer.up)]
    assert not np.array_equal(*flat)  # each has a seed of its own


@pytest.mark.parametrize(
    ("dtype", "computed"), [("float32", "float32"), ("mixed_bfloat16", "bfloat16")]
)
def test_the_dtype_policy_is_that_of_the_base_layer(dtype, computed):
    layer, inputs = build(dtype)
    assert {weight.dtype for weight in layer.weights} == {"float32"}
    assert layer(inputs).dtype == tf.as_dtype(computed)
