"""Validates the input of metrics.

Errors from data or training (no example, a label out of range, a NaN) are a `UserError`. Errors
from code (shapes, dtypes, rows that are no distributions) are a plain `ValueError`, so that the
command line shows its traceback.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from kerasft.errors import UserError

# float32 softmax rows are within 1e-6 of one; bfloat16 rows are not, and must not be evaluated.
SUM_TOLERANCE = 1e-4

_DIVERGED = (
    "the weights have diverged: evaluate an earlier checkpoint, or train again with a lower "
    "training.learning_rate."
)
_HIDDEN = "evaluate a split that has labels: hidden ones are often NaN."


def check_labels(labels: ArrayLike, num_classes: int, name: str = "labels") -> np.ndarray:
    """Returns class indices as int64 `(num_examples,)`; `name` is their name in the message.

    Raises:
        UserError: No label at all, or one outside `[0, num_classes)`.
        ValueError: Not one-dimensional integers.
    """
    labels = np.asarray(labels)
    _check_not_empty(labels, name)
    if labels.ndim != 1 or labels.dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must be class indices. Received: {labels.dtype} of shape {labels.shape}. "
            "Expected: integers of shape (num_examples,)."
        )
    out_of_range = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if out_of_range.size:
        row = int(out_of_range[0])
        raise UserError(
            f"{out_of_range.size} of {labels.size} {name} name no class; "
            f"the first is example {row}.",
            received=int(labels[row]),
            expected=f"0 to {num_classes - 1}, one of {num_classes} classes",
            fix="evaluate a split that has labels (hidden ones are often -1), or name every class.",
        )
    return labels.astype(np.int64)


def check_probabilities(probabilities: ArrayLike) -> np.ndarray:
    """Returns probabilities as float64 `(num_examples, num_classes)`.

    They are not renormalised: a confidence on a bin's edge stays there.

    Raises:
        UserError: No example, or values that are not finite.
        ValueError: Another shape, fewer than two classes, or rows that are not distributions.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    _check_not_empty(probabilities, "probabilities")
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(
            f"`probabilities` has the wrong shape. Received: {probabilities.shape}. "
            "Expected: (num_examples, num_classes) with at least two classes."
        )
    _check_finite(probabilities, "probabilities", rows="probability rows", fix=_DIVERGED)
    _check_distributions(probabilities)
    return probabilities


def check_predictions(labels: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns `(labels, probabilities)`, checked also against each other.

    Raises:
        UserError, ValueError: As `check_labels` and `check_probabilities`, or unequal lengths.
    """
    probabilities = check_probabilities(probabilities)
    labels = check_labels(labels, num_classes=probabilities.shape[1])
    if len(labels) != len(probabilities):
        raise ValueError(
            "`labels` and `probabilities` must have one row an example. "
            f"Received: {len(labels)} labels, {len(probabilities)} rows. Expected: equal lengths."
        )
    return labels, probabilities


def check_numbers(numbers: ArrayLike, name: str = "labels") -> np.ndarray:
    """Returns labels or predictions as float64 `(num_examples,)`; `name` is for the message.

    Raises:
        UserError: No number at all, or one that is not finite.
        ValueError: Another shape.
    """
    numbers = np.asarray(numbers, dtype=np.float64)
    _check_not_empty(numbers, name)
    if numbers.ndim != 1:
        raise ValueError(
            f"`{name}` has the wrong shape. Received: {numbers.shape}. Expected: (num_examples,)."
        )
    _check_finite(numbers, name, fix=_HIDDEN if name == "labels" else _DIVERGED)
    return numbers


def check_label_sets(labels: ArrayLike, scores: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels and scores as bool and float64 `(num_examples, num_labels)`.

    `labels` are zeros and ones, `scores` the probability of each label.

    Raises:
        UserError: No example, or scores that are not finite.
        ValueError: Other shapes, labels that are not zeros and ones, scores outside 0 to 1.
    """
    labels, scores = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if labels.ndim != 2 or labels.shape != scores.shape or not labels.shape[1]:
        raise ValueError(
            "`labels` and `scores` must have one column a label. "
            f"Received: shapes {labels.shape} and {scores.shape}. "
            "Expected: both (num_examples, num_labels)."
        )
    _check_not_empty(labels, "labels")
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(
            f"`labels` must be zeros and ones. Received: {np.unique(labels)[:5].tolist()}. "
            "Expected: 1 where a label applies."
        )
    _check_finite(scores, "scores", fix=_DIVERGED)
    if scores.min() < 0 or scores.max() > 1:
        raise ValueError(
            f"`scores` are no probabilities. Received: {scores.min():g} to {scores.max():g}. "
            "Expected: 0 to 1 (sigmoid in float32, not logits)."
        )
    return labels.astype(bool), scores


def check_label_names(label_names: Sequence[str], num_labels: int) -> None:
    """Checks that there is one unique name for each label: they become keys.

    Raises:
        UserError: A name that repeats.
        ValueError: Another number of names.
    """
    if len(label_names) != num_labels:
        raise ValueError(
            f"`label_names` does not fit the predictions. Received: {len(label_names)} names for "
            f"{num_labels} classes. Expected: one name a class."
        )
    if repeated := sorted({name for name in label_names if list(label_names).count(name) > 1}):
        raise UserError(
            "Two classes have the same name.",
            received=repeated,
            expected="a different name for each class",
        )


def _check_not_empty(values: np.ndarray, name: str) -> None:
    if values.size == 0:
        raise UserError(
            f"There is nothing to evaluate: {name} is empty.",
            received=values.shape,
            expected="at least one example",
        )


def _check_finite(values: np.ndarray, name: str, *, fix: str, rows: str | None = None) -> None:
    is_wrong = ~np.isfinite(values).reshape(len(values), -1).all(axis=1)
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        raise UserError(
            f"{np.count_nonzero(is_wrong)} of {len(values)} {rows or name} are not finite; "
            f"the first is example {row}.",
            received=values[row].tolist(),
            expected=f"finite {name}",
            fix=fix,
        )


def _check_distributions(probabilities: np.ndarray) -> None:
    sums = probabilities.sum(axis=1)
    is_wrong = (probabilities < 0).any(axis=1) | (np.abs(sums - 1) > SUM_TOLERANCE)
    if is_wrong.any():
        row = int(np.argmax(is_wrong))
        raise ValueError(
            f"{is_wrong.sum()} rows of `probabilities` are no distributions; the first is example "
            f"{row}. Received: {probabilities[row].tolist()}, summing to {sums[row]:.6g}. "
            f"Expected: values >= 0 that sum to 1 within {SUM_TOLERANCE:g} (softmax in float32, "
            "not logits)."
        )
