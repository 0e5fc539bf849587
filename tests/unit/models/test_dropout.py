"""Two rates of dropout, where KerasHub knows one."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.models.encoder import Encoder
from kerasft.models.presets import load_preset

INPUTS = {
    "token_ids": np.arange(5, 17, dtype="int32").reshape(2, 6),
    "segment_ids": np.zeros((2, 6), "int32"),
    "padding_mask": np.ones((2, 6), "int32"),
}


def rates(**options):
    backbone = load_preset("tiny_random", **options).backbone
    layer = backbone.transformer_layers[1]
    return {
        "embeddings": backbone.embeddings_dropout.rate,
        "hidden": layer._self_attention_dropout.rate,
        "feedforward": layer._feedforward_dropout.rate,
        "attention": layer._self_attention_layer._dropout_layer.rate,
    }


@pytest.mark.parametrize(("dropout", "attention"), [(0.3, 0.1), (0.1, 0.3), (0.0, 0.2), (0.2, 0.0)])
def test_each_has_its_own(dropout, attention):
    found = rates(dropout=dropout, attention_dropout=attention)
    assert found.pop("attention") == attention
    assert set(found.values()) == {dropout}


def test_without_a_rate_of_its_own_the_attention_has_that_of_all():
    assert set(rates(dropout=0.3).values()) == {0.3}


@pytest.mark.parametrize(("attention", "is_random"), [(0.5, True), (0.0, False)])
def test_the_attention_really_drops(attention, is_random):
    encoder = Encoder(load_preset("tiny_random", dropout=0.0, attention_dropout=attention).backbone)
    first, second = (np.asarray(encoder(INPUTS, training=True)) for _ in range(2))
    assert bool(np.abs(first - second).max() > 1e-4) is is_random
