"""All private attributes of Keras and KerasHub that the encoder reads.

Each function says what it expects of the library. `tests/unit/models/test_private.py` checks it, so
that a renamed part in a new version fails there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # `kerasft presets` reads this file, and takes no seconds
    import keras


class LayerParts(NamedTuple):
    """The sublayers of a transformer layer, in the order in which a batch passes them."""

    attention: keras.layers.MultiHeadAttention
    attention_dropout: keras.layers.Dropout
    attention_norm: keras.layers.LayerNormalization
    up: keras.layers.Layer
    down: keras.layers.Layer
    feedforward_dropout: keras.layers.Dropout
    feedforward_norm: keras.layers.LayerNormalization


class AttentionParts(NamedTuple):
    """The sublayers of an attention, the key width of a head, and the dropout of its weights."""

    query: keras.layers.Layer
    key: keras.layers.Layer
    value: keras.layers.Layer
    output: keras.layers.Layer
    key_dim: int
    dropout: keras.layers.Dropout


def layer_parts(layer) -> LayerParts:
    """Expects these seven sublayers of a built `keras_hub.layers.TransformerEncoder`."""
    return LayerParts(
        layer._self_attention_layer,
        layer._self_attention_dropout,
        layer._self_attention_layer_norm,
        layer._feedforward_intermediate_dense,
        layer._feedforward_output_dense,
        layer._feedforward_dropout,
        layer._feedforward_layer_norm,
    )


def attention_parts(attention: keras.layers.MultiHeadAttention) -> AttentionParts:
    """Expects these sublayers and this width of a built `keras.layers.MultiHeadAttention`."""
    return AttentionParts(
        attention._query_dense,
        attention._key_dense,
        attention._value_dense,
        attention._output_dense,
        attention._key_dim,
        attention._dropout_layer,
    )


def linear_slots(layer) -> dict[str, tuple[keras.layers.Layer, str]]:
    """Expects these attributes of a `TransformerEncoder` and its attention to hold its matrices.

    Returns the owner and the attribute of each, by role.
    """
    attention = layer._self_attention_layer
    return {
        "query": (attention, "_query_dense"),
        "key": (attention, "_key_dense"),
        "value": (attention, "_value_dense"),
        "output": (attention, "_output_dense"),
        "up": (layer, "_feedforward_intermediate_dense"),
        "down": (layer, "_feedforward_output_dense"),
    }


def replace_sublayer(parent: keras.layers.Layer, attribute: str, layer: keras.layers.Layer) -> None:
    """Replaces a sublayer, at the same position in all lists.

    Expects that a layer's tracker lists its sublayers under "layers" and can replace one. Setting
    only the attribute would list both, and the tracker of a built layer accepts no new one.
    """
    parent._tracker.replace_tracked_value("layers", getattr(parent, attribute), layer)
    setattr(parent, attribute, layer)


def read_without_cast(weight: keras.Variable) -> None:
    """Expects that a weight's `add_weight(autocast=False)` setting can be changed later."""
    weight._autocast = False
