"""What is watched while trials run: trials that lag behind, time, and disk space."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from kerasft.errors import UserError
from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir
from kerasft.studies.tuning.budget import Budget, write_time
from kerasft.studies.tuning.keras_tuner.journal import COMPLETED, JobResult
from kerasft.studies.tuning.keras_tuner.pruning import Evaluation, read_curve, why_prune
from kerasft.training.callbacks.history import read_history

_TRUSTED_SHARE = 0.1  # of a run, after which its duration can be estimated


class Pruner:
    """Compares a running trial with completed ones.

    `outcomes` returns the result of each job that has ended; `metric` is compared.
    """

    def __init__(self, outcomes: Callable[[], dict[str, JobResult]], metric: str):
        self._outcomes = outcomes
        self._metric = metric
        self._curves: dict[str, list[Evaluation]] = {}

    def why_end(self, run_dir: Path) -> str | None:
        """Returns why to prune a run; `None`: continue."""
        curve = read_curve(run_dir, self._metric)
        if not curve:
            return None
        for job, outcome in self._outcomes().items():
            if outcome.status == COMPLETED and outcome.run_dir and job not in self._curves:
                self._curves[job] = read_curve(Path(outcome.run_dir), self._metric)
        return why_prune(curve, list(self._curves.values()), self._metric)


def check_time_of_one(
    recipe: Recipe, run_dir: RunDir | None, budget: Budget, took: float | None = None
) -> None:
    """Refuses a budget with no time for the baseline and one trial.

    While the baseline runs, its duration is estimated from its progress.

    Args:
        recipe: The baseline recipe.
        run_dir: Its run, if there is one yet.
        budget: The study's budget.
        took: Its duration in seconds, when it is done.

    Raises:
        UserError: The budget is too small.
    """
    if budget.seconds is None:
        return
    if took is None:
        share = share_done(recipe, run_dir)
        took = budget.used / share if share > _TRUSTED_SHARE else budget.used
    if 2 * took > budget.seconds:
        raise UserError(
            "The budget is too small for one trial beside the recipe as it is.",
            received=write_time(budget.seconds),
            expected=f"{write_time(2 * took)} or more, since the recipe takes at least "
            f"{write_time(took)}",
            fix="go on with the same folder: --resume FOLDER --budget ...",
        )


def share_done(recipe: Recipe, run_dir: RunDir | None) -> float:
    """Returns the finished share of a run's training, from 0 to 1; 0 if unknown."""
    path = None if run_dir is None else run_dir.history_path
    try:
        rows = read_history(path) if path is not None and path.exists() else []
    except UserError:  # it is being rewritten
        rows = []
    if not rows:
        return 0.0
    training = recipe.training
    if training.epochs is not None:
        return rows[-1]["epoch"] / training.epochs
    steps = training.steps or training.examples / training.batch_size
    return rows[-1]["step"] / steps


def discard_weights(outcomes: dict[str, JobResult], keep: str | None) -> None:
    """Removes the checkpoints of trials that have ended, except those in the run `keep`.

    They would fill the disk; a search is for settings, not weights.
    """
    for outcome in outcomes.values():
        if outcome.run_dir not in (None, keep):
            shutil.rmtree(RunDir(Path(outcome.run_dir)).checkpoints_folder, ignore_errors=True)
