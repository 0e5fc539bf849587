"""Logs a run to Weights & Biases, with the names and steps of TensorBoard."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from kerasft.errors import UserError, first_line
from kerasft.training.callbacks.callback import BatchStats, Callback, StepResult
from kerasft.training.callbacks.scalars import metric_scalars, step_scalars


def require_wandb() -> None:
    """Raises a `UserError` unless wandb is installed; does not import it."""
    if importlib.util.find_spec("wandb") is None:
        raise UserError(
            "The client of Weights & Biases is not installed.",
            received="logging.wandb, which names a project there",
            fix="pip install 'kerasft[wandb]', or leave logging.wandb out.",
        )


class WandbCallback(Callback):
    """Logs a run's scalars to Weights & Biases: `train/step/loss`, `validation/epoch/loss`, ...

    Account and server are configured in the wandb client: `wandb login`, `WANDB_MODE=offline`, etc.
    A resumed run keeps its id. The client drops steps that it already has; those of a resumed run
    are identical.

    Args:
        project: The project.
        run_id: Id and name of the run.
        folder: Folder for the client's files: the run directory.
        settings: The recipe's, by `section.key`.
    """

    def __init__(self, project: str, *, run_id: str, folder: Path, settings: Mapping[str, object]):
        self._project = project
        self._run_id = run_id
        self._folder = folder
        self._settings = settings
        self._run = None

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Starts or resumes the run; raises `UserError` if the client fails, e.g. has no login."""
        import wandb

        try:
            self._run = wandb.init(
                project=self._project,
                id=self._run_id,
                name=self._run_id,
                resume="allow",
                dir=str(self._folder),
                config=dict(self._settings),
            )
        except wandb.Error as error:
            raise UserError(
                f"Weights & Biases cannot be told of the run: {first_line(error)}",
                received=f'logging.wandb="{self._project}"',
                fix="wandb login; or set WANDB_MODE=offline, or leave logging.wandb out.",
            ) from error

    def on_step(self, result: StepResult, stats: BatchStats) -> None:
        """Logs the step's scalars."""
        self._log("train", result.step, step_scalars(result, stats))

    def on_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Logs the epoch's training metrics."""
        self._log("train", step, metric_scalars(metrics))

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """Logs the evaluation's metrics."""
        self._log(split, step, metric_scalars(metrics))

    def on_results(self, step: int, metrics: Mapping[str, float]) -> None:
        """Stores the results as the run's summary."""
        if self._run is not None:
            self._run.summary.update(dict(metrics))

    def close(self) -> None:
        """Finishes the run; an interrupted one can be resumed."""
        if self._run is not None:
            self._run.finish()
        self._run = None

    def _log(self, run: str, step: int, scalars: Mapping[str, float]) -> None:
        if self._run is not None:  # evaluations also happen before and after training
            self._run.log({f"{run}/{tag}": value for tag, value in scalars.items()}, step=step)
