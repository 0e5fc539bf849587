"""Attention in chunks of queries, against attention at once."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.encoder import Encoder
from kerasft.models.fast.attention import attend
from kerasft.models.fast.drop_ops import drop_by_seed
from kerasft.models.fast.fast_ops import without_gradients

BATCH, HEADS, LENGTH, WIDTH, CHUNK = 3, 2, 13, 4, 5
SEED = tf.constant([7, 11])
random = np.random.default_rng(0)
QUERY, KEY, VALUE, SLOPE = random.normal(size=(4, BATCH, HEADS, LENGTH, WIDTH)).astype("float32")
PADDING = tf.sequence_mask([LENGTH, 6, 1], LENGTH)[:, tf.newaxis, :]
BY_QUERY = np.tril(np.ones((BATCH, LENGTH, LENGTH), bool)) & PADDING


def outputs_and_gradients(function, dtype="float32"):
    """The outputs, and the gradients of query, key and value."""
    inputs = [tf.constant(array, dtype) for array in (QUERY, KEY, VALUE)]

    @tf.function
    def compute(*inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = function(*inputs)
        return [outputs, *tape.gradient(outputs, inputs, output_gradients=tf.cast(SLOPE, dtype))]

    return [tf.cast(tensor, tf.float32).numpy() for tensor in compute(*inputs)]


def largest_difference(ours, theirs):
    return max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True))


@pytest.mark.parametrize("mask", [PADDING, BY_QUERY], ids=["padding", "by query"])
@pytest.mark.parametrize("chunk", [CHUNK, 100])
def test_chunks_are_attention_at_once(mask, chunk):
    whole = outputs_and_gradients(lambda *inputs: attend(*inputs, mask))
    chunked = outputs_and_gradients(lambda *inputs: attend(*inputs, mask, chunk=chunk))
    assert largest_difference(chunked, whole) < 1e-5
    other = BY_QUERY if mask is PADDING else PADDING
    masked_otherwise = outputs_and_gradients(lambda *inputs: attend(*inputs, other, chunk=chunk))
    assert largest_difference(masked_otherwise, whole) > 1e-2  # control


@pytest.mark.parametrize("chunk", [0, CHUNK], ids=["at once", "in chunks"])
def test_the_same_is_dropped_for_outputs_and_gradients(chunk):
    """The reference is given what each chunk keeps, and is differentiated by TensorFlow."""
    rate = 0.25
    starts = range(0, LENGTH, chunk or LENGTH)

    def reference(query, key, value, seed=SEED):
        kept = [
            drop_by_seed(
                tf.ones((BATCH, HEADS, min(chunk or LENGTH, LENGTH - start), LENGTH)),
                rate,
                tf.random.experimental.stateless_fold_in(seed, number) if chunk else seed,
            )
            for number, start in enumerate(starts)
        ]
        scores = tf.matmul(query, key, transpose_b=True)
        weights = tf.nn.softmax(tf.where(PADDING[:, None], scores, -1e9))
        return tf.matmul(weights * tf.concat(kept, axis=2), value)

    def ours(*inputs):
        return attend(*inputs, PADDING, dropout=rate, seed=SEED, chunk=chunk)

    found, expected = outputs_and_gradients(ours), outputs_and_gradients(reference)
    assert largest_difference(found, expected) < 1e-5
    others = outputs_and_gradients(lambda *inputs: reference(*inputs, seed=SEED + 1))
    for right, wrong in zip(found, others, strict=True):
        assert np.abs(right - wrong).max() > 1e-2  # control


def test_bfloat16_sums_the_chunks_in_float32():
    at_once, chunked = (
        outputs_and_gradients(lambda *x, c=c: attend(*x, PADDING, chunk=c), "bfloat16")
        for c in (0, 1)
    )
    exact = outputs_and_gradients(lambda *inputs: attend(*inputs, PADDING))
    assert largest_difference(chunked, exact) < 1.2 * largest_difference(at_once, exact)


@pytest.fixture
def build_encoder(tools):
    return lambda **options: Encoder(tools.build_backbone(0.1, max_sequence_length=2048), **options)


def as_inputs(length):
    ids = tf.reshape(tf.range(2 * length) % 40, (2, length))
    return {"token_ids": ids, "segment_ids": ids * 0, "padding_mask": tf.cast(ids < 37, tf.int32)}


def test_an_encoder_reads_2048_tokens_in_chunks_as_it_does_at_once(build_encoder):
    encoder = build_encoder(attention_chunk=300)
    inputs = as_inputs(2048)
    chunked = encoder(inputs)
    encoder.attention_chunk = 0
    assert np.abs(chunked - encoder(inputs)).max() < 1e-5


@pytest.mark.parametrize("checkpointed", [False, True])
def test_no_tensor_of_a_step_has_the_length_twice(build_encoder, checkpointed):
    length = 96

    def squares(chunk):
        """The tensors of a training step's graph that are as long as wide."""
        encoder = build_encoder(attention_chunk=chunk, gradient_checkpointing=checkpointed)
        variables = [v.value for v in encoder.trainable_variables]

        @tf.function
        def gradients(inputs):
            with tf.GradientTape() as tape:
                hidden = encoder(inputs, training=True)
            return tape.gradient(hidden, variables)

        graph = gradients.get_concrete_function(as_inputs(length)).graph
        graphs = [graph, *(f.graph for f in map(graph._functions.get, graph._functions))]
        return [
            tensor.name
            for each in graphs
            for operation in each.get_operations()
            for tensor in operation.outputs
            if tensor.shape.rank and tensor.shape.as_list().count(length) > 1
        ]

    assert squares(chunk=16) == []
    assert len(squares(chunk=0)) > 5  # control


def test_without_gradients_the_outputs_are_the_same_and_no_gradient_is_kept():
    def run(query, key, value):
        with without_gradients():
            return attend(query, key, value, PADDING, chunk=CHUNK)

    inputs = [tf.constant(array) for array in (QUERY, KEY, VALUE)]
    concrete = tf.function(run).get_concrete_function(*inputs)
    assert np.abs(concrete(*inputs) - attend(*inputs, PADDING)).max() < 1e-5
    assert "IdentityN" not in [operation.type for operation in concrete.graph.get_operations()]
    wanted = tf.function(lambda *x: attend(*x, PADDING, chunk=CHUNK)).get_concrete_function(*inputs)
    assert "IdentityN" in [operation.type for operation in wanted.graph.get_operations()]  # control
