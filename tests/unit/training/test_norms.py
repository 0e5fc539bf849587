"""Norms by layer: those of NumPy and of a plain tape, on one device and on two, and at no price."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.adapters.adapter import add_adapter
from kerasft.models.encoder import Encoder
from kerasft.training.loop.loop import train_steps
from kerasft.training.step.optimizer import AdamW

CLIPNORM = 0.05
ADAPTER = {"method": "lora", "matrices": ("query", "output", "feedforward"), "rank": 2, "alpha": 8}


def build(tools, *, adapter=False):
    def backbone():
        made = tools.build_backbone(0.0)
        if adapter:
            add_adapter(Encoder(made), **ADAPTER)
        return made

    return tools.build_tuner(AdamW(0.01), backbone=backbone, global_clipnorm=CLIPNORM)


def train(tools, *, every, strategy=None, steps=3, rows=6, adapter=False):
    """Returns what each step told, the weights before the last step, and the model after it."""
    strategy = strategy or tf.distribute.OneDeviceStrategy("CPU:0")
    with strategy.scope():
        model = build(tools, adapter=adapter)
    told, before = [], []
    dataset = tools.make_dataset([tools.make_batch(rows, seed=seed) for seed in range(steps)])
    before = [variable.numpy() for variable in model.trainable_variables]
    for result in train_steps(model, strategy, dataset, start_step=0, norms_every=every):
        told.append(result)
        if result.step == steps - 1:
            before = [variable.numpy() for variable in model.trainable_variables]
    return told, before, model


def layer_of(path):
    """By the path itself, another way than the package's."""
    if "transformer_layer_0" in path:
        return "layer_0"
    return "head" if path.startswith("linear_head") or "logits" in path else "embeddings"


def norms_of(arrays, model):
    squares = {}
    for array, variable in zip(arrays, model.trainable_variables, strict=True):
        layer = layer_of(variable.path)
        squares[layer] = squares.get(layer, 0.0) + float(np.sum(np.float64(array) ** 2))
    return {layer: np.sqrt(total) for layer, total in squares.items()}


@pytest.fixture(scope="module")
def one(tools):
    return train(tools, every=1)


@pytest.fixture(scope="module")
def two(tools):
    return train(tools, every=1, strategy=tools.mirrored())


@pytest.fixture(scope="module")
def adapted(tools):
    return train(tools, every=2, steps=4, adapter=True)


def test_weights_and_updates_are_those_of_numpy(one):
    told, before, model = one
    after = [variable.numpy() for variable in model.trainable_variables]
    weights, old = norms_of(after, model), norms_of(before, model)
    updates = norms_of([a - b for a, b in zip(after, before, strict=True)], model)
    assert set(weights) == {"embeddings", "layer_0", "head"}
    for layer, norm in weights.items():
        assert told[-1].norms[f"weight_norm/{layer}"] == pytest.approx(norm, rel=1e-5)
        ratio = told[-1].norms[f"update_ratio/{layer}"]
        assert ratio == pytest.approx(updates[layer] / old[layer], rel=1e-4)
        # A control: over the weights after the update it would be another number.
        assert ratio != pytest.approx(updates[layer] / norm, rel=1e-6)


def test_gradients_are_those_of_a_plain_tape_before_clipping(tools, one):
    model = build(tools)
    inputs, labels, weights = tools.as_tensors(tools.make_batch(6, seed=0))
    with tf.GradientTape() as tape:
        losses = model.loss_by_example(labels, model(inputs, training=True))
        loss = tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    gradients = [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]
    first = one[0][0]
    found = {k.partition("/")[2]: v for k, v in first.norms.items() if k.startswith("gradient")}
    assert found == pytest.approx(norms_of(gradients, model), rel=1e-4)
    assert np.hypot.reduce(list(found.values())) == pytest.approx(first.gradient_norm, rel=1e-5)
    assert first.gradient_norm > 2 * CLIPNORM  # a control: the clipped ones would show


def test_two_replicas_have_the_norms_of_one(one, two):
    for ours, theirs in zip(two[0], one[0], strict=True):
        assert ours.norms == pytest.approx(theirs.norms, rel=1e-4)
    assert two[0][0].norms != pytest.approx(one[0][1].norms, rel=1e-3)


@pytest.mark.parametrize("replicas", [1, 2])
def test_measuring_changes_no_weight(tools, one, two, replicas):
    measured, strategy = (one, None) if replicas == 1 else (two, tools.mirrored())
    unmeasured = train(tools, every=0, strategy=strategy)
    assert not any(result.norms for result in unmeasured[0])
    weights = [
        b"".join(variable.numpy().tobytes() for variable in model.trainable_variables)
        for _, _, model in (measured, unmeasured)
    ]
    assert weights[0] == weights[1]
    assert [result.loss for result in measured[0]] == [result.loss for result in unmeasured[0]]
    before = b"".join(array.tobytes() for array in measured[1])
    assert before != weights[1]  # a control: one step fewer is other weights


def test_the_first_step_and_every_nth_are_measured(adapted):
    assert [result.step for result in adapted[0] if result.norms] == [1, 2, 4]


def test_a_lora_is_measured_by_what_it_adds(adapted):
    told, _, model = adapted
    norms = told[-1].norms
    values = {variable.path: variable.numpy() for variable in model.trainable_variables}
    expected = {}
    for path, a in values.items():
        if path.endswith("/lora_a"):
            name = path.split("/")[-2]
            update = ADAPTER["alpha"] / ADAPTER["rank"] * a @ values[path[:-1] + "b"]
            expected[f"lora_norm/layer_0/{name}"] = np.linalg.norm(np.float64(update))
    assert len(expected) == 4  # query, output, and both of the feed-forward network
    found = {name: norm for name, norm in norms.items() if name.startswith("lora_norm")}
    assert found == pytest.approx(expected, rel=1e-5)
    assert min(found.values()) > 0
    assert set(told[0].norms) == set(norms)
    # The encoder itself is frozen: its embeddings are none of what is trained.
    assert "weight_norm/embeddings" not in norms
