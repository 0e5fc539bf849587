"""Restores a run's latest checkpoint, on a resume or after a step that diverged.

Diverged steps are listed in the run's `divergences.json`, so that a resumed run also skips their
batches.
"""

from __future__ import annotations

from kerasft.errors import UserError
from kerasft.run_dir import RunDir
from kerasft.runs.context import RunContext
from kerasft.tasks.task import scaling_of
from kerasft.training.checkpoints.checkpoint import restore_best, restore_latest
from kerasft.training.distribution.strategy import describe_strategy
from kerasft.training.loop.divergence import SKIP, DivergedError
from kerasft.training.loop.fit import checkpointed_variables
from kerasft.training.loop.fit_state import FitState
from kerasft.training.step.fine_tuner import FineTuner

_RECORD = "divergences.json"


def restore(context: RunContext, run_dir: RunDir, model: FineTuner) -> FitState:
    """Restores weights, optimizer and seeds from the latest checkpoint, if there is one.

    Returns:
        The state of training; a new one without a checkpoint.
    """

    def variables_at(step: int) -> list:
        context.settings.unfreezing.set_stage(model, max(step - 1, 0))
        return checkpointed_variables(model)

    folder, devices = run_dir.checkpoints_folder, describe_strategy(context.strategy)
    saved = restore_latest(folder, variables_at, log=context.log)
    if saved is None:
        restore_best(folder, 0)  # the run starts over
        return FitState(devices=devices, target_scaling=scaling_of(context.task))
    model.settle()
    state = FitState.from_checkpoint(saved)
    best_step = state.best_step
    if not restore_best(folder, best_step) and best_step:
        state.forget_best()
        context.log(
            f"The weights of the best step so far, {best_step}, are gone: the best is chosen "
            "among the evaluations to come."
        )
    context.log(f"Resuming {run_dir.path} after step {state.step}.")
    if state.devices not in (None, devices):
        context.log(
            f"So far it was trained on {state.devices}, and goes on on {devices}: sums are added "
            "up in another order, and each replica draws its own dropout. Without dropout it ends "
            "within rounding of what it would have been, and not bit for bit."
        )
    state.devices = devices
    return state


def read_divergences(run_dir: RunDir) -> list[dict[str, object]]:
    """Returns the steps whose batches are skipped, each with its loss and its examples."""
    return run_dir.read_json(_RECORD) if (run_dir.path / _RECORD).exists() else []


def leave_out(context: RunContext, run_dir: RunDir, error: DivergedError) -> None:
    """Records that the batch of a diverged step is skipped from now on.

    Raises:
        DivergedError: The recipe says to stop.
        UserError: The maximum number of batches was skipped already.
    """
    training = context.recipe.training
    if training.on_divergence != SKIP:
        raise error
    left_out = read_divergences(run_dir)
    if len(left_out) >= training.max_divergences:
        raise UserError(
            f"{error} It has gone back {len(left_out)} times already, and gives up.",
            expected=f"no more than training.max_divergences={training.max_divergences}",
        ) from error
    examples = context.data.examples("train")[1][context.plan.batch(error.step - 1)]
    left_out.append({"step": error.step, "loss": error.loss, "examples": examples.tolist()})
    run_dir.write_json(_RECORD, left_out)
    context.log(
        f"Step {error.step} broke down (loss {error.loss:.4g}): going back to the latest "
        f"checkpoint. Its {len(examples)} examples are left out; {run_dir.path / _RECORD} names "
        "them."
    )
