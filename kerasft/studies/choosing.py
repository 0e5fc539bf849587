"""Which of several runs is the best on validation; never one whose metric is undefined.

No TensorFlow is imported here, since command lines read this at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from kerasft.metrics.spread import is_defined
from kerasft.studies.series import Finished

_LOSSES = ("validation/log_loss", "validation/mean_squared_error")


def loss_rank(loss: float | None) -> float:
    """Returns a key that sorts losses: the lowest first, unknown ones last."""
    return loss if is_defined(loss) else math.inf


def monitor_of(run: Finished) -> str:
    """Returns the validation metric that named a run's best checkpoint: `validation/accuracy`."""
    monitor = run.recipe.training.monitor
    return f"validation/{run.result['task']['headline']}" if monitor == "auto" else monitor


def monitored(run: Finished) -> float | None:
    """Returns a run's value of that metric; `None` or NaN where it is undefined.

    Raises:
        ValueError: The run has no such metric.
    """
    metric = monitor_of(run)
    if metric not in run.metrics:
        raise ValueError(f"{run.run_dir.path} has no {metric}: {sorted(run.metrics)}")
    return run.metrics[metric]


def validation_loss(run: Finished) -> float | None:
    """Returns a run's loss on validation; `None` where it is not known."""
    losses = (run.metrics.get(name) for name in _LOSSES)
    return next(filter(is_defined, losses), None)


def best_by_validation(
    runs: Sequence[Finished], is_better: Callable[[float, float | None, str], bool]
) -> Finished:
    """Returns the run that is best on validation.

    The metric is the one that names a run's best checkpoint, never one that is reported. Ties go to
    the lower loss on validation, then to the earlier run; so it is, too, where the metric is
    undefined for all.

    Args:
        runs: At least one, all of one recipe.
        is_better: Tells of a value, the best so far and the metric's name whether it is better;
            that of `kerasft.training.loop.fit`.

    Raises:
        ValueError: If a run has no such metric.
    """
    values = [monitored(run) for run in runs]
    best = 0
    for index, value in enumerate(values):
        own = values[best]
        if is_defined(value) and is_defined(own) and value != own:
            wins = is_better(value, own, monitor_of(runs[index]))
        elif is_defined(value) == is_defined(own):
            wins = loss_rank(validation_loss(runs[index])) < loss_rank(validation_loss(runs[best]))
        else:
            wins = is_defined(value)
        best = index if wins else best
    return runs[best]


def describe_best(title: str, runs: Sequence[Finished], best: Finished) -> str:
    """Says in a line which run of several was chosen, and on what grounds.

    Args:
        title: What the recipe is called.
        runs: All of them.
        best: From `best_by_validation`.
    """
    metric, value = monitor_of(best), monitored(best)
    if not is_defined(value):
        return (
            f"{title}: {metric} is undefined for every seed, so none is the best on validation; "
            f"seed {best.seed} is taken."
        )
    equal = [run for run in runs if monitored(run) == value]
    if len(equal) == 1:
        return f"{title}: seed {best.seed} is the best on validation."
    others = [loss_rank(validation_loss(run)) for run in equal if run is not best]
    by_loss = loss_rank(validation_loss(best)) < min(others)
    seeds = ", ".join(str(run.seed) for run in equal)
    reason = "has the lowest loss there" if by_loss else "is the first of them"
    return f"{title}: seeds {seeds} are equal on validation; seed {best.seed} {reason}."
