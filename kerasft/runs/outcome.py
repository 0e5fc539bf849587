"""What a training comes to: final evaluation in float32, report, predictions, SavedModel."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import io
import shlex
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasft.console import predict_command
from kerasft.errors import UserError
from kerasft.evaluation.forward import Forward, build_forward
from kerasft.evaluation.report import (
    DataFacts,
    ReportFacts,
    TrainingFacts,
    render_report,
)
from kerasft.export.saved_model import ExportOptions, export_saved_model
from kerasft.metrics.bootstrap import Interval
from kerasft.metrics.facts import EvaluationFacts
from kerasft.models.adapters.adapter import merge_adapter
from kerasft.recipe import Recipe, list_recipes
from kerasft.run_dir import RunDir, describe_environment, write_atomically
from kerasft.runs.data.data import VALIDATION, Data, split_logits
from kerasft.runs.model import assembly
from kerasft.runs.result import Run
from kerasft.tasks.task import Task
from kerasft.training.callbacks.callback import Callback
from kerasft.training.checkpoints.adapter_file import ADAPTER_FOLDER, collect_adapter, save_adapter
from kerasft.training.checkpoints.checkpoint import (
    BEST,
    DamagedCheckpointError,
    checkpoints_in,
    restore,
)
from kerasft.training.loop.fit_state import FitState
from kerasft.training.step.fine_tuner import FineTuner


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A trained model's way from its best checkpoint to its results.

    Args:
        recipe: The run's recipe.
        run_dir: The run directory.
        preset: The encoder in float32, its weights to be replaced by the best checkpoint's.
        preprocessor: From text to tokens.
        task: The task.
        has_pairs: Whether an example is a pair of texts.
        strategy: The strategy that the encoder was made under, over whose replicas evaluation is
            dealt out. `None`: one device.
    """

    recipe: Recipe
    run_dir: RunDir
    preset: object
    preprocessor: object
    task: Task
    has_pairs: bool = False
    strategy: tf.distribute.Strategy | None = None

    def best_model(self) -> FineTuner:
        """Builds the model with the weights of the best step, a LoRA merged."""
        with contextlib.nullcontext() if self.strategy is None else self.strategy.scope():
            model = assembly.build_model(self.recipe, self.preset, self.task)
        _restore_best(self.run_dir, model)
        model.trained_adapter = collect_adapter(model.encoder, model.head)
        merge_adapter(model.encoder)
        return model

    def forward(self, model: FineTuner) -> Forward:
        """Builds the function from inputs to the logits of a model from `best_model`."""
        return build_forward(model, self.strategy)

    def save_adapter(self, model: FineTuner) -> None:
        """Keeps what an adapter's training changed as `adapter/` of the run, if there was one.

        Args:
            model: From `best_model`.
        """
        adapter = getattr(model, "trained_adapter", None)
        if adapter is not None:
            folder = self.run_dir.path / ADAPTER_FOLDER
            preset = self.recipe.model.preset
            save_adapter(folder, adapter, preset=preset, task=self.task.record())

    def evaluate(
        self, model: FineTuner, data: Data, split: str, callbacks: Callback
    ) -> EvaluationFacts:
        """Evaluates a split, and keeps its logits in `predictions-<split>.npz`."""
        facts = self.describe(data, split, self.predict(model, data, split, callbacks))
        for note in split_notes(facts):
            callbacks.on_message(note)
        return facts

    def predict(self, model: FineTuner, data: Data, split: str, callbacks: Callback) -> np.ndarray:
        """Returns the logits of a split, and keeps them in `predictions-<split>.npz`."""
        store, rows = data.examples(split)
        callbacks.on_evaluation_start(split, len(rows))
        logits = split_logits(
            self.forward(model),
            data,
            split,
            batch_size=self.recipe.evaluation.batch_size,
            on_batch=callbacks.on_evaluation_batch,
        )
        _save_predictions(
            self.run_dir,
            split,
            labels=store.labels[rows],
            logits=logits,
            rows=rows.astype(np.int64),
            text_hashes=store.text_hashes[rows],
        )
        return logits

    def describe(self, data: Data, split: str, logits: np.ndarray) -> EvaluationFacts:
        """Computes all that is reported of a split."""
        settings = self.recipe.evaluation
        return self.task.facts(
            split,
            data.labels(split),
            logits,
            calibration_bins=settings.calibration_bins,
            bootstrap_resamples=settings.bootstrap_resamples,
            seed=self.recipe.training.seed,
        )

    def tuned(self, data: Data, logits: np.ndarray) -> Outcome:
        """Returns the outcome whose task decides as suits validation best.

        Args:
            data: The data.
            logits: Those of validation.
        """
        if not self.recipe.evaluation.tune_thresholds:
            return self
        task = self.task.with_tuned_thresholds(data.labels(VALIDATION), logits)
        return dataclasses.replace(self, task=task)

    def export(
        self,
        model: FineTuner,
        *,
        metrics: Mapping[str, float],
        on_sample: bool,
        name: str | None,
        options: ExportOptions | None = None,
        facts: Mapping[str, object] | None = None,
    ) -> Path:
        """Exports the model; returns the version folder.

        Args:
            model: From `best_model`.
            metrics: Of the run.
            on_sample: Whether it was trained on the built-in sample.
            name: Folder of the model; `None`: as the recipe says.
            options: Of the export.
            facts: What else the record of the export says.
        """
        name = name or self.recipe.export.name or pipeline_of(self.recipe.name)
        if on_sample:
            name += "_sample"  # so that a server never takes it for the newest real model
        recipe = self.recipe.to_toml()
        return export_saved_model(
            model,
            task=self.task,
            preprocessor=self.preprocessor,
            has_pairs=self.has_pairs,
            folder=Path(self.recipe.export.directory) / name,
            metadata={
                "run": self.run_dir.path.name,
                "preset": self.recipe.model.preset,
                "recipe": self.recipe.values(),
                "recipe_sha256": hashlib.sha256(recipe.encode()).hexdigest(),
                "metrics": dict(metrics),
                "environment": describe_environment(),
                **(facts or {}),
            },
            options=options,
        )


def pipeline_of(recipe_name: str) -> str:
    """Returns the pipeline of a recipe, `imdb` of `imdb_quick`; a name of its own stays whole."""
    pipelines = {info.name.partition("_")[0] for info in list_recipes()}
    prefix = recipe_name.partition("_")[0]
    return prefix if prefix in pipelines else recipe_name


def flat_metrics(facts: EvaluationFacts) -> dict[str, float]:
    """Returns a split's metrics under `<split>/<metric>`, the interval's ends included."""
    flat = {f"{facts.split}/{name}": float(value) for name, value in facts.metrics.items()}
    for name, interval in facts.intervals.items():
        flat |= _interval_ends(f"{facts.split}/{name}", interval)
    return flat


def split_notes(facts: EvaluationFacts) -> list[str]:
    """Returns a split's notes, each with the split's name in front."""
    return [f"{facts.split}: {note}" for note in facts.notes]


def _interval_ends(name: str, interval: Interval) -> dict[str, float]:
    return {f"{name}_lower": interval.lower, f"{name}_upper": interval.upper}


def write_report(
    outcome: Outcome,
    data: Data,
    state: FitState,
    facts: EvaluationFacts,
    *,
    run: Run,
    device: str,
    monitor: str,
) -> None:
    """Writes `report.md`."""
    recipe, report = outcome.recipe, data.splits.report
    figures = state.figures()
    text = render_report(
        ReportFacts(
            title=outcome.run_dir.path.name,
            recipe=recipe.name,
            preset=recipe.model.preset,
            data=DataFacts(
                source=data.source.name,
                version=data.source.version,
                num_examples={
                    split: report[f"{split}_examples"]
                    for split in ("train", VALIDATION, *data.test_names)
                },
                dropped={
                    f"{split}, {reason}": count
                    for split, reasons in run.left_out.items()
                    for reason, count in reasons.items()
                },
                evaluated=run.evaluation_data,
            ),
            training=TrainingFacts(
                steps=state.step,
                seconds=state.seconds,
                examples_per_second=figures["examples_per_second"],
                tokens_per_second=figures["tokens_per_second"],
                padding_share=figures["padding_share"],
                idle_share=figures["idle_share"],
                compile_seconds=figures["compile_seconds"],
                monitor=monitor,
                best_step=state.best_step,
                best_value=state.best_value,
                dtype_policy=recipe.training.dtype_policy,
                device=device,
            ),
            evaluation=facts,
            environment=describe_environment(),
            overridden=sorted(recipe.overridden),
            commands=_commands(outcome.run_dir, run.saved_model, outcome.has_pairs),
        )
    )
    outcome.run_dir.write_text("report.md", text)


def _commands(run_dir: RunDir, saved_model: Path | None, has_pairs: bool = False) -> list[str]:
    """The shell lines that use what a run left."""
    commands = [f"tensorboard --logdir {shlex.quote(str(run_dir.path.parent))}"]
    if saved_model is not None:
        command = predict_command(saved_model, has_pairs=has_pairs, kerasft="kerasft")
        commands.insert(0, command)
    return commands


def require_best(run_dir: RunDir) -> None:
    """Checks that a run has a best checkpoint.

    Raises:
        UserError: If it has none, since it was never evaluated.
    """
    if not (run_dir.checkpoints_folder / BEST).is_dir():
        raise UserError(
            f"The run {run_dir.path} has no best checkpoint: it ended before its first evaluation.",
            fix=f"go on with it: --resume {run_dir.path}",
        )


def _restore_best(run_dir: RunDir, model: FineTuner) -> None:
    """Puts the best weights into a model.

    Raises:
        UserError: They are missing or damaged.
    """
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


def _save_predictions(run_dir: RunDir, split: str, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    write_atomically(_predictions_path(run_dir, split), buffer.getvalue())


def read_predictions(run_dir: RunDir, split: str) -> np.ndarray:
    """Returns the logits that a run recorded of a split, in the order of its examples."""
    with np.load(_predictions_path(run_dir, split)) as arrays:
        return arrays["logits"]


def _predictions_path(run_dir: RunDir, split: str) -> Path:
    return run_dir.path / f"predictions-{split}.npz"
