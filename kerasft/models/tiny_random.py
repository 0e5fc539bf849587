"""The preset `tiny_random`: a two-layer BERT with random weights and a small vocabulary.

Needs no download and trains in seconds, so the tests and the recipe `imdb_sample` run everywhere.
It is not pretrained: it learns from the examples alone.
"""

from __future__ import annotations

import importlib.resources

NAME = "tiny_random"
_SEED = 20_261_122


def load_vocabulary() -> list[str]:
    """Returns the packaged WordPiece vocabulary, in id order."""
    resource = importlib.resources.files("kerasft.models") / "tiny_vocabulary.txt"
    return resource.read_text(encoding="utf-8").splitlines()


def build_backbone(*, dropout: float = 0.1, dtype: str = "float32") -> object:
    """Builds the backbone; its weights are the same on every machine."""
    import keras_hub
    import numpy as np

    backbone = keras_hub.models.BertBackbone(
        vocabulary_size=len(load_vocabulary()),
        num_layers=2,
        num_heads=2,
        hidden_dim=64,
        intermediate_dim=128,
        max_sequence_length=512,
        dropout=dropout,
        dtype=dtype,
    )
    generator = np.random.RandomState(_SEED)  # its stream is the same in all NumPy versions
    for variable in backbone.weights:
        if variable.path.endswith(("kernel", "embeddings")):
            variable.assign(0.05 * generator.standard_normal(variable.shape))
    return backbone
