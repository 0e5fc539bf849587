"""What was measured on one split, whatever the task: the form in which reports get it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerasft.metrics.bootstrap import Interval
from kerasft.metrics.calibration import ReliabilityBin


@dataclass(frozen=True)
class EvaluationFacts:
    """How good a model is on one split.

    Args:
        split: Such as `test`, `validation`, `test_validation_mismatched`.
        label_names: In label order; empty where answers are numbers.
        metrics: As the task's `evaluate` returns them: keys without the split. NaN is a metric that
            is undefined on this split. With several labels to a text also `threshold/<label>`.
        intervals: Bootstrap intervals by metric, all of one confidence level; that of the headline
            metric, or none where it has none.
        headline: The metric that opens the report.
        num_examples: How many examples the split has.
        confusion: How often each class (rows) was taken for each class (columns), int of shape
            `(num_classes, num_classes)`; `None` where a text has no class, or several.
        bins: Of `reliability_bins`; empty where there is no confidence in one answer.
        notes: Sentences on what is undefined, partial or 0 because something is missing.
    """

    split: str
    label_names: Sequence[str]
    metrics: Mapping[str, float]
    intervals: Mapping[str, Interval]
    headline: str
    num_examples: int
    confusion: np.ndarray | None = None
    bins: Sequence[ReliabilityBin] = ()
    notes: Sequence[str] = ()
