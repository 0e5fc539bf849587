"""Classification metrics, from scikit-learn where it has them, for two classes or more.

Defined here when a class is missing, without a warning:

- A class that occurs but was never predicted has precision 0; one that was predicted but does not
  occur has recall 0; both have F1 0.
- Precision, recall and F1 of a class that neither occurs nor was predicted are NaN. The macro
  averages are over the other classes (as scikit-learn's are).
- ROC-AUC with two classes ranks by the probability of class 1; with more it is the mean of
  one-versus-rest over the classes that occur. With only one class in the labels it is NaN.
- The Matthews correlation (Gorodkin 2004 for more than two classes) is 0 if undefined: with only
  one class in the labels, or only one predicted. scikit-learn, and so GLUE, do the same.

`classification_notes` describes which of these cases happened.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    log_loss,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
)

from kerasft.metric import BY_LABEL
from kerasft.metrics.calibration import expected_calibration_error
from kerasft.metrics.checks import check_label_names, check_labels, check_predictions


def classification_metrics(
    labels: ArrayLike,
    probabilities: ArrayLike,
    label_names: Sequence[str],
    *,
    calibration_bins: int = 15,
) -> dict[str, float]:
    """Computes every metric of a classifier. The prediction is the most probable class.

    Args:
        labels: Class indices, shape `(num_examples,)`.
        probabilities: Shape `(num_examples, num_classes)`, float32 or better.
        label_names: One unique name per class; they become part of the keys.
        calibration_bins: Bins of the expected calibration error. Defaults to 15.

    Returns:
        Python floats under `accuracy`, `precision_macro`, `recall_macro`, `f1_macro`,
        `matthews_correlation`, `roc_auc`, `log_loss` (natural logarithm, at most 36.04 an example),
        `expected_calibration_error`, then for each class `precision/<name>`, `recall/<name>`,
        `f1/<name>` and `support/<name>` (its number of examples). Every key is always there; the
        module says which values are NaN when a class is missing.

    Raises:
        UserError: No example, a label without a class, a NaN, names that repeat.
        ValueError: Shapes that do not fit, rows that are not distributions.
    """
    labels, probabilities = check_predictions(labels, probabilities)
    num_classes = probabilities.shape[1]
    check_label_names(label_names, num_classes)
    predictions = probabilities.argmax(axis=1)
    per_class = _per_class_metrics(labels, predictions, label_names)
    metrics = {"accuracy": accuracy_score(labels, predictions)}
    for name in BY_LABEL:
        values = [value for key, value in per_class.items() if key.startswith(f"{name}/")]
        metrics[f"{name}_macro"] = np.nanmean(values)
    metrics["matthews_correlation"] = _matthews_correlation(labels, predictions)
    metrics["roc_auc"] = _roc_auc(labels, probabilities)
    # scikit-learn warns when rows sum to one only in float32: normalised in float64 they do.
    normalized = probabilities / probabilities.sum(axis=1, keepdims=True)
    metrics["log_loss"] = log_loss(labels, normalized, labels=range(num_classes))
    metrics["expected_calibration_error"] = expected_calibration_error(
        labels, probabilities, calibration_bins
    )
    return {name: float(value) for name, value in (metrics | per_class).items()}


def classification_notes(
    labels: ArrayLike, probabilities: ArrayLike, label_names: Sequence[str]
) -> list[str]:
    """Returns a sentence for each metric that a missing class made 0, partial or undefined.

    The arguments are those of `classification_metrics`.
    """
    labels, probabilities = check_predictions(labels, probabilities)
    num_classes = probabilities.shape[1]
    check_label_names(label_names, num_classes)
    occurring = set(labels.tolist())
    predicted = set(probabilities.argmax(axis=1).tolist())
    every = set(range(num_classes))

    def name(classes: set[int]) -> str:
        return ", ".join(f'"{label_names[index]}"' for index in sorted(classes))

    notes = []
    if never_predicted := occurring - predicted:
        notes.append(f"Never predicted, so precision and F1 are 0: {name(never_predicted)}.")
    if not_occurring := predicted - occurring:
        notes.append(
            f"Predicted without any example, so recall and F1 are 0: {name(not_occurring)}."
        )
    if missing := every - occurring - predicted:
        notes.append(
            "Neither occurring nor predicted, so precision, recall and F1 are undefined and not in "
            f"the macro averages: {name(missing)}."
        )
    for classes, what in ((occurring, "examples"), (predicted, "predictions")):
        if len(classes) == 1:
            notes.append(f"All {what} are {name(classes)}, so the Matthews correlation is 0.")
    if len(occurring) == 1:
        notes.append(f"All examples are {name(occurring)}, so ROC-AUC is undefined.")
    elif occurring != every:
        notes.append(f"ROC-AUC is the mean over the classes that occur: {name(occurring)}.")
    return notes


def confusion(labels: ArrayLike, predictions: ArrayLike, num_classes: int) -> np.ndarray:
    """Returns int64 counts of shape `(num_classes, num_classes)`: rows are true, columns predicted.

    Raises:
        UserError: No example, or a class out of range.
        ValueError: Not integers, or unequal lengths.
    """
    labels = check_labels(labels, num_classes)
    predictions = check_labels(predictions, num_classes, name="predictions")
    if len(labels) != len(predictions):
        raise ValueError(
            "`labels` and `predictions` must have one entry an example. "
            f"Received: {len(labels)} and {len(predictions)}. Expected: equal lengths."
        )
    return confusion_matrix(labels, predictions, labels=range(num_classes))


def _per_class_metrics(
    labels: np.ndarray, predictions: np.ndarray, label_names: Sequence[str]
) -> dict[str, float]:
    scores = precision_recall_fscore_support(
        labels, predictions, labels=range(len(label_names)), average=None, zero_division=0.0
    )
    seen = set(labels.tolist()) | set(predictions.tolist())
    metrics = {}
    for index, (name, *values) in enumerate(zip(label_names, *scores, strict=True)):
        named = dict(zip((*BY_LABEL, "support"), values, strict=True))
        if index not in seen:
            named = dict.fromkeys(named, math.nan) | {"support": 0}
        metrics |= {f"{metric}/{name}": value for metric, value in named.items()}
    return metrics


def _matthews_correlation(labels: np.ndarray, predictions: np.ndarray) -> float:
    if np.all(labels == labels[0]) and np.all(predictions == labels[0]):
        return 0.0  # as in scikit-learn, which also warns
    return matthews_corrcoef(labels, predictions)


def _roc_auc(labels: np.ndarray, probabilities: np.ndarray) -> float:
    occurring = np.unique(labels)
    if len(occurring) == 1:
        return math.nan
    if probabilities.shape[1] == 2:
        return roc_auc_score(labels, probabilities[:, 1])
    return np.mean([roc_auc_score(labels == index, probabilities[:, index]) for index in occurring])
