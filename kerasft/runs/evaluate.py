"""Evaluates a run's best checkpoint again, or predicts other examples with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kerasft.data.sources.source import Source
from kerasft.data.store.token_store import load_or_build_token_store
from kerasft.errors import UserError
from kerasft.evaluation.forward import build_forward
from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir
from kerasft.runs.data.data import VALIDATION, Data, find_scaling, load_data, store_logits
from kerasft.runs.data.record import check_evaluated_data, describe_data
from kerasft.runs.model.assembly import build_recipe_task
from kerasft.runs.resolved import load_run_recipe
from kerasft.runs.resume import change_run_recipe
from kerasft.runs.trained import Trained, flat_metrics, open_trained, split_notes
from kerasft.tasks.task import Task, task_from_record
from kerasft.training.callbacks.callback import Callback, Callbacks
from kerasft.training.distribution.strategy import build_strategy, build_workers
from kerasft.training.loop.fit_state import saved_state


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
        split: `validation` or a test split; `None`: `test`, or `validation` if there is no test.
        overrides: `section.key=value` of settings that may change on a resume, such as where the
            data lies now.

    Raises:
        UserError: If the run has no best checkpoint yet, or the data has changed.
    """
    callbacks = Callbacks(callbacks)
    trained, data = _open(change_run_recipe(run_dir, overrides), run_dir, callbacks)
    split = split or (*data.test_names, VALIDATION)[0]
    if split not in (VALIDATION, *data.test_names):
        raise UserError(
            f"The run {run_dir.path} has no such split.",
            received=split,
            expected=f"one of {', '.join((VALIDATION, *data.test_names))}",
        )
    now = describe_data(trained.recipe, data, trained.preprocessor)
    check_evaluated_data(run_dir, now, split)
    task = _task_of(trained, data)
    logits = trained.predict(trained.best_model(task), data, split, callbacks)
    facts = trained.describe(task, data, split, logits)
    for note in split_notes(facts):
        callbacks.on_message(note)
    return flat_metrics(facts)


def measure_validation(
    recipe: Recipe, run_dir: RunDir, callbacks: Sequence[Callback] = ()
) -> dict[str, float]:
    """Evaluates a finished run's best checkpoint on the validation split of a recipe.

    The recipe is that of the run, possibly with more examples. Nothing is written to the run.
    """
    callbacks = Callbacks(callbacks)
    trained, data = _open(recipe, run_dir, callbacks)
    task, labels = _task_of(trained, data), data.labels(VALIDATION)
    callbacks.on_evaluation_start(VALIDATION, len(labels))
    on_batch = callbacks.on_evaluation_batch
    logits = trained.logits(trained.best_model(task), data, VALIDATION, on_batch)
    callbacks.close()
    bins = recipe.evaluation.calibration_bins
    return task.evaluate(labels, logits, calibration_bins=bins)


def predict_source(
    run_dir: RunDir, source: Source, split: str, callbacks: Sequence[Callback] = ()
) -> dict[str, np.ndarray]:
    """Predicts a split of a dataset with a run's best weights, in float32.

    Args:
        run_dir: A finished run.
        source: The examples; labels may be hidden.
        split: The dataset's own name of the split.
        callbacks: Notified of the progress.

    Returns:
        The task's decoded predictions, one array per output, in the split's order.

    Raises:
        UserError: If the run is not finished, or reads pairs and the examples are single texts.
    """
    recorded, callbacks = run_dir.read_json("metrics.json"), Callbacks(callbacks)
    if source.has_pairs != recorded.get("has_pairs", False):
        reads = "pairs of texts" if recorded.get("has_pairs") else "single texts"
        raise UserError(f"The model of {run_dir.path} reads {reads}, unlike {source.name}.")
    trained = open_trained(load_run_recipe(run_dir), run_dir)
    task = task_from_record(recorded["task"])
    store = load_or_build_token_store(
        source, split, preprocessor=trained.preprocessor, log=callbacks.on_message
    )
    callbacks.on_evaluation_start(split, len(store))
    logits = store_logits(
        build_forward(trained.best_model(task)),
        store,
        np.arange(len(store)),
        batch_size=trained.recipe.evaluation.batch_size,
        on_batch=callbacks.on_evaluation_batch,
    )
    return {name: tensor.numpy() for name, tensor in task.decode(logits).items()}


def _open(recipe: Recipe, run_dir: RunDir, callbacks: Callbacks) -> tuple[Trained, Data]:
    """Opens a run's best checkpoint and its data."""
    strategy = build_strategy(recipe.training.strategy)
    trained = open_trained(recipe, run_dir, strategy=strategy)
    with build_workers(strategy).chief_first():
        data = load_data(recipe, trained.preprocessor, log=callbacks.on_message)
    return trained, data


def _task_of(trained: Trained, data: Data) -> Task:
    """Returns a run's task: if the run is finished, as recorded, with its thresholds."""
    run_dir = trained.run_dir
    if run_dir.metrics_path.exists():
        return task_from_record(run_dir.read_json("metrics.json")["task"])
    scaling = find_scaling(trained.recipe, data, saved_state(run_dir.checkpoints_folder))
    return build_recipe_task(trained.recipe, data.source, target_scaling=scaling)
