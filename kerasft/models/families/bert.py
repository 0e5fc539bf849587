"""BERT: Devlin et al. 2018, "BERT: Pre-training of Deep Bidirectional Transformers"."""

from __future__ import annotations

import keras_hub

from kerasft.models.embeddings import summed_embeddings
from kerasft.models.encoder_layer import transformer_block
from kerasft.models.families.family import Family
from kerasft.models.layer_map import LayerMap


def _map_layers(backbone: keras_hub.models.BertBackbone) -> LayerMap:
    return LayerMap(
        token_table=backbone.token_embedding,
        embeddings=summed_embeddings(
            backbone.token_embedding,
            backbone.position_embedding,
            backbone.segment_embedding,
            norm=backbone.embeddings_layer_norm,
            dropout=backbone.embeddings_dropout,
        ),
        blocks=tuple(map(transformer_block, backbone.transformer_layers)),
        pooler=backbone.pooled_dense,
    )


BERT = Family(
    "BERT",
    backbone=keras_hub.models.BertBackbone,
    inputs=("token_ids", "segment_ids", "padding_mask"),
    map_layers=_map_layers,
)
