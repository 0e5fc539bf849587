"""DistilBERT: Sanh et al. 2019, "DistilBERT, a distilled version of BERT".

It has neither segments nor a pooler.
"""

from __future__ import annotations

import keras_hub

from kerasft.models.embeddings import summed_embeddings
from kerasft.models.encoder_layer import transformer_block
from kerasft.models.families.family import Family
from kerasft.models.layer_map import LayerMap


def _map_layers(backbone: keras_hub.models.DistilBertBackbone) -> LayerMap:
    return LayerMap(
        token_table=backbone.token_embedding,
        embeddings=summed_embeddings(
            backbone.token_embedding,
            backbone.embeddings.position_embedding,
            norm=backbone.embeddings_layer_norm,
            dropout=backbone.embeddings_dropout,
        ),
        blocks=tuple(map(transformer_block, backbone.transformer_layers)),
    )


DISTIL_BERT = Family(
    "DistilBERT",
    backbone=keras_hub.models.DistilBertBackbone,
    inputs=("token_ids", "padding_mask"),
    map_layers=_map_layers,
)
