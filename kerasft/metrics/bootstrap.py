"""Bootstrap intervals: how much a metric would move with another test set of the same size.

Percentile intervals as in Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
They hold the model fixed: what another training seed would change is not in them.

A metric may be undefined on a resample: the correlation of numbers that happen to be all equal, the
ROC-AUC where a small class was not drawn. Such resamples are left out, and counted; the ends are
NaN if no other remains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kerasft.errors import UserError

# Examples drawn at once: 8 MB of indices, and no slower than all at once.
_MAX_DRAWS = 1_000_000


class Interval(NamedTuple):
    """A metric and the interval around it.

    Attributes:
        estimate: The metric on the examples as they are.
        lower: Lower end.
        upper: Upper end.
        confidence_level: The share of resamples between the ends, such as 0.95.
        num_left_out: How many resamples the metric is undefined on; they are left out.
    """

    estimate: float
    lower: float
    upper: float
    confidence_level: float
    num_left_out: int = 0


def bootstrap_mean_interval(
    values: ArrayLike,
    *,
    num_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 1,
) -> Interval:
    """Returns the percentile interval of a mean over examples, such as accuracy or log loss.

    Args:
        values: One number an example, shape `(num_examples,)`: `labels == predictions` for
            accuracy, `-log(probability of the label)` for log loss.
        num_resamples: How often the examples are drawn anew, with replacement. Defaults to 1000.
        confidence_level: Between 0 and 1. Defaults to 0.95.
        seed: The same seed gives the same interval. Defaults to 1.

    Raises:
        UserError: No values.
        ValueError: Values of another shape or not finite, settings out of range.
    """
    _check_settings(num_resamples, confidence_level)
    values = np.asarray(values, dtype=np.float64)
    _check_not_empty(len(values))
    if values.ndim != 1 or not np.isfinite(values).all():
        raise ValueError(
            f"`values` must be one finite number an example. Received: shape {values.shape}, "
            f"{np.count_nonzero(~np.isfinite(values))} not finite. Expected: (num_examples,)."
        )
    generator = np.random.default_rng(seed)
    distinct, counts = np.unique(values, return_counts=True)
    if len(distinct) <= 100:
        # How often each distinct value is drawn is multinomial: the same distribution as drawing
        # examples, thousands of times faster when there are two values, as for accuracy.
        draws = generator.multinomial(len(values), counts / len(values), size=num_resamples)
        means = draws @ distinct / len(values)
    else:
        means = _resampled_means(values, num_resamples, generator)
    return _percentile_interval(values.mean(), means, confidence_level)


def bootstrap_interval(
    metric: Callable[[np.ndarray, np.ndarray], float],
    labels: ArrayLike,
    predictions: ArrayLike,
    *,
    num_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 1,
) -> Interval:
    """Returns the percentile interval of any metric; the other functions here are faster.

    Args:
        metric: Called as `metric(labels, predictions)` once a resample and once on everything.
        labels: One an example; the first axis is resampled.
        predictions: One an example, classes or rows of probabilities, resampled with the labels.
        num_resamples: How often the examples are drawn anew, with replacement. Defaults to 1000.
        confidence_level: Between 0 and 1. Defaults to 0.95.
        seed: The same seed gives the same interval. Defaults to 1.

    Raises:
        UserError: No examples.
        ValueError: Unequal lengths, or settings out of range.
    """
    _check_settings(num_resamples, confidence_level)
    labels, predictions = np.asarray(labels), np.asarray(predictions)
    _check_not_empty(len(labels))
    if len(labels) != len(predictions):
        raise ValueError(
            "`labels` and `predictions` must have one row an example. "
            f"Received: {len(labels)} and {len(predictions)}. Expected: equal lengths."
        )
    generator = np.random.default_rng(seed)
    resampled = np.empty(num_resamples)
    for i in range(num_resamples):
        rows = generator.integers(len(labels), size=len(labels))
        resampled[i] = metric(labels[rows], predictions[rows])
    return _percentile_interval(metric(labels, predictions), resampled, confidence_level)


def bootstrap_counts_interval(
    metric: Callable[[np.ndarray], np.ndarray],
    counts: ArrayLike,
    *,
    num_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 1,
) -> Interval:
    """Returns the percentile interval of a metric that is a function of counts.

    How often examples of each kind are drawn is multinomial: the same distribution as drawing
    examples, and no slower for more of them.

    Args:
        metric: Takes counts of shape `(rows, *counts.shape)`, returns `(rows,)`; NaN where it is
            undefined.
        counts: How many examples there are of each kind, such as a confusion matrix.
        num_resamples: How often the examples are drawn anew, with replacement. Defaults to 1000.
        confidence_level: Between 0 and 1. Defaults to 0.95.
        seed: The same seed gives the same interval. Defaults to 1.

    Raises:
        UserError: No examples.
        ValueError: Settings out of range.
    """
    _check_settings(num_resamples, confidence_level)
    counts = np.asarray(counts)
    num_examples = int(counts.sum())
    _check_not_empty(num_examples)
    generator = np.random.default_rng(seed)
    kinds = np.flatnonzero(counts)
    shares = counts.ravel()[kinds] / num_examples
    resampled = np.empty(num_resamples)
    for block in _blocks(resampled, counts.size):
        drawn = np.zeros((len(block), counts.size))
        drawn[:, kinds] = generator.multinomial(num_examples, shares, size=len(block))
        block[:] = metric(drawn.reshape(-1, *counts.shape))
    (estimate,) = metric(counts[np.newaxis].astype(np.float64))
    return _percentile_interval(estimate, resampled, confidence_level)


def bootstrap_weights_interval(
    metric: Callable[[np.ndarray], np.ndarray],
    num_examples: int,
    *,
    num_resamples: int = 1000,
    confidence_level: float = 0.95,
    seed: int = 1,
) -> Interval:
    """Returns the percentile interval of a metric that takes examples with weights.

    A resample is told as how often it holds each example, so that a metric made of sums over
    examples is one matrix product for many resamples.

    Args:
        metric: Takes weights, float64 `(rows, num_examples)`, returns `(rows,)`; NaN where it is
            undefined.
        num_examples: How many examples there are.
        num_resamples: How often the examples are drawn anew, with replacement. Defaults to 1000.
        confidence_level: Between 0 and 1. Defaults to 0.95.
        seed: The same seed gives the same interval. Defaults to 1.

    Raises:
        UserError: No examples.
        ValueError: Settings out of range.
    """
    _check_settings(num_resamples, confidence_level)
    drawn = resampled_weights(num_examples, num_resamples=num_resamples, seed=seed)
    resampled = np.concatenate([metric(weights) for weights in drawn])
    (estimate,) = metric(np.ones((1, num_examples)))
    return _percentile_interval(estimate, resampled, confidence_level)


def resampled_weights(
    num_examples: int, *, num_resamples: int = 1000, seed: int = 1
) -> Iterator[np.ndarray]:
    """Yields how often each resample holds each example, a few resamples at a time.

    Args:
        num_examples: How many examples there are.
        num_resamples: How often the examples are drawn anew, with replacement. Defaults to 1000.
        seed: The same seed gives the same resamples. Defaults to 1.

    Yields:
        float64 `(rows, num_examples)`.

    Raises:
        UserError: No examples.
    """
    _check_not_empty(num_examples)
    generator = np.random.default_rng(seed)
    for block in _blocks(np.empty(num_resamples), num_examples):
        weights = np.empty((len(block), num_examples))
        for row in weights:
            drawn = generator.integers(num_examples, size=num_examples)
            row[:] = np.bincount(drawn, minlength=num_examples)
        yield weights


def _blocks(resampled: np.ndarray, row_size: int) -> Iterator[np.ndarray]:
    """Yields the resamples in parts whose rows fit into little memory, to be filled."""
    rows_at_once = max(1, _MAX_DRAWS // max(1, row_size))
    for start in range(0, len(resampled), rows_at_once):
        yield resampled[start : start + rows_at_once]


def _resampled_means(
    values: np.ndarray, num_resamples: int, generator: np.random.Generator
) -> np.ndarray:
    means = np.empty(num_resamples)
    for block in _blocks(means, len(values)):
        block[:] = values[generator.integers(len(values), size=(len(block), len(values)))].mean(1)
    return means


def _percentile_interval(
    estimate: float, resampled: np.ndarray, confidence_level: float
) -> Interval:
    defined = resampled[np.isfinite(resampled)]
    num_left_out = len(resampled) - len(defined)
    tail = (1 - confidence_level) / 2
    ends = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (np.nan, np.nan)
    lower, upper = ends
    return Interval(float(estimate), float(lower), float(upper), confidence_level, num_left_out)


def _check_settings(num_resamples: int, confidence_level: float) -> None:
    if num_resamples < 1:
        raise ValueError(
            f"`num_resamples` is too small. Received: {num_resamples}. Expected: at least 1."
        )
    if not 0 < confidence_level < 1:
        raise ValueError(
            f"`confidence_level` is out of range. Received: {confidence_level}. "
            "Expected: between 0 and 1, such as 0.95."
        )


def _check_not_empty(num_examples: int) -> None:
    if num_examples == 0:
        raise UserError(
            "There is nothing to resample.", received=num_examples, expected="at least one example"
        )
