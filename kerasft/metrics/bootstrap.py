"""Bootstrap intervals: how much a metric would vary with another test set of the same size.

Percentile intervals as in Efron & Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13.
The model is fixed: variation over training seeds is not included.

A metric may be undefined on a resample, such as the correlation of equal numbers, or the ROC-AUC
without a small class. Such resamples are left out, and counted; the ends are NaN if none remains.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from kerasft.errors import UserError
from kerasft.metrics.weighted import WeightedMetric

CONFIDENCE_LEVEL = 0.95
# Examples drawn at once: 8 MB of indices, and no slower than all at once.
_MAX_DRAWS = 1_000_000


class Interval(NamedTuple):
    """A metric and its interval.

    Attributes:
        estimate: The metric on the original examples.
        confidence_level: The share of resamples between the ends, such as 0.95.
        num_left_out: Number of resamples on which the metric is undefined; they are left out.
    """

    estimate: float
    lower: float
    upper: float
    confidence_level: float
    num_left_out: int = 0


def bootstrap_interval(
    metric: WeightedMetric | None, *, num_resamples: int = 1000, seed: int = 1
) -> Interval | None:
    """Returns the 95 % percentile interval of a metric, over examples drawn with replacement.

    `None` if `metric` is (it has no weighted form), or if it is undefined on the original examples.

    Raises:
        UserError: No examples.
        ValueError: Less than one resample.
    """
    if metric is None:
        return None
    if num_resamples < 1:
        raise ValueError(
            f"`num_resamples` is too small. Received: {num_resamples}. Expected: at least 1."
        )
    _check_not_empty(metric.num_examples)
    (estimate,) = metric(np.ones((1, metric.num_examples)))
    if not np.isfinite(estimate):
        return None
    if metric.kinds is None:
        drawn = resampled_weights(metric.num_examples, num_resamples=num_resamples, seed=seed)
    else:
        metric, counts = metric.one_of_each_kind()
        drawn = _resampled_counts(counts, num_resamples, seed)
    return percentile_interval(estimate, np.concatenate([metric(weights) for weights in drawn]))


def percentile_interval(estimate: float, resampled: np.ndarray) -> Interval:
    """Returns the interval that holds 95 % of the resamples on which a metric is defined.

    `estimate` is the metric on the original examples.
    """
    defined = resampled[np.isfinite(resampled)]
    num_left_out = len(resampled) - len(defined)
    tail = (1 - CONFIDENCE_LEVEL) / 2
    lower, upper = np.quantile(defined, [tail, 1 - tail]) if len(defined) else (np.nan, np.nan)
    return Interval(float(estimate), float(lower), float(upper), CONFIDENCE_LEVEL, num_left_out)


def resampled_weights(
    num_examples: int, *, num_resamples: int = 1000, seed: int = 1
) -> Iterator[np.ndarray]:
    """Yields the count of each example in each resample, a few resamples at a time.

    Examples are drawn with replacement. Each block is float64 `(rows, num_examples)`.

    Raises:
        UserError: No examples.
    """
    _check_not_empty(num_examples)
    generator = np.random.default_rng(seed)
    for num_rows in _blocks(num_resamples, num_examples):
        weights = np.empty((num_rows, num_examples))
        for row in weights:
            drawn = generator.integers(num_examples, size=num_examples)
            row[:] = np.bincount(drawn, minlength=num_examples)
        yield weights


def _resampled_counts(counts: np.ndarray, num_resamples: int, seed: int) -> Iterator[np.ndarray]:
    """Yields the count of each kind of example in each resample, float64 `(rows, num_kinds)`.

    It is multinomial: the same distribution as drawing examples, and thousands of times faster for
    two kinds, as in accuracy.
    """
    generator = np.random.default_rng(seed)
    num_examples = int(counts.sum())
    for num_rows in _blocks(num_resamples, len(counts)):
        drawn = generator.multinomial(num_examples, counts / num_examples, size=num_rows)
        yield drawn.astype(np.float64)


def _blocks(num_resamples: int, row_size: int) -> Iterator[int]:
    """Yields how many resamples to draw at once, so that their rows fit into little memory."""
    rows_at_once = max(1, _MAX_DRAWS // row_size)
    for start in range(0, num_resamples, rows_at_once):
        yield min(rows_at_once, num_resamples - start)


def _check_not_empty(num_examples: int) -> None:
    if num_examples == 0:
        raise UserError(
            "There is nothing to resample.", received=num_examples, expected="at least one example"
        )
