"""The learning rate, step by step."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.training.step.schedule import WarmupDecay, build_schedule


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


def formula(step, *, peak, warmup, total, end, power):
    """The docstring's formula, in float64."""
    if step >= total:
        return end
    if step < warmup:
        return peak * step / warmup
    return end + (peak - end) * (1 - (step - warmup) / (total - warmup)) ** power


@pytest.mark.parametrize("warmup", [0, 1, 10, 40])
@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("end", [0.0, 1e-3, 2e-2])
def test_equals_the_formula(warmup, power, end):
    settings = {"end": end, "power": power, "warmup": warmup, "total": 40, "peak": 1e-2}
    schedule = WarmupDecay(
        1e-2, warmup_steps=warmup, total_steps=40, end_learning_rate=end, power=power
    )
    steps = range(45)
    expected = [formula(step, **settings) for step in steps]
    np.testing.assert_allclose(rates(schedule, steps), expected, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_without_warmup_it_is_keras_polynomial_decay(power):
    ours = WarmupDecay(3e-4, warmup_steps=0, total_steps=20, end_learning_rate=1e-5, power=power)
    theirs = keras.optimizers.schedules.PolynomialDecay(3e-4, 20, 1e-5, power=power)
    steps = range(25)
    np.testing.assert_allclose(rates(ours, steps), rates(theirs, steps), rtol=1e-5)


def test_takes_the_optimizer_s_step_in_a_graph():
    schedule = WarmupDecay(1.0, warmup_steps=10, total_steps=110)
    rate = tf.function(schedule)(tf.constant(60, tf.int64))
    assert (rate.dtype, float(rate)) == (tf.float32, 0.5)


# --- other shapes


def rates_of(shape, **options):
    schedule = build_schedule(shape, 1.0, warmup_steps=4, total_steps=20, **options)
    return np.array([float(schedule(step)) for step in range(24)])


@pytest.mark.parametrize("shape", ["polynomial", "cosine", "constant", "inverse_sqrt"])
def test_every_shape_warms_up_alike(shape):
    np.testing.assert_allclose(rates_of(shape)[:5], [0, 0.25, 0.5, 0.75, 1.0])


def test_cosine_follows_its_formula_and_ends_at_the_floor():
    rates = rates_of("cosine", end_learning_rate=0.1)
    done = np.clip((np.arange(4, 24) - 4) / 16, 0, 1)
    np.testing.assert_allclose(rates[4:], 0.1 + 0.9 * (1 + np.cos(np.pi * done)) / 2, rtol=1e-5)
    assert rates[12] == pytest.approx(0.55)


def test_constant_stays():
    np.testing.assert_allclose(rates_of("constant")[4:], 1.0)


def test_inverse_square_root_halves_at_four_times_the_warmup_and_keeps_the_floor():
    rates = rates_of("inverse_sqrt", end_learning_rate=0.45)
    np.testing.assert_allclose(rates[[4, 16]], [1.0, 0.5])
    assert rates[23] == pytest.approx(0.45)


def test_inverse_square_root_without_warmup_begins_at_the_peak():
    schedule = build_schedule("inverse_sqrt", 1.0, warmup_steps=0, total_steps=9)
    np.testing.assert_allclose([float(schedule(s)) for s in (0, 1, 4)], [1.0, 1.0, 0.5])


@pytest.mark.parametrize("shape", ["polynomial", "cosine", "constant", "inverse_sqrt"])
def test_every_shape_can_be_saved_and_has_no_warmup_longer_than_the_run(shape):
    options = {"end_learning_rate": 0.1, "power": 2.0}
    schedule = build_schedule(shape, 0.5, warmup_steps=9, total_steps=5, **options)
    again = WarmupDecay.from_config(schedule.get_config())
    assert again.get_config() == schedule.get_config()
    assert np.array_equal(rates(again, range(9)), rates(schedule, range(9)))
    assert float(schedule(4)) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shape": "steps"}, "Expected one of polynomial, cosine, constant, inverse_sqrt"),
        ({"warmup_steps": -1}, "Received warmup_steps=-1, total_steps=5"),
        ({"shape": "cosine", "warmup_steps": 9}, "warmup_steps <= total_steps"),
        ({"total_steps": 0}, "total_steps >= 1"),
        ({"peak_learning_rate": -1.0}, "none to be negative"),
        ({"shape": "cosine", "end_learning_rate": -1.0}, "none to be negative"),
        ({"power": -1.0}, r"power=-1\.0.* none to be negative"),
    ],
)
def test_what_cannot_be_is_refused(options, message):
    usual = {"peak_learning_rate": 1.0, "warmup_steps": 0, "total_steps": 5}
    with pytest.raises(ValueError, match=message):
        WarmupDecay(**{**usual, **options})
