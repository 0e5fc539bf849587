"""All private attributes of Keras and KerasHub that the encoder reads.

Each function says what it expects of the library. `tests/unit/models/test_private.py` checks it, so
that a renamed part in a new version fails there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:  # `kerasft presets` reads this file, and takes no seconds
    import keras


class TransformerParts(NamedTuple):
    """The sublayers of a transformer layer; of two, that of the attention is the first.

    Args:
        linears: Owner and attribute of each matrix, by role.
        attention_dropout: The dropout of attention weights.
        dropouts: Those of both outputs.
        norms: Applied to both sums.
    """

    linears: dict[str, tuple[keras.layers.Layer, str]]
    attention_dropout: keras.layers.Dropout
    dropouts: tuple[keras.layers.Dropout, keras.layers.Dropout]
    norms: tuple[keras.layers.LayerNormalization, keras.layers.LayerNormalization]


def transformer_parts(layer) -> TransformerParts:
    """Expects these attributes of a built `keras_hub.layers.TransformerEncoder`.

    Its attention is a `keras.layers.MultiHeadAttention`.
    """
    attention = layer._self_attention_layer
    return TransformerParts(
        linears={
            "query": (attention, "_query_dense"),
            "key": (attention, "_key_dense"),
            "value": (attention, "_value_dense"),
            "output": (attention, "_output_dense"),
            "up": (layer, "_feedforward_intermediate_dense"),
            "down": (layer, "_feedforward_output_dense"),
        },
        attention_dropout=attention._dropout_layer,
        dropouts=(layer._self_attention_dropout, layer._feedforward_dropout),
        norms=(layer._self_attention_layer_norm, layer._feedforward_layer_norm),
    )


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
