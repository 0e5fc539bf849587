"""Metrics of the examples one by one, and of examples with weights: what a paired test resamples.

`None` stands for a metric that is not to be had so.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
from scipy import sparse

from kerasft.metrics.intervals import (
    class_losses,
    mean_of_metrics,
    metric_of_confusion,
    metric_of_labels,
)
from kerasft.metrics.multilabel import example_f1, example_log_loss
from kerasft.metrics.weighted import (
    Weighted,
    weighted_average_precision,
    weighted_pearson,
    weighted_r2,
    weighted_roc_auc,
    weighted_spearman,
)

RIGHT_OR_WRONG = ("accuracy", "subset_accuracy")  # an example is, and the metric is their share


def weighted_of_classes(
    name: str, labels: np.ndarray, probabilities: np.ndarray, label_names: Sequence[str]
) -> Weighted | None:
    """Returns a metric of `classification_metrics` as a function of weights.

    Args:
        name: The metric, such as `accuracy`, `f1_macro` or `f1/<label>`.
        labels: Class indices, shape `(num_examples,)`.
        probabilities: Shape `(num_examples, num_classes)`.
        label_names: One name a class.

    Returns:
        A function from weights, float64 `(rows, num_examples)`, to `(rows,)`; NaN where the metric
        is undefined.
    """
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    predictions = probabilities.argmax(axis=1)
    if name == "accuracy":
        return _weighted_mean(predictions == labels)
    if name == "log_loss":
        return _weighted_mean(class_losses(labels, probabilities))
    if name == "roc_auc":
        return None if len(np.unique(labels)) == 1 else weighted_roc_auc(labels, probabilities)
    of_confusion = metric_of_confusion(name, label_names)
    if of_confusion is None:
        return None
    num_classes = len(label_names)
    cells = labels.astype(np.int64) * num_classes + predictions
    ones = np.ones(len(labels))
    in_cell = sparse.csr_array(
        (ones, (cells, np.arange(len(labels)))), shape=(num_classes**2, len(labels))
    )

    def metric(weights: np.ndarray) -> np.ndarray:
        return of_confusion((in_cell @ weights.T).T.reshape(-1, num_classes, num_classes))

    return metric


def weighted_of_label_sets(
    name: str,
    labels: np.ndarray,
    scores: np.ndarray,
    selected: np.ndarray,
    label_names: Sequence[str],
) -> Weighted | None:
    """Returns a metric of `multilabel_metrics` as a function of weights; see above.

    Args:
        name: The metric, such as `f1_micro`, `subset_accuracy` or `f1/<label>`.
        labels: Zeros and ones, shape `(num_examples, num_labels)`.
        scores: The probability of each label, of the same shape.
        selected: Whether each label is given, of the same shape.
        label_names: One name a label.
    """
    labels, selected = np.asarray(labels, bool), np.asarray(selected, bool)
    scores = np.asarray(scores, np.float64)
    if name == "average_precision_macro":
        columns = zip(labels.T, scores.T, strict=True)
        of_labels = [weighted_average_precision(*column) for column in columns]
        return functools.partial(mean_of_metrics, of_labels)
    values = {
        "f1_samples": lambda: example_f1(labels, selected),
        "subset_accuracy": lambda: (labels == selected).all(axis=1),
        "hamming_loss": lambda: (labels != selected).mean(axis=1),
        "log_loss": lambda: example_log_loss(labels, scores),
    }
    if name in values:
        return _weighted_mean(values[name]())
    return metric_of_labels(name, labels, selected, label_names)


def weighted_of_numbers(name: str, labels: np.ndarray, predictions: np.ndarray) -> Weighted | None:
    """Returns a metric of `regression_metrics` as a function of weights; see above.

    Args:
        name: The metric, such as `pearson`.
        labels: Numbers, shape `(num_examples,)`.
        predictions: Numbers, shape `(num_examples,)`.
    """
    labels, predictions = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    errors = np.abs(predictions - labels)
    if name in ("mean_squared_error", "mean_absolute_error"):
        return _weighted_mean(errors**2 if name == "mean_squared_error" else errors)
    metrics = {"pearson": weighted_pearson, "spearman": weighted_spearman, "r2": weighted_r2}
    return metrics[name](labels, predictions) if name in metrics else None


def _weighted_mean(values: np.ndarray) -> Weighted:
    values = values.astype(np.float64)
    return lambda weights: weights @ values / weights.sum(axis=1)
