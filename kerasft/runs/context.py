"""The context of a training run: found and checked before anything is trained or written."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasft.data.plan.batch_plan import BatchPlan
from kerasft.data.sources.source import BUILTIN_SAMPLE
from kerasft.errors import UserError
from kerasft.metric import loss_metric, watched_metrics
from kerasft.models.presets import Preset
from kerasft.recipe import Recipe, load_recipe
from kerasft.run_dir import RunDir
from kerasft.runs.data.data import (
    VALIDATION,
    Data,
    build_plan,
    example_weights,
    find_scaling,
    load_data,
)
from kerasft.runs.data.record import describe_data
from kerasft.runs.model.assembly import (
    build_preprocessor,
    build_recipe_task,
    load_recipe_preset,
    steps_of,
)
from kerasft.runs.model.performance import choose_kernels
from kerasft.runs.resolved import Resolved, read_resolved
from kerasft.tasks.task import Task
from kerasft.text.wordpiece import WordPiecePreprocessor
from kerasft.training.callbacks.callback import Callback, Callbacks
from kerasft.training.callbacks.wandb import require_wandb
from kerasft.training.distribution.strategy import build_strategy, build_workers
from kerasft.training.distribution.workers import Workers
from kerasft.training.loop.compile_cache import keep_compiled_programs
from kerasft.training.loop.divergence import SKIP
from kerasft.training.loop.fit_state import FitSettings, FitState, saved_state
from kerasft.training.loop.memory import keep_freed_memory
from kerasft.training.loop.ranking import Ranking, monitored
from kerasft.training.loop.unfreezing import GradualUnfreezing
from kerasft.training.step.precision import resolve_dtype_policy


@dataclasses.dataclass(frozen=True)
class RunContext:
    """What a training run works with; immutable, made by `load_context`.

    Args:
        asked: The recipe as the user wrote it.
        resolved: What this machine chose for settings left open.
        recipe: The recipe that is run: `asked` with the choices of `resolved`.
        strategy: The devices.
        workers: The processes.
        preset: The pretrained encoder, in the dtype policy of training.
        preprocessor: From text to the tokens of evaluation and serving.
        data: The tokenized examples.
        data_record: From `describe_data`.
        task: The problem type, with its loss and metrics.
        example_weights: Weight of each training example in the loss; `None`: all 1.
        plan: The examples of each step.
        settings: The schedule of training: total steps, evaluations, checkpoints.
        warmup_steps: Warm-up of the learning rate.
        watched: The metrics shown during training.
        kernels: Compiled kernels of the step; `None`: TensorFlow's own operations.
        saved: The state of the checkpoint that training resumes from; `None`: there is none.
        callbacks: Notified of events.
    """

    asked: Recipe
    resolved: Resolved
    recipe: Recipe
    strategy: tf.distribute.Strategy
    workers: Workers
    preset: Preset
    preprocessor: WordPiecePreprocessor
    data: Data
    data_record: dict[str, Any]
    task: Task
    example_weights: np.ndarray | None
    plan: BatchPlan
    settings: FitSettings
    warmup_steps: int
    watched: tuple[str, ...]
    kernels: ModuleType | None
    saved: FitState | None
    callbacks: Callbacks

    @property
    def monitor(self) -> str:
        """The validation metric that chooses the best checkpoint."""
        return self.settings.ranking.monitor

    @property
    def on_sample(self) -> bool:
        """Whether the run trains on the built-in sample."""
        return self.data.source.name == BUILTIN_SAMPLE

    def log(self, message: str) -> None:
        """Shows a message to people."""
        self.callbacks.on_message(message)


def load_context(
    asked: Recipe, callbacks: Sequence[Callback] = (), resume: RunDir | None = None
) -> RunContext:
    """Loads devices, encoder and data of a run, and checks that they fit together.

    `resume` is the run to resume, with its checkpoints; `None` for a new run.
    """
    callbacks = Callbacks(callbacks)
    kept = read_resolved(resume)
    recipe = asked if kept is None else kept.apply(asked)
    strategy = _prepare_devices(recipe)
    workers = build_workers(strategy)
    dtype_policy = resolve_dtype_policy(recipe.training.dtype_policy)
    with strategy.scope():
        preset = load_recipe_preset(recipe, dtype=dtype_policy)
    preprocessor = build_preprocessor(recipe, preset)
    with workers.chief_first():  # it tokenizes, and the others read its cache
        data = load_data(recipe, preprocessor, log=callbacks.on_message)
    weights = example_weights(recipe, data)
    saved = None if resume is None else saved_state(resume.checkpoints_folder)
    task = build_recipe_task(recipe, data.source, target_scaling=find_scaling(recipe, data, saved))
    ranking, watched = _choose_metrics(recipe, data, task)
    data_record = describe_data(recipe, data, preprocessor)
    plan = build_plan(recipe, data, replicas=strategy.num_replicas_in_sync)

    kernels = choose_kernels(recipe, callbacks.on_message)
    resolved = Resolved(
        dtype_policy=dtype_policy,
        kernels=kernels is not None,
        on_sample=data.source.name == BUILTIN_SAMPLE != asked.data.dataset,
        warmup_steps=_first_warmup(recipe, resume, plan, kept),
    )
    recipe = resolved.apply(asked)
    settings = fit_settings(recipe, plan, ranking)
    return RunContext(
        asked=asked,
        resolved=resolved,
        recipe=recipe,
        strategy=strategy,
        workers=workers,
        preset=preset,
        preprocessor=preprocessor,
        data=data,
        data_record=data_record,
        task=task,
        example_weights=weights,
        plan=plan,
        settings=settings,
        warmup_steps=_warmup_steps(recipe, plan, settings),
        watched=watched,
        kernels=kernels,
        saved=saved,
        callbacks=callbacks,
    )


def fit_settings(recipe: Recipe, plan: BatchPlan, ranking: Ranking) -> FitSettings:
    """Converts the recipe's schedule (evaluations, checkpoints, ...) to steps."""
    total_steps = steps_of(recipe, plan, "run")
    minutes = recipe.training.checkpoint_every_minutes
    stop = recipe.training.stop_after_epochs
    return FitSettings(
        total_steps=total_steps,
        evaluate_every=steps_of(recipe, plan, "evaluate_every", total_steps),
        checkpoint_every=steps_of(recipe, plan, "checkpoint_every", total_steps),
        ranking=ranking,
        patience=recipe.training.early_stopping_patience,
        average_checkpoints=recipe.training.average_checkpoints,
        average_from=recipe.training.average_from,
        unfreezing=GradualUnfreezing(steps_of(recipe, plan, "unfreeze_every")),
        checkpoint_seconds=None if minutes is None else 60 * minutes,
        keep_checkpoints=recipe.training.keep_checkpoints,
        saves_start=recipe.training.on_divergence == SKIP,
        divergence_factor=recipe.training.divergence_factor,
        stop_step=None if stop is None else max(1, round(stop * plan.steps_per_epoch)),
        norms_every=recipe.logging.norms_every_steps,
    )


def _prepare_devices(recipe: Recipe) -> tf.distribute.Strategy:
    """Sets up the process for training; returns the distribution strategy."""
    if recipe.logging.wandb is not None:
        require_wandb()
    keep_freed_memory()
    if recipe.training.jit_compile:
        keep_compiled_programs()  # before TensorFlow lists its devices
    keras.utils.set_random_seed(recipe.training.seed)  # before the first dropout layer is made
    strategy = build_strategy(recipe.training.strategy)
    on_cpu = not tf.config.list_logical_devices("GPU")
    if recipe.training.jit_compile and on_cpu and strategy.num_replicas_in_sync > 1:
        raise UserError(
            "XLA does not compile a step for several CPU replicas.",
            received="training.jit_compile=true with training.strategy=mirrored on CPUs",
            fix="set training.jit_compile=false or training.strategy=one_device.",
        )
    return strategy


def _choose_metrics(recipe: Recipe, data: Data, task: Task) -> tuple[Ranking, tuple[str, ...]]:
    """Returns the ranking of checkpoints, and the metrics to show during training.

    Raises `UserError` if the task has no such metric, or if it is undefined on the validation
    labels even for perfect predictions.
    """
    monitor = recipe.training.monitor
    ranking = Ranking(f"validation/{task.headline}" if monitor == "auto" else monitor)
    labels = data.labels(VALIDATION)
    metrics = task.evaluate(labels, task.perfect_logits(labels))
    if math.isnan(monitored(metrics, ranking.monitor)):
        raise UserError(
            f"{ranking.monitor}, which chooses the best checkpoint, is undefined on the "
            "validation labels, even for perfect predictions.",
            received=f"{len(labels):,} validation examples with {_count_distinct(labels)}",
            expected="labels on which it is defined, such as two that differ",
            fix="use other validation data, or another metric: "
            f"training.monitor=validation/{loss_metric(metrics)}.",
        )
    if task.headline not in metrics:
        raise UserError(
            "The task has no such headline metric.",
            received=f'evaluation.headline="{task.headline}"',
            expected=f"one of {', '.join(sorted(metrics))}",
        )
    return ranking, watched_metrics(metrics, task.headline, ranking.monitor)


def _warmup_steps(recipe: Recipe, plan: BatchPlan, settings: FitSettings) -> int:
    if settings.last_step == 1:
        return 0  # the only step would have a rate of 0
    return steps_of(recipe, plan, "warmup", settings.total_steps)


def _count_distinct(labels: np.ndarray) -> str:
    distinct = len(np.unique(labels, axis=0))
    return "one label alone" if distinct == 1 else f"{distinct:,} different labels"


def _first_warmup(
    recipe: Recipe, resume: RunDir | None, plan: BatchPlan, kept: Resolved | None
) -> int | None:
    """Returns the warm-up steps of a run's original length, if the run is lengthened now."""
    if kept is not None and kept.warmup_steps is not None:
        return kept.warmup_steps
    if resume is None or not resume.recipe_path.exists():
        return None
    before = load_recipe(resume.recipe_path)
    total_steps = steps_of(before, plan, "run")
    if total_steps == steps_of(recipe, plan, "run"):
        return None
    return steps_of(before, plan, "warmup", total_steps)
