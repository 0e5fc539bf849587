"""What every pipeline does with a recipe: run it, evaluate it again, export it again."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kerasft.data.sources.source import Source
from kerasft.data.store.token_store import load_or_build_token_store
from kerasft.errors import UserError
from kerasft.evaluation.forward import build_forward
from kerasft.export.options import Quantization
from kerasft.export.saved_model import ExportOptions
from kerasft.recipe import Recipe, load_recipe
from kerasft.run_dir import RunDir, create_run_dir, describe_environment
from kerasft.runs import outcome
from kerasft.runs.data.data import VALIDATION, Data, load_data, store_logits
from kerasft.runs.data.record import (
    check_data_of_series,
    check_evaluated_data,
    check_exported_data,
    check_resumed_data,
    describe_data,
    write_data_record,
)
from kerasft.runs.export import export_recorded
from kerasft.runs.fitting import fit_settings
from kerasft.runs.lengthening import check_steps_are_left, reopen
from kerasft.runs.model import assembly
from kerasft.runs.result import Run
from kerasft.runs.resume import WRITTEN, change_recipe, differences, refuse_finished
from kerasft.runs.session import Session
from kerasft.tasks.task import task_from_record
from kerasft.training.callbacks.callback import Callback
from kerasft.training.checkpoints.checkpoint import discard_after
from kerasft.training.distribution.worker_folder import working_folder
from kerasft.training.distribution.workers import expected_cluster
from kerasft.training.loop.compile_cache import keep_compiled_programs
from kerasft.training.step.fine_tuner import FineTuner
from kerasft.training.step.precision import resolve_dtype_policy


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
        recipe: What to run. When resuming, the run's own, or what it has become: see
            `resuming.change_recipe`.
        resume: The run directory to go on in; a new one is made if `None`.
        from_step: Go on from the checkpoint of this step: later ones are removed. `None`: from the
            latest.
        callbacks: Notified of what happens, beside TensorBoard and `history.csv`.
        runs_folder: Where a new run directory is made.
        same_data_as: Another run, with whose data this one's must agree. `None`: none.

    Returns:
        What the run left behind; `None` in a process of several that is not the chief.

    Raises:
        UserError: For a mistake in recipe, data or surroundings.
        Interrupted: After Ctrl-C or SIGTERM, when a checkpoint has been saved.
    """
    is_chief = expected_cluster(recipe.training.strategy).is_chief
    with contextlib.ExitStack() as stack:
        if resume is not None and is_chief:
            stack.enter_context(resume.lock())
            if from_step is None:
                refuse_finished(resume, recipe)
        session = Session(recipe if resume else settle(recipe), resume, callbacks)
        # Before there is a run directory: a mistake leaves none behind.
        session.load()
        if resume is not None:
            check_resumed_data(resume, session.recipe, session.data_record)
        if same_data_as is not None:
            check_data_of_series(same_data_as, session.data_record)
        if resume is not None:
            check_steps_are_left(resume, fit_settings(session), from_step)
        model = session.build_model()

        def prepare() -> RunDir:
            run_dir = resume or create_run_dir(recipe.name, runs_folder)
            if resume is None:
                stack.enter_context(run_dir.lock())
                run_dir.write_json("environment.json", describe_environment())
            else:
                reopen(run_dir)
                if from_step is not None:
                    discard_after(run_dir.checkpoints_folder, from_step)
            _write_down(run_dir, session, recipe)
            return run_dir

        session.run_dir = stack.enter_context(working_folder(session.workers, resume, prepare))
        return session.run(model)


def _write_down(run_dir: RunDir, session: Session, recipe: Recipe) -> None:
    """Keeps what is run, and on which data; the recipe last, which makes the folder a run's."""
    if recipe.written:
        run_dir.write_json(WRITTEN, dict(recipe.written))
    write_data_record(run_dir, session.data_record)
    is_new = not run_dir.recipe_path.exists()
    if is_new or any(differences(load_recipe(run_dir.recipe_path), session.recipe)):
        run_dir.write_text("recipe.toml", session.recipe.to_toml())


def build(recipe: Recipe, callbacks: Sequence[Callback] = ()) -> FineTuner:
    """Builds the compiled model of a recipe, to be trained with `fit`.

    The data is read, since the schedule's length and the label names depend on it.

    Args:
        recipe: What to build.
        callbacks: Notified of what was found, with a warning if the sample replaces the data.
    """
    session = Session(settle(recipe), None, callbacks)
    session.load()
    return session.build_model()


def settle(recipe: Recipe) -> Recipe:
    """Replaces what depends on the machine by what it means here, so that a resume keeps it."""
    if recipe.training.jit_compile:
        keep_compiled_programs()  # before TensorFlow is asked for its devices
    policy = resolve_dtype_policy(recipe.training.dtype_policy)
    training = dataclasses.replace(recipe.training, dtype_policy=policy)
    return dataclasses.replace(recipe, training=training)


def evaluate_run(
    run_dir: RunDir,
    callbacks: Sequence[Callback] = (),
    split: str | None = None,
    overrides: Sequence[str] = (),
) -> dict[str, float]:
    """Evaluates a run's best checkpoint again, in float32; returns flat metrics.

    Args:
        run_dir: The run directory.
        callbacks: Notified of the progress.
        split: `test`, another split that is tested on, or `validation`; `None` is `test`, and
            `validation` where there is no test.
        overrides: `section.key=value` of settings that may change on a resume, such as where the
            data lies now.

    Raises:
        UserError: If the run has no best checkpoint yet, or the data is other data.
    """
    session = _open_session(run_dir, callbacks, overrides)
    session.load()
    split = split or (*session.data.test_names, VALIDATION)[0]
    if split not in (VALIDATION, *session.data.test_names):
        raise UserError(
            f"The run {run_dir.path} has no such split.",
            received=split,
            expected=f"one of {', '.join((VALIDATION, *session.data.test_names))}",
        )
    check_evaluated_data(run_dir, session.data_record, split)
    result = _as_recorded(session.outcome())
    facts = result.evaluate(result.best_model(), session.data, split, session.callbacks)
    return outcome.flat_metrics(facts)


def predict_source(
    run_dir: RunDir, source: Source, split: str, callbacks: Sequence[Callback] = ()
) -> dict[str, np.ndarray]:
    """Answers the examples of a dataset with a run's best weights, in float32.

    Args:
        run_dir: A finished run.
        source: The examples; their labels may be hidden.
        split: The dataset's own name of the split.
        callbacks: Notified of the progress.

    Returns:
        What the task's `decode` gives, an array each, in the split's own order.

    Raises:
        UserError: If the run is not finished, or reads pairs and the examples are none.
    """
    recorded = _read_results(run_dir)
    if source.has_pairs != recorded.get("has_pairs", False):
        reads = "pairs of texts" if recorded.get("has_pairs") else "single texts"
        raise UserError(f"The model of {run_dir.path} reads {reads}, unlike {source.name}.")
    session = _open_session(run_dir, callbacks)
    result = _recorded_outcome(session, recorded)
    store = load_or_build_token_store(
        source, split, preprocessor=result.preprocessor, log=session.callbacks.on_message
    )
    session.callbacks.on_evaluation_start(split, len(store))
    logits = store_logits(
        build_forward(result.best_model()),
        store,
        np.arange(len(store)),
        batch_size=session.recipe.evaluation.batch_size,
        on_batch=session.callbacks.on_evaluation_batch,
    )
    return {name: tensor.numpy() for name, tensor in result.task.decode(logits).items()}


def export_run(
    run_dir: RunDir,
    callbacks: Sequence[Callback] = (),
    name: str | None = None,
    *,
    options: ExportOptions | None = None,
    quantization: Quantization | None = None,
    overrides: Sequence[str] = (),
) -> Path:
    """Exports a run's best checkpoint again; returns the version folder.

    Args:
        run_dir: A finished run.
        callbacks: Notified of the progress.
        name: Folder of the model; `None`: as the recipe says.
        options: Of the export. Defaults to those of an export after training.
        quantization: How weights are stored and computed with; `None`: in float32.
        overrides: See `evaluate_run`.

    Raises:
        UserError: If the run has no best checkpoint yet, or was never finished; or quantization
            costs more than allowed.
    """
    session = _open_session(run_dir, callbacks, overrides)
    recorded = _read_results(run_dir)
    result = _recorded_outcome(session, recorded)
    log = session.callbacks.on_message

    def load_same_data() -> Data:
        # The outcome's encoder will do: a session would load it once more.
        data = load_data(session.recipe, result.preset, log=log)
        now = describe_data(session.recipe, data, result.preprocessor)
        check_exported_data(run_dir, now)
        return data

    return export_recorded(
        result,
        recorded,
        load_same_data,
        name=name,
        options=options or ExportOptions(verify=session.recipe.export.verify),
        quantization=quantization,
        log=log,
    )


def _read_results(run_dir: RunDir) -> dict[str, Any]:
    """Reads what a finished run wrote of itself."""
    return run_dir.read_json("metrics.json")


def _recorded_outcome(session: Session, recorded: Mapping[str, Any]) -> outcome.Outcome:
    """Returns a finished run's outcome without loading its data."""
    recipe = session.recipe
    preset = assembly.load_recipe_preset(recipe, dtype="float32")
    return outcome.Outcome(
        recipe,
        session.run_dir,
        preset,
        assembly.build_preprocessor(recipe, preset),
        task_from_record(recorded["task"]),
        has_pairs=recorded["has_pairs"],
    )


def _as_recorded(result: outcome.Outcome) -> outcome.Outcome:
    """Gives an outcome the thresholds that its run chose, if it is finished."""
    if not result.run_dir.metrics_path.exists():
        return result
    task = task_from_record(_read_results(result.run_dir)["task"])
    return dataclasses.replace(result, task=task)


def _open_session(
    run_dir: RunDir, callbacks: Sequence[Callback], overrides: Sequence[str] = ()
) -> Session:
    outcome.require_best(run_dir)
    return Session(change_recipe(run_dir, overrides), run_dir, callbacks)


def load_run_recipe(run_dir: RunDir) -> Recipe:
    """Reads the recipe that a run was made with."""
    return load_recipe(run_dir.recipe_path)
