"""The callbacks that write files of a run: history, TensorBoard, Weights & Biases."""

from __future__ import annotations

from collections.abc import Iterator

from kerasft.evaluation.pictures import EvaluationPictures
from kerasft.recipe import Recipe, describe_fields
from kerasft.recipe.conflicts import augments
from kerasft.recipe.settings import to_literal
from kerasft.run_dir import RunDir
from kerasft.runs.context import RunContext
from kerasft.training.callbacks.callback import Callback
from kerasft.training.callbacks.history import HistoryCallback
from kerasft.training.callbacks.hparams import HParamsCallback
from kerasft.training.callbacks.profiler import ProfilerCallback
from kerasft.training.callbacks.tensorboard import TensorBoardCallback
from kerasft.training.callbacks.wandb import WandbCallback

# Settings that identify a run, even at their defaults.
_MAIN_SETTINGS = frozenset(
    (
        *("data.dataset", "model.preset", "model.sequence_length", "adapter.method"),
        *("training.batch_size", "training.learning_rate", "training.weight_decay"),
        *("training.epochs", "training.steps", "training.examples", "training.seed"),
    )
)
_NO_HYPERPARAMETERS = ("evaluation", "export", "logging")  # sections


def build_callbacks(context: RunContext, run_dir: RunDir) -> list[Callback]:
    """Builds the callbacks that write a run's files.

    Processes other than the chief write the history alone, which a resume reads.
    """
    recipe = context.recipe
    history = HistoryCallback(run_dir.history_path, context.watched, augments=augments(recipe))
    if not context.workers.is_chief:
        return [history]
    # The file as written: reading and rewriting it may change its comments.
    written = run_dir.recipe_path.exists()
    recipe_text = run_dir.recipe_path.read_text("utf-8") if written else recipe.to_toml()
    folder, name = run_dir.tensorboard_folder, run_dir.path.name
    bins = recipe.evaluation.calibration_bins
    callbacks = [
        history,
        TensorBoardCallback(
            folder,
            recipe_text,
            lengths=dict(_lengths(context)),
            pictures=EvaluationPictures(context.task, bins) if recipe.logging.plots else None,
        ),
        HParamsCallback(
            folder,
            # With its parent: trials of a search that start in the same second share a name.
            name=f"{run_dir.path.parent.name}/{name}",
            settings=chosen_settings(recipe),
            metrics=context.watched,
        ),
    ]
    steps, project = recipe.training.profile_steps, recipe.logging.wandb
    if steps is not None:
        callbacks.append(ProfilerCallback(folder, steps, context.log))
    if project is not None:
        callbacks.append(
            WandbCallback(project, run_id=name, folder=run_dir.path, settings=recipe.values())
        )
    return callbacks


def chosen_settings(recipe: Recipe) -> dict[str, bool | float | str]:
    """Returns the settings that distinguish a run from others, by `section.key`.

    These are the settings that are not default or are overridden, and a few main ones, without
    evaluation, export and logging. A list or table is text: `query, value`.
    """
    return {
        setting.name: _as_scalar(value)
        for setting, value in zip(describe_fields(), recipe.values().values(), strict=True)
        if value is not None
        and setting.section not in _NO_HYPERPARAMETERS
        and (
            value != setting.default
            or setting.name in _MAIN_SETTINGS
            or setting.name in recipe.overridden
        )
    }


def _as_scalar(value: object) -> bool | float | str:
    if isinstance(value, tuple):
        return ", ".join(value)
    return to_literal(value) if isinstance(value, dict) else value


def _lengths(context: RunContext) -> Iterator[tuple[str, object]]:
    """Yields each split with the number of kept tokens of its texts."""
    for split in ("train", "validation", *context.data.test_names):
        store, indices = context.data.examples(split)
        yield split, store.lengths[indices]
