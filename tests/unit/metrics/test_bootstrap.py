"""Bootstrap intervals against SciPy, against theory, and against an interval that is wrong."""

import dataclasses
import time

import numpy as np
import pytest
from scipy import stats

from kerasft.errors import UserError
from kerasft.metrics.bootstrap import bootstrap_interval, percentile_interval
from kerasft.metrics.weighted import (
    WeightedMetric,
    weighted_mean,
    weighted_of_classes,
    weighted_of_numbers,
)

NAMES = ("neg", "neutral", "pos")
GENERATOR = np.random.default_rng(5)
IS_CORRECT = GENERATOR.random(800) < 0.85
LOSSES = GENERATOR.exponential(size=800)


def scipy_interval(data, statistic, **options):
    result = stats.bootstrap(
        data, statistic, n_resamples=4000, method="percentile", rng=11, **options
    )
    return result.confidence_interval


@pytest.mark.parametrize("values", [IS_CORRECT, LOSSES], ids=["accuracy", "log_loss"])
def test_means_agree_with_scipy(values):
    ours = bootstrap_interval(weighted_mean(values), num_resamples=4000, seed=2)
    theirs = scipy_interval((values,), np.mean)
    # Two resamplings of 4,000 place an end within a few hundredths of the interval's width.
    tolerance = 0.06 * (theirs.high - theirs.low)
    assert ours.estimate == pytest.approx(values.mean())
    assert ours.lower == pytest.approx(theirs.low, abs=tolerance)
    assert ours.upper == pytest.approx(theirs.high, abs=tolerance)
    # Control: half the examples make a wider interval.
    halved = bootstrap_interval(weighted_mean(values[:400]), num_resamples=4000)
    assert halved.upper - halved.lower > 1.12 * (theirs.high - theirs.low)


def test_accuracy_interval_is_the_binomial_one():
    is_right = np.arange(25_000) % 10 > 0
    interval = bootstrap_interval(weighted_mean(is_right), num_resamples=5000)
    half_width = 1.96 * np.sqrt(0.9 * 0.1 / 25_000)
    assert interval.estimate == pytest.approx(0.9)
    assert interval.lower == pytest.approx(0.9 - half_width, abs=0.05 * 2 * half_width)
    assert interval.upper == pytest.approx(0.9 + half_width, abs=0.05 * 2 * half_width)


@pytest.fixture
def examples():
    generator = np.random.default_rng(0)
    labels = generator.integers(3, size=120)
    return labels, 0.7 * generator.dirichlet(np.ones(3), 120) + 0.3 * np.eye(3)[labels]


@pytest.mark.parametrize("name", ["accuracy", "f1_macro", "matthews_correlation"])
def test_drawing_kinds_agrees_with_drawing_examples(name, examples):
    of_kinds = weighted_of_classes(name, *examples, NAMES)
    of_examples = dataclasses.replace(of_kinds, kinds=None)
    first, second = (bootstrap_interval(m, num_resamples=4000) for m in (of_kinds, of_examples))
    assert first.estimate == second.estimate
    width = second.upper - second.lower
    assert first[1:3] == pytest.approx(second[1:3], abs=0.1 * width)


@pytest.mark.parametrize("values", [IS_CORRECT, LOSSES], ids=["kinds", "examples"])
def test_the_seed_decides_and_blocks_do_not(values, monkeypatch):
    metric = weighted_mean(values)
    first, again, other = (bootstrap_interval(metric, seed=seed) for seed in (7, 7, 8))
    assert first == again
    assert first != other
    monkeypatch.setattr("kerasft.metrics.bootstrap._MAX_DRAWS", 3 * len(values))
    assert bootstrap_interval(metric, seed=7) == pytest.approx(first, abs=1e-12)


def test_weights_are_those_of_drawing_the_same_seed():
    generator = np.random.default_rng(9)
    means = [LOSSES[generator.integers(800, size=800)].mean() for _ in range(1000)]
    found = bootstrap_interval(weighted_mean(LOSSES), seed=9)
    assert found == pytest.approx(percentile_interval(LOSSES.mean(), np.array(means)), abs=1e-12)


def test_a_whole_test_set_is_quick():
    values = np.random.default_rng(0).random(25_000)
    start = time.process_time()
    bootstrap_interval(weighted_mean(values), num_resamples=1000)
    assert time.process_time() - start < 1.0


def test_one_example_has_an_interval_of_no_width():
    interval = bootstrap_interval(weighted_mean([1.0]))
    assert interval == (1.0, 1.0, 1.0, 0.95, 0)
    assert {type(value) for value in interval[:4]} == {float}


def test_bad_input():
    with pytest.raises(UserError, match="nothing to resample"):
        bootstrap_interval(weighted_mean([]))
    with pytest.raises(ValueError, match=r"`num_resamples` is too small\. Received: 0"):
        bootstrap_interval(weighted_mean([1.0]), num_resamples=0)


def test_undefined_resamples_are_left_out_and_counted():
    interval = bootstrap_interval(weighted_of_numbers("pearson", [1.0, 2.0, 2.0], [1.0, 3.0, 3.0]))
    # Only of the first, or of none of it: (1/3)^3 + (2/3)^3 of the resamples.
    assert interval.num_left_out == pytest.approx(1000 * 9 / 27, abs=60)
    assert interval[:3] == pytest.approx((1.0, 1.0, 1.0))


def test_a_metric_that_is_undefined_on_every_resample_has_no_ends():
    only_all = WeightedMetric(
        lambda values: lambda weights: np.where((weights == 1).all(axis=1), 1.0, np.nan),
        (np.arange(50),),
    )
    interval = bootstrap_interval(only_all)
    assert (interval.estimate, interval.num_left_out) == (1.0, 1000)
    assert np.isnan([interval.lower, interval.upper]).all()


def test_what_is_undefined_has_no_interval(examples):
    labels, probabilities = examples
    only_two = probabilities * [1, 1, 0]
    only_two /= only_two.sum(axis=1, keepdims=True)
    for metric in (
        None,
        weighted_of_numbers("pearson", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]),
        weighted_of_numbers("r2", [1.0], [2.0]),
        weighted_of_classes("roc_auc", np.zeros(120, int), probabilities, NAMES),
        weighted_of_classes("f1/pos", labels % 2, only_two, NAMES),
    ):
        assert bootstrap_interval(metric) is None
