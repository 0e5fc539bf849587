"""Everything reported of a split: metrics, the headline's interval, and the task's own details."""

from __future__ import annotations

import numpy as np

from kerasft.metrics.bootstrap import Interval, bootstrap_interval
from kerasft.metrics.facts import EvaluationFacts
from kerasft.tasks.task import Task


def measure(
    task: Task,
    split: str,
    labels: np.ndarray,
    logits: np.ndarray,
    *,
    calibration_bins: int = 15,
    bootstrap_resamples: int = 1000,
    seed: int = 1,
) -> EvaluationFacts:
    """Computes everything reported of a split.

    `labels` are one row an example, as in the task's `evaluate`; `logits` are float `(num_examples,
    num_outputs)`. `seed` is that of the interval's resamples.
    """
    metrics = task.evaluate(labels, logits, calibration_bins=calibration_bins)
    weighted = task.weighted_metric(task.headline, labels, logits)
    interval = bootstrap_interval(weighted, num_resamples=bootstrap_resamples, seed=seed)
    intervals, lacking = interval_facts(task.headline, interval)
    details = task.details(labels, logits, calibration_bins=calibration_bins)
    return EvaluationFacts(
        split=split,
        label_names=task.label_names,
        metrics=metrics | details.pop("metrics", {}),
        intervals=intervals,
        headline=task.headline,
        num_examples=len(labels),
        notes=[*details.pop("notes"), *lacking],
        **details,
    )


def interval_facts(
    headline: str, interval: Interval | None
) -> tuple[dict[str, Interval], list[str]]:
    """Returns the headline's interval by its name, and notes on missing or left-out values."""
    if interval is None:
        return {}, []
    if not interval.num_left_out:
        return {headline: interval}, []
    if interval.lower != interval.lower:  # NaN: no resample remained
        return {}, [f"{headline} is undefined on every resample, so it has no interval."]
    note = (
        f"{headline} is undefined on {interval.num_left_out:,} resamples, which its interval "
        "leaves out."
    )
    return {headline: interval}, [note]
