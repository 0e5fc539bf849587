"""The measurements on one split, for reports of any task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kerasft.metrics.bootstrap import Interval
from kerasft.metrics.calibration import ReliabilityBin


@dataclass(frozen=True)
class EvaluationFacts:
    """The quality of a model on one split.

    Args:
        split: Such as `test`, `validation`, `test_validation_mismatched`.
        label_names: In label order; empty for regression.
        metrics: From the task's `evaluate`: keys without the split. NaN is a metric that is
            undefined on this split. Multi-label tasks also have `threshold/<label>`.
        intervals: Bootstrap intervals by metric, all of one confidence level; that of the headline
            metric, or none if it has none.
        headline: The metric that opens the report.
        num_examples: Number of examples of the split.
        confusion: Counts of true (rows) and predicted (columns) classes, int `(num_classes,
            num_classes)`; `None` for other tasks.
        bins: From `reliability_bins`; empty for other tasks.
        notes: Sentences on metrics that are undefined, partial or 0 because something is missing.
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
