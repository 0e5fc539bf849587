"""The median rule: a trial that lags behind most of the finished ones is ended.

Golovin et al. 2017, "Google Vizier: A Service for Black-Box Optimization": a trial is stopped at a
step if its best value so far is worse than the median of the running averages that the finished
trials had at this step.

A step is a point in epochs here, since trials may have batches of different sizes.
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

MIN_FINISHED = 5  # the recipe as it is included
_SLACK = 1e-6  # epochs: the same point, written with nine digits


class Evaluation(NamedTuple):
    """One evaluation of a trial.

    Attributes:
        epoch: When, in epochs.
        value: The metric.
    """

    epoch: float
    value: float


def read_curve(folder: Path, metric: str) -> list[Evaluation]:
    """Returns the evaluations that a trial's run has made so far; none before the first.

    Args:
        folder: The run directory.
        metric: The column, such as `validation/accuracy`. Few metrics have one.
    """
    path = RunDir(folder).history_path
    try:
        rows = read_history(path) if path.exists() else []
    except UserError:  # it is being written anew
        return []
    return [Evaluation(row["epoch"], row[metric]) for row in rows if row.get(metric) is not None]


def why_prune(
    curve: Sequence[Evaluation],
    finished: Sequence[Sequence[Evaluation]],
    metric: str,
    *,
    min_finished: int = MIN_FINISHED,
) -> str | None:
    """Says why a trial is not worth going on with; `None` if it is.

    Args:
        curve: Its evaluations so far.
        finished: Those of the trials that were run to their end.
        metric: Such as `validation/accuracy`.
        min_finished: With fewer finished trials nothing is judged.
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
    """Returns the mean of the values up to a point; `None` where there are none."""
    values = [e.value for e in curve if e.epoch <= epoch + _SLACK and not math.isnan(e.value)]
    return statistics.fmean(values) if values else None
