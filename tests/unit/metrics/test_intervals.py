"""Intervals of every metric by name: around its value, and as wide as drawing examples makes it."""

import functools

import numpy as np
import pytest

from kerasft.metrics.calibration import expected_calibration_error
from kerasft.metrics.classification import classification_metrics
from kerasft.metrics.intervals import (
    classification_interval,
    multilabel_interval,
    regression_interval,
)
from kerasft.metrics.multilabel import multilabel_metrics
from kerasft.metrics.regression import regression_metrics

NAMES = ("neg", "neutral", "pos")
SETTINGS = {"num_resamples": 400, "seed": 3}


def of_classes(num_classes=3, num_examples=120):
    generator = np.random.default_rng(0)
    labels = generator.integers(num_classes, size=num_examples)
    probabilities = generator.dirichlet(np.ones(num_classes), num_examples)
    probabilities = 0.7 * probabilities + 0.3 * np.eye(num_classes)[labels]
    return labels, probabilities.astype(np.float32)


def of_label_sets(num_examples=120):
    generator = np.random.default_rng(1)
    labels = generator.random((num_examples, 3)) < 0.4
    scores = np.clip(0.7 * generator.random(labels.shape) + 0.25 * labels, 0, 1)
    return labels, scores.astype(np.float32)


def of_numbers(num_examples=120):
    generator = np.random.default_rng(2)
    labels = generator.uniform(0, 5, num_examples)
    return labels, labels + generator.normal(size=num_examples)


def case(kind):
    """The examples of a kind, the function to its metrics, and that to an interval by name."""
    if kind == "single":
        return (
            of_classes(),
            lambda labels, scores: classification_metrics(labels, scores, NAMES),
            lambda name, *examples: classification_interval(name, *examples, NAMES, **SETTINGS),
        )
    if kind == "multi":
        return (
            of_label_sets(),
            lambda labels, scores: multilabel_metrics(labels, scores, scores >= 0.5, NAMES),
            lambda name, labels, scores: multilabel_interval(
                name, labels, scores, scores >= 0.5, NAMES, **SETTINGS
            ),
        )
    return (
        of_numbers(),
        regression_metrics,
        lambda name, *examples: regression_interval(name, *examples, **SETTINGS),
    )


def interval_of(kind, name):
    examples, _, interval = case(kind)
    return interval(name, *examples)


@functools.cache
def metrics_of(kind):
    examples, metrics, _ = case(kind)
    return metrics(*examples)


@functools.cache
def drawn_ends(kind):
    """The ends of every metric's interval, by drawing examples and computing all metrics anew."""
    (labels, predictions), metrics, _ = case(kind)
    generator = np.random.default_rng(8)
    rows = generator.integers(len(labels), size=(400, len(labels)))
    drawn = [metrics(labels[row], predictions[row]) for row in rows]
    return {name: np.quantile([d[name] for d in drawn], [0.025, 0.975]) for name in drawn[0]}


KINDS = ("single", "multi", "number")
METRICS = [(k, name) for k in KINDS for name in metrics_of(k) if "support/" not in name]


@pytest.mark.parametrize(("kind", "name"), METRICS)
def test_every_metric_has_an_interval_around_its_value(kind, name):
    found = interval_of(kind, name)
    assert found.estimate == pytest.approx(metrics_of(kind)[name], abs=1e-9)
    # The calibration error of a resample is mostly above that of the examples.
    if name != "expected_calibration_error":
        assert found.lower <= found.estimate <= found.upper
    assert found.num_left_out == 0
    assert interval_of(kind, name) == found


@pytest.mark.parametrize(("kind", "name"), METRICS)
def test_it_is_the_interval_of_the_metric_on_drawn_examples(kind, name):
    found, (lower, upper) = interval_of(kind, name), drawn_ends(kind)[name]
    assert lower < upper
    # Two resamplings of 400 place an end within some tenths of the interval's width.
    tolerance = 0.25 * (upper - lower)
    assert found.lower == pytest.approx(lower, abs=tolerance)
    assert found.upper == pytest.approx(upper, abs=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["support/pos", "f1/none_such", "f1_weighted", "accuracies"])
def test_what_is_no_measure_has_no_interval(kind, name):
    assert interval_of(kind, name) is None


def test_what_is_undefined_has_no_interval():
    assert regression_interval("pearson", [1.0, 2.0, 3.0], [2.0, 2.0, 2.0]) is None
    assert regression_interval("r2", [1.0], [2.0]) is None
    labels, probabilities = of_classes()
    assert classification_interval("roc_auc", np.zeros(120, int), probabilities, NAMES) is None
    only_two = probabilities * [1, 1, 0]
    only_two /= only_two.sum(axis=1, keepdims=True)
    assert classification_interval("f1/pos", labels % 2, only_two, NAMES) is None


def test_undefined_resamples_are_counted():
    interval = regression_interval("pearson", [1.0, 2.0, 2.0], [1.0, 3.0, 3.0])
    # Only of the first, or of none of it: (1/3)^3 + (2/3)^3 of the resamples.
    assert interval.num_left_out == pytest.approx(1000 * 9 / 27, abs=60)
    assert interval[:3] == pytest.approx((1.0, 1.0, 1.0))


def test_certain_mistakes_have_a_finite_loss():
    probabilities = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    interval = classification_interval("log_loss", [1, 0, 1], probabilities, ("neg", "pos"))
    assert interval.estimate == pytest.approx(36.04 / 3, abs=0.01)


def test_calibration_bins_are_passed_on():
    labels, probabilities = of_classes()
    one, many = (
        classification_interval(
            "expected_calibration_error", labels, probabilities, NAMES, calibration_bins=bins
        )
        for bins in (1, 15)
    )
    assert one != many
    assert one.estimate == expected_calibration_error(labels, probabilities, 1)
