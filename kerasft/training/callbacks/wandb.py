"""Weights & Biases: the numbers of a run, under the same names and steps as in TensorBoard."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path

from kerasft.errors import UserError, first_line
from kerasft.training.callbacks.callback import BatchStats, Callback, StepResult
from kerasft.training.callbacks.scalars import metric_scalars, step_scalars


def require_wandb() -> None:
    """Checks that the client is there; it is not imported.

    Raises:
        UserError: It is not.
    """
    if importlib.util.find_spec("wandb") is None:
        raise UserError(
            "The client of Weights & Biases is not installed.",
            received="logging.wandb, which names a project there",
            fix="pip install 'kerasft[wandb]', or leave logging.wandb out.",
        )


class WandbCallback(Callback):
    """Tells Weights & Biases what TensorBoard is told: `train/step/loss`, `validation/epoch/loss`.

    Where to and as whom is a matter of its client: `wandb login`, `WANDB_MODE=offline`, and so on.
    A resumed run goes on under the same id. Its client drops steps that it has already; those of a
    resumed run are the same.

    Args:
        project: The project.
        run_id: Id and name of the run.
        folder: Where the client keeps its files: the run directory.
        settings: The recipe's, by `section.key`.
    """

    def __init__(self, project: str, *, run_id: str, folder: Path, settings: Mapping[str, object]):
        self._project = project
        self._run_id = run_id
        self._folder = folder
        self._settings = settings
        self._run = None

    def on_start(self, *, start_step: int, total_steps: int, steps_per_epoch: int) -> None:
        """Begins the run, or goes on with it.

        Raises:
            UserError: The client cannot, for want of a login, say.
        """
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
        """Tells what is told of the step."""
        self._log("train", result.step, step_scalars(result, stats))

    def on_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Tells the epoch's training metrics."""
        self._log("train", step, metric_scalars(metrics))

    def on_evaluation(
        self, split: str, step: int, metrics: Mapping[str, float], best: bool
    ) -> None:
        """Tells the evaluation's metrics."""
        self._log(split, step, metric_scalars(metrics))

    def on_results(self, step: int, metrics: Mapping[str, float]) -> None:
        """Makes the results the run's summary."""
        if self._run is not None:
            self._run.summary.update(dict(metrics))

    def close(self) -> None:
        """Ends the run there; one that was interrupted can be gone on with."""
        if self._run is not None:
            self._run.finish()
        self._run = None

    def _log(self, run: str, step: int, scalars: Mapping[str, float]) -> None:
        if self._run is not None:  # evaluations also happen before training and after it
            self._run.log({f"{run}/{tag}": value for tag, value in scalars.items()}, step=step)
