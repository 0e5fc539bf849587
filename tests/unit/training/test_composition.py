"""Techniques compose: a step of any of them together equals a plain reference of this file.

The reference knows nothing of batches: it takes the gradient of each example by itself, adds these
up in NumPy, and applies AdamW by its formulas.
"""

from __future__ import annotations

import functools
import re

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kerasft.models.depth import freeze, rate_scales
from kerasft.models.encoder import Encoder
from kerasft.tasks.task import build_task
from kerasft.training.step.averaging import counted_weights
from kerasft.training.step.fine_tuner import FineTuner
from kerasft.training.step.objective import Objective
from kerasft.training.step.optimizer import NO_WEIGHT_DECAY, build_optimizer
from kerasft.training.step.penalties import Penalties

RATE, BETA_1, BETA_2, EPSILON = 0.01, 0.9, 0.999, 1e-6
# Of each technique what turns it off, and what turns it on.
VALUES = {
    "parts": (1, 2),
    "clipnorm": (0.0, 0.05),
    "layer_decay": (1.0, 0.5),
    "head_scale": (1.0, 3.0),
    "weight_decay": (0.0, 0.1),
    "lowest_layers": (0, 1),
    "l1": (0.0, 0.01),
    "l2": (0.0, 0.1),
    "l2_sp": (0.0, 1.0),
    "ema_decay": (0.0, 0.8),
    "adversarial_epsilon": (0.0, 0.5),
    "focal_gamma": (None, 2.0),
}
PLAIN = {name: off for name, (off, _) in VALUES.items()}
EVERYTHING = {name: on for name, (_, on) in VALUES.items()} | {"lowest_layers": 0}
CHOICES = st.fixed_dictionaries(
    {name: st.sampled_from(values) for name, values in VALUES.items()}
    | {"parts": st.sampled_from([1, 2, 3, 9])}
)


def build(chosen, strategy):
    """Builds the compiled model of some choices, with the same weights each time."""
    with strategy.scope():
        keras.utils.set_random_seed(5)
        backbone = keras_hub.models.BertBackbone(
            vocabulary_size=60,
            num_layers=2,
            num_heads=2,
            hidden_dim=8,
            intermediate_dim=16,
            max_sequence_length=32,
            dropout=0.0,
        )
        encoder = Encoder(backbone)
        task = build_task("single", ("neg", "pos"), focal_gamma=chosen["focal_gamma"])
        head = task.build_head(hidden_dim=8, dropout=0.0, seed=1)
        model = FineTuner(
            encoder,
            head,
            global_clipnorm=chosen["clipnorm"],
            accumulation_steps=chosen["parts"],
            objective=Objective(adversarial_epsilon=chosen["adversarial_epsilon"]),
            penalties=Penalties(l1=chosen["l1"], l2=chosen["l2"], l2_sp=chosen["l2_sp"]),
        )
        freeze(encoder, lowest_layers=chosen["lowest_layers"])
        model.penalties.remember_start(encoder.trainable_weights)
        optimizer = build_optimizer(
            "adamw",
            RATE,
            weight_decay=chosen["weight_decay"],
            rate_scales=rate_scales(
                encoder, head, layer_decay=chosen["layer_decay"], head_scale=chosen["head_scale"]
            ),
            ema_decay=chosen["ema_decay"],
            beta_1=BETA_1,
            beta_2=BETA_2,
            epsilon=EPSILON,
        )
        model.compile(optimizer=optimizer, loss=task.build_loss(), jit_compile=False)
        optimizer.build(model.trainable_variables)
    return model


def take_steps(chosen, batches, strategy):
    """Returns the weights, and their moving averages, after a step on each batch."""
    model = build(chosen, strategy)
    replicas = strategy.num_replicas_in_sync
    open_shapes = tf.nest.map_structure(
        lambda array: tf.TensorSpec([None] * array.ndim, array.dtype), batches[0]
    )

    @tf.function(input_signature=[open_shapes] * replicas, autograph=False)
    def step(*parts):
        if replicas == 1:
            return model.train_step(parts[0])
        values = tf.nest.map_structure(
            lambda *rows: strategy.experimental_distribute_values_from_function(
                lambda context: rows[context.replica_id_in_sync_group]
            ),
            *parts,
        )
        return strategy.run(model.train_step, args=(values,))

    for batch in batches:
        step(*(take(batch, slice(index, None, replicas)) for index in range(replicas)))
    weights = {v.path: v.numpy() for v in model.trainable_variables}
    with counted_weights(model):
        averages = {v.path: v.numpy() for v in model.trainable_variables}
    return weights, averages


def take(batch, rows):
    return tf.nest.map_structure(lambda array: tf.constant(array[rows]), batch)


def reference(chosen, batches):
    """Computes the same from single examples and formulas."""
    variables, gradients_of = plain_model(
        chosen["lowest_layers"], chosen["focal_gamma"] or 0.0, chosen["adversarial_epsilon"]
    )
    state = {v.path: [np.zeros(v.shape), np.zeros(v.shape)] for v in variables}
    starts = {v.path: v.numpy() for v in variables}
    averages = dict(starts)
    for number, (inputs, labels, weights) in enumerate(batches, start=1):
        totals = [np.zeros(v.shape) for v in variables]
        for row in range(len(labels)):
            example = {name: tf.constant(array[row : row + 1]) for name, array in inputs.items()}
            gradients = gradients_of(example, tf.constant(labels[row]))
            totals = [t + weights[row] * g.numpy() for t, g in zip(totals, gradients, strict=True)]
        gradients = [t / weights.sum() for t in totals]
        for index, variable in enumerate(variables):
            if len(variable.shape) > 1 and not variable.path.endswith("bias"):
                value = variable.numpy()
                gradients[index] += chosen["l1"] * np.sign(value) + chosen["l2"] * value
                if not variable.path.startswith("logits"):
                    gradients[index] += chosen["l2_sp"] * (value - starts[variable.path])
        norm = np.sqrt(sum((g**2).sum() for g in gradients))
        factor = min(1.0, chosen["clipnorm"] / norm) if chosen["clipnorm"] else 1.0
        for variable, gradient in zip(variables, gradients, strict=True):
            path, value = variable.path, variable.numpy().astype(np.float64)
            rate = RATE * scale_of(path, chosen)
            if not any(re.search(pattern, path) for pattern in NO_WEIGHT_DECAY):
                value -= rate * chosen["weight_decay"] * value
            first, second = state[path]
            first[:] = BETA_1 * first + (1 - BETA_1) * factor * gradient
            second[:] = BETA_2 * second + (1 - BETA_2) * (factor * gradient) ** 2
            corrected = rate * np.sqrt(1 - BETA_2**number) / (1 - BETA_1**number)
            value -= corrected * first / (np.sqrt(second) + EPSILON)
            variable.assign(value.astype(np.float32))
            decay = chosen["ema_decay"] if number > 1 else 0.0
            averages[path] = decay * averages[path] + (1 - decay) * value
    return {v.path: v.numpy() for v in variables}, averages


def plain_model(lowest_layers, gamma, epsilon):
    """Returns a model's variables, as they are built, and the gradients of an example's loss."""
    variables, values, gradients_of = _plain_model(lowest_layers, gamma, epsilon)
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
    return variables, gradients_of


@functools.cache
def _plain_model(lowest_layers, gamma, epsilon):
    model = build({**PLAIN, "lowest_layers": lowest_layers}, one_device())
    variables = list(model.trainable_variables)
    values = [variable.numpy() for variable in variables]
    return variables, values, example_gradients(model, gamma, epsilon)


def example_gradients(model, gamma, epsilon):
    """The gradient of one example's loss, with FGM the mean of that with and without its step."""

    def gradients_at(inputs, label, offset):
        sources = [v.value for v in model.trainable_variables]
        with tf.GradientTape() as tape:
            tape.watch(offset)
            logits = model({**inputs, "embedding_offset": offset})
            log_p = tf.nn.log_softmax(logits)[0, label]
            loss = -((1 - tf.exp(log_p)) ** gamma) * log_p
        return [tf.convert_to_tensor(g) for g in tape.gradient(loss, [*sources, offset])]

    matrix = tf.TensorSpec([1, None], tf.int32)
    names = ("token_ids", "segment_ids", "padding_mask")

    signature = [dict.fromkeys(names, matrix), tf.TensorSpec([], tf.int32)]

    @tf.function(input_signature=signature, autograph=False)
    def compute(inputs, label):
        shape = [1, tf.shape(inputs["token_ids"])[1], model.encoder.embedding_dim]
        *plain, slope = gradients_at(inputs, label, tf.zeros(shape))
        if not epsilon:
            return plain
        step = epsilon * slope / tf.sqrt(tf.reduce_sum(slope**2))
        *moved, _ = gradients_at(inputs, label, step)
        return [(a + b) / 2 for a, b in zip(plain, moved, strict=True)]

    return compute


def scale_of(path, chosen):
    """Top layer: the decay once; embeddings of two layers: three times."""
    if path.startswith("logits"):
        return chosen["head_scale"]
    depth = {"transformer_layer_1": 1, "transformer_layer_0": 2}.get(path.split("/")[0], 3)
    return chosen["layer_decay"] ** depth


def one_device():
    return tf.distribute.OneDeviceStrategy("CPU:0")


def make_batches(tools):
    """Three batches of texts of several lengths and weights, the last one short."""
    batches = []
    for number, rows in enumerate((6, 6, 4)):
        inputs, labels, _ = tools.make_batch(rows, seed=number, length=6 + number)
        weights = np.linspace(0.5, 2.0, rows).astype(np.float32)
        batches.append((inputs, labels, weights))
    return batches


def largest_difference(ours, theirs):
    assert ours.keys() == theirs.keys()
    return max(np.abs(ours[path] - theirs[path]).max() for path in ours)


@settings(
    max_examples=2,  # each trains twice; all of them at once stand below
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # shrinking would train for minutes
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(chosen=CHOICES)
def test_any_of_them_together_equal_the_plain_reference(tools, chosen):
    batches = make_batches(tools)
    expected, averages = reference(chosen, batches)
    weights, averaged = take_steps(chosen, batches, one_device())
    assert largest_difference(weights, expected) < 2e-5
    if chosen["ema_decay"]:
        assert largest_difference(averaged, averages) < 2e-5


@pytest.fixture(scope="module")
def everything(tools):
    """The reference's weights and averages with all of them."""
    return reference(EVERYTHING, make_batches(tools))


@pytest.mark.parametrize("strategy", ["one_device", "mirrored"])
def test_all_of_them_equal_the_plain_reference_on_one_device_and_on_two(
    tools, everything, strategy
):
    strategy = one_device() if strategy == "one_device" else tools.mirrored()
    received = take_steps(EVERYTHING, make_batches(tools), strategy)
    for ours, theirs in zip(received, everything, strict=True):
        assert largest_difference(ours, theirs) < 2e-5


@pytest.mark.parametrize("name", [name for name in PLAIN if name not in ("parts", "lowest_layers")])
def test_control_each_of_them_shows(tools, everything, name):
    """A training without it would be told from the reference, which ours equals, fivefold."""
    weights, averages = everything
    without, averaged = reference({**EVERYTHING, name: PLAIN[name]}, make_batches(tools))
    if name == "ema_decay":
        assert largest_difference(averages, averaged) > 1e-4
    else:
        assert largest_difference(weights, without) > 1e-4


def test_parts_change_nothing(tools):
    batches = make_batches(tools)
    weights = [take_steps({**PLAIN, "parts": parts}, batches, one_device())[0] for parts in (1, 3)]
    assert largest_difference(*weights) < 1e-6


def test_control_the_mean_of_the_parts_means_differs(tools):
    """The known fault: each part's mean, then their mean, weighs a short part too much."""
    inputs, labels, _ = make_batches(tools)[0]
    weights = np.array([1, 1, 1, 1, 1, 0], np.float32)  # the second part has two texts, not three
    model = build(PLAIN, one_device())
    whole = mean_gradient(model, inputs, labels, weights)
    halves = [
        mean_gradient(model, {k: v[rows] for k, v in inputs.items()}, labels[rows], weights[rows])
        for rows in (slice(0, 3), slice(3, 6))
    ]
    means = [(a + b) / 2 for a, b in zip(*halves, strict=True)]
    assert max(np.abs(a - b).max() for a, b in zip(whole, means, strict=True)) > 1e-3


def mean_gradient(model, inputs, labels, weights):
    with tf.GradientTape() as tape:
        losses = model.loss_by_example(labels, model(inputs)) * weights
        loss = tf.reduce_sum(losses) / weights.sum()
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    return [tf.convert_to_tensor(g).numpy() for g in gradients]
