"""The callbacks that write files of a run: history, TensorBoard, Weights & Biases."""

from __future__ import annotations

from collections.abc import Iterator

from kerasft.evaluation.pictures import EvaluationPictures
from kerasft.recipe import Recipe, describe_fields
from kerasft.recipe.conflicts import augments
from kerasft.run_dir import RunDir
from kerasft.runs.context import RunContext
from kerasft.training.callbacks.callback import Callback
from kerasft.training.callbacks.history import HistoryCallback
from kerasft.training.callbacks.hparams import HParamsCallback
from kerasft.training.callbacks.profiler import ProfilerCallback
from kerasft.training.callbacks.tensorboard import TensorBoardCallback
from kerasft.training.callbacks.wandb import WandbCallback

# Settings that a run is told apart by, also where they are the usual ones.
_MAIN_SETTINGS = frozenset(
    (
        *("data.dataset", "model.preset", "model.sequence_length", "adapter.method"),
        *("training.batch_size", "training.learning_rate", "training.weight_decay"),
        *("training.epochs", "training.steps", "training.examples", "training.seed"),
    )
)
_NO_HYPERPARAMETERS = ("evaluation", "export", "logging")  # sections


def build_callbacks(context: RunContext, run_dir: RunDir) -> list[Callback]:
    """Builds the callbacks that write what happens in a run.

    The processes of a run that are not the chief write what a run goes on from, and nothing else.

    Args:
        context: The run.
        run_dir: Its folder.
    """
    recipe = context.recipe
    history = HistoryCallback(run_dir.history_path, context.watched, augments=augments(recipe))
    if not context.workers.is_chief:
        return [history]
    # As it was written: read and written anew its comments may be others.
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
            # With its folder: trials of a search that begin in one second have equal names.
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
    """Returns the settings that tell a run from others, by `section.key`.

    Those that are set otherwise than usual, or by hand, and a few main ones; not how the run is
    exported and logged. A list is text: `query, value`.
    """
    return {
        setting.name: ", ".join(value) if isinstance(value, tuple) else value
        for setting, value in zip(describe_fields(), recipe.values().values(), strict=True)
        if value is not None
        and setting.section not in _NO_HYPERPARAMETERS
        and (
            value != setting.default
            or setting.name in _MAIN_SETTINGS
            or setting.name in recipe.overridden
        )
    }


def _lengths(context: RunContext) -> Iterator[tuple[str, object]]:
    """Yields each split with the number of tokens of its texts, as far as they are kept."""
    for split in ("train", "validation", *context.data.test_names):
        store, indices = context.data.examples(split)
        yield split, store.lengths[indices]
