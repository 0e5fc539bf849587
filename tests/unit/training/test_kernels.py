"""Whole steps with our kernels, against the same steps with TensorFlow's operations."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.evaluation.forward import build_forward
from kerasft.training.distribution.strategy import build_strategy
from kerasft.training.loop.loop import train_steps
from kerasft.training.step.objective import Objective
from kerasft.training.step.optimizer import AdamW
from tests.conftest import op_names

ONE, TWO = "one_device", "mirrored"
TOLERANCE = 2e-5


def train(tools, kernels, strategy=ONE, *, rate=0.01, **options):
    """Trains three steps with dropout; returns losses and weights."""
    strategy = build_strategy(strategy)
    with strategy.scope():
        optimizer = AdamW(rate, weight_decay=0.1)
        model = tools.build_tuner(optimizer, dropout=0.2, global_clipnorm=0.5, **options)
        model.kernels = model.optimizer.kernels = kernels
    batches = [tools.make_batch(8, seed=seed, length=8 + seed) for seed in range(3)]
    steps = list(train_steps(model, strategy, tools.make_dataset(batches), start_step=0))
    return [step.loss for step in steps], [w.numpy() for w in model.trainable_variables]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulation_steps": 2},
        {"objective": Objective(adversarial_epsilon=0.5)},
        {"strategy": TWO},
    ],
    ids=["plain", "in parts", "adversarial", "two replicas"],
)
def test_a_step_computes_the_same(tools, kernels, options):
    losses, weights = train(tools, kernels, **options)
    plain_losses, plain_weights = train(tools, None, **options)
    np.testing.assert_allclose(losses, plain_losses, rtol=1e-5)
    for mine, theirs in zip(weights, plain_weights, strict=True):
        np.testing.assert_allclose(mine, theirs, atol=TOLERANCE)


def test_the_same_steps_give_the_same_bits_and_others_do_not(tools, kernels):
    first, second = (train(tools, kernels)[1] for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)
    _, others = train(tools, kernels, rate=0.011)  # control
    assert max(np.abs(a - b).max() for a, b in zip(others, first, strict=True)) > 5 * TOLERANCE


def test_the_step_computes_by_kernels_and_evaluation_does_not(tools, kernels):
    model = tools.build_tuner(AdamW(0.01), dropout=0.2)
    model.kernels = model.optimizer.kernels = kernels
    batch = tools.as_tensors(tools.make_batch(4))
    step = tf.function(lambda data: model.train_step(data))
    trained = op_names(step.get_concrete_function(batch))
    assert trained >= {"KerasftAddNorm", "KerasftAddNormGrad", "KerasftWeigh", "KerasftAdam"}
    assert "ResourceApplyAdam" not in trained
    forward = tf.function(lambda inputs: build_forward(model)(inputs))
    evaluated = op_names(forward.get_concrete_function(batch[0]))
    assert not any(name.startswith("Kerasft") for name in evaluated)
    assert "Softmax" in evaluated  # control: operations are found
