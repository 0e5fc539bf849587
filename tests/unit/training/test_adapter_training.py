"""Training with an adapter: what is frozen stays bit for bit, and what is trained learns."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.adapters.adapter import add_adapter
from kerasft.models.encoder import Encoder
from kerasft.training.checkpoints.checkpoint import named_values, restore, save_best
from kerasft.training.loop.loop import train_steps
from kerasft.training.step.optimizer import AdamW

METHODS = {
    "lora": {"method": "lora", "matrices": ("query", "output", "feedforward"), "rank": 2},
    "bitfit": {"method": "bitfit"},
    "houlsby": {"method": "houlsby", "bottleneck_dim": 4},
}
STEPS = 4


def build(tools, method, **options):
    """Builds a compiled model whose encoder has an adapter; `None` has none."""

    def backbone():
        backbone = tools.build_backbone(options.pop("dropout", 0.0))
        if method is not None:
            add_adapter(Encoder(backbone), **METHODS[method])
        return backbone

    return tools.build_tuner(AdamW(1e-2), backbone=backbone, **options)


def train(tools, model, steps=STEPS):
    for seed in range(steps):
        model.train_step(tools.as_tensors(tools.make_batch(6, seed=seed)))


def moved(before, model):
    """The paths of the weights that are no longer bit for bit what they were."""
    return {
        variable.path
        for value, variable in zip(before, model.weights, strict=True)
        if not np.array_equal(value, variable.numpy())
    }


def paths(variables):
    return {variable.path for variable in variables}


@pytest.mark.parametrize("method", METHODS)
class TestFreezing:
    def test_what_is_frozen_stays_bit_for_bit_and_all_else_moves(self, tools, method):
        model = build(tools, method)
        before = [variable.numpy() for variable in model.weights]
        train(tools, model)
        trained = paths(model.encoder.trainable_weights) | paths(model.head.weights)
        # The bias of a key adds the same to each score of a row: its gradient is 0 but for noise.
        still = {path for path in trained if path.endswith("key/bias")}
        assert trained - still <= moved(before, model) <= trained
        assert len(model.weights) - len(trained) > 10  # much is frozen

    def test_control_without_an_adapter_it_moves(self, tools, method):
        model = build(tools, None)
        before = [variable.numpy() for variable in model.weights]
        train(tools, model)
        frozen = paths(build(tools, method).encoder.non_trainable_weights)
        expected = {path for path in frozen if not path.startswith("pooled_dense")}
        assert expected <= moved(before, model)

    def test_the_optimizer_keeps_moments_of_what_is_trained_alone(self, tools, method):
        model = build(tools, method)
        moments = [v for v in model.optimizer.variables if "momentum" in v.path]
        expected = paths(model.encoder.trainable_weights) | paths(model.head.weights)
        assert len(moments) == len(model.trainable_variables) == len(expected)

    def test_it_learns(self, tools, method):
        model = build(tools, method)
        batches = [tools.make_batch(16, seed=seed) for seed in range(4)] * 8
        dataset, strategy = tools.make_dataset(batches), tf.distribute.get_strategy()
        losses = [r.loss for r in train_steps(model, strategy, dataset, start_step=0)]
        assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])

    def test_a_checkpoint_is_restored_by_a_model_built_anew(self, tools, method, tmp_path):
        model = build(tools, method)
        train(tools, model)
        save_best(tmp_path, model.weights, {"step": STEPS})
        again = build(tools, method)
        assert moved([v.numpy() for v in model.weights], again)
        restore(tmp_path / "best", again.weights)
        assert not moved([v.numpy() for v in model.weights], again)
        assert named_values(again.weights).keys() == named_values(model.weights).keys()


def test_the_first_step_of_a_lora_moves_b_alone(tools):
    """B is zero, so that no gradient reaches A."""
    model = build(tools, "lora")
    before = [variable.numpy() for variable in model.weights]
    model.optimizer = keras.optimizers.SGD(0.1)
    model.optimizer.build(model.trainable_variables)
    train(tools, model, steps=1)
    names = {path.rpartition("/")[2] for path in moved(before, model) - paths(model.head.weights)}
    assert names == {"lora_b"}


@pytest.mark.parametrize(
    "name",
    ["self_attention_layer/attention_output", "feedforward_intermediate_dense"],
)
def test_the_gradient_of_a_lora_is_that_of_its_product(tools, name):
    """For A and B of y = x (W + s A B): `dA = s dW B^T` and `dB = s A^T dW`."""
    model, plain = build(tools, "lora"), build(tools, None)
    random = np.random.default_rng(1)
    for variable in model.encoder.trainable_weights:
        variable.assign_add(0.1 * random.normal(size=variable.shape))
    scale = 16.0 / METHODS["lora"]["rank"]
    values = {variable.path: variable for variable in model.weights}
    for variable in plain.weights:
        variable.assign(values[variable.path])
    base = f"transformer_layer_0/{name}"
    a, b = (values[f"{base}/lora_{name}"].numpy() for name in "ab")
    products = {
        path.removesuffix("/lora_a"): scale * values[path] @ values[path[:-1] + "b"]
        for path in values
        if path.endswith("lora_a")
    }
    for variable in plain.weights:
        product = products.get(variable.path.removesuffix("/kernel"))
        if product is not None and variable.path.endswith("kernel"):
            variable.assign_add(tf.reshape(product, variable.shape))
    ours, theirs = (gradients(tools, tuner) for tuner in (model, plain))
    kernel = theirs[f"{base}/kernel"].reshape(a.shape[0], -1)
    for factor, expected in (("a", scale * kernel @ b.T), ("b", scale * a.T @ kernel)):
        received, largest = ours[f"{base}/lora_{factor}"], np.abs(expected).max()
        assert largest > 1e-3
        np.testing.assert_allclose(received, expected, atol=1e-3 * largest)
        assert np.abs(received - expected / scale).max() > largest / 2  # control: the scale shows


def gradients(tools, model):
    """The gradient of a batch's loss by the path of the weight."""
    inputs, labels, _ = tools.as_tensors(tools.make_batch(6))
    with tf.GradientTape() as tape:
        losses = model.loss_by_example(labels, model(inputs, training=True))
        total = tf.reduce_sum(losses)
    variables = model.trainable_variables
    found = tape.gradient(total, [variable.value for variable in variables])
    return {
        variable.path: tf.convert_to_tensor(gradient).numpy()
        for variable, gradient in zip(variables, found, strict=True)
    }


def test_dropout_before_a_lora_is_part_of_training(tools, monkeypatch):
    def losses(rate):
        monkeypatch.setitem(METHODS["lora"], "dropout", rate)
        model = build(tools, "lora")
        train(tools, model)
        return [v.numpy() for v in model.trainable_weights]

    without, again, with_dropout = losses(0.0), losses(0.0), losses(0.5)
    assert all(np.array_equal(*pair) for pair in zip(without, again, strict=True))
    assert not all(np.array_equal(*pair) for pair in zip(without, with_dropout, strict=True))
