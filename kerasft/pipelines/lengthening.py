"""Making a run longer: one that was interrupted or stopped early, or a finished one."""

from __future__ import annotations

import dataclasses

from kerasft.data.batch_plan import BatchPlan
from kerasft.errors import UserError
from kerasft.pipelines.assembly import steps_of
from kerasft.recipe import DURATION_FAMILIES, Recipe, load_recipe
from kerasft.run_dir import RunDir
from kerasft.training.checkpoint import latest_state, latest_step
from kerasft.training.fit_state import FitSettings, FitState


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


def check_steps_are_left(run_dir: RunDir, settings: FitSettings) -> None:
    """Refuses to resume a finished run whose new length or patience leaves nothing to train.

    Args:
        run_dir: The run.
        settings: Of the training that is to go on.

    Raises:
        UserError: Nothing is left to train.
    """
    saved = latest_state(run_dir.checkpoints_folder)
    if not run_dir.metrics_path.exists() or saved is None:
        return
    state = FitState.from_checkpoint(saved)
    if state.is_out_of_patience(settings.patience):
        raise UserError(
            f"The run {run_dir.path} stopped early at step {state.step}: nothing is left to train.",
            received=f"training.early_stopping_patience={settings.patience}, and "
            f"{state.evaluations_since_best} validations without a better one",
            fix=f"set training.early_stopping_patience={state.evaluations_since_best + 1} or more, "
            "or 0 to never stop early.",
        )
    if state.step >= settings.last_step:
        raise UserError(
            f"The run {run_dir.path} is finished: nothing is left to train.",
            received=f"a length of {settings.last_step} steps, {state.step} of them done",
            expected=f"more than {state.step} steps",
            fix="set a larger training.epochs, training.steps or training.examples.",
        )


def reopen(run_dir: RunDir) -> None:
    """Makes a finished run one that is not: its metrics are kept under the step they are of."""
    if run_dir.metrics_path.exists():
        step = latest_step(run_dir.checkpoints_folder)
        run_dir.metrics_path.rename(run_dir.path / f"metrics-step-{step}.json")
