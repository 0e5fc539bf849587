"""Making a run longer: one that was interrupted or stopped early, or a finished one."""

from __future__ import annotations

import dataclasses

from kerasft.data.plan.batch_plan import BatchPlan
from kerasft.errors import UserError
from kerasft.recipe import DURATION_FAMILIES, Recipe, load_recipe
from kerasft.run_dir import RunDir
from kerasft.runs.model.assembly import steps_of
from kerasft.training.checkpoints.checkpoint import latest_state, latest_step
from kerasft.training.loop.fit_state import FitSettings, FitState


def keep_first_warmup(recipe: Recipe, run_dir: RunDir | None, plan: BatchPlan) -> Recipe:
    """Returns the recipe of a run that is made longer with the warm-up of its first length.

    A warm-up that is a share of the run would begin a second time.

    Args:
        recipe: The recipe.
        run_dir: The run that is resumed; `None` for a new one.
        plan: Of its batches.
    """
    if run_dir is None or not run_dir.recipe_path.exists():
        return recipe
    before = load_recipe(run_dir.recipe_path)
    total_steps = steps_of(before, plan, "run")
    if total_steps == steps_of(recipe, plan, "run"):
        return recipe
    family = dict.fromkeys(DURATION_FAMILIES["warmup"].members)
    family["warmup_steps"] = steps_of(before, plan, "warmup", total_steps)
    return dataclasses.replace(recipe, training=dataclasses.replace(recipe.training, **family))


def check_steps_are_left(run_dir: RunDir, settings: FitSettings, from_step: int | None) -> None:
    """Refuses a length or patience that the run is beyond already, before anything is changed.

    Args:
        run_dir: The run.
        settings: Of the training that is to go on.
        from_step: Where it is to go on; `None`: at its latest checkpoint.

    Raises:
        UserError: It is beyond its length; or it is finished, and nothing is left to train.
    """
    saved = latest_state(run_dir.checkpoints_folder)
    if saved is None:
        return
    state = FitState.from_checkpoint(saved)
    step = state.step if from_step is None else from_step
    is_finished = run_dir.metrics_path.exists() and from_step is None
    is_done = step >= settings.last_step if is_finished else step > settings.last_step
    wants = []
    if is_done:
        short = settings.last_step < settings.total_steps
        key = "training.stop_after_epochs" if short else "training.epochs, steps or examples"
        wants.append(f"{key} for more than {step} steps")
    if is_finished and state.is_out_of_patience(settings.patience):
        enough = state.evaluations_since_best + 1
        wants.append(f"training.early_stopping_patience={enough} or more, or 0 for no end")
    if wants:
        raise UserError(
            f"The run {run_dir.path} has nothing left to train.",
            received=f"steps done: {step} of {settings.last_step}; validations without an "
            f"improvement: {state.evaluations_since_best}",
            expected=" and ".join(wants),
            fix="set these, or resume an earlier checkpoint: --resume "
            f"{run_dir.checkpoints_folder}/step-N.",
        )


def reopen(run_dir: RunDir) -> None:
    """Makes a finished run one that is not: its metrics are kept under the step they are of."""
    if run_dir.metrics_path.exists():
        step = latest_step(run_dir.checkpoints_folder)
        run_dir.metrics_path.rename(run_dir.path / f"metrics-step-{step}.json")
