"""Metrics of numbers: SciPy's correlations, as GLUE has them for STS-B, and scikit-learn's errors.

What is undefined is NaN, as SciPy has it, without its warning: the correlations where all labels or
all predictions are equal, and every metric that needs two examples where there is one. R2 of equal
labels is 0, or 1 if they are all met, as scikit-learn has it. `regression_notes` says in words
which of these cases happened.
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
    """Computes every metric of a model that answers with numbers.

    Args:
        labels: Numbers, shape `(num_examples,)`.
        predictions: Numbers, shape `(num_examples,)`.

    Returns:
        Python floats under `pearson`, `spearman` (of the ranks, equal values sharing their mean
        rank), `mean_squared_error`, `mean_absolute_error`, `r2` (the share of the labels' variance
        that is explained; negative if their mean were the better answer). The module says which may
        be NaN.

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
    """Returns a sentence for each reason why a metric is undefined, or says less than it seems to.

    Takes what `regression_metrics` takes, and is empty when everything is defined.
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
    """Returns `(labels, predictions)` as float64, checked, and checked against each other.

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
        # Predictions that are equal but for rounding still have a value; how exact it is does not
        # matter, since no model is chosen for it.
        warnings.simplefilter("ignore", stats.NearConstantInputWarning)
        return correlate(labels, predictions).statistic
