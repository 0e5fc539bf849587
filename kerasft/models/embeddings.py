"""The lowest layer of the encoder: the sum of a token's embeddings, normalized."""

from __future__ import annotations

from collections.abc import Mapping

import keras
import tensorflow as tf

from kerasft.models.encoder_layer import drop, normalize
from kerasft.models.private import all_sublayers, read_without_cast


def keep_in_float32(backbone) -> None:
    """Reads embedding tables and normalizations in float32 under every precision.

    In a layer's call Keras casts a weight before it is used: every row of a table, in each step.
    """
    kept = [*_tables(backbone)]
    for layer in all_sublayers(backbone):
        if isinstance(layer, keras.layers.LayerNormalization):
            kept.extend(layer.weights)
    for weight in kept:
        read_without_cast(weight)


def embed(backbone, inputs: Mapping[str, tf.Tensor], positions, dtype: str, training) -> tf.Tensor:
    """Returns normalized sums of embeddings, `(batch_size, sequence_length, hidden_dim)`.

    Args:
        backbone: One whose layers are known, after `keep_in_float32`.
        inputs: `token_ids` and `segment_ids`, int `(batch_size, sequence_length)`; optionally
            `embedding_offset`, which is added.
        positions: Int positions of the tokens, of the same shape; `None` for 0, 1, 2, ...
        dtype: The compute dtype of the layers above, and of the output.
        training: Whether dropout is on.
    """
    tokens, places, segments = (table.value for table in _tables(backbone))
    embedded = look_up(tokens, inputs["token_ids"])
    if positions is None:
        embedded += tf.cast(places[: tf.shape(embedded)[1]], tf.float32)
    else:
        embedded += look_up(places, positions)
    embedded += look_up(segments, inputs["segment_ids"])
    if "embedding_offset" in inputs:
        embedded += tf.cast(inputs["embedding_offset"], embedded.dtype)
    normalized = tf.cast(normalize(backbone.embeddings_layer_norm, embedded), dtype)
    hidden = drop(backbone.embeddings_dropout, normalized, training)
    # ELECTRA's small models have embeddings narrower than their hidden vectors.
    projection = getattr(backbone, "embeddings_projection", None)
    return hidden if projection is None else projection(hidden)


def look_up(table: tf.Variable, ids: tf.Tensor) -> tf.Tensor:
    """Returns rows of a table, float32 `(*ids.shape, width)`, with a sparse gradient."""
    rows = tf.gather(table, tf.cast(ids, tf.int32))  # Keras's `fit` builds models on floats
    return tf.cast(rows, tf.float32)  # for a table that is served in bfloat16


def _tables(backbone) -> tuple[keras.Variable, keras.Variable, keras.Variable]:
    """Returns the tables of tokens, positions and segments."""
    return (
        backbone.token_embedding.embeddings,
        backbone.position_embedding.position_embeddings,
        backbone.segment_embedding.embeddings,
    )
