"""What metrics demand of labels and probabilities.

What data or training can cause (no example, a label out of range, a NaN) is a `UserError`; what
only code can cause (shapes, dtypes, rows that are no distributions) is a plain `ValueError`, so
that the command line shows its traceback.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from kerasft.errors import UserError

# float32 softmax rows are within 1e-6 of one; bfloat16 rows are not, and must not be evaluated.
SUM_TOLERANCE = 1e-4


def check_labels(labels: ArrayLike, num_classes: int, name: str = "labels") -> np.ndarray:
    """Returns class indices as int64 of shape `(num_examples,)`, or says what is wrong with them.

    Args:
        labels: Integer class indices.
        num_classes: They must lie in `[0, num_classes)`.
        name: What the message calls them.

    Raises:
        UserError: No label at all, or one out of range.
        ValueError: Not one-dimensional integers.
    """
    labels = np.asarray(labels)
    if labels.size == 0:
        raise UserError(
            f"There is nothing to evaluate: {name} is empty.",
            received=labels.shape,
            expected="at least one example",
        )
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
    """Returns probabilities as float64 of shape `(num_examples, num_classes)`.

    They are not renormalised: a confidence on a bin's edge stays there.

    Raises:
        UserError: No example, or values that are not finite.
        ValueError: Another shape, fewer than two classes, or rows that are no distributions.
    """
    probabilities = np.asarray(probabilities, dtype=np.float64)
    if probabilities.size == 0:
        raise UserError(
            "There is nothing to evaluate: probabilities is empty.",
            received=probabilities.shape,
            expected="at least one example",
        )
    if probabilities.ndim != 2 or probabilities.shape[1] < 2:
        raise ValueError(
            f"`probabilities` has the wrong shape. Received: {probabilities.shape}. "
            "Expected: (num_examples, num_classes) with at least two classes."
        )
    not_finite = np.flatnonzero(~np.isfinite(probabilities).all(axis=1))
    if not_finite.size:
        row = int(not_finite[0])
        raise UserError(
            f"{not_finite.size} of {len(probabilities)} probability rows are not finite; "
            f"the first is example {row}.",
            received=probabilities[row].tolist(),
            expected="finite probabilities",
            fix="the weights have diverged: evaluate an earlier checkpoint, or train again with a "
            "lower training.learning_rate.",
        )
    _check_distributions(probabilities)
    return probabilities


def check_predictions(labels: ArrayLike, probabilities: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns `(labels, probabilities)` checked, and checked against each other.

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
