"""The encoder: the same as the backbone's own call, and what that cannot do."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.encoder import Encoder
from kerasft.models.heads import LinearHead
from kerasft.models.presets import load_preset
from kerasft.training.step.fine_tuner import FineTuner

TOLERANCE = 1e-5
FIRST, SECOND = [2, 40, 41, 42, 3], [2, 50, 51, 3]


@pytest.fixture(scope="module")
def backbone():
    return load_preset("tiny_random", dropout=0.0).backbone


def make_inputs(*texts, length=None):
    """Pads texts; the segment of a token is whether its id is odd, so that segments matter."""
    length = length or max(map(len, texts))
    rows = np.array([text + [0] * (length - len(text)) for text in texts], "int32")
    padding_mask = np.array([[1] * len(t) + [0] * (length - len(t)) for t in texts], "int32")
    return {"token_ids": rows, "segment_ids": rows % 2, "padding_mask": padding_mask}


def largest(difference):
    return np.abs(np.asarray(difference)).max()


class TestPacking:
    """Two texts in one row, each with its own positions, neither seeing the other."""

    @pytest.fixture(scope="class")
    @classmethod
    def packed(cls):
        inputs = make_inputs(FIRST + SECOND)
        positions = np.array([[*range(len(FIRST)), *range(len(SECOND))]], "int32")
        texts = np.repeat([0, 1], [len(FIRST), len(SECOND)])
        return inputs, positions, (texts[:, None] == texts)[None].astype("int32")

    @pytest.fixture(scope="class")
    @classmethod
    def apart(cls, backbone):
        encoder = Encoder(backbone)
        return np.concatenate([encoder(make_inputs(text))[0] for text in (FIRST, SECOND)])

    def test_gives_the_vectors_of_the_texts_apart(self, backbone, packed, apart):
        inputs, positions, mask = packed
        received = Encoder(backbone)(inputs, positions=positions, attention_mask=mask)[0]
        assert largest(received - apart) < TOLERANCE

    @pytest.mark.parametrize("left_out", ["positions", "attention_mask"])
    def test_control_without_either_it_does_not(self, backbone, packed, apart, left_out):
        inputs, positions, mask = packed
        arguments = {"positions": positions, "attention_mask": mask}
        del arguments[left_out]
        received = Encoder(backbone)(inputs, **arguments)[0]
        assert largest((received - apart)[len(FIRST) :]) > 100 * TOLERANCE


class TestPadding:
    @pytest.mark.parametrize("pooling", ["mean", "cls", "pooled"])
    def test_does_not_change_a_text(self, backbone, pooling):
        encoder = Encoder(backbone, pooling=pooling)
        short, long = make_inputs(FIRST), make_inputs(FIRST, length=24)
        vectors = [encoder.pool(encoder(i), i["padding_mask"]) for i in (short, long)]
        assert largest(vectors[0] - vectors[1]) < TOLERANCE
        hidden = [encoder(inputs)[0, : len(FIRST)] for inputs in (short, long)]
        assert largest(hidden[0] - hidden[1]) < TOLERANCE

    def test_control_unmasked_padding_does(self, backbone):
        encoder, inputs = Encoder(backbone), make_inputs(FIRST, length=24)
        unmasked = inputs | {"padding_mask": np.ones_like(inputs["padding_mask"])}
        difference = encoder(inputs)[0, : len(FIRST)] - encoder(unmasked)[0, : len(FIRST)]
        assert largest(difference) > 100 * TOLERANCE


class TestPooling:
    @pytest.fixture(scope="class")
    @classmethod
    def hidden(cls):
        return np.random.default_rng(1).normal(size=(2, 3, 64)).astype("float32")

    def pool(self, backbone, pooling, hidden):
        mask = np.array([[1, 1, 0], [1, 1, 1]], "int32")
        return Encoder(backbone, pooling=pooling).pool(tf.constant(hidden), mask).numpy()

    def test_mean_of_the_real_tokens(self, backbone, hidden):
        received = self.pool(backbone, "mean", hidden)
        expected = np.stack([hidden[0, :2].mean(axis=0), hidden[1].mean(axis=0)])
        assert largest(received - expected) < TOLERANCE

    def test_cls_is_the_first_token(self, backbone, hidden):
        assert np.array_equal(self.pool(backbone, "cls", hidden), hidden[:, 0])

    def test_pooled_goes_through_the_pretrained_layer(self, backbone, hidden):
        kernel, bias = backbone.pooled_dense.get_weights()
        expected = np.tanh(hidden[:, 0] @ kernel + bias)
        assert largest(self.pool(backbone, "pooled", hidden) - expected) < TOLERANCE

    def test_mean_of_no_token_is_zero_and_finite(self, backbone, hidden):
        encoder = Encoder(backbone)
        assert not encoder.pool(tf.constant(hidden), np.zeros((2, 3), "int32")).numpy().any()

    @pytest.mark.parametrize(("pooling", "trained"), [("mean", 0), ("cls", 0), ("pooled", 2)])
    def test_the_pretrained_layer_is_frozen_where_it_is_not_used(self, backbone, pooling, trained):
        encoder = Encoder(backbone, pooling=pooling)
        paths = [variable.path for variable in encoder.trainable_variables]
        assert sum("pooled_dense" in path for path in paths) == trained
        assert len(paths) == 37 + trained


class TestPrecision:
    def test_mixed_bfloat16_gives_float32_logits_and_about_the_same_numbers(self, backbone):
        mixed = load_preset("tiny_random", dropout=0.0, dtype="mixed_bfloat16").backbone
        encoder, inputs = Encoder(mixed), make_inputs(FIRST, SECOND)
        assert encoder(inputs).dtype == tf.bfloat16
        assert all(variable.dtype == "float32" for variable in encoder.trainable_variables)
        logits = FineTuner(encoder, LinearHead(2, hidden_dim=64))(inputs)
        assert logits.dtype == tf.float32
        difference = tf.cast(encoder(inputs), tf.float32) - Encoder(backbone)(inputs)
        real = np.asarray(difference)[inputs["padding_mask"] == 1]
        assert TOLERANCE < largest(real) < 0.1


def test_dropout_in_training_only():
    encoder = Encoder(load_preset("tiny_random", dropout=0.5).backbone)
    inputs = make_inputs(FIRST)
    calm = encoder(inputs, training=False)
    assert np.array_equal(calm, encoder(inputs, training=False))
    assert largest(encoder(inputs, training=True) - calm) > 0.1
