"""Tests of two models on the same examples: is one better, or is the difference chance?

The exact test of McNemar 1947, "Note on the sampling error of the difference between correlated
proportions", for metrics that are a share of correct examples; the paired bootstrap (Efron &
Tibshirani 1993, chapter 16; Koehn 2004, "Statistical significance tests for machine translation
evaluation") for any other metric; Holm 1979, "A simple sequentially rejective multiple test
procedure", for several tests. Models are fixed: variation over training seeds is not included.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from kerasft.metrics.bootstrap import percentile_interval, resampled_weights
from kerasft.metrics.weighted import Weighted


class Difference(NamedTuple):
    """The difference of two models in a metric, the second minus the first, and its 95 % interval.

    Attributes:
        estimate: On the original examples.
        p_value: The probability of such a difference, or a larger one, between equally good models.
        num_left_out: Number of resamples on which the metric is undefined; they are left out.
    """

    estimate: float
    lower: float
    upper: float
    p_value: float
    num_left_out: int = 0


def mcnemar(first_right: ArrayLike, second_right: ArrayLike) -> float:
    """Returns the p-value of the exact McNemar test, two-sided.

    Under the null hypothesis, an example that only one model gets right is equally likely to be
    either's. 1 if there is no such example. Arguments are bool `(num_examples,)`: whether each
    model is right.
    """
    first_right, second_right = np.asarray(first_right, bool), np.asarray(second_right, bool)
    _check_as_many(first_right, second_right)
    only_first = int((first_right & ~second_right).sum())
    only_second = int((second_right & ~first_right).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def paired_bootstrap(
    models: Sequence[Weighted], num_examples: int, *, num_resamples: int = 5000, seed: int = 1
) -> dict[tuple[int, int], Difference]:
    """Returns the difference of each two models, its percentile interval and its p-value.

    Each resample has the same examples for all models. The p-value is twice the share of resamples
    in which the difference is 0 or has the other sign, at least `2 / (num_resamples + 1)`.

    Args:
        models: The metric of each model, from weights `(rows, num_examples)` to `(rows,)`.
        num_examples: Number of examples.
        num_resamples: Number of resamples. Defaults to 5000.
        seed: Seed of the resamples. Defaults to 1.

    Returns:
        By the indices of two models, the smaller one first.

    Raises:
        UserError: No examples.
    """
    whole = np.ones((1, num_examples))
    estimates = [float(metric(whole)[0]) for metric in models]
    blocks = [
        [metric(weights) for metric in models]
        for weights in resampled_weights(num_examples, num_resamples=num_resamples, seed=seed)
    ]
    resampled = np.concatenate(blocks, axis=1)  # (models, resamples)
    return {
        (i, j): _difference(estimates[j] - estimates[i], resampled[j] - resampled[i])
        for i, j in itertools.combinations(range(len(models)), 2)
    }


def _difference(estimate: float, resampled: np.ndarray) -> Difference:
    interval = percentile_interval(estimate, resampled)
    if not np.isfinite([estimate, interval.lower]).all():
        return Difference(estimate, np.nan, np.nan, np.nan, interval.num_left_out)
    against = min((resampled <= 0).sum(), (resampled >= 0).sum())  # neither holds of a NaN
    num_defined = len(resampled) - interval.num_left_out
    p_value = min(1.0, 2 * (against + 1) / (num_defined + 1))
    return Difference(*interval[:3], float(p_value), interval.num_left_out)


def holm(p_values: Sequence[float]) -> list[float]:
    """Returns the p-values, adjusted for multiple tests.

    At a level of 0.05, all differences called real are so in 95 of 100 such families of tests. NaN
    (a test that could not be made) is kept, and not counted.
    """
    adjusted = np.array(p_values, np.float64)
    order = [index for index in np.argsort(adjusted) if np.isfinite(adjusted[index])]
    largest = 0.0
    for rank, index in enumerate(order):
        largest = max(largest, min(1.0, (len(order) - rank) * adjusted[index]))
        adjusted[index] = largest
    return adjusted.tolist()


def _check_as_many(first: np.ndarray, second: np.ndarray) -> None:
    if first.shape != second.shape or first.ndim != 1:
        raise ValueError(
            "A paired test needs the same examples. "
            f"Received: shapes {first.shape} and {second.shape}. Expected: (num_examples,) twice."
        )
