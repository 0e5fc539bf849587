"""The automatic choices of `[performance]`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from kerasft.models.tiny_random import build_backbone
from kerasft.pipelines import performance
from kerasft.pipelines.performance import attention_chunk, length_multiple

LONG = {"model.sequence_length": 1024}


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        ({"model.sequence_length": 1023}, 0),
        (LONG, 128),
        ({"training.sequence_length": 1024}, 128),
        ({**LONG, "training.jit_compile": True}, 0),
        ({**LONG, "performance.attention_chunk": 0}, 0),
        ({"performance.attention_chunk": 5}, 5),
    ],
)
def test_attention_is_computed_in_chunks_where_texts_are_long(make_recipe, overrides, expected):
    preset = SimpleNamespace(backbone=build_backbone())
    assert attention_chunk(make_recipe(overrides), preset) == expected


def test_a_backbone_that_runs_whole_is_left_alone(make_recipe):
    assert attention_chunk(make_recipe(LONG), SimpleNamespace(backbone=object())) == 0


@pytest.mark.parametrize(
    ("overrides", "gpus", "expected"),
    [
        ({}, [], 1),
        ({}, ["GPU:0"], 8),
        ({"training.jit_compile": True}, [], 8),
        ({"performance.pad_length_to": 4}, ["GPU:0"], 4),
    ],
)
def test_batches_are_as_wide_as_their_longest_text_on_a_cpu(
    make_recipe, monkeypatch, overrides, gpus, expected
):
    monkeypatch.setattr(performance.tf.config, "list_logical_devices", lambda kind: gpus)
    assert length_multiple(make_recipe(overrides)) == expected
