"""Calibration: does a probability of 0.8 come true eight times in ten?

Follows Guo et al. 2017, "On Calibration of Modern Neural Networks" (arXiv:1706.04599).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from kerasft.metrics.checks import check_predictions


class ReliabilityBin(NamedTuple):
    """The examples whose confidence lies in `(lower, upper]`.

    Attributes:
        lower: Lower edge, exclusive.
        upper: Upper edge, inclusive.
        num_examples: Number of examples in the bin.
        confidence: Their mean probability of the predicted class; `None` in an empty bin.
        accuracy: The share predicted correctly; `None` in an empty bin.
    """

    lower: float
    upper: float
    num_examples: int
    confidence: float | None
    accuracy: float | None


def reliability_bins(
    labels: ArrayLike, probabilities: ArrayLike, num_bins: int = 15
) -> list[ReliabilityBin]:
    """Sorts examples into bins of equal width by the probability of their predicted class.

    Args:
        labels: Class indices, shape `(num_examples,)`.
        probabilities: Shape `(num_examples, num_classes)`.
        num_bins: How many bins divide `(0, 1]`. Defaults to 15, as in the paper.

    Returns:
        All `num_bins` bins in rising order, also empty ones (with `num_classes` classes no
        confidence is below `1 / num_classes`).

    Raises:
        ValueError: Input that `metrics.checks` refuses, or fewer than one bin.
    """
    if num_bins < 1:
        raise ValueError(f"`num_bins` is too small. Received: {num_bins}. Expected: at least 1.")
    labels, probabilities = check_predictions(labels, probabilities)
    confidence = probabilities.max(axis=1)
    is_correct = probabilities.argmax(axis=1) == labels
    # Divided, not np.linspace: 7/10 is then the same number as a confidence of 0.7. The clip
    # includes a confidence that rounding put just above one.
    edges = np.arange(num_bins + 1) / num_bins
    index = np.searchsorted(edges, confidence, side="left").clip(1, num_bins) - 1
    counts, confidence_sums, correct_sums = (
        np.bincount(index, weights=weights, minlength=num_bins)
        for weights in (None, confidence, is_correct)
    )
    return [
        ReliabilityBin(
            lower=float(edges[i]),
            upper=float(edges[i + 1]),
            num_examples=int(count),
            confidence=float(confidence_sums[i] / count) if count else None,
            accuracy=float(correct_sums[i] / count) if count else None,
        )
        for i, count in enumerate(counts)
    ]


def expected_calibration_error(
    labels: ArrayLike, probabilities: ArrayLike, num_bins: int = 15
) -> float:
    """Returns the mean distance between confidence and accuracy, weighted by bin size.

    The confidence is that of the predicted class, for any number of classes. Arguments and errors
    are those of `reliability_bins`.
    """
    bins = [b for b in reliability_bins(labels, probabilities, num_bins) if b.num_examples]
    num_examples = sum(b.num_examples for b in bins)
    return sum(b.num_examples * abs(b.accuracy - b.confidence) for b in bins) / num_examples
