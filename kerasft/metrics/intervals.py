"""Bootstrap intervals of the metrics, by name: for classes, several labels and numbers.

An interval is of the metric as `classification`, `multilabel` and `regression` define it, and its
`estimate` is their value. A metric that is undefined on all examples has no interval.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np

from kerasft.metrics.bootstrap import (
    Interval,
    bootstrap_counts_interval,
    bootstrap_interval,
    bootstrap_mean_interval,
    bootstrap_weights_interval,
)
from kerasft.metrics.calibration import expected_calibration_error
from kerasft.metrics.classification import confusion
from kerasft.metrics.multilabel import example_f1, example_log_loss, ratio
from kerasft.metrics.weighted import (
    weighted_average_precision,
    weighted_pearson,
    weighted_r2,
    weighted_roc_auc,
    weighted_spearman,
)

_KINDS = ("precision", "recall", "f1")


def classification_interval(
    name: str,
    labels: np.ndarray,
    probabilities: np.ndarray,
    label_names: Sequence[str],
    *,
    calibration_bins: int = 15,
    num_resamples: int = 1000,
    seed: int = 1,
) -> Interval | None:
    """Returns the interval of a metric of `classification_metrics`; `None` if it has none.

    Args:
        name: The metric, such as `accuracy`, `f1_macro` or `f1/<label>`.
        labels: Class indices, shape `(num_examples,)`.
        probabilities: Shape `(num_examples, num_classes)`.
        label_names: One name a class.
        calibration_bins: Bins of the expected calibration error. Defaults to 15.
        num_resamples: How often the examples are drawn anew. Defaults to 1000.
        seed: The same seed gives the same interval. Defaults to 1.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    settings = {"num_resamples": num_resamples, "seed": seed}
    predictions = probabilities.argmax(axis=1)
    if name == "accuracy":
        return bootstrap_mean_interval((predictions == labels).astype(np.float64), **settings)
    if name == "log_loss":
        return bootstrap_mean_interval(class_losses(labels, probabilities), **settings)
    if name == "expected_calibration_error":
        metric = functools.partial(expected_calibration_error, num_bins=calibration_bins)
        return bootstrap_interval(metric, labels, probabilities, **settings)
    if name == "roc_auc":
        if len(np.unique(labels)) == 1:
            return None
        metric = weighted_roc_auc(labels, probabilities)
        return bootstrap_weights_interval(metric, len(labels), **settings)
    metric = metric_of_confusion(name, label_names)
    counts = confusion(labels, predictions, len(label_names))
    if metric is None or not np.isfinite(metric(counts[np.newaxis])).all():
        return None
    return bootstrap_counts_interval(metric, counts, **settings)


def multilabel_interval(
    name: str,
    labels: np.ndarray,
    scores: np.ndarray,
    selected: np.ndarray,
    label_names: Sequence[str],
    *,
    num_resamples: int = 1000,
    seed: int = 1,
) -> Interval | None:
    """Returns the interval of a metric of `multilabel_metrics`; `None` if it has none.

    Args:
        name: The metric, such as `f1_micro`, `subset_accuracy` or `f1/<label>`.
        labels: Zeros and ones, shape `(num_examples, num_labels)`.
        scores: The probability of each label, of the same shape.
        selected: Whether each label is given, of the same shape.
        label_names: One name a label.
        num_resamples: How often the examples are drawn anew. Defaults to 1000.
        seed: The same seed gives the same interval. Defaults to 1.
    """
    labels, selected = np.asarray(labels, bool), np.asarray(selected, bool)
    scores = np.asarray(scores, np.float64)
    settings = {"num_resamples": num_resamples, "seed": seed}
    values = values_of_label_sets(name, labels, scores, selected)
    if values is not None:
        return bootstrap_mean_interval(values, **settings)
    metric = metric_of_label_sets(name, labels, scores, selected, label_names)
    return metric and bootstrap_weights_interval(metric, len(labels), **settings)


def regression_interval(
    name: str,
    labels: np.ndarray,
    predictions: np.ndarray,
    *,
    num_resamples: int = 1000,
    seed: int = 1,
) -> Interval | None:
    """Returns the interval of a metric of `regression_metrics`; `None` if it has none.

    Args:
        name: The metric, such as `pearson`.
        labels: Numbers, shape `(num_examples,)`.
        predictions: Numbers, shape `(num_examples,)`.
        num_resamples: How often the examples are drawn anew. Defaults to 1000.
        seed: The same seed gives the same interval. Defaults to 1.
    """
    labels, predictions = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    settings = {"num_resamples": num_resamples, "seed": seed}
    values = values_of_numbers(name, labels, predictions)
    if values is not None:
        return bootstrap_mean_interval(values, **settings)
    metric = metric_of_numbers(name, labels, predictions)
    if metric is None or not np.isfinite(metric(np.ones((1, len(labels))))).all():
        return None
    return bootstrap_weights_interval(metric, len(labels), **settings)


def class_losses(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    """Returns the log loss of each example of `classification_metrics`, `(num_examples,)`."""
    of_label = probabilities[np.arange(len(labels)), labels] / probabilities.sum(axis=1)
    epsilon = np.finfo(np.float64).eps
    return -np.log(np.clip(of_label, epsilon, 1 - epsilon))


def metric_of_confusion(name: str, label_names: Sequence[str]) -> Callable | None:
    """Returns a metric from confusion matrices `(rows, classes, classes)` to `(rows,)`.

    `None` if it has no such function.
    """
    if name == "matthews_correlation":
        return _matthews
    parsed = _parsed(name, label_names)
    if parsed is None:
        return None
    kind, which = parsed

    def metric(confusions: np.ndarray) -> np.ndarray:
        hits = np.diagonal(confusions, axis1=1, axis2=2)
        support, given = confusions.sum(axis=2), confusions.sum(axis=1)
        values = _of_counts(kind, hits, given, support)
        # A class that neither occurs nor is predicted has no value, and is in no average.
        values = np.where(given + support > 0, values, np.nan)
        return np.nanmean(values, axis=1) if which == "macro" else values[:, which]

    return metric


def values_of_label_sets(
    name: str, labels: np.ndarray, scores: np.ndarray, selected: np.ndarray
) -> np.ndarray | None:
    """Returns the examples' values of a metric of `multilabel_metrics` that is their mean.

    `None` if it is no such mean.
    """
    if name == "f1_samples":
        return example_f1(labels, selected)
    if name == "subset_accuracy":
        return (labels == selected).all(axis=1).astype(np.float64)
    if name == "hamming_loss":
        return (labels != selected).mean(axis=1)
    return example_log_loss(labels, scores) if name == "log_loss" else None


def values_of_numbers(name: str, labels: np.ndarray, predictions: np.ndarray) -> np.ndarray | None:
    """Returns the examples' values of a metric of `regression_metrics` that is their mean.

    `None` if it is no such mean.
    """
    errors = np.abs(predictions - labels)
    return {"mean_squared_error": errors**2, "mean_absolute_error": errors}.get(name)


def metric_of_numbers(name: str, labels: np.ndarray, predictions: np.ndarray) -> Callable | None:
    """Returns a metric from weights of examples `(rows, num_examples)` to `(rows,)`.

    `None` if it has no such function.
    """
    metrics = {"pearson": weighted_pearson, "spearman": weighted_spearman, "r2": weighted_r2}
    return metrics[name](labels, predictions) if name in metrics else None


def metric_of_label_sets(
    name: str,
    labels: np.ndarray,
    scores: np.ndarray,
    selected: np.ndarray,
    label_names: Sequence[str],
) -> Callable | None:
    """Returns a metric from weights of examples `(rows, num_examples)` to `(rows,)`.

    `None` if it has no such function.
    """
    if name != "average_precision_macro":
        return _metric_of_labels(name, labels, selected, label_names)
    columns = zip(labels.T, scores.T, strict=True)
    of_labels = [weighted_average_precision(*column) for column in columns]
    return functools.partial(_mean_of_metrics, of_labels)


def _metric_of_labels(
    name: str, labels: np.ndarray, selected: np.ndarray, label_names: Sequence[str]
) -> Callable | None:
    parsed = _parsed(name, label_names)
    if parsed is None:
        return None
    kind, which = parsed
    columns = slice(None) if isinstance(which, str) else slice(which, which + 1)
    summed = [a[:, columns] for a in (labels & selected, selected, labels)]
    if which == "micro":
        summed = [a.sum(axis=1, keepdims=True) for a in summed]
    summed = [a.astype(np.float64) for a in summed]

    def metric(weights: np.ndarray) -> np.ndarray:
        return _of_counts(kind, *(weights @ of_examples for of_examples in summed)).mean(axis=1)

    return metric


def _parsed(name: str, label_names: Sequence[str]) -> tuple[str, str | int] | None:
    """Splits `f1_macro` into `f1` and `macro`, `f1/pos` into `f1` and the index of its label."""
    kind, _, label = name.partition("/")
    if kind in _KINDS and label in label_names:
        return kind, list(label_names).index(label)
    kind, _, average = name.partition("_")
    return (kind, average) if kind in _KINDS and average in ("macro", "micro") else None


def _of_counts(kind: str, hits: np.ndarray, given: np.ndarray, support: np.ndarray) -> np.ndarray:
    if kind == "f1":
        return ratio(2 * hits, given + support)
    return ratio(hits, given if kind == "precision" else support)


def _matthews(confusions: np.ndarray) -> np.ndarray:
    """Gorodkin 2004, "Comparing two K-category assignments by a K-category correlation"."""
    hits = np.trace(confusions, axis1=1, axis2=2)
    support, given = confusions.sum(axis=2), confusions.sum(axis=1)
    total = support.sum(axis=1)
    covariance = hits * total - (support * given).sum(axis=1)
    variances = [total**2 - (counts**2).sum(axis=1) for counts in (support, given)]
    product = np.sqrt(variances[0]) * np.sqrt(variances[1])
    return ratio(covariance, product)


def _mean_of_metrics(metrics: Sequence[Callable], weights: np.ndarray) -> np.ndarray:
    return np.mean([metric(weights) for metric in metrics], axis=0)
