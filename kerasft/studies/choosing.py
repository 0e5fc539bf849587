"""Chooses the best of several runs on validation; never one whose metric is undefined.

TensorFlow is not imported, since command lines import this at once.
"""

from __future__ import annotations

from collections.abc import Sequence

from kerasft.metric import is_defined, loss_metric, rank
from kerasft.studies.series import Finished


def monitor_of(run: Finished) -> str:
    """Returns the validation metric that chose a run's best checkpoint: `validation/accuracy`."""
    monitor = run.recipe.training.monitor
    return f"validation/{run.result['task']['headline']}" if monitor == "auto" else monitor


def monitored(run: Finished) -> float | None:
    """Returns a run's value of that metric; `None` or NaN if it is undefined."""
    metric = monitor_of(run)
    if metric not in run.metrics:
        raise ValueError(f"{run.run_dir.path} has no {metric}: {sorted(run.metrics)}")
    return run.metrics[metric]


def validation_loss(run: Finished) -> float | None:
    """Returns a run's validation loss; `None` if it is unknown."""
    loss = run.metrics.get(loss_metric(run.metrics, "validation/"))
    return loss if is_defined(loss) else None


def best_by_validation(runs: Sequence[Finished]) -> Finished:
    """Returns the run that is best on validation, by the metric that chooses checkpoints.

    Ties go to the lower validation loss, then to the earlier run; so do runs whose metrics are all
    undefined. `runs` must not be empty, and all must be of one recipe.
    """
    return max(runs, key=_rank)


def _rank(run: Finished) -> tuple[bool, float, float]:
    return rank(monitor_of(run), monitored(run), validation_loss(run))


def describe_best(title: str, runs: Sequence[Finished], best: Finished) -> str:
    """Returns a line on which of several runs was chosen, and why; `title` names the recipe."""
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
