"""Metrics of the examples one by one, and of examples with weights: what a paired test resamples.

`None` stands for a metric that is not to be had so.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from kerasft.metrics.intervals import (
    class_losses,
    metric_of_confusion,
    metric_of_label_sets,
    metric_of_numbers,
    values_of_label_sets,
    values_of_numbers,
)
from kerasft.metrics.weighted import Weighted, weighted_roc_auc

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
        return weighted_roc_auc(labels, probabilities)
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
    values = values_of_label_sets(name, labels, scores, selected)
    if values is not None:
        return _weighted_mean(values)
    return metric_of_label_sets(name, labels, scores, selected, label_names)


def weighted_of_numbers(name: str, labels: np.ndarray, predictions: np.ndarray) -> Weighted | None:
    """Returns a metric of `regression_metrics` as a function of weights; see above.

    Args:
        name: The metric, such as `pearson`.
        labels: Numbers, shape `(num_examples,)`.
        predictions: Numbers, shape `(num_examples,)`.
    """
    labels, predictions = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    values = values_of_numbers(name, labels, predictions)
    if values is not None:
        return _weighted_mean(values)
    return metric_of_numbers(name, labels, predictions)


def _weighted_mean(values: np.ndarray) -> Weighted:
    values = values.astype(np.float64)
    return lambda weights: weights @ values / weights.sum(axis=1)
