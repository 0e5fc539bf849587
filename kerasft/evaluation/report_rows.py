"""What the tables of an evaluation hold: headers and rows of cells, for terminal and Markdown."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from kerasft.metric import BY_LABEL
from kerasft.metrics.bootstrap import Interval
from kerasft.metrics.calibration import ReliabilityBin
from kerasft.metrics.spread import show_figure

_MAX_MATRIX_WIDTH = 80  # a wider confusion matrix would wrap: its largest errors are listed instead
_MAX_CONFUSIONS = 10
_BY_CLASS = (*BY_LABEL, "support")
_THRESHOLD = "threshold"
_ABSENT = "-"
Rows = tuple[Sequence[str], list[Sequence[str]]]  # a header and rows of cells


def headline_rows(metrics: Mapping[str, float], intervals: Mapping[str, Interval]) -> Rows:
    """Returns a row for each metric that is not of one class alone, and for those with intervals.

    Args:
        metrics: As `EvaluationFacts.metrics`.
        intervals: As `EvaluationFacts.intervals`.
    """
    header = ["metric", "value", *(level_of(i) for i in list(intervals.values())[:1])]
    shown = [name for name in metrics if "/" not in name or name in intervals]
    rows = [[name, show_figure(metrics[name])] for name in shown]
    if intervals:
        rows = [[*row, ends_of(intervals[row[0]]) if row[0] in intervals else ""] for row in rows]
    return header, rows


def level_of(interval: Interval) -> str:
    """Names an interval: `95 % interval`."""
    return f"{interval.confidence_level * 100:g} % interval"


def ends_of(interval: Interval) -> str:
    """Returns an interval's two ends: `0.8561 - 0.8872`."""
    return f"{show_figure(interval.lower)} - {show_figure(interval.upper)}"


def class_rows(metrics: Mapping[str, float], label_names: Sequence[str]) -> Rows:
    """Returns a row for each class or label; a metric that is missing or undefined is a dash.

    Labels that are decided one by one have a threshold each.

    Args:
        metrics: As `EvaluationFacts.metrics`.
        label_names: In label order.
    """
    have_thresholds = any(f"{_THRESHOLD}/{name}" in metrics for name in label_names)
    columns = (*_BY_CLASS, _THRESHOLD) if have_thresholds else _BY_CLASS

    def shown(column: str, name: str) -> str:
        value = metrics.get(f"{column}/{name}")
        if value is None or math.isnan(value):
            return _ABSENT
        return f"{value:,.0f}" if column == "support" else show_figure(value)

    return ["label" if have_thresholds else "class", *columns], [
        [name, *(shown(column, name) for column in columns)] for name in label_names
    ]


def confusion_rows(confusion: np.ndarray, label_names: Sequence[str]) -> Rows:
    """Returns the confusion matrix, or its largest errors where it is too wide.

    Args:
        confusion: Counts `(num_classes, num_classes)`: rows true, columns predicted.
        label_names: In label order.

    Raises:
        ValueError: If the two do not fit.
    """
    confusion = np.asarray(confusion)
    num_classes = len(label_names)
    if confusion.shape != (num_classes, num_classes):
        raise ValueError(
            f"`confusion` does not fit the classes. Received: shape {confusion.shape}. "
            f"Expected: {(num_classes, num_classes)}, one row and column a label name."
        )
    header = ["true / predicted", *label_names]
    rows = [
        [name, *(f"{count:,}" for count in counts)]
        for name, counts in zip(label_names, confusion, strict=True)
    ]
    widths = [max(map(len, column)) + 3 for column in zip(header, *rows, strict=True)]
    if sum(widths) <= _MAX_MATRIX_WIDTH:
        return header, rows
    return _largest_errors(confusion, label_names)


def _largest_errors(confusion: np.ndarray, label_names: Sequence[str]) -> Rows:
    errors = confusion - np.diag(np.diag(confusion))
    largest = np.argsort(-errors, axis=None, kind="stable")[:_MAX_CONFUSIONS]
    cells = zip(*np.unravel_index(largest, errors.shape), strict=True)
    return ["true class", "predicted class", "errors", "share of class"], [
        [
            label_names[true],
            label_names[predicted],
            f"{errors[true, predicted]:,}",
            f"{errors[true, predicted] / confusion[true].sum():.1%}",
        ]
        for true, predicted in cells
        if errors[true, predicted]
    ]


def bin_rows(bins: Sequence[ReliabilityBin]) -> Rows:
    """Returns a row for each bin that has examples.

    Args:
        bins: As `EvaluationFacts.bins`.
    """
    return ["confidence above", "up to", "examples", "mean confidence", "accuracy", "gap"], [
        [
            f"{b.lower:.3f}",
            f"{b.upper:.3f}",
            f"{b.num_examples:,}",
            f"{b.confidence:.4f}",
            f"{b.accuracy:.4f}",
            f"{b.accuracy - b.confidence:+.4f}",
        ]
        for b in bins
        if b.num_examples
    ]
