"""What is looked after while trials run: those that lag behind, the time, and the disk."""

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

_TRUSTED_SHARE = 0.1  # of a run, after which its length can be told


class Pruner:
    """Compares a running trial with those that were run to their end.

    Args:
        outcomes: Returns what came of each job that has ended.
        metric: What is compared.
    """

    def __init__(self, outcomes: Callable[[], dict[str, JobResult]], metric: str):
        self._outcomes = outcomes
        self._metric = metric
        self._curves: dict[str, list[Evaluation]] = {}

    def why_end(self, run_dir: Path) -> str | None:
        """Says why a run is to be ended; `None`: it goes on."""
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
    """Refuses a budget in which not even one trial has room beside the recipe as it is.

    While the recipe runs, its length is estimated from how far it is.

    Args:
        recipe: The recipe as it is.
        run_dir: Its run, if there is one yet.
        budget: Of the study.
        took: How long it took, when it is done.

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
    """Returns how much of a run's training is done, from 0 to 1; 0 where that cannot be told."""
    path = None if run_dir is None else run_dir.history_path
    try:
        rows = read_history(path) if path is not None and path.exists() else []
    except UserError:  # it is being written anew
        rows = []
    if not rows:
        return 0.0
    training = recipe.training
    if training.epochs is not None:
        return rows[-1]["epoch"] / training.epochs
    steps = training.steps or training.examples / training.batch_size
    return rows[-1]["step"] / steps


def discard_weights(outcomes: dict[str, JobResult], keep: str | None) -> None:
    """Removes the checkpoints of trials that have ended, all but those of the best one.

    A search makes more of them than disks like; settings are what it is for.

    Args:
        outcomes: What came of each trial.
        keep: The run directory whose weights are kept.
    """
    for outcome in outcomes.values():
        if outcome.run_dir not in (None, keep):
            shutil.rmtree(RunDir(Path(outcome.run_dir)).checkpoints_folder, ignore_errors=True)
