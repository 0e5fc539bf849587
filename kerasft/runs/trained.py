"""A trained model: its best checkpoint in float32, evaluated, saved and exported."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from kerasft.data.sources.source import BUILTIN_SAMPLE
from kerasft.errors import UserError
from kerasft.evaluation.forward import build_forward
from kerasft.export.saved_model import ExportOptions, export_saved_model
from kerasft.metrics.facts import EvaluationFacts
from kerasft.models.adapters.adapter import merge_adapter
from kerasft.models.presets import Preset
from kerasft.recipe import Recipe, list_recipes
from kerasft.run_dir import RunDir, describe_environment, write_atomically
from kerasft.runs.data.data import Data, split_logits
from kerasft.runs.model.assembly import build_model, build_preprocessor, load_recipe_preset
from kerasft.tasks.measuring import measure
from kerasft.tasks.task import Task
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.callbacks.callback import Callback
from kerasft.training.checkpoints.adapter_file import ADAPTER_FOLDER, collect_adapter, save_adapter
from kerasft.training.checkpoints.checkpoint import (
    BEST,
    DamagedCheckpointError,
    checkpoints_in,
    restore,
)
from kerasft.training.step.fine_tuner import FineTuner


@dataclasses.dataclass(frozen=True)
class Trained:
    """What is needed to evaluate and export a run; made by `open_trained`.

    Args:
        recipe: The run's recipe, as its machine resolved it.
        run_dir: The run directory.
        preset: The encoder; the best checkpoint replaces its weights.
        preprocessor: From text to tokens.
        strategy: The devices of a distributed evaluation; `None`: one device.
    """

    recipe: Recipe
    run_dir: RunDir
    preset: Preset
    preprocessor: WordPiecePreprocessor
    strategy: tf.distribute.Strategy | None = None

    def best_model(self, task: Task) -> FineTuner:
        """Builds the model with the weights of the best step; LoRA is merged."""
        with contextlib.nullcontext() if self.strategy is None else self.strategy.scope():
            model = build_model(self.recipe, self.preset, task)
        _restore_best(self.run_dir, model)
        model.trained_adapter = collect_adapter(model.encoder, model.head)
        merge_adapter(model.encoder)
        return model

    def save_adapter(self, model: FineTuner, task: Task) -> None:
        """Saves the weights trained with an adapter, if there is one, as the run's `adapter/`."""
        if model.trained_adapter is not None:
            folder, preset = self.run_dir.path / ADAPTER_FOLDER, self.recipe.model.preset
            save_adapter(folder, model.trained_adapter, preset=preset, task=task.record())

    def logits(
        self,
        model: FineTuner,
        data: Data,
        split: str,
        on_batch: Callable[[int], None] = lambda rows: None,
    ) -> np.ndarray:
        """Returns the logits of a split; `on_batch` gets the number of examples of each batch."""
        forward, size = build_forward(model, self.strategy), self.recipe.evaluation.batch_size
        return split_logits(forward, data, split, batch_size=size, on_batch=on_batch)

    def predict(self, model: FineTuner, data: Data, split: str, callbacks: Callback) -> np.ndarray:
        """Returns the logits of a split, and saves them as `predictions-<split>.npz`."""
        store, rows = data.examples(split)
        callbacks.on_evaluation_start(split, len(rows))
        logits = self.logits(model, data, split, callbacks.on_evaluation_batch)
        buffer = io.BytesIO()
        np.savez(
            buffer,
            labels=store.labels[rows],
            logits=logits,
            rows=rows.astype(np.int64),
            text_hashes=store.text_hashes[rows],
        )
        write_atomically(_predictions_path(self.run_dir, split), buffer.getvalue())
        return logits

    def describe(self, task: Task, data: Data, split: str, logits: np.ndarray) -> EvaluationFacts:
        """Computes all reported metrics of a split."""
        settings = self.recipe.evaluation
        return measure(
            task,
            split,
            data.labels(split),
            logits,
            calibration_bins=settings.calibration_bins,
            bootstrap_resamples=settings.bootstrap_resamples,
            seed=self.recipe.training.seed,
        )

    def export(
        self,
        model: FineTuner,
        recorded: Mapping[str, Any],
        task: Task,
        *,
        name: str | None = None,
        options: ExportOptions | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> Path:
        """Exports the model; returns the version folder.

        `model` is from `best_model`, `recorded` the run's (future) `metrics.json`. `name` is the
        model's folder; `None`: the recipe's. `facts` are added to the export's record.
        """
        recipe = self.recipe.to_toml()
        return export_saved_model(
            model,
            task=task,
            preprocessor=self.preprocessor,
            has_pairs=recorded["has_pairs"],
            folder=export_folder(self.recipe, recorded["data"], name),
            metadata={
                "run": self.run_dir.path.name,
                "preset": self.recipe.model.preset,
                "recipe": self.recipe.values(),
                "recipe_sha256": hashlib.sha256(recipe.encode()).hexdigest(),
                "metrics": dict(recorded["metrics"]),
                "environment": describe_environment(),
                **(facts or {}),
            },
            options=options,
        )


def export_folder(recipe: Recipe, data_name: str, name: str | None = None) -> Path:
    """Returns the folder of a recipe's exported versions.

    `data_name` is the name of the data source; `name`, if given, replaces the recipe's.
    """
    name = name or recipe.export.name or pipeline_of(recipe.name)
    if data_name == BUILTIN_SAMPLE:
        name += "_sample"  # a server must not take it for the newest real model
    return Path(recipe.export.directory) / name


def open_trained(
    recipe: Recipe,
    run_dir: RunDir,
    *,
    preprocessor: WordPiecePreprocessor | None = None,
    strategy: tf.distribute.Strategy | None = None,
    dtype: str = "float32",
) -> Trained:
    """Loads the encoder that a run's best checkpoint belongs to.

    Args:
        recipe: The run's recipe, as its machine resolved it.
        run_dir: The run directory.
        preprocessor: The run's; `None` builds it.
        strategy: The devices to evaluate on; `None` or one replica: one device.
        dtype: The dtype that the model computes in.

    Raises:
        UserError: The run has no best checkpoint, since it was never evaluated.
    """
    require_best(run_dir)
    if strategy is not None and strategy.num_replicas_in_sync == 1:
        strategy = None
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        preset = load_recipe_preset(recipe, dtype=dtype)
    preprocessor = preprocessor or build_preprocessor(recipe, preset)
    return Trained(recipe, run_dir, preset, preprocessor, strategy)


def pipeline_of(recipe_name: str) -> str:
    """Returns the pipeline of a recipe: `imdb` for `imdb_quick`; its own name if it has none."""
    pipelines = {info.name.partition("_")[0] for info in list_recipes()}
    prefix = recipe_name.partition("_")[0]
    return prefix if prefix in pipelines else recipe_name


def flat_metrics(facts: EvaluationFacts) -> dict[str, float]:
    """Returns a split's metrics under `<split>/<metric>`, including the interval's bounds."""
    flat = {f"{facts.split}/{name}": float(value) for name, value in facts.metrics.items()}
    for name, interval in facts.intervals.items():
        flat[f"{facts.split}/{name}_lower"] = interval.lower
        flat[f"{facts.split}/{name}_upper"] = interval.upper
    return flat


def split_notes(facts: EvaluationFacts) -> list[str]:
    """Returns a split's notes, each prefixed with the split's name."""
    return [f"{facts.split}: {note}" for note in facts.notes]


def require_best(run_dir: RunDir) -> None:
    """Raises `UserError` if a run has no best checkpoint, since it was never evaluated."""
    if not (run_dir.checkpoints_folder / BEST).is_dir():
        raise UserError(
            f"The run {run_dir.path} has no best checkpoint: it ended before its first evaluation.",
            fix=f"go on with it: --resume {run_dir.path}",
        )


def _restore_best(run_dir: RunDir, model: FineTuner) -> None:
    """Loads the best weights into a model; raises `UserError` if they are missing or damaged."""
    try:
        restore(run_dir.checkpoints_folder / BEST, model.weights)
    except DamagedCheckpointError as error:
        earlier = checkpoints_in(run_dir.checkpoints_folder)[:-1]
        raise UserError(
            str(error),
            fix=f"train from an earlier checkpoint to the end: kerasft run --resume {earlier[-1]}"
            if earlier
            else "start the run anew, without --resume.",
        ) from error


def read_predictions(run_dir: RunDir, split: str) -> np.ndarray:
    """Returns the recorded logits of a split, in the order of its examples."""
    with np.load(_predictions_path(run_dir, split)) as arrays:
        return arrays["logits"]


def _predictions_path(run_dir: RunDir, split: str) -> Path:
    return run_dir.path / f"predictions-{split}.npz"
