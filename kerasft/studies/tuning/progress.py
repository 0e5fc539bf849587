"""What a run's `history.csv` says while it trains: how far it is, and whether it lags behind.

The median rule of Golovin et al. 2017, "Google Vizier: A Service for Black-Box Optimization": a
trial is pruned at a step if its best value so far is worse than the median of the running averages
that the finished trials had at this step. Steps are measured in epochs, since batch sizes differ.
"""

from __future__ import annotations

import functools
import math
import statistics
from collections.abc import Iterable, Sequence
from pathlib import Path

from kerasft.errors import UserError
from kerasft.metric import merit
from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir
from kerasft.studies.tuning.journal import COMPLETED, JobResult
from kerasft.training.callbacks.history import read_history

MIN_FINISHED = 5  # including the baseline; with fewer nothing is pruned
_SLACK = 1e-6  # epochs; they are written with nine digits


Curve = Sequence[tuple[float, float]]  # each evaluation's epoch (fractional) and value


def share_done(recipe: Recipe, run_dir: RunDir | None) -> float:
    """Returns the finished share of a run's training, from 0 to 1; 0 if unknown."""
    rows = [] if run_dir is None else _read_rows(run_dir)
    if not rows:
        return 0.0
    training = recipe.training
    if training.epochs is not None:
        return rows[-1]["epoch"] / training.epochs
    steps = training.steps or training.examples / training.batch_size
    return rows[-1]["step"] / steps


def read_curve(folder: Path, metric: str) -> Curve:
    """Returns the evaluations of a run so far, of a metric such as `validation/accuracy`.

    Few metrics have a column.
    """
    rows = _read_rows(RunDir(folder))
    return [(row["epoch"], row[metric]) for row in rows if row.get(metric) is not None]


def _read_rows(run_dir: RunDir) -> list[dict[str, float]]:
    try:
        return read_history(run_dir.history_path) if run_dir.history_path.exists() else []
    except UserError:  # it is being rewritten
        return []


_curve_of_finished = functools.cache(read_curve)


def find_lag(run_dir: Path, others: Iterable[JobResult], metric: str) -> str | None:
    """Returns why to prune a run, or `None`; `others` are the results of jobs that have ended."""
    curve = read_curve(run_dir, metric)
    done = [o.run_dir for o in others if o.status == COMPLETED and o.run_dir] if curve else []
    return why_prune(curve, [_curve_of_finished(Path(path), metric) for path in done], metric)


def best_of(curve: Curve, metric: str) -> float | None:
    """Returns the best value of a curve; `None` if it has none."""
    values = [value for _, value in curve if not math.isnan(value)]
    return max(values, key=lambda value: merit(metric, value), default=None)


def why_prune(curve: Curve, finished: Sequence[Curve], metric: str) -> str | None:
    """Returns why a trial should be pruned, or `None`, from its evaluations so far and `finished`.

    These are the evaluations of the trials that were completed.
    """
    if not curve:
        return None
    epoch = curve[-1][0]
    averages = [average for other in finished if (average := _average(other, epoch)) is not None]
    if len(averages) < MIN_FINISHED:
        return None
    median, best = statistics.median(averages), best_of(curve, metric)
    best = math.nan if best is None else best
    if merit(metric, best) >= merit(metric, median):
        return None
    return (
        f"after {epoch:.3g} epochs its best was {best:.4f}, the median of {len(averages)} finished "
        f"trials {median:.4f}"
    )


def _average(curve: Curve, epoch: float) -> float | None:
    """Returns the mean of the values up to an epoch; `None` if there are none."""
    values = [v for at, v in curve if at <= epoch + _SLACK and not math.isnan(v)]
    return statistics.fmean(values) if values else None
