"""From a recipe to the pieces of a run: what does not fit together, and what must agree."""

from __future__ import annotations

import numpy as np
import pytest

from kerasft.errors import UserError
from kerasft.evaluation.forward import build_forward
from kerasft.runs.data import data as run_data
from kerasft.runs.model import assembly
from kerasft.runs.train import build_trained_model
from kerasft.training.loop.loop import train_steps


@pytest.fixture
def preset(make_recipe):
    return assembly.load_recipe_preset(make_recipe(), dtype="float32")


@pytest.mark.parametrize("section", ["model", "training"])
def test_sequences_longer_than_the_preset_reads_are_refused(make_context, section):
    key = f"{section}.sequence_length"
    expected = (
        rf"{key} is longer than tiny_random can read\. Received: 513\. Expected: at most 512\."
        rf".*set {key}=512"
    )
    with pytest.raises(UserError, match=expected):
        make_context({key: 513})


def test_the_longest_sequence_is_taken(make_recipe, preset):
    recipe = make_recipe({"model.sequence_length": 512})
    assert assembly.build_preprocessor(recipe, preset).config()["sequence_length"] == 512


def test_training_may_keep_fewer_tokens_than_evaluation(make_context):
    context = make_context({"training.sequence_length": 10})
    longest = {split: max(store.lengths) for split, store in context.data.stores.items()}
    assert longest == {"train": 10, "validation": 16, "test": 16}
    # The same examples, whatever is kept of them.
    train, whole = context.data.stores["train"], context.data.stores["validation"]
    assert np.array_equal(train.text_hashes, whole.text_hashes)


def test_one_store_serves_where_lengths_agree(make_context):
    context = make_context({"training.sequence_length": 16})
    assert context.data.stores["train"] is context.data.stores["validation"]


def test_a_warm_up_longer_than_the_run_is_the_whole_run(make_context):
    context = make_context({"training.warmup_steps": 1000, "training.learning_rate": 0.01})
    model = build_trained_model(context)
    data = run_data.train_batches(context.data, context.plan, total_steps=4, replicas=1)(0)
    rates = [r.learning_rate for r in train_steps(model, context.strategy, data, start_step=0)]
    assert rates == pytest.approx([0.0, 0.0025, 0.005, 0.0075])


def test_logits_come_in_the_order_of_the_split(make_context):
    """Evaluation batches are sorted by length: one example at a time must say the same."""
    context = make_context()
    forward = build_forward(build_trained_model(context))
    logits = run_data.split_logits(forward, context.data, "test", batch_size=8)
    store, indices = context.data.examples("test")
    assert len(set(store.lengths[indices])) > 1
    for index, expected in zip(indices, logits, strict=True):
        token_ids = store.token_ids[store.offsets[index] : store.offsets[index + 1]][np.newaxis]
        inputs = {
            "token_ids": token_ids,
            "segment_ids": np.zeros_like(token_ids),
            "padding_mask": np.ones_like(token_ids),
        }
        assert np.allclose(forward(inputs), expected, atol=1e-6)
    assert not np.allclose(logits, logits[::-1], atol=1e-6)  # control: the order shows
