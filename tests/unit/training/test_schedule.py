"""The learning rate, step by step."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.training.schedule import WarmupPolynomialDecay


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


def formula(step, *, peak, warmup, total, end, power):
    """The docstring's formula, in float64."""
    if step >= total:
        return end
    if step < warmup:
        return peak * step / warmup
    return end + (peak - end) * (1 - (step - warmup) / (total - warmup)) ** power


@pytest.mark.parametrize(
    ("step", "rate"),
    [(0, 0.0), (5, 0.5), (10, 1.0), (60, 0.5), (109, 0.01), (110, 0.0), (1000, 0.0)],
)
def test_linear(step, rate):
    schedule = WarmupPolynomialDecay(1.0, warmup_steps=10, total_steps=110)
    assert float(schedule(step)) == pytest.approx(rate, abs=1e-6)


@pytest.mark.parametrize("warmup", [0, 1, 10, 40])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("end", [0.0, 1e-3, 2e-2])
def test_equals_the_formula(warmup, power, end):
    settings = {"end": end, "power": power, "warmup": warmup, "total": 40, "peak": 1e-2}
    schedule = WarmupPolynomialDecay(
        1e-2, warmup_steps=warmup, total_steps=40, end_learning_rate=end, power=power
    )
    steps = range(45)
    expected = [formula(step, **settings) for step in steps]
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_without_warmup_it_is_keras_polynomial_decay(power):
    ours = WarmupPolynomialDecay(
        3e-4, warmup_steps=0, total_steps=20, end_learning_rate=1e-5, power=power
    )
    theirs = keras.optimizers.schedules.PolynomialDecay(3e-4, 20, 1e-5, power=power)
    steps = range(25)
    np.testing.assert_allclose(rates(ours, steps), rates(theirs, steps), rtol=1e-5)


def test_control_another_power_is_told_apart():
    linear, square = (
        WarmupPolynomialDecay(1.0, warmup_steps=2, total_steps=20, power=power) for power in (1, 2)
    )
    assert np.abs(rates(linear, range(20)) - rates(square, range(20))).max() > 0.1


def test_takes_the_optimizer_s_step_in_a_graph():
    schedule = WarmupPolynomialDecay(1.0, warmup_steps=10, total_steps=110)
    rate = tf.function(schedule)(tf.constant(60, tf.int64))
    assert (rate.dtype, float(rate)) == (tf.float32, 0.5)


def test_serialization_round_trip():
    schedule = WarmupPolynomialDecay(
        1e-2, warmup_steps=3, total_steps=9, end_learning_rate=1e-3, power=2.0
    )
    restored = WarmupPolynomialDecay.from_config(schedule.get_config())
    assert restored.get_config() == schedule.get_config()
    assert np.array_equal(rates(restored, range(12)), rates(schedule, range(12)))


@pytest.mark.parametrize(("warmup", "total"), [(-1, 10), (11, 10), (0, 0)])
def test_refuses_impossible_lengths(warmup, total):
    with pytest.raises(ValueError, match=f"Received warmup_steps={warmup}, total_steps={total}"):
        WarmupPolynomialDecay(1.0, warmup_steps=warmup, total_steps=total)


@pytest.mark.parametrize(
    "negative",
    [{"peak_learning_rate": -1.0}, {"end_learning_rate": -1.0}, {"power": -1.0}],
)
def test_refuses_negative_numbers(negative):
    arguments = {"peak_learning_rate": 1.0, "warmup_steps": 1, "total_steps": 10} | negative
    with pytest.raises(ValueError, match=r"-1\.0.* Expected none to be negative"):
        WarmupPolynomialDecay(**arguments)
