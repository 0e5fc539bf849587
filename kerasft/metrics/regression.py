"""Regression metrics: SciPy's correlations, as in GLUE's STS-B, and scikit-learn's errors.

Undefined metrics are NaN, as in SciPy, without its warning: the correlations if all labels or all
predictions are equal, and every metric that needs two examples if there is one. R2 of equal labels
is 0, or 1 if all predictions are exact, as in scikit-learn. `regression_notes` describes which of
these cases happened.
"""

from __future__ import annotations

import math
import warnings

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from kerasft.metrics.checks import check_numbers


def regression_metrics(labels: ArrayLike, predictions: ArrayLike) -> dict[str, float]:
    """Computes every metric of a regression model.

    Args:
        labels: Numbers, shape `(num_examples,)`.
        predictions: Numbers, shape `(num_examples,)`.

    Returns:
        Python floats under `pearson`, `spearman` (of the ranks, ties sharing their mean rank),
        `mean_squared_error`, `mean_absolute_error`, `r2` (the share of the labels' variance that is
        explained; negative if predicting their mean were better). The module says which may be NaN.

    Raises:
        UserError: No example, or numbers that are not finite.
        ValueError: Shapes that do not fit.
    """
    labels, predictions = check_number_pairs(labels, predictions)
    defined = not _equal(labels) and not _equal(predictions)
    metrics = {
        "pearson": _correlation(stats.pearsonr, labels, predictions) if defined else math.nan,
        "spearman": _correlation(stats.spearmanr, labels, predictions) if defined else math.nan,
        "mean_squared_error": mean_squared_error(labels, predictions),
        "mean_absolute_error": mean_absolute_error(labels, predictions),
        "r2": r2_score(labels, predictions) if len(labels) > 1 else math.nan,
    }
    return {name: float(value) for name, value in metrics.items()}


def regression_notes(labels: ArrayLike, predictions: ArrayLike) -> list[str]:
    """Returns a sentence for each reason why a metric is undefined or misleading.

    The arguments are those of `regression_metrics`.
    """
    labels, predictions = check_number_pairs(labels, predictions)
    if len(labels) == 1:
        return ["There is one example, so Pearson, Spearman and R2 are undefined."]
    notes = [
        f"All {name} are {numbers[0]:g}, so Pearson and Spearman are undefined."
        for name, numbers in (("labels", labels), ("predictions", predictions))
        if _equal(numbers)
    ]
    if _equal(labels):
        notes.append("R2 of equal labels is 1 if every prediction meets them, and else 0.")
    return notes


def check_number_pairs(labels: ArrayLike, predictions: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Returns `(labels, predictions)` as float64, checked also against each other.

    Raises:
        UserError, ValueError: As `check_numbers`, or unequal lengths.
    """
    labels, predictions = check_numbers(labels), check_numbers(predictions, "predictions")
    if len(labels) != len(predictions):
        raise ValueError(
            "`labels` and `predictions` must have one entry an example. "
            f"Received: {len(labels)} and {len(predictions)}. Expected: equal lengths."
        )
    return labels, predictions


def _equal(numbers: np.ndarray) -> bool:
    return bool((numbers == numbers[0]).all())


def _correlation(correlate, labels: np.ndarray, predictions: np.ndarray) -> float:
    with warnings.catch_warnings():
        # Predictions that are equal up to rounding still have a value; how exact it is does not
        # matter, since no model is chosen for it.
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return correlate(labels, predictions).statistic
