"""The embeddings: what KerasHub computes, and in mixed precision what it should."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.embeddings import keep_in_float32
from kerasft.models.families.bert import BERT

ROWS, LENGTH, HIDDEN_DIM = 64, 32, 16


@pytest.fixture(scope="module")
def build_backbone(tools):
    def build(dtype="float32"):
        keras.utils.set_random_seed(3)
        return tools.build_backbone(dtype=dtype)

    return build


@pytest.fixture(scope="module")
def inputs():
    random = np.random.default_rng(0)
    segments = np.zeros((ROWS, LENGTH), "int32")
    segments[0, 20:] = 1  # all but a few tokens are of one segment, as where texts are single
    return {
        "token_ids": random.integers(0, 50, (ROWS, LENGTH)).astype("int32"),
        "segment_ids": segments,
    }


def embed(backbone, *arguments):
    return BERT.map_layers(backbone).embeddings.run(*arguments)


def theirs(backbone, inputs, positions, dtype, training):
    tokens = backbone.token_embedding(inputs["token_ids"])
    places = backbone.position_embedding(tokens, positions=positions)
    summed = backbone.embeddings_add(
        (tokens, places, backbone.segment_embedding(inputs["segment_ids"]))
    )
    return backbone.embeddings_layer_norm(summed)


def output_and_gradients(compute, backbone, inputs, positions=None):
    """Returns the output, and the gradients of the three tables."""

    class Layer(keras.layers.Layer):
        """Keras casts weights inside a layer's call."""

        def call(self, inputs):
            return compute(backbone, inputs, positions, self.compute_dtype, False)

    tables = [
        backbone.token_embedding.embeddings.value,
        backbone.position_embedding.position_embeddings.value,
        backbone.segment_embedding.embeddings.value,
    ]
    weights = np.random.default_rng(1).normal(1.0, 1.0, (HIDDEN_DIM,)).astype("float32")
    with tf.GradientTape() as tape:
        output = tf.cast(Layer(dtype=backbone.dtype_policy)(inputs), tf.float32)
        loss = tf.reduce_sum(output * weights)
    return output, tape.gradient(loss, tables)


def relative_error(received, expected):
    received, expected = (tf.convert_to_tensor(value).numpy() for value in (received, expected))
    return np.abs(received - expected).max() / np.abs(expected).max()


class TestEmbed:
    @pytest.mark.parametrize("positions", [None, np.arange(LENGTH)[::-1] * np.ones((ROWS, 1), int)])
    def test_equals_keras_hub(self, build_backbone, inputs, positions):
        received, gradients = output_and_gradients(embed, build_backbone(), inputs, positions)
        expected, theirs_ = output_and_gradients(theirs, build_backbone(), inputs, positions)
        np.testing.assert_allclose(received, expected, atol=1e-5)
        for ours, others in zip(gradients, theirs_, strict=True):
            assert relative_error(ours, others) < 1e-5

    def test_in_bfloat16_gradients_are_those_of_float32(self, build_backbone, inputs):
        _, exact = output_and_gradients(embed, build_backbone(), inputs)
        backbone = build_backbone("mixed_bfloat16")
        keep_in_float32(BERT.map_layers(backbone))
        _, gradients = output_and_gradients(embed, backbone, inputs)
        for received, expected in zip(gradients, exact, strict=True):
            assert relative_error(received, expected) < 0.01

    def test_in_bfloat16_no_table_is_cast(self, build_backbone, inputs):
        def casts(backbone):
            traced = tf.function(
                lambda: output_and_gradients(embed, backbone, inputs)[0], autograph=False
            )
            shape = backbone.token_embedding.embeddings.shape
            operations = traced.get_concrete_function().graph.get_operations()
            return [o for o in operations if o.type == "Cast" and o.inputs[0].shape == shape]

        backbone = build_backbone("mixed_bfloat16")
        assert casts(backbone)  # the control
        keep_in_float32(BERT.map_layers(backbone))
        assert not casts(backbone)

    def test_an_offset_is_added(self, build_backbone, inputs):
        backbone = build_backbone()
        plain, _ = output_and_gradients(embed, backbone, inputs)
        offset = tf.ones((ROWS, LENGTH, HIDDEN_DIM)) * np.arange(HIDDEN_DIM, dtype="float32")
        moved, _ = output_and_gradients(embed, backbone, inputs | {"embedding_offset": offset})
        assert np.abs((moved - plain).numpy()).max() > 0.1
