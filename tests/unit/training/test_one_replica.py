"""A strategy with one device trains as no strategy does, rows of the token table included."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.training.loop.fit import checkpointed_variables
from kerasft.training.loop.loop import train_steps
from kerasft.training.step.averaging import counted_weights
from kerasft.training.step.optimizer import AdamW

ONE = {
    "one_device": lambda: tf.distribute.OneDeviceStrategy("/cpu:0"),
    "mirrored": lambda: tf.distribute.MirroredStrategy(["/cpu:0"]),
}


def train(tools, strategy, *, lazy=True):
    """Returns all that a training leaves, and the weights that count."""
    with strategy.scope():
        probe = tools.build_tuner(AdamW(0.01))
        table = probe.encoder.backbone.token_embedding.embeddings.path
        model = tools.build_tuner(AdamW(0.01, lazy_table=table if lazy else None), dropout=0.2)
    batches = tools.make_dataset([tools.make_batch(8, seed=seed) for seed in range(4)])
    losses = [step.loss for step in train_steps(model, strategy, batches, start_step=0)]
    kept = [variable.numpy() for variable in checkpointed_variables(model)]
    with counted_weights(model):
        return losses, kept, [weight.numpy() for weight in model.weights]


@pytest.mark.parametrize("lazy", [True, False])
def test_bit_for_bit(tools, lazy):
    losses, kept, weights = train(tools, ONE["one_device"](), lazy=lazy)
    other_losses, other_kept, other_weights = train(tools, ONE["mirrored"](), lazy=lazy)
    assert other_losses == losses
    for ours, theirs in zip(kept + weights, other_kept + other_weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
