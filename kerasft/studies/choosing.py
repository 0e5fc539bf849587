"""Which of several runs is the best on validation; never one whose metric is undefined.

No TensorFlow is imported here, since command lines read this at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from kerasft.metric import is_defined, loss_metric, rank
from kerasft.studies.series import Finished


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
    loss = run.metrics.get(loss_metric(run.metrics, "validation/"))
    return loss if is_defined(loss) else None


def best_by_validation(runs: Sequence[Finished]) -> Finished:
    """Returns the run that is best on validation.

    The metric is the one that names a run's best checkpoint, never one that is reported. Ties go to
    the lower loss on validation, then to the earlier run; so it is, too, where the metric is
    undefined for all.

    Args:
        runs: At least one, all of one recipe.

    Raises:
        ValueError: If a run has no such metric.
    """
    return max(runs, key=_rank)


def _rank(run: Finished) -> tuple[bool, float, float]:
    return rank(monitor_of(run), monitored(run), validation_loss(run))


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
    by_loss = all(_rank(best) > _rank(run) for run in equal if run is not best)
    seeds = ", ".join(str(run.seed) for run in equal)
    reason = "has the lowest loss there" if by_loss else "is the first of them"
    return f"{title}: seeds {seeds} are equal on validation; seed {best.seed} {reason}."
