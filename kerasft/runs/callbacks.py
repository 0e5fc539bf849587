"""Who listens to a run: history, TensorBoard, its profiler, Weights & Biases."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import TYPE_CHECKING

from kerasft.console import program
from kerasft.evaluation.pictures import EvaluationPictures
from kerasft.recipe import Recipe, describe_fields
from kerasft.recipe.conflicts import augments
from kerasft.training.callbacks.callback import Callback
from kerasft.training.callbacks.history import HistoryCallback
from kerasft.training.callbacks.hparams import HParamsCallback
from kerasft.training.callbacks.profiler import ProfilerCallback
from kerasft.training.callbacks.tensorboard import TensorBoardCallback
from kerasft.training.callbacks.wandb import WandbCallback

if TYPE_CHECKING:
    from kerasft.runs.session import Session

# Settings that a run is told apart by, also where they are the usual ones.
_MAIN_SETTINGS = frozenset(
    (
        *("data.dataset", "model.preset", "model.sequence_length", "adapter.method"),
        *("training.batch_size", "training.learning_rate", "training.weight_decay"),
        *("training.epochs", "training.steps", "training.examples", "training.seed"),
    )
)
_NO_HYPERPARAMETERS = ("evaluation", "export", "logging")  # sections


def build_callbacks(session: Session) -> list[Callback]:
    """Builds those who write what happens in a run.

    The processes of a run that are not the chief write what a run goes on from, and nothing else.

    Args:
        session: A session that has loaded its data and has a run directory.
    """
    recipe, run_dir = session.recipe, session.run_dir
    history = HistoryCallback(run_dir.history_path, session.watched, augments=augments(recipe))
    if not session.workers.is_chief:
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
            lengths=dict(_lengths(session)),
            pictures=EvaluationPictures(session.task, bins) if recipe.logging.plots else None,
        ),
        HParamsCallback(
            folder,
            # With its folder: trials of a search that begin in one second have equal names.
            name=f"{run_dir.path.parent.name}/{name}",
            settings=chosen_settings(recipe),
            metrics=session.watched,
        ),
    ]
    steps, project = recipe.training.profile_steps, recipe.logging.wandb
    if steps is not None:
        callbacks.append(ProfilerCallback(folder, steps, session.callbacks.on_message))
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


def tensorboard_command(session: Session) -> str:
    """Returns the shell line that shows the runs beside this one, and this one."""
    return f"{program('tensorboard')} --logdir {shlex.quote(str(session.run_dir.path.parent))}"


def _lengths(session: Session) -> Iterator[tuple[str, object]]:
    """Yields each split with the number of tokens of its texts, as far as they are kept."""
    for split in ("train", "validation", *session.data.test_names):
        store, indices = session.data.examples(split)
        yield split, store.lengths[indices]
