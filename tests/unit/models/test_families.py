"""Each family does all that docs/techniques.md says, and a new one needs its own file alone."""

from __future__ import annotations

import functools

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.models.embeddings import EMBEDDING_OFFSET, look_up
from kerasft.models.encoder import Encoder
from kerasft.models.families import registry
from kerasft.models.families.family import Family
from kerasft.models.families.registry import FAMILIES
from kerasft.models.layer_map import Block, Embeddings, LayerMap, Place
from tests.check_family import (
    HIDDEN_DIM,
    INPUTS,
    NUM_LAYERS,
    TECHNIQUES,
    VOCABULARY_SIZE,
    Case,
    check_family,
    check_outputs,
)

SIZES = {
    "num_layers": NUM_LAYERS,
    "num_heads": 2,
    "hidden_dim": HIDDEN_DIM,
    "intermediate_dim": 32,
    "max_sequence_length": 32,
}
OWN = {
    "BERT": {"vocabulary_size": VOCABULARY_SIZE},
    "DistilBERT": {"vocabulary_size": VOCABULARY_SIZE},
    "ELECTRA": {"vocab_size": VOCABULARY_SIZE, "embedding_dim": 8},
}
NAMES = [family.name for family in FAMILIES]


def family_named(name):
    return next(family for family in FAMILIES if family.name == name)


@pytest.fixture(scope="session")
def make_case(tmp_path_factory, kernels):
    def make(family, build=None, **sizes):
        build = build or functools.partial(family.backbone, **SIZES | OWN[family.name] | sizes)
        return Case(family, build, tmp_path_factory.mktemp("family"), kernels)

    return make


@pytest.fixture(scope="session")
def techniques_of(make_case):
    """Checks a family when it is first asked for, and returns what it has."""
    return functools.cache(lambda name: check_family(make_case(family_named(name))))


@pytest.mark.parametrize("name", NAMES)
def test_a_family_does_what_it_promises(techniques_of, name):
    assert list(techniques_of(name)) == list(TECHNIQUES)


def test_the_table_in_the_docs_says_what_each_family_has(techniques_of, repository):
    columns = [techniques_of(name) for name in NAMES]
    rows = ["| | " + " | ".join(NAMES) + " |", "| --- |" + " --- |" * len(NAMES)]
    for technique in TECHNIQUES:
        marks = ("yes" if column[technique] else "no" for column in columns)
        rows.append(f"| {technique} | {' | '.join(marks)} |")
    text = (repository / "docs/techniques.md").read_text(encoding="utf-8")
    section = text.partition("## Families\n")[2].partition("\n## ")[0]
    found = [line for line in section.splitlines() if line.startswith("|")]
    assert found == rows, "\n".join(rows)


def test_an_electra_as_wide_as_its_embeddings_has_no_projection(make_case):
    electra = family_named("ELECTRA")
    case = make_case(electra, embedding_dim=HIDDEN_DIM)
    check_outputs(case)
    narrow, wide = make_case(electra).encoder(), case.encoder()
    assert len(narrow.layer_map.embeddings.layers) == len(wide.layer_map.embeddings.layers) + 1
    assert (narrow.embedding_dim, wide.embedding_dim) == (8, HIDDEN_DIM)


@pytest.mark.parametrize("name", ["DistilBERT", "ELECTRA"])
def test_a_family_without_a_pretrained_pooling_layer_says_so(make_case, name):
    expected = rf'{name} has no pretrained pooling layer.*Fix: set model.pooling="mean"'
    with pytest.raises(UserError, match=expected):
        make_case(family_named(name)).encoder(pooling="pooled")


def test_the_random_pooling_layer_of_an_electra_is_not_trained(make_case):
    encoder = make_case(family_named("ELECTRA")).encoder()
    frozen = {weight.path for weight in encoder.non_trainable_weights}
    assert frozen == {"pooled_dense/kernel", "pooled_dense/bias"}


def test_a_backbone_of_no_family_is_refused():
    backbone = keras_hub.models.RobertaBackbone(vocabulary_size=VOCABULARY_SIZE, **SIZES)
    expected = "RobertaBackbone is not supported.*families BERT, DistilBERT, ELECTRA.*model.preset"
    with pytest.raises(UserError, match=expected):
        Encoder(backbone)


# --- another family: normalized before each half, other names, neither segments nor pooler


class PreNormBlock(keras.layers.Layer):
    """A block as GPT-2's: each half normalizes its input, and adds its output to it."""

    def __init__(self, dropout, dtype, name):
        super().__init__(dtype=dtype, name=name)
        self.ln_1, self.ln_2 = (self._part("LayerNormalization", f"ln_{i}") for i in (1, 2))
        self.q, self.k, self.v, self.proj = (
            self._part("Dense", name, units=HIDDEN_DIM) for name in ("q", "k", "v", "proj")
        )
        self.fc_in = self._part("Dense", "fc_in", units=32, activation="relu")
        self.fc_out = self._part("Dense", "fc_out", units=HIDDEN_DIM)
        self.attn_drop, self.drop = (
            self._part("Dropout", name, rate=dropout) for name in ("attn_drop", "drop")
        )

    def _part(self, kind, name, **options):
        return getattr(keras.layers, kind)(**options, dtype=self.dtype_policy, name=name)

    def build(self, shape):
        for layer in (self.ln_1, self.ln_2, self.q, self.k, self.v, self.proj, self.fc_in):
            layer.build(shape)
        self.fc_out.build((*shape[:-1], 32))

    def call(self, hidden, padding_mask=None, training=None):
        inputs = self.ln_1(hidden)
        scores = keras.ops.einsum("bqd,bkd->bqk", self.q(inputs), self.k(inputs)) / 4
        masked = keras.ops.where(keras.ops.cast(padding_mask, "bool")[:, None], 0.0, -30000.0)
        weights = keras.ops.softmax(scores + keras.ops.cast(masked, scores.dtype))
        weights = self.attn_drop(weights, training=training)
        attended = keras.ops.einsum("bqk,bkd->bqd", weights, self.v(inputs))
        hidden += self.drop(self.proj(attended), training=training)
        return hidden + self.drop(self.fc_out(self.fc_in(self.ln_2(hidden))), training=training)


class PreNormBackbone(keras_hub.models.Backbone):
    """A small encoder of such blocks."""

    def __init__(self, dropout, dtype):
        layers = keras.layers
        self.wte = layers.Embedding(VOCABULARY_SIZE, HIDDEN_DIM, dtype=dtype, name="wte")
        self.wpe = keras_hub.layers.PositionEmbedding(32, dtype=dtype, name="wpe")
        self.h = [PreNormBlock(dropout, dtype, f"h_{i}") for i in range(NUM_LAYERS)]
        self.ln_f = layers.LayerNormalization(dtype=dtype, name="ln_f")
        inputs = {
            name: keras.Input((None,), dtype="int32", name=name)
            for name in ("token_ids", "padding_mask")
        }
        hidden = self.wte(inputs["token_ids"])
        hidden += self.wpe(hidden)
        for block in self.h:
            hidden = block(hidden, inputs["padding_mask"])
        super().__init__(inputs=inputs, outputs=self.ln_f(hidden), dtype=dtype)
        self.hidden_dim = HIDDEN_DIM


def map_pre_norm_layers(backbone):
    def embed(inputs, positions, dtype, training):
        hidden = look_up(backbone.wte.embeddings.value, inputs["token_ids"])
        positions = tf.range(tf.shape(hidden)[1]) if positions is None else positions
        hidden += look_up(backbone.wpe.position_embeddings.value, positions)
        return tf.cast(hidden + inputs.get(EMBEDDING_OFFSET, 0.0), dtype)

    def describe(block):
        names = {"query": "q", "key": "k", "value": "v", "output": "proj"}
        names |= {"up": "fc_in", "down": "fc_out"}
        return Block(
            lambda hidden, context, training: block(
                hidden, context.padding_mask, training=training
            ),
            layers=(block,),
            linears={role: Place(block, name) for role, name in names.items()},
            attention_dropouts=(block.attn_drop,),
            dropouts=(block.drop,),
            norms=(block.ln_1, block.ln_2),
        )

    tables = (backbone.wte.embeddings, backbone.wpe.position_embeddings)
    return LayerMap(
        token_table=backbone.wte,
        embeddings=Embeddings(embed, layers=(backbone.wte, backbone.wpe), tables=tables),
        blocks=tuple(map(describe, backbone.h)),
        final_norm=backbone.ln_f,
    )


PRE_NORM = Family(
    "PreNorm", PreNormBackbone, inputs=("token_ids", "padding_mask"), map_layers=map_pre_norm_layers
)
NOT_OF_PRE_NORM = {
    '`model.pooling = "pooled"`',
    "segments of a pair of texts",
    "`performance.attention_chunk`",
    "`performance.kernels`",
}


@pytest.mark.slow
def test_a_new_family_is_its_own_file_and_a_row(make_case, monkeypatch):
    monkeypatch.setattr(registry, "FAMILIES", [*FAMILIES, PRE_NORM])
    found = check_family(make_case(PRE_NORM, PreNormBackbone))
    assert {name for name, has in found.items() if not has} == NOT_OF_PRE_NORM


def test_control_a_family_that_forgets_its_last_norm_is_found(make_case, monkeypatch):
    class Forgetful(PreNormBackbone):
        pass

    def forget(backbone):
        whole = map_pre_norm_layers(backbone)
        return LayerMap(whole.token_table, whole.embeddings, whole.blocks)

    family = Family("Forgetful", Forgetful, ("token_ids", "padding_mask"), forget)
    monkeypatch.setattr(registry, "FAMILIES", [*FAMILIES, family])
    with pytest.raises(AssertionError):
        check_family(make_case(family, Forgetful))


def test_positions_and_an_attention_mask_reach_every_family(make_case):
    """Two texts in one row, each with its own positions, are read as apart."""
    length = INPUTS["token_ids"].shape[1]
    first, second = np.arange(length) < 4, np.arange(length) >= 4
    mask = (np.outer(first, first) | np.outer(second, second))[None].astype("int32")
    positions = np.concatenate([np.arange(4), np.arange(length - 4)])[None].astype("int32")
    row = {name: tensor[:1] for name, tensor in INPUTS.items()}
    for name in NAMES:
        encoder = make_case(family_named(name)).encoder()
        packed = encoder(row, positions=positions, attention_mask=mask)
        apart = [
            encoder({name: tensor[:, part] for name, tensor in row.items()})
            for part in (first, second)
        ]
        assert np.abs(packed - np.concatenate(apart, axis=1)).max() < 1e-5
        assert np.abs(packed - encoder(row)).max() > 1e-3  # control
