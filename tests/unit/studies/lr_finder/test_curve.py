"""The rate that a curve of loss against rate suggests."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest

from kerasft.studies.lr_finder.curve import RateCurve, describe_rate, suggest_rate

STEPS = 200


def make_curve(*, falls_at=1e-4, noise=0.03, depth=0.4, seed=0, steps=STEPS):
    """A loss that falls along a logistic curve, steepest at `falls_at`, and rises from 1e-2 on."""
    rates = np.geomspace(1e-7, 1.0, steps)
    fall = depth / (1 + (falls_at / rates) ** 2)
    rise = np.maximum(np.log10(rates) + 2, 0) ** 2 * 3
    scatter = noise * np.random.default_rng(seed).standard_normal(steps)
    return RateCurve(rates, 0.7 - fall + rise + scatter, steps)


def factor(rate, expected):
    return max(rate / expected, expected / rate)


@pytest.mark.parametrize("falls_at", [1e-5, 1e-4, 5e-4])
@pytest.mark.parametrize("seed", range(5))
def test_the_rate_of_the_steepest_fall_is_suggested(falls_at, seed):
    curve = make_curve(falls_at=falls_at, seed=seed)
    suggestion = suggest_rate(curve)
    assert factor(suggestion.learning_rate, falls_at) < 2
    # The controls: where the loss is lowest, and that by ten, are other rates.
    assert factor(suggestion.lowest_loss_rate, falls_at) > 2.5


def test_without_noise_it_is_exact_where_a_running_average_lags():
    curve = make_curve(noise=0)
    spacing = curve.rates[1] / curve.rates[0]
    rate = suggest_rate(curve).learning_rate
    assert factor(rate, 1e-4) < spacing * 1.05
    assert rate == float(f"{rate:.1e}")  # two digits
    average, averages = 0.0, []
    for step, loss in enumerate(curve.losses, start=1):
        average = 0.9 * average + 0.1 * loss
        averages.append(average / (1 - 0.9**step))
    before_the_rise = curve.rates < 1e-2
    steepest = np.argmin(np.diff(averages)[before_the_rise[1:]])
    assert curve.rates[steepest] > 1.4e-4


def test_the_smoothed_loss_is_the_mean_of_the_window_around():
    curve = make_curve(steps=80)
    assert curve.window == 11
    smoothed = curve.smoothed()
    assert smoothed[40] == pytest.approx(curve.losses[35:46].mean())
    assert smoothed[0] == pytest.approx(curve.losses[:6].mean())
    assert smoothed[-1] == pytest.approx(curve.losses[-6:].mean())
    assert smoothed[40] != pytest.approx(curve.losses[30:41].mean(), abs=1e-3)  # what lies behind


@pytest.mark.parametrize(("steps", "window"), [(20, 5), (40, 5), (100, 13), (200, 25), (400, 51)])
def test_a_window_is_an_eighth_of_the_range(steps, window):
    assert RateCurve(np.ones(3), np.ones(3), steps).window == window


def test_a_fall_after_the_divergence_does_not_count():
    curve = make_curve(noise=0.01)
    losses = curve.losses.copy()
    losses[-30:] = np.linspace(30, 0.45, 30)  # steeper by far, and not as low
    again = suggest_rate(RateCurve(curve.rates, losses, STEPS))
    assert again.learning_rate == suggest_rate(curve).learning_rate


def test_noise_alone_suggests_nothing():
    rates = np.geomspace(1e-7, 1.0, STEPS)
    random = np.random.default_rng(0)
    flat = [RateCurve(rates, random.normal(0.7, 0.1, STEPS), STEPS) for _ in range(300)]
    suggestions = [suggest_rate(curve) for curve in flat]
    found = [suggestion for suggestion in suggestions if suggestion.learning_rate is not None]
    assert len(found) < 15
    (reason,) = {suggestion.reason[:43] for suggestion in suggestions if suggestion not in found}
    assert reason == "The loss did not clearly fall at any rate: "


def test_a_loss_that_only_rises_suggests_nothing():
    curve = RateCurve(np.geomspace(1e-7, 1, STEPS), np.linspace(0.5, 3, STEPS), STEPS)
    assert suggest_rate(curve)[:2] == (None, None)


def test_a_curve_that_is_too_short_suggests_nothing():
    curve = make_curve()
    short = RateCurve(curve.rates[:49], curve.losses[:49], STEPS, diverged=True)
    suggestion = suggest_rate(short)
    assert suggestion.learning_rate is None
    assert suggestion.reason.startswith("The loss diverged after 49 steps, before there was")


def test_the_reason_tells_where_the_range_ends_too_early():
    curve = make_curve(noise=0.001)
    whole = suggest_rate(curve).reason
    assert "lowest at" in whole
    assert "diverged" not in whole
    assert "begin lower" not in whole
    assert "go higher" not in whole
    end = int(np.searchsorted(curve.rates, 2e-4))
    rising = RateCurve(curve.rates[:end], curve.losses[:end], STEPS)
    assert suggest_rate(rising).reason.endswith("go higher to see the end.")
    start = int(np.searchsorted(curve.rates, 1e-4)) - 10
    late = RateCurve(curve.rates[start:], curve.losses[start:], STEPS, diverged=True)
    assert (
        "The test ended at 1e0, where the loss diverged. It falls from" in suggest_rate(late).reason
    )


@pytest.mark.parametrize(
    ("rate", "text"), [(5e-5, "5e-5"), (1.53e-4, "1.5e-4"), (0.1, "1e-1"), (1.0, "1e0")]
)
def test_a_rate_is_written_as_people_do_and_read_back(rate, text):
    assert describe_rate(rate) == text
    assert tomllib.loads(f"rate = {text}")["rate"] == pytest.approx(rate, rel=0.03)
