"""Bootstrap intervals against SciPy, against theory, and against an interval that is wrong."""

import time

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score

from kerasft.errors import UserError
from kerasft.metrics.bootstrap import (
    bootstrap_counts_interval,
    bootstrap_interval,
    bootstrap_mean_interval,
    bootstrap_weights_interval,
)

GENERATOR = np.random.default_rng(5)
IS_CORRECT = GENERATOR.random(800) < 0.85
LOSSES = GENERATOR.exponential(size=800)


def scipy_interval(data, statistic, **options):
    result = stats.bootstrap(
        data, statistic, n_resamples=4000, method="percentile", rng=11, **options
    )
    return result.confidence_interval


@pytest.mark.parametrize("values", [IS_CORRECT, LOSSES], ids=["accuracy", "log_loss"])
@pytest.mark.parametrize("confidence_level", [0.8, 0.95])
def test_means_agree_with_scipy(values, confidence_level):
    ours = bootstrap_mean_interval(
        values, num_resamples=4000, confidence_level=confidence_level, seed=2
    )
    theirs = scipy_interval((values,), np.mean, confidence_level=confidence_level)
    # Two resamplings of 4,000 place an end within a few hundredths of the interval's width.
    tolerance = 0.06 * (theirs.high - theirs.low)
    assert ours.estimate == values.mean()
    assert ours.lower == pytest.approx(theirs.low, abs=tolerance)
    assert ours.upper == pytest.approx(theirs.high, abs=tolerance)


def test_control_another_level_or_half_the_examples_does_not_agree():
    theirs = scipy_interval((LOSSES,), np.mean)
    width = theirs.high - theirs.low
    for wrong in (
        bootstrap_mean_interval(LOSSES, num_resamples=4000, confidence_level=0.9),
        bootstrap_mean_interval(LOSSES[:400], num_resamples=4000),
    ):
        assert abs((wrong.upper - wrong.lower) - width) > 0.12 * width


def test_any_metric_agrees_with_scipy():
    labels = np.random.default_rng(1).integers(2, size=300)
    predictions = np.where(np.random.default_rng(2).random(300) < 0.8, labels, 1 - labels)

    def f1(labels, predictions):
        return 2 * (labels & predictions).sum() / (labels.sum() + predictions.sum())

    ours = bootstrap_interval(f1, labels, predictions, num_resamples=4000)
    theirs = scipy_interval((labels, predictions), f1, paired=True, vectorized=False, batch=100)
    assert ours.estimate == f1(labels, predictions)
    assert ours.lower == pytest.approx(theirs.low, abs=0.1 * (theirs.high - theirs.low))
    assert ours.upper == pytest.approx(theirs.high, abs=0.1 * (theirs.high - theirs.low))


def test_the_three_ways_to_resample_agree():
    labels = np.zeros(400, dtype=int)
    predictions = (np.arange(400) % 5 == 0).astype(int)
    counted = bootstrap_mean_interval(labels == predictions, num_resamples=4000)
    # Noise far below the metric makes all values distinct, so that rows are drawn.
    noise = np.random.default_rng(0).normal(scale=1e-9, size=400)
    drawn = bootstrap_mean_interval((labels == predictions) + noise, num_resamples=4000)
    called = bootstrap_interval(accuracy_score, labels, predictions, num_resamples=1000)
    for other in (drawn, called):
        assert other == pytest.approx(counted, abs=0.006)


def test_accuracy_interval_is_the_binomial_one():
    interval = bootstrap_mean_interval(np.arange(25_000) % 10 > 0, num_resamples=5000)
    half_width = 1.96 * np.sqrt(0.9 * 0.1 / 25_000)
    assert interval.estimate == pytest.approx(0.9)
    assert interval.lower == pytest.approx(0.9 - half_width, abs=0.05 * 2 * half_width)
    assert interval.upper == pytest.approx(0.9 + half_width, abs=0.05 * 2 * half_width)


@pytest.mark.parametrize("values", [IS_CORRECT, LOSSES], ids=["accuracy", "log_loss"])
def test_the_seed_decides(values):
    first, again, other = (bootstrap_mean_interval(values, seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first != other


def test_blocks_do_not_change_the_draws(monkeypatch):
    whole = bootstrap_mean_interval(LOSSES)
    monkeypatch.setattr("kerasft.metrics.bootstrap._MAX_DRAWS", 3 * len(LOSSES))
    assert bootstrap_mean_interval(LOSSES) == pytest.approx(whole, abs=1e-12)


def test_a_whole_test_set_is_quick():
    values = np.random.default_rng(0).random(25_000)
    start = time.process_time()
    bootstrap_mean_interval(values, num_resamples=1000)
    assert time.process_time() - start < 1.0


def test_one_example_has_an_interval_of_no_width():
    interval = bootstrap_mean_interval([1.0])
    assert interval == (1.0, 1.0, 1.0, 0.95, 0)
    assert {type(value) for value in interval[:4]} == {float}


def test_bad_input():
    with pytest.raises(UserError, match="nothing to resample"):
        bootstrap_mean_interval([])
    with pytest.raises(UserError, match="nothing to resample"):
        bootstrap_interval(accuracy_score, [], [])
    with pytest.raises(ValueError, match=r"shape \(2,\), 1 not finite"):
        bootstrap_mean_interval([0.0, np.nan])
    with pytest.raises(ValueError, match=r"Received: shape \(1, 2\)"):
        bootstrap_mean_interval([[0.0, 1.0]])
    with pytest.raises(ValueError, match="Received: 2 and 1"):
        bootstrap_interval(accuracy_score, [0, 1], [0])
    with pytest.raises(ValueError, match=r"`num_resamples` is too small\. Received: 0"):
        bootstrap_mean_interval([1.0], num_resamples=0)
    with pytest.raises(ValueError, match=r"`confidence_level` is out of range\. Received: 95"):
        bootstrap_mean_interval([1.0], confidence_level=95)


def test_resamples_on_which_a_metric_is_undefined_are_left_out():
    def share_of_first_class(labels, predictions):
        return 1.0 if (labels == 0).any() else np.nan

    interval = bootstrap_interval(share_of_first_class, [0, 1, 1], [0, 1, 1])
    # None of three draws is the first example: (2/3)^3 of the resamples.
    assert interval.num_left_out == pytest.approx(1000 * 8 / 27, abs=60)
    assert interval[:3] == (1.0, 1.0, 1.0)
    never = bootstrap_interval(lambda labels, predictions: np.nan, [0, 1], [0, 1])
    assert never.num_left_out == 1000
    assert np.isnan([never.lower, never.upper]).all()


def f1_of_confusion(confusions):
    true_positives = confusions[:, 1, 1]
    return 2 * true_positives / (confusions[:, 1].sum(axis=1) + confusions[:, :, 1].sum(axis=1))


def test_counts_and_weights_agree_with_drawing_examples():
    generator = np.random.default_rng(3)
    labels = (generator.random(300) < 0.4).astype(int)
    predictions = np.where(generator.random(300) < 0.8, labels, 1 - labels)
    counts = confusion_matrix(labels, predictions)

    def f1_of_weights(weights):
        hits = weights @ (labels * predictions)
        return 2 * hits / (weights @ labels + weights @ predictions)

    called = bootstrap_interval(f1_score, labels, predictions, num_resamples=1000)
    counted = bootstrap_counts_interval(f1_of_confusion, counts, num_resamples=4000)
    weighted = bootstrap_weights_interval(f1_of_weights, 300, num_resamples=4000)
    width = called.upper - called.lower
    for other in (counted, weighted):
        assert other.estimate == pytest.approx(f1_score(labels, predictions))
        assert other[:3] == pytest.approx(called[:3], abs=0.1 * width)
    # Control: half as many examples make a wider interval, so that the width means something.
    halved = bootstrap_counts_interval(f1_of_confusion, counts // 2, num_resamples=4000)
    assert halved.upper - halved.lower > 1.25 * width


def test_weights_are_those_of_drawing_the_same_seed():
    values = np.random.default_rng(5).random(40)
    weighted = bootstrap_weights_interval(lambda w: w @ values / 40, 40, seed=9)
    called = bootstrap_interval(lambda labels, _: labels.mean(), values, values, seed=9)
    assert weighted == pytest.approx(called, abs=1e-12)


def test_small_blocks_do_not_change_weights_or_counts(monkeypatch):
    values, counts = np.random.default_rng(5).random(40), np.array([[30, 5], [9, 6]])
    ways = (
        lambda: bootstrap_weights_interval(lambda w: w @ values / 40, 40),
        lambda: bootstrap_counts_interval(f1_of_confusion, counts),
    )
    whole = [way() for way in ways]
    monkeypatch.setattr("kerasft.metrics.bootstrap._MAX_DRAWS", 90)
    assert [way() for way in ways] == [pytest.approx(interval, abs=1e-12) for interval in whole]


def test_nothing_to_count_or_weigh():
    with pytest.raises(UserError, match="nothing to resample"):
        bootstrap_counts_interval(f1_of_confusion, np.zeros((2, 2), int))
    with pytest.raises(UserError, match="nothing to resample"):
        bootstrap_weights_interval(len, 0)
    with pytest.raises(ValueError, match="`num_resamples` is too small"):
        bootstrap_counts_interval(f1_of_confusion, np.eye(2, dtype=int), num_resamples=0)
    with pytest.raises(ValueError, match="`num_resamples` is too small"):
        bootstrap_weights_interval(len, 3, num_resamples=0)
