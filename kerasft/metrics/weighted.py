"""Metrics of weighted examples, for many rows of weights at once, as resampling needs them.

Bootstrap intervals and paired tests share these. With weights of one each is the metric that
`classification`, `multilabel` and `regression` report. The calibration error has no such form: it
is mostly larger on resamples than on the examples, so that an interval would mislead.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import warnings
from collections.abc import Callable, Sequence

import numpy as np
from scipy import sparse

from kerasft.metric import BY_LABEL
from kerasft.metrics.multilabel import example_f1, example_log_loss, of_counts, ratio

Weighted = Callable[[np.ndarray], np.ndarray]

# For numbers with a mean square of 1: a smaller variance is rounding, and counts as none.
_NO_VARIANCE = 1e-20
_FEW_VALUES = 100


@dataclasses.dataclass(frozen=True, eq=False)
class WeightedMetric:
    """A metric as a function of example weights.

    Called with weights, float64 `(rows, num_examples)`, it returns `(rows,)`; NaN if undefined. An
    example of weight 2 counts as two examples, one of weight 0 as none.

    Args:
        build: Takes the arrays, returns that function. Does all work that is needed only once.
        arrays: The inputs of the metric, one row per example.
        kinds: int `(num_examples,)`: examples of the same number are equal to the metric. `None`:
            each may differ from all others.
        is_right: Whether each example is right, bool `(num_examples,)`, if the metric is their
            share; else `None`.
    """

    build: Callable[..., Weighted]
    arrays: tuple[np.ndarray, ...]
    kinds: np.ndarray | None = None
    is_right: np.ndarray | None = None

    def __call__(self, weights: np.ndarray) -> np.ndarray:
        """Returns the metric for each row of weights."""
        return self._function(weights)

    @functools.cached_property
    def _function(self) -> Weighted:
        return self.build(*self.arrays)

    @property
    def num_examples(self) -> int:
        """Number of examples."""
        return len(self.arrays[0])

    def one_of_each_kind(self) -> tuple[Weighted, np.ndarray]:
        """Returns the metric of one example of each kind, and the size of each kind."""
        _, rows, counts = np.unique(self.kinds, return_index=True, return_counts=True)
        return self.build(*(array[rows] for array in self.arrays)), counts


def weighted_of_classes(
    name: str, labels: np.ndarray, probabilities: np.ndarray, label_names: Sequence[str]
) -> WeightedMetric | None:
    """Returns a metric of `classification_metrics` in this form; `None` if it has none.

    `name` is such as `accuracy`, `f1_macro` or `f1/<label>`.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    predictions = probabilities.argmax(axis=1)
    if name == "accuracy":
        return weighted_mean(predictions == labels)
    if name == "log_loss":
        return weighted_mean(_class_losses(labels, probabilities))
    if name == "roc_auc":
        return WeightedMetric(_roc_auc, (labels, probabilities))
    # A class that neither occurs nor is predicted is undefined, and in no average.
    average = _matthews if name == "matthews_correlation" else _average(name, label_names, math.nan)
    if average is None:
        return None
    num_classes = len(label_names)

    def build(labels: np.ndarray, predictions: np.ndarray) -> Weighted:
        return _counted(average, *(_one_hot(a, num_classes) for a in (labels, predictions)))

    kinds = labels.astype(np.int64) * num_classes + predictions
    return WeightedMetric(build, (labels, predictions), kinds)


def weighted_of_label_sets(
    name: str,
    labels: np.ndarray,
    scores: np.ndarray,
    selected: np.ndarray,
    label_names: Sequence[str],
) -> WeightedMetric | None:
    """Returns a metric of `multilabel_metrics` in this form; `None` if it has none.

    `name` is such as `f1_micro`, `subset_accuracy` or `f1/<label>`.
    """
    labels, selected = np.asarray(labels, bool), np.asarray(selected, bool)
    scores = np.asarray(scores, np.float64)
    if name == "f1_samples":
        return weighted_mean(example_f1(labels, selected))
    if name == "subset_accuracy":
        return weighted_mean((labels == selected).all(axis=1))
    if name == "hamming_loss":
        return weighted_mean((labels != selected).mean(axis=1))
    if name == "log_loss":
        return weighted_mean(example_log_loss(labels, scores))
    if name == "average_precision_macro":
        return WeightedMetric(_average_precision, (labels, scores))
    average = _average(name, label_names, 0.0)
    if average is None:
        return None

    def build(labels: np.ndarray, selected: np.ndarray) -> Weighted:
        return _counted(average, *(sparse.csr_array(a.T, dtype=float) for a in (labels, selected)))

    return WeightedMetric(build, (labels, selected))


def weighted_of_numbers(
    name: str, labels: np.ndarray, predictions: np.ndarray
) -> WeightedMetric | None:
    """Returns a metric of `regression_metrics` in this form; `None` if it has none."""
    labels, predictions = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    if name == "mean_squared_error":
        return weighted_mean(np.abs(predictions - labels) ** 2)
    if name == "mean_absolute_error":
        return weighted_mean(np.abs(predictions - labels))
    build = {"pearson": _pearson, "spearman": _spearman, "r2": _r2}.get(name)
    return build and WeightedMetric(build, (labels, predictions))


def weighted_mean(values: np.ndarray) -> WeightedMetric:
    """Returns the mean of a number per example, `(num_examples,)`; of bools, the share of true.

    Accuracy is that of `labels == predictions`, log loss of `-log(probability of the label)`.
    """
    values = np.asarray(values)
    numbers = values.astype(np.float64)
    kinds = numbers if len(np.unique(numbers)) <= _FEW_VALUES else None
    return WeightedMetric(_mean, (numbers,), kinds, values if values.dtype == bool else None)


def _mean(values: np.ndarray) -> Weighted:
    return lambda weights: weights @ values / weights.sum(axis=1)


def _class_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    of_label = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    epsilon = np.finfo(np.float64).eps
    return -np.log(np.clip(of_label, epsilon, 1 - epsilon))


def _one_hot(classes: np.ndarray, num_classes: int) -> sparse.csr_array:
    """Returns which examples are of which class, `(num_classes, num_examples)`."""
    places = (classes, np.arange(len(classes)))
    return sparse.csr_array((np.ones(len(classes)), places), shape=(num_classes, len(classes)))


def _counted(
    average: Callable[..., np.ndarray], applies: sparse.csr_array, given: sparse.csr_array
) -> Weighted:
    """Returns a metric of each label's true, predicted and actual positives.

    `average` takes these three, each `(rows, num_labels)`, and returns `(rows,)`. `applies` and
    `given` are `(num_labels, num_examples)`, ones where a label applies, or is predicted.
    """
    counted = (applies.multiply(given).tocsr(), given, applies)
    return lambda weights: average(*((ones @ weights.T).T for ones in counted))


def _average(
    name: str, label_names: Sequence[str], unseen: float
) -> Callable[..., np.ndarray] | None:
    """Returns precision, recall or F1 from counts: of one label, or as an average over labels.

    `None` for any other name than `f1_macro`, `f1_micro`, `f1/<label>`, ... `unseen` is the value
    of a label without positives; NaN is excluded from averages.
    """
    kind, _, label = name.partition("/")
    columns = slice(None)
    if kind in BY_LABEL and label in label_names:
        columns = [list(label_names).index(label)]
    else:
        kind, _, label = name.partition("_")
        if kind not in BY_LABEL or label not in ("macro", "micro"):
            return None

    def average(*counts: np.ndarray) -> np.ndarray:
        counts = [count[:, columns] for count in counts]
        if label == "micro":
            counts = [count.sum(axis=1, keepdims=True) for count in counts]
        _, given, support = counts
        values = np.where(given + support > 0, of_counts(kind, *counts), unseen)
        return values[:, 0] if values.shape[1] == 1 else np.nanmean(values, axis=1)

    return average


def _matthews(hits: np.ndarray, given: np.ndarray, support: np.ndarray) -> np.ndarray:
    """Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation"."""
    total = support.sum(axis=1)
    covariance = hits.sum(axis=1) * total - (support * given).sum(axis=1)
    variances = [total**2 - (counts**2).sum(axis=1) for counts in (support, given)]
    return ratio(covariance, np.sqrt(variances[0]) * np.sqrt(variances[1]))


def _roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> Weighted:
    """Returns the ROC-AUC of class 1, or the mean of one-versus-rest."""
    classes = [1] if probabilities.shape[1] == 2 else np.unique(labels)
    areas = [_binary_roc_auc(labels == index, probabilities[:, index]) for index in classes]

    def metric(weights: np.ndarray) -> np.ndarray:
        with warnings.catch_warnings():
            # The mean over the classes that were drawn; NaN if all examples are of one.
            warnings.filterwarnings("ignore", "Mean of empty slice", RuntimeWarning)
            return np.nanmean([area(weights) for area in areas], axis=0)

    return metric


def _average_precision(labels: np.ndarray, scores: np.ndarray) -> Weighted:
    """Returns the mean over labels of the average precision, 0 if a label does not occur."""
    columns = zip(labels.T, scores.T, strict=True)
    of_labels = [_average_precision_of_one(*column) for column in columns]
    return lambda weights: np.mean([metric(weights) for metric in of_labels], axis=0)


def _average_precision_of_one(labels: np.ndarray, scores: np.ndarray) -> Weighted:
    group_sums = _grouping(scores)

    def metric(weights: np.ndarray) -> np.ndarray:
        applying = group_sums(weights * labels)[:, ::-1]
        every = group_sums(weights)[:, ::-1]
        precision = ratio(applying.cumsum(axis=1), every.cumsum(axis=1), otherwise=0)
        return ratio((applying * precision).sum(axis=1), applying.sum(axis=1), otherwise=0)

    return metric


def _pearson(labels: np.ndarray, predictions: np.ndarray) -> Weighted:
    first, second = _standardized(labels), _standardized(predictions)
    return lambda weights: _correlation(weights, first, second)


def _spearman(labels: np.ndarray, predictions: np.ndarray) -> Weighted:
    """Returns the Spearman correlation, with new ranks for each row of weights."""
    rankings = _ranking(labels), _ranking(predictions)

    def metric(weights: np.ndarray) -> np.ndarray:
        return _correlation(weights, *(ranks(weights) for ranks in rankings))

    return metric


def _r2(labels: np.ndarray, predictions: np.ndarray) -> Weighted:
    """Returns the explained share of the labels' variance; NaN without variance."""
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
        # For every positive, the negatives ranked below it, and half of the tied ones.
        below = negatives.cumsum(axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        return ratio((positives * below).sum(axis=1), pairs, otherwise=np.nan)

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
