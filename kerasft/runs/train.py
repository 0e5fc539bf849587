"""One run of a recipe, from its data to its exported model.

`run` does it all: `load_context` loads and checks, `train` does the steps, and `finish` evaluates
the best weights, writes the results and exports.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Sequence
from pathlib import Path

from kerasft.console import tensorboard_command
from kerasft.export.layout import check_new_version
from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir, create_run_dir, describe_environment
from kerasft.run_dir.result import Run
from kerasft.runs.callbacks import build_callbacks
from kerasft.runs.context import RunContext, load_context
from kerasft.runs.data.record import check_data_of_series, check_resumed_data, write_data_record
from kerasft.runs.failures import explaining_failures
from kerasft.runs.finish import finish
from kerasft.runs.model.assembly import build_model, compile_model, settle_training
from kerasft.runs.model.starting_weights import load_starting_weights, log_adapter
from kerasft.runs.recover import leave_out, read_divergences, restore
from kerasft.runs.resume import check_steps_are_left, refuse_finished, write_recipe
from kerasft.runs.trained import export_folder
from kerasft.runs.training_data import training_data
from kerasft.training.callbacks.callback import Callback
from kerasft.training.callbacks.tensorboard import rewind_tensorboard
from kerasft.training.checkpoints.checkpoint import discard_after, latest_step
from kerasft.training.distribution.workers import expected_cluster, working_folder
from kerasft.training.loop.divergence import DivergedError
from kerasft.training.loop.fit import Fit
from kerasft.training.loop.fit_state import FitState
from kerasft.training.step.fine_tuner import FineTuner


def run(
    recipe: Recipe,
    *,
    resume: RunDir | None = None,
    from_step: int | None = None,
    callbacks: Sequence[Callback] = (),
    runs_folder: str | Path = "runs",
    same_data_as: RunDir | None = None,
) -> Run | None:
    """Runs a recipe to its end.

    Args:
        recipe: What to run. When resuming, the run's own, perhaps changed: see `change_recipe`.
        resume: The run directory to resume; a new one is made if `None`.
        from_step: Resume from the checkpoint of this step and remove later ones. `None`: from the
            latest.
        callbacks: Notified of events, in addition to TensorBoard and `history.csv`.
        runs_folder: Where a new run directory is made.
        same_data_as: Another run whose data must be the same. `None`: not checked.

    Returns:
        The result of the run; `None` in a process that is not the chief.

    Raises:
        UserError: For a mistake in recipe, data or environment.
        Interrupted: After Ctrl-C or SIGTERM, when a checkpoint has been saved.
        OutOfMemoryError: Memory ran out in this process.
        WorkerLostError: Another process of the run is gone.
    """
    is_chief = expected_cluster(recipe.training.strategy).is_chief
    with contextlib.ExitStack() as stack:
        if resume is not None and is_chief:
            stack.enter_context(resume.lock())
            if from_step is None:
                refuse_finished(resume, recipe)
        # All mistakes are found before anything is written: they leave no run directory.
        context = load_context(recipe, callbacks, resume)
        if recipe.export.enabled and is_chief:
            check_new_version(export_folder(recipe, context.data.source.name))
        if resume is not None:
            check_resumed_data(resume, recipe, context.data_record)
            check_steps_are_left(resume, context.settings, context.saved, from_step)
        if same_data_as is not None:
            check_data_of_series(same_data_as, context.data_record)
        model = build_trained_model(context, resume)

        def open_folder() -> RunDir:
            run_dir = resume or create_run_dir(recipe.name, runs_folder)
            if resume is None:
                stack.enter_context(run_dir.lock())
            _write_records(context, run_dir, is_new=resume is None, from_step=from_step)
            return run_dir

        run_dir = stack.enter_context(working_folder(context.workers, resume, open_folder))
        context.log(f"To watch it: {tensorboard_command(run_dir.path.parent)}")
        with explaining_failures(context, run_dir):
            state = train(context, run_dir, model)
            finished = finish(context, run_dir, state)
            context.workers.barrier()
        return finished


def build(recipe: Recipe, callbacks: Sequence[Callback] = ()) -> FineTuner:
    """Builds the compiled model of a recipe, to be trained with `fit`.

    The data is read, since the schedule's length and the label names depend on it.

    Args:
        recipe: What to build.
        callbacks: Get messages, with a warning if the built-in sample replaces the data.
    """
    return build_trained_model(load_context(recipe, callbacks))


def build_trained_model(context: RunContext, resume: RunDir | None = None) -> FineTuner:
    """Builds and compiles the model of a run under its strategy.

    With `resume`, the initial weights are not loaded: a checkpoint has all weights, and their
    source may be gone by now.
    """
    recipe, task, unfreezing = context.recipe, context.task, context.settings.unfreezing
    with context.strategy.scope():
        model = build_model(recipe, context.preset, task)
        if resume is None or not latest_step(resume.checkpoints_folder):
            load_starting_weights(model, recipe, task, context.log)
        settle_training(model, recipe)
        unfreezing.set_stage(model, 0)
        compile_model(
            model,
            recipe,
            task,
            total_steps=context.settings.total_steps,
            warmup_steps=context.warmup_steps,
            unfreeze_every=unfreezing.every,
            kernels=context.kernels,
        )
    log_adapter(model, context.log)
    return model


def train(context: RunContext, run_dir: RunDir, model: FineTuner) -> FitState:
    """Trains to the end from the latest checkpoint; returns to it if training diverges."""
    while True:
        state = restore(context, run_dir, model)
        rewind_tensorboard(run_dir.tensorboard_folder, state.step)
        context.callbacks.replace_writers(build_callbacks(context, run_dir))
        left_out = frozenset(step["step"] for step in read_divergences(run_dir))
        fit = Fit(
            model,
            context.strategy,
            data=training_data(context, model),
            settings=dataclasses.replace(context.settings, skip=left_out),
            folder=run_dir.checkpoints_folder,
            state=state,
            callbacks=context.callbacks,
        )
        try:
            return fit.run()
        except DivergedError as error:
            leave_out(context, run_dir, error)


def _write_records(
    context: RunContext, run_dir: RunDir, *, is_new: bool, from_step: int | None
) -> None:
    """Records the run and its data; the recipe last: it makes the folder a run directory."""
    if is_new:
        run_dir.write_json("environment.json", describe_environment())
    elif run_dir.metrics_path.exists():  # lengthened: these metrics are of an earlier step
        step = latest_step(run_dir.checkpoints_folder)
        run_dir.metrics_path.rename(run_dir.path / f"metrics-step-{step}.json")
    if from_step is not None:
        discard_after(run_dir.checkpoints_folder, from_step)
    write_data_record(run_dir, context.data_record)
    context.resolved.write(run_dir)
    write_recipe(run_dir, context.asked)
