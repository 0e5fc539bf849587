"""ELECTRA: Clark et al. 2020, "ELECTRA: Pre-training Text Encoders as Discriminators".

Small ones have embeddings narrower than their hidden vectors. No checkpoint has a pooler: KerasHub
adds one, with random weights.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import keras_hub
import numpy as np
from safetensors.numpy import load_file

from kerasft.models.embeddings import summed_embeddings
from kerasft.models.encoder_layer import transformer_block
from kerasft.models.families.family import Converter, Family
from kerasft.models.layer_map import LayerMap

# Hugging Face's names, inside a layer, of the linear layers and the norms of `Block`.
_LINEARS = {
    "query": "attention.self.query",
    "key": "attention.self.key",
    "value": "attention.self.value",
    "output": "attention.output.dense",
    "up": "intermediate.dense",
    "down": "output.dense",
}
_NORMS = ("attention.output.LayerNorm", "output.LayerNorm")
_TABLES = ("word_embeddings", "position_embeddings", "token_type_embeddings")


def _map_layers(backbone: keras_hub.models.ElectraBackbone) -> LayerMap:
    is_narrow = backbone.embedding_dim != backbone.hidden_dim
    return LayerMap(
        token_table=backbone.token_embedding,
        embeddings=summed_embeddings(
            backbone.token_embedding,
            backbone.position_embedding,
            backbone.segment_embedding,
            norm=backbone.embeddings_layer_norm,
            dropout=backbone.embeddings_dropout,
            projection=backbone.embeddings_projection if is_narrow else None,
        ),
        blocks=tuple(map(transformer_block, backbone.transformer_layers)),
        unused=(backbone.pooled_dense,),
    )


def _load_tokenizer(folder: Path) -> keras_hub.models.ElectraTokenizer:
    settings = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    lowercase = settings.get("do_lower_case", True)  # Hugging Face's default
    return keras_hub.models.ElectraTokenizer(str(folder / "vocab.txt"), lowercase=lowercase)


def _load_backbone(folder: Path, **overrides: Any) -> keras_hub.models.ElectraBackbone:
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    arguments = {
        "vocab_size": config["vocab_size"],
        "num_layers": config["num_hidden_layers"],
        "num_heads": config["num_attention_heads"],
        "hidden_dim": config["hidden_size"],
        "embedding_dim": config["embedding_size"],
        "intermediate_dim": config["intermediate_size"],
        "dropout": config["hidden_dropout_prob"],
        "max_sequence_length": config["max_position_embeddings"],
        "num_segments": config["type_vocab_size"],
    }
    backbone = keras_hub.models.ElectraBackbone(**(arguments | overrides))
    saved = load_file(folder / "model.safetensors")
    # A model with a head has the prefix, an `ElectraModel` alone has none.
    weights = {name.removeprefix("electra."): value for name, value in saved.items()}
    _set_weights(_map_layers(backbone), weights)
    return backbone


def _set_weights(layer_map: LayerMap, weights: dict[str, np.ndarray]) -> None:
    """Copies Hugging Face's weights; matrices there are `(outputs, inputs)`."""

    def copy(layer: keras.layers.Layer, name: str) -> None:
        values = (weights[f"{name}.weight"].T, weights[f"{name}.bias"])
        for variable, value in zip(layer.weights, values, strict=True):
            variable.assign(value.reshape(variable.shape))

    embeddings = layer_map.embeddings
    for table, name in zip(embeddings.tables, _TABLES, strict=True):
        table.assign(weights[f"embeddings.{name}.weight"])
    copy(embeddings.norms[0], "embeddings.LayerNorm")
    if "embeddings_project.weight" in weights:
        copy(embeddings.layers[-1], "embeddings_project")
    for index, block in enumerate(layer_map.blocks):
        for role, place in block.linears.items():
            copy(place.layer, f"encoder.layer.{index}.{_LINEARS[role]}")
        for norm, name in zip(block.norms, _NORMS, strict=True):
            copy(norm, f"encoder.layer.{index}.{name}")
    for layer in layer_map.unused:
        layer.set_weights([np.zeros(weight.shape) for weight in layer.weights])


ELECTRA = Family(
    "ELECTRA",
    backbone=keras_hub.models.ElectraBackbone,
    inputs=("token_ids", "segment_ids", "padding_mask"),
    map_layers=_map_layers,
    converter=Converter("electra", _load_tokenizer, _load_backbone),
)
