"""The linear head: its start, its dropout, its precision."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.heads import LinearHead


def test_starts_as_bert_does():
    kernel, bias = LinearHead(64, hidden_dim=256, initializer_range=0.02).get_weights()
    assert kernel.shape == (256, 64)
    assert not bias.any()
    assert abs(kernel.mean()) < 1e-3
    assert kernel.std() == pytest.approx(0.88 * 0.02, rel=0.02)  # what truncation leaves of it
    assert 0.039 < np.abs(kernel).max() <= 0.04  # two deviations


def test_seed_settles_the_kernel():
    kernels = [LinearHead(2, hidden_dim=8, seed=seed).get_weights()[0] for seed in (1, 1, 2)]
    assert np.array_equal(kernels[0], kernels[1])
    assert not np.array_equal(kernels[0], kernels[2])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_logits_are_float32(dtype):
    head = LinearHead(3, hidden_dim=8)
    logits = head(tf.ones((2, 8), dtype))
    assert logits.dtype == tf.float32
    kernel, bias = head.get_weights()
    np.testing.assert_allclose(logits[0], kernel.sum(axis=0) + bias, rtol=1e-5)


def test_dropout_in_training_only():
    head, pooled = LinearHead(3, hidden_dim=64, dropout=0.5), tf.ones((2, 64))
    calm = head(pooled, training=False)
    assert np.array_equal(calm, head(pooled))
    assert np.abs(head(pooled, training=True) - calm).max() > 1e-4
    without = LinearHead(3, hidden_dim=64, dropout=0.0)  # control
    assert np.array_equal(without(pooled, training=True), without(pooled, training=False))
