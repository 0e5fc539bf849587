"""Keras's optimizers under our rules, rates by variable, and first steps."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from kerasft.recipe.sections.training import OPTIMIZER_SETTINGS
from kerasft.training.step.loss_scale import LossScale
from kerasft.training.step.optimizer import AdamW, build_optimizer

KERAS = {
    "sgd": (keras.optimizers.SGD, {"momentum": 0.5}),
    "rmsprop": (keras.optimizers.RMSprop, {"momentum": 0.5, "epsilon": 1e-4}),
    "adagrad": (keras.optimizers.Adagrad, {"epsilon": 1e-4}),
    "adamax": (keras.optimizers.Adamax, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4}),
    "nadam": (keras.optimizers.Nadam, {"beta_1": 0.8, "beta_2": 0.9, "epsilon": 1e-4}),
    "adafactor": (keras.optimizers.Adafactor, {}),
    "lion": (keras.optimizers.Lion, {"beta_1": 0.8, "beta_2": 0.9}),
}
START = np.array([[1.0, -2.0], [0.5, 3.0]], np.float32)
GRADIENTS = [np.array([[0.1, -0.2], [0.3, 0.0]], np.float32), np.full((2, 2), 0.2, np.float32)]


def run(optimizer, gradients=GRADIENTS, *, name="kernel"):
    """Applies gradients to a matrix; returns it after each step."""
    variable = keras.Variable(START, name=name)
    optimizer.build([variable])
    seen = []
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)])
        seen.append(variable.numpy())
    return seen


def test_every_optimizer_of_a_recipe_can_be_built():
    assert {"adamw", *KERAS} == set(OPTIMIZER_SETTINGS)
    with pytest.raises(ValueError, match="Unknown optimizer"):
        build_optimizer("adam", 0.1)


@pytest.mark.parametrize("name", KERAS)
def test_without_decay_it_is_that_of_keras(name):
    kind, settings = KERAS[name]
    ours = run(build_optimizer(name, 0.05, weight_decay=0.0, **settings))
    np.testing.assert_allclose(ours, run(kind(0.05, **settings)), rtol=1e-6)


@pytest.mark.parametrize("name", KERAS)
def test_every_setting_that_it_has_reaches_it(name):
    settings = KERAS[name][1]
    assert set(settings) == set(OPTIMIZER_SETTINGS[name])
    random = np.random.default_rng(3)
    gradients = [random.normal(size=(2, 2)).astype("float32") for _ in range(8)]
    usual = run(build_optimizer(name, 0.05, weight_decay=0.0, **settings), gradients)
    for key in settings:
        changed = build_optimizer(name, 0.05, weight_decay=0.0, **{**settings, key: 0.3})
        assert not np.allclose(usual, run(changed, gradients))


@pytest.mark.parametrize("name", OPTIMIZER_SETTINGS)
def test_the_decay_is_decoupled(name):
    (decayed,) = run(build_optimizer(name, 0.1, weight_decay=0.5), [np.zeros((2, 2), "float32")])
    np.testing.assert_allclose(decayed, START * (1 - 0.1 * 0.5), rtol=1e-6)
    (kept,) = run(
        build_optimizer(name, 0.1, weight_decay=0.5), [np.zeros((2, 2), "float32")], name="bias"
    )
    np.testing.assert_allclose(kept, START)


@pytest.mark.parametrize("name", OPTIMIZER_SETTINGS)
def test_a_rate_of_its_own_is_a_rate(name):
    """Half the rate for this variable is half the rate; a gradient of half the size is not."""
    half = build_optimizer(name, 0.05, rate_scales={"kernel": 0.5})
    np.testing.assert_allclose(run(half), run(build_optimizer(name, 0.025)), rtol=1e-5)
    other = build_optimizer(name, 0.05, rate_scales={"another": 0.5})
    np.testing.assert_allclose(run(other), run(build_optimizer(name, 0.05)), rtol=1e-5)


def test_control_scaling_the_gradient_does_not_scale_the_step_of_adam():
    whole = run(build_optimizer("adamw", 0.05, weight_decay=0.0))
    halved = run(build_optimizer("adamw", 0.05, weight_decay=0.0), [g / 2 for g in GRADIENTS])
    np.testing.assert_allclose(whole, halved, atol=1e-5)


@pytest.mark.parametrize("name", ["adamw", "sgd"])
def test_the_moving_average_follows_its_recurrence(name):
    optimizer = build_optimizer(name, 0.05, ema_decay=0.9)
    weights = run(optimizer)
    expected = 0.9 * weights[0] + 0.1 * weights[1]  # the first step begins it
    np.testing.assert_allclose(
        optimizer._model_variables_moving_average[0].numpy(), expected, rtol=1e-6
    )


class TestFirstSteps:
    """A variable that joins at step 10 is corrected for its own age, not for the optimizer's."""

    def late(self, **options):
        optimizer = AdamW(0.1, weight_decay=0.0, **options)
        variable = keras.Variable(START, name="kernel")
        optimizer.build([variable])
        optimizer.iterations.assign(10)
        optimizer.apply([keras.ops.convert_to_tensor(GRADIENTS[1])])
        return variable.numpy()

    def test_its_first_step_is_that_of_a_fresh_optimizer(self):
        (fresh,) = run(AdamW(0.1, weight_decay=0.0), GRADIENTS[1:])
        np.testing.assert_allclose(self.late(first_steps={"kernel": 10}), fresh, rtol=1e-6)
        assert np.abs(self.late() - fresh).max() > 0.01  # control: without it of another length


def test_config_makes_it_anew():
    optimizer = AdamW(
        0.1, rate_scales={"kernel": 0.5}, first_steps={"kernel": 3}, ema_decay=0.9, beta_1=0.8
    )
    again = AdamW.from_config(optimizer.get_config())
    assert again.get_config() == optimizer.get_config()
    np.testing.assert_allclose(run(again), run(optimizer))


class TestLossScale:
    def scale(self, **options):
        return LossScale(initial=8.0, growth_steps=2, **options)

    def test_it_halves_after_an_overflow_and_doubles_after_good_steps(self):
        scale, seen = self.scale(), []
        for norm in (np.inf, 1.0, 1.0, np.nan, 1.0):
            scale.update(keras.ops.convert_to_tensor(np.float32(norm)))
            seen.append((float(scale.scale), float(scale.is_taken)))
        assert seen == [(4.0, 0.0), (4.0, 1.0), (8.0, 1.0), (4.0, 0.0), (4.0, 1.0)]

    def test_a_step_that_overflows_is_passed_over(self):
        optimizer = AdamW(0.1, weight_decay=0.5)
        optimizer.loss_scale = self.scale()
        variable = keras.Variable(START, name="kernel")
        optimizer.build([variable])
        optimizer.apply([keras.ops.convert_to_tensor(GRADIENTS[0])])
        before = [v.numpy() for v in (variable, *optimizer.variables[2:])]
        optimizer.loss_scale.update(keras.ops.convert_to_tensor(np.float32(np.inf)))
        optimizer.apply([keras.ops.convert_to_tensor(np.full((2, 2), np.nan, "float32"))])
        for value, same in zip(before, (variable, *optimizer.variables[2:]), strict=True):
            np.testing.assert_array_equal(value, same.numpy())

    def test_control_a_step_that_is_taken_moves(self):
        optimizer = AdamW(0.1)
        optimizer.loss_scale = self.scale()
        weights = run(optimizer)
        np.testing.assert_allclose(weights, run(AdamW(0.1)), rtol=1e-6)
        assert np.abs(weights[0] - START).max() > 0.01

    def test_it_is_exhausted_only_when_nothing_is_left_to_halve(self):
        scale = self.scale()
        assert not scale.is_exhausted
        for _ in range(20):
            scale.update(keras.ops.convert_to_tensor(np.float32(np.inf)))
        assert scale.is_exhausted
