"""Metrics of examples with weights, for many rows of weights at once: what resampling asks for.

Each function takes the examples once, sorts them once, and returns a function from weights, float64
`(rows, num_examples)`, to the metric, `(rows,)`; NaN where it is undefined. An example of weight 2
counts as if it stood there twice, one of weight 0 as if it did not.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np

Weighted = Callable[[np.ndarray], np.ndarray]

# Of numbers with a mean square of 1: a smaller variance is rounding, and there is none.
_NO_VARIANCE = 1e-20


def weighted_roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> Weighted:
    """Returns the ROC-AUC of `classification_metrics`: of class 1, or one-versus-rest.

    Args:
        labels: Class indices, `(num_examples,)`.
        probabilities: `(num_examples, num_classes)`.
    """
    classes = [1] if probabilities.shape[1] == 2 else np.unique(labels)
    areas = [_binary_roc_auc(labels == index, probabilities[:, index]) for index in classes]

    def metric(weights: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            # The mean over the classes that were drawn, and NaN where all examples are of one.
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            return np.nanmean([area(weights) for area in areas], axis=0)

    return metric


def weighted_average_precision(labels: np.ndarray, scores: np.ndarray) -> Weighted:
    """Returns the average precision of one label, 0 where it does not occur.

    Args:
        labels: Whether it applies, bool `(num_examples,)`.
        scores: Its probability, `(num_examples,)`.
    """
    group_sums = _grouping(scores)

    def metric(weights: np.ndarray) -> np.ndarray:
        applying = group_sums(weights * labels)[:, ::-1]
        every = group_sums(weights)[:, ::-1]
        precision = _divided(applying.cumsum(axis=1), every.cumsum(axis=1), otherwise=0)
        return _divided((applying * precision).sum(axis=1), applying.sum(axis=1), otherwise=0)

    return metric


def weighted_pearson(labels: np.ndarray, predictions: np.ndarray) -> Weighted:
    """Returns the Pearson correlation of numbers `(num_examples,)`."""
    first, second = _standardized(labels), _standardized(predictions)
    return lambda weights: _correlation(weights, first, second)


def weighted_spearman(labels: np.ndarray, predictions: np.ndarray) -> Weighted:
    """Returns the Spearman correlation: that of the ranks, made anew for each row of weights."""
    rankings = _ranking(labels), _ranking(predictions)

    def metric(weights: np.ndarray) -> np.ndarray:
        return _correlation(weights, *(ranks(weights) for ranks in rankings))

    return metric


def weighted_r2(labels: np.ndarray, predictions: np.ndarray) -> Weighted:
    """Returns the share of the labels' variance that is explained; NaN where there is none."""
    scale = labels.std() or 1.0
    centred, errors = (labels - labels.mean()) / scale, ((predictions - labels) / scale) ** 2

    def metric(weights: np.ndarray) -> np.ndarray:
        total = weights.sum(axis=1)
        variance = weights @ centred**2 / total - (weights @ centred / total) ** 2
        variance = np.where(variance > _NO_VARIANCE, variance, np.nan)
        return 1 - weights @ errors / total / variance

    return metric


def _binary_roc_auc(is_positive: np.ndarray, scores: np.ndarray) -> Weighted:
    group_sums = _grouping(scores)

    def metric(weights: np.ndarray) -> np.ndarray:
        positives, negatives = group_sums(weights * is_positive), group_sums(weights * ~is_positive)
        # Of every positive, the negatives ranked below it, and half of those ranked alike.
        below = negatives.cumsum(axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        return _divided((positives * below).sum(axis=1), pairs, otherwise=np.nan)

    return metric


def _grouping(values: np.ndarray) -> Weighted:
    """Returns the function that sums weights over equal values, in rising order of the values."""
    order = np.argsort(values, kind="stable")
    _, starts = np.unique(values[order], return_index=True)
    return lambda weights: np.add.reduceat(weights[:, order], starts, axis=1)


def _ranking(values: np.ndarray) -> Weighted:
    """Returns the function from weights to ranks `(rows, num_examples)`; ties share the middle."""
    group_sums = _grouping(values)
    _, group = np.unique(values, return_inverse=True)

    def ranks(weights: np.ndarray) -> np.ndarray:
        sizes = group_sums(weights)
        return (sizes.cumsum(axis=1) - (sizes - 1) / 2)[:, group] / len(values)

    return ranks


def _correlation(weights: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    total = weights.sum(axis=1, keepdims=True)
    first = first - (weights * first).sum(axis=1, keepdims=True) / total
    second = second - (weights * second).sum(axis=1, keepdims=True) / total
    variances = ((weights * numbers**2).sum(axis=1) / total[:, 0] for numbers in (first, second))
    product = np.prod([np.where(v > _NO_VARIANCE, v, np.nan) for v in variances], axis=0)
    return (weights * first * second).sum(axis=1) / total[:, 0] / np.sqrt(product)


def _standardized(numbers: np.ndarray) -> np.ndarray:
    return (numbers - numbers.mean()) / (numbers.std() or 1.0)


def _divided(part: np.ndarray, whole: np.ndarray, *, otherwise: float) -> np.ndarray:
    return np.divide(part, whole, out=np.full(np.shape(whole), float(otherwise)), where=whole > 0)
