"""The preset that needs no download: the same everywhere, and its vocabulary's rule."""

from __future__ import annotations

import collections
import re
import string

import numpy as np
import pytest

from kerasft.data.sources.builtin import iterate_builtin_sample
from kerasft.models import tiny_random
from kerasft.models.presets import load_preset


def test_vocabulary_follows_its_rule():
    """Specials, punctuation, letters and digits, these as word pieces, then the sample's words.

    The words are those of two or more letters in the built-in sample's training texts, the most
    frequent first, then in alphabetical order.
    """
    characters = [*string.ascii_lowercase, *string.digits]
    counts = collections.Counter()
    for text, _ in iterate_builtin_sample("train"):
        counts.update(re.findall(r"[a-z]{2,}", text.lower()))
    words = sorted(counts, key=lambda word: (-counts[word], word))
    expected = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *string.punctuation, *characters]
    expected += [f"##{character}" for character in characters] + words
    assert tiny_random.load_vocabulary() == expected


def test_vocabulary_holds_nothing_twice():
    vocabulary = tiny_random.load_vocabulary()
    assert len(vocabulary) == len(set(vocabulary)) == 818


# Sums of squares, as the seed gives them on every machine.
PINNED = {
    "token_embedding/embeddings": 132.286016,
    "position_embedding/embeddings": 82.605484,
    "transformer_layer_1/feedforward_output_dense/kernel": 20.516472,
    "pooled_dense/kernel": 10.444100,
}


@pytest.mark.parametrize("path", PINNED)
def test_weights_are_pinned(path):
    weights = {v.path: v.numpy() for v in tiny_random.build_backbone().weights}
    assert np.square(weights[path], dtype="float64").sum() == pytest.approx(PINNED[path], rel=1e-6)


def test_weights_do_not_depend_on_the_caller_s_seed():
    import keras

    built = []
    for seed in (1, 2):
        keras.utils.set_random_seed(seed)
        built.append([v.numpy() for v in tiny_random.build_backbone().weights])
    for first, second in zip(*built, strict=True):
        assert np.array_equal(first, second)


def test_as_a_preset():
    preset = load_preset("tiny_random", dropout=0.3, dtype="mixed_bfloat16")
    assert (preset.name, preset.origin, preset.lowercase) == ("tiny_random", "generated", True)
    assert preset.vocabulary == tiny_random.load_vocabulary()
    assert preset.backbone.dropout == 0.3
    assert preset.backbone.dtype_policy.name == "mixed_bfloat16"
    assert preset.backbone.vocabulary_size == len(preset.vocabulary)
