"""Presets in Hugging Face's layout, small enough to be made for a test."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import save_file

VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "film", "##s", "good", "bad"]
_HIDDEN_DIM, _INTERMEDIATE_DIM, _POSITIONS = 8, 16, 16


def _weights(embedding_dim=_HIDDEN_DIM):
    """Random weights under the names of Hugging Face's BertModel, of one layer.

    ElectraModel has the same, and a projection where its embeddings are narrower.
    """
    layer = "encoder.layer.0"
    shapes = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), embedding_dim),
        "embeddings.position_embeddings.weight": (_POSITIONS, embedding_dim),
        "embeddings.token_type_embeddings.weight": (2, embedding_dim),
    }
    dense = {
        f"{layer}.attention.self.query": (_HIDDEN_DIM, _HIDDEN_DIM),
        f"{layer}.attention.self.key": (_HIDDEN_DIM, _HIDDEN_DIM),
        f"{layer}.attention.self.value": (_HIDDEN_DIM, _HIDDEN_DIM),
        f"{layer}.attention.output.dense": (_HIDDEN_DIM, _HIDDEN_DIM),
        f"{layer}.intermediate.dense": (_INTERMEDIATE_DIM, _HIDDEN_DIM),
        f"{layer}.output.dense": (_HIDDEN_DIM, _INTERMEDIATE_DIM),
        "pooler.dense": (_HIDDEN_DIM, _HIDDEN_DIM),
    }
    norms = (f"{layer}.attention.output", f"{layer}.output")
    dense |= {f"{name}.LayerNorm": (_HIDDEN_DIM,) for name in norms}
    dense["embeddings.LayerNorm"] = (embedding_dim,)
    if embedding_dim != _HIDDEN_DIM:
        dense["embeddings_project"] = (_HIDDEN_DIM, embedding_dim)
    for name, shape in dense.items():
        shapes |= {f"{name}.weight": shape, f"{name}.bias": shape[:1]}
    random = np.random.default_rng(1)
    return {name: random.normal(size=shape).astype("float32") for name, shape in shapes.items()}


@pytest.fixture
def bert_folder(tmp_path):
    """Makes a BERT of one layer; arguments overwrite or add to its config.json."""

    def make(folder=None, weights=None, **config):
        folder = folder or tmp_path / "bert"
        folder.mkdir(parents=True)
        settings = {
            "model_type": "bert",
            "hidden_act": "gelu",
            "vocab_size": len(VOCABULARY),
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "hidden_size": _HIDDEN_DIM,
            "intermediate_size": _INTERMEDIATE_DIM,
            "max_position_embeddings": _POSITIONS,
        }
        (folder / "config.json").write_text(json.dumps(settings | config))
        (folder / "vocab.txt").write_text("\n".join(VOCABULARY))
        tokenizer = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
        (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
        save_file(_weights() if weights is None else weights, folder / "model.safetensors")
        return folder

    return make


@pytest.fixture
def electra_folder(bert_folder, tmp_path):
    """Makes an ELECTRA of one layer as Hugging Face saves it; returns its folder and weights.

    `prefix` is that of a model with a head.
    """

    def make(*, embedding_dim, prefix="", **config):
        weights = _weights(embedding_dim)
        own = {prefix + name: w for name, w in weights.items() if not name.startswith("pooler")}
        settings = {
            "model_type": "electra",
            "embedding_size": embedding_dim,
            "hidden_dropout_prob": 0.1,
            "type_vocab_size": 2,
        }
        return bert_folder(tmp_path / "electra", weights=own, **settings | config), weights

    return make


@pytest.fixture
def roberta_folder(tmp_path):
    """A folder whose tokenizer is byte-level BPE."""
    folder = tmp_path / "roberta"
    folder.mkdir()
    settings = {"model_type": "roberta", "vocab_size": 8, "hidden_dropout_prob": 0.1}
    (folder / "config.json").write_text(json.dumps(settings))
    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", "a", "b", "ab"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    (folder / "vocab.json").write_text(json.dumps(vocabulary))
    (folder / "merges.txt").write_text("#version: 0.2\na b\n")
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "RobertaTokenizer"}')
    return folder


@pytest.fixture
def bert_vocabulary():
    return VOCABULARY
