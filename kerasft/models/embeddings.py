"""The lowest layer of the encoder: the sum of a token's embeddings, normalized."""

from __future__ import annotations

import functools
from collections.abc import Mapping

import keras
import tensorflow as tf

from kerasft.models.encoder_layer import drop, normalize
from kerasft.models.layer_map import Embeddings, LayerMap
from kerasft.models.private import read_without_cast

EMBEDDING_OFFSET = "embedding_offset"


def keep_in_float32(layer_map: LayerMap) -> None:
    """Reads embedding tables and normalizations in float32 under every precision.

    In a layer's call Keras casts a weight before it is used: every row of a table, in each step.
    """
    norms = [weight for norm in layer_map.norms for weight in norm.weights]
    for weight in (*layer_map.embeddings.tables, *norms):
        read_without_cast(weight)


def summed_embeddings(
    tokens: keras.layers.Embedding,
    positions: keras.layers.Layer,
    segments: keras.layers.Embedding | None = None,
    *,
    norm: keras.layers.LayerNormalization,
    dropout: keras.layers.Dropout,
    projection: keras.layers.Dense | None = None,
) -> Embeddings:
    """Describes embeddings that are summed and normalized, as BERT's.

    Args:
        tokens: Read by `token_ids`.
        positions: A `keras_hub.layers.PositionEmbedding`.
        segments: Read by `segment_ids`; `None`: the family has no segments.
        norm: Normalizes the sum.
        dropout: Applied afterwards.
        projection: From the width of the embeddings to that of hidden vectors; `None`: they are
            equally wide.
    """
    tables = {"token_ids": tokens.embeddings, "positions": positions.position_embeddings}
    if segments is not None:
        tables["segment_ids"] = segments.embeddings
    layers = (tokens, positions, segments, norm, projection)
    return Embeddings(
        functools.partial(_embed, tables, norm, dropout, projection),
        layers=tuple(layer for layer in layers if layer is not None),
        tables=tuple(tables.values()),
        dropouts=(dropout,),
        norms=(norm,),
    )


def _embed(
    tables: Mapping[str, keras.Variable],
    norm,
    dropout,
    projection,
    inputs,
    positions,
    dtype,
    training,
) -> tf.Tensor:
    """Implements `Embeddings.run`."""
    embedded = look_up(tables["token_ids"].value, inputs["token_ids"])
    places = tables["positions"].value
    if positions is None:
        embedded += tf.cast(places[: tf.shape(embedded)[1]], tf.float32)
    else:
        embedded += look_up(places, positions)
    if "segment_ids" in tables:
        embedded += look_up(tables["segment_ids"].value, inputs["segment_ids"])
    if EMBEDDING_OFFSET in inputs:
        embedded += tf.cast(inputs[EMBEDDING_OFFSET], embedded.dtype)
    normalized = tf.cast(normalize(norm, embedded), dtype)
    hidden = drop(dropout, normalized, training)
    return hidden if projection is None else projection(hidden)


def look_up(table: tf.Variable, ids: tf.Tensor) -> tf.Tensor:
    """Returns rows of a table, float32 `(*ids.shape, width)`, with a sparse gradient."""
    rows = tf.gather(table, tf.cast(ids, tf.int32))  # Keras's `fit` builds models on floats
    return tf.cast(rows, tf.float32)  # for a table that is served in bfloat16
