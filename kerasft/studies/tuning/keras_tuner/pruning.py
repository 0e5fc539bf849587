"""The median rule: prunes a trial that lags behind most of the finished ones.

Golovin et al. 2017, "Google Vizier: A Service for Black-Box Optimization": a trial is stopped at a
step if its best value so far is worse than the median of the running averages that the finished
trials had at this step. Steps are measured in epochs here, since batch sizes may differ.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from kerasft.errors import UserError
from kerasft.metric import merit
from kerasft.run_dir import RunDir
from kerasft.training.callbacks.history import read_history

MIN_FINISHED = 5  # including the baseline
_SLACK = 1e-6  # epochs; they are written with nine digits


class Evaluation(NamedTuple):
    """One evaluation of a trial: the metric's `value` at `epoch` (fractional)."""

    epoch: float
    value: float


def read_curve(folder: Path, metric: str) -> list[Evaluation]:
    """Returns the evaluations of a trial's run so far.

    `metric` is the column, such as `validation/accuracy`; few metrics have one.
    """
    path = RunDir(folder).history_path
    try:
        rows = read_history(path) if path.exists() else []
    except UserError:  # it is being rewritten
        return []
    return [Evaluation(row["epoch"], row[metric]) for row in rows if row.get(metric) is not None]


def why_prune(
    curve: Sequence[Evaluation],
    finished: Sequence[Sequence[Evaluation]],
    metric: str,
    *,
    min_finished: int = MIN_FINISHED,
) -> str | None:
    """Returns why a trial should be pruned; `None` if it should not.

    Args:
        curve: Its evaluations so far.
        finished: The evaluations of the trials that were completed.
        metric: Such as `validation/accuracy`.
        min_finished: With fewer finished trials nothing is pruned.
    """
    if not curve:
        return None
    epoch = curve[-1].epoch
    averages = [average for other in finished if (average := _average(other, epoch)) is not None]
    if len(averages) < min_finished:
        return None
    median = statistics.median(averages)
    values = [e.value for e in curve if not math.isnan(e.value)]
    best = max(values, key=lambda value: merit(metric, value), default=math.nan)
    if merit(metric, best) >= merit(metric, median):
        return None
    return (
        f"after {epoch:.3g} epochs its best was {best:.4f}, the median of {len(averages)} finished "
        f"trials {median:.4f}"
    )


def _average(curve: Sequence[Evaluation], epoch: float) -> float | None:
    """Returns the mean of the values up to an epoch; `None` if there are none."""
    values = [e.value for e in curve if e.epoch <= epoch + _SLACK and not math.isnan(e.value)]
    return statistics.fmean(values) if values else None
