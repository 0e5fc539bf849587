"""What the encoder expects of the private parts of Keras and KerasHub."""

from __future__ import annotations

import keras
import keras_hub
import pytest

from kerasft.models import private

SIZES = {"num_layers": 1, "num_heads": 2, "hidden_dim": 8, "intermediate_dim": 16, "dropout": 0.1}


def build_layer(kind="bert"):
    if kind == "bert":
        backbone = keras_hub.models.BertBackbone(vocabulary_size=60, **SIZES)
    else:
        backbone = keras_hub.models.ElectraBackbone(vocab_size=60, embedding_dim=4, **SIZES)
    return backbone.transformer_layers[0]


@pytest.mark.parametrize("kind", ["bert", "electra"])
def test_a_transformer_encoder_has_the_sublayers_that_are_computed(tools, kind):
    layer = build_layer(kind)
    with tools.expect_of("keras_hub.layers.TransformerEncoder", "its sublayers as known"):
        parts = private.transformer_parts(layer)
        assert parts.attention_dropout.rate == 0.1
        assert [type(part).__name__ for part in parts.dropouts] == ["Dropout"] * 2
        assert [type(part).__name__ for part in parts.norms] == ["LayerNormalization"] * 2
        found = {role: getattr(*slot) for role, slot in parts.linears.items()}
        assert {role: tuple(dense.kernel.shape) for role, dense in found.items()} == {
            **dict.fromkeys(("query", "key", "value"), (8, 2, 4)),
            "output": (2, 4, 8),
            "up": (8, 16),
            "down": (16, 8),
        }
        kernels = {weight.path for weight in layer.weights if weight.path.endswith("kernel")}
        assert {dense.kernel.path for dense in found.values()} == kernels  # there are no others
        norms = {weight.path for norm in parts.norms for weight in norm.weights}
        assert norms == {w.path for w in layer.weights if w.path.endswith(("gamma", "beta"))}


def test_the_tracker_of_a_layer_replaces_a_sublayer_in_its_place(tools):
    class Parent(keras.layers.Layer):
        def __init__(self):
            super().__init__()
            self.first, self.second = keras.layers.Dense(2), keras.layers.Dense(2)

    parent, other = Parent(), keras.layers.Dense(3, name="other")
    parent.first.build((None, 2))
    other.build((None, 2))
    parent.built = True
    with tools.expect_of("keras.layers.Layer", "a tracker that can replace a sublayer"):
        private.replace_sublayer(parent, "first", other)
        assert parent.first is other
        assert [id(w) for w in parent.weights] == [id(w) for w in other.weights]


def test_a_weight_may_be_told_to_be_read_without_a_cast(tools):
    layer = keras.layers.Dense(2, dtype="mixed_bfloat16")
    layer.build((None, 2))
    with tools.expect_of("keras.Variable", "a flag that it is cast in its layer's call"):
        private.read_without_cast(layer.kernel)
        with keras.src.backend.AutocastScope("bfloat16"):
            assert keras.ops.convert_to_tensor(layer.kernel).dtype == "float32"
            assert keras.ops.convert_to_tensor(layer.bias).dtype == "bfloat16"  # control
