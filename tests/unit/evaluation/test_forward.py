"""Logits of many examples: in the order of their batches, on one device and on two."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.evaluation.forward import Forward, build_forward, predict_logits


@pytest.fixture
def batches(tools):
    return [tools.make_batch(4, seed=1), tools.make_batch(2, seed=2, length=16, filler=2)]


def test_order_and_filler(tools, batches):
    model = tools.build_tuner(dropout=0.5)
    counts = []
    logits = predict_logits(
        build_forward(model), tools.make_dataset(batches), on_batch=counts.append
    )
    expected = [model(tools.as_tensors(inputs)).numpy() for inputs, _, _ in batches]
    expected = np.concatenate([expected[0], expected[1][:2]])
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    assert np.abs(expected[:2] - expected[2:4]).max() > 1e-4  # the order matters
    assert counts == [4, 2]


def test_may_be_stopped_between_batches(tools, batches):
    def stop(num_examples):
        raise KeyboardInterrupt

    forward = build_forward(tools.build_tuner())
    with pytest.raises(KeyboardInterrupt):
        predict_logits(forward, tools.make_dataset(batches), on_batch=stop)


def test_two_replicas_share_a_batch_and_give_what_one_does(tools):
    batches = [tools.make_batch(7, seed=1, filler=1), tools.make_batch(2, seed=2, length=16)]
    strategy = tools.mirrored()
    with strategy.scope():
        model = tools.build_tuner(dropout=0.5)

    one = tools.build_tuner(dropout=0.5)
    forward = build_forward(model, strategy)
    received = [predict_logits(forward, tools.make_dataset(batches)) for _ in range(2)]
    expected = predict_logits(build_forward(one), tools.make_dataset(batches))
    assert expected.shape == (9, 2)
    for logits in received:
        np.testing.assert_allclose(logits, expected, atol=1e-6)
    dealt = np.concatenate([expected[[0, 2, 4, 6, 1, 3, 5]], expected[7:]])
    assert np.abs(received[0] - dealt).max() > 1e-4  # control: the order that they are dealt in
    assert forward.num_replicas == 2


def test_every_replica_computes_its_rows_alone_and_one_trace_serves_all_lengths(tools):
    traces = []

    def who(inputs):
        traces.append(1)
        replica = tf.distribute.get_replica_context().replica_id_in_sync_group
        rows = tf.cast(inputs["token_ids"][:, :1], tf.float32)
        return tf.concat([rows, tf.fill(tf.shape(rows), tf.cast(replica, tf.float32))], axis=1)

    batches = [tools.make_batch(4, seed=n, length=8 * (n + 1)) for n in range(4)]
    found = predict_logits(Forward(who, tools.mirrored()), tools.make_dataset(batches))
    np.testing.assert_array_equal(found[:, 1], [0, 1] * 8)
    first = np.concatenate([inputs["token_ids"][:, 0] for inputs, _, _ in batches])
    np.testing.assert_array_equal(found[:, 0], first)
    assert len(traces) == 2  # one for each replica
