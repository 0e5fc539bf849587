"""Separate dropout rates for attention weights and the rest of a backbone."""

from __future__ import annotations

from kerasft.models.layer_map import LayerMap


def split_dropouts(layer_map: LayerMap, *, dropout: float, attention_dropout: float) -> None:
    """Gives a backbone two dropout rates, where KerasHub has one.

    Args:
        layer_map: Of a backbone that was built with the larger of the two: a layer without dropout
            has no random seed, and cannot get one later.
        dropout: Rate of embeddings and hidden vectors.
        attention_dropout: Rate of the attention weights.
    """
    for part in (layer_map.embeddings, *layer_map.blocks):
        for layer in part.dropouts:
            layer.rate = dropout
    for block in layer_map.blocks:
        for layer in block.attention_dropouts:
            layer.rate = attention_dropout
