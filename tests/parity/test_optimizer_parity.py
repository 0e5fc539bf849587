"""Our AdamW equals Keras's, and PyTorch's but for where epsilon stands."""

from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.training.step.optimizer import AdamW

GOLDEN = Path(__file__).parent / "goldens" / "adamw_golden.npz"
NAMES = ("kernel", "bias", "gamma")
TOLERANCE = 5e-6


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as arrays:
        return dict(arrays)


class PyTorchEpsilon(AdamW):
    """Epsilon after the bias correction: `eps * sqrt(1 - beta_2 ** t)` in our form."""

    def update_step(self, gradient, variable, learning_rate):
        base, step = self.base_epsilon, tf.cast(self.iterations + 1, tf.float64)
        self.epsilon = tf.cast(
            base * tf.sqrt(1.0 - tf.cast(self.beta_2, tf.float64) ** step), tf.float32
        )
        super().update_step(gradient, variable, learning_rate)


def replay(optimizer, golden, *, clip=False, gradients="gradients"):
    """Feeds the golden's gradients; returns the parameters after each step."""
    variables = [keras.Variable(golden[f"initial/{name}"], name=name) for name in NAMES]
    history = {name: [] for name in NAMES}
    for step, rate in enumerate(golden["learning_rates"]):
        optimizer.learning_rate = rate
        step_gradients = [tf.constant(golden[f"{gradients}/{name}"][step]) for name in NAMES]
        if clip:
            step_gradients, _ = tf.clip_by_global_norm(step_gradients, 1.0)
        optimizer.apply(step_gradients, variables)
        for name, variable in zip(NAMES, variables, strict=True):
            history[name].append(variable.numpy())
    return {name: np.stack(values) for name, values in history.items()}


def distance(history, golden, prefix):
    return max(np.abs(history[name] - golden[f"{prefix}/{name}"]).max() for name in NAMES)


def pytorch_form(epsilon):
    optimizer = PyTorchEpsilon(1e-3, weight_decay=0.01, epsilon=epsilon)
    optimizer.base_epsilon = epsilon
    return optimizer


@pytest.mark.parametrize("epsilon", [1e-8, 1e-6])
@pytest.mark.parametrize("clip", [False, True])
def test_equals_pytorch_once_epsilon_is_moved(golden, epsilon, clip):
    history = replay(pytorch_form(epsilon), golden, clip=clip)
    prefix = f"epsilon_{epsilon:.0e}".replace("e-0", "e-") + ("_clipped" if clip else "")
    assert distance(history, golden, prefix) < TOLERANCE


def test_epsilon_where_keras_puts_it_differs_as_documented(golden):
    history = replay(AdamW(1e-3, weight_decay=0.01, epsilon=1e-6), golden)
    assert distance(history, golden, "epsilon_1e-6") > 100 * TOLERANCE


def test_control_coupled_decay_is_told_apart(golden):
    assert distance(replay(pytorch_form(1e-8), golden), golden, "coupled_decay") > 100 * TOLERANCE


def test_control_decaying_every_variable_is_told_apart(golden):
    optimizer = pytorch_form(1e-8)
    optimizer.no_weight_decay = ()
    assert distance(replay(optimizer, golden), golden, "epsilon_1e-8") > 100 * TOLERANCE


def test_equals_keras_adamw(golden):
    theirs = keras.optimizers.AdamW(1e-3, weight_decay=0.01, epsilon=1e-7)
    theirs.exclude_from_weight_decay(var_names=["bias", "gamma"])
    ours = replay(AdamW(1e-3, weight_decay=0.01, epsilon=1e-7), golden)
    expected = replay(theirs, golden)
    assert max(np.abs(ours[name] - expected[name]).max() for name in NAMES) < 1e-6


class TestEmbedding:
    """A token that occurs more than once: its rows are summed before they are squared."""

    def replay(self, golden, gradient_of, *, clip=False):
        optimizer = pytorch_form(1e-8)
        variable = keras.Variable(golden["embedding/initial"], name="embeddings")
        history = []
        for step in range(5):
            optimizer.learning_rate = golden["learning_rates"][step]
            gradient = gradient_of(step)
            if clip:
                (gradient,), _ = tf.clip_by_global_norm([gradient], 1.0)
            optimizer.apply([gradient], [variable])
            history.append(variable.numpy())
        return np.stack(history)

    def slices(self, golden, step):
        ids = golden["embedding/token_ids"][step].ravel()
        values = golden["embedding/occurrence_gradients"][step].reshape(len(ids), -1)
        return tf.IndexedSlices(tf.constant(values), tf.constant(ids), tf.constant([11, 4]))

    def densified(self, golden):
        return lambda step: tf.convert_to_tensor(self.slices(golden, step))

    @pytest.mark.parametrize(("clip", "key"), [(False, "plain"), (True, "clipped")])
    def test_equals_pytorch(self, golden, clip, key):
        history = self.replay(golden, self.densified(golden), clip=clip)
        assert np.abs(history - golden[f"embedding/{key}"]).max() < TOLERANCE

    def test_control_unsummed_rows_are_told_apart(self, golden):
        history = self.replay(golden, self.densified(golden))
        assert np.abs(history - golden["embedding/unsummed_duplicates"]).max() > 1e-3

    def test_refuses_rows_that_are_not_summed(self, golden):
        with pytest.raises(TypeError, match="Expected a dense gradient"):
            self.replay(golden, lambda step: self.slices(golden, step))
