"""One run of a recipe, from its data to its results."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import signal
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from kerasft.data.example import NUMBER
from kerasft.data.sources.source import BUILTIN_SAMPLE
from kerasft.errors import UserError, first_line
from kerasft.models.presets import Preset
from kerasft.recipe import Recipe
from kerasft.run_dir import RunDir
from kerasft.runs import outcome
from kerasft.runs import resume as resuming
from kerasft.runs.callbacks import build_callbacks, tensorboard_command
from kerasft.runs.data import data as run_data
from kerasft.runs.data.record import describe_data
from kerasft.runs.finish import finish
from kerasft.runs.fitting import fit, fit_settings, unfreezing
from kerasft.runs.lengthening import keep_first_warmup
from kerasft.runs.memory_advice import advising_memory
from kerasft.runs.model import assembly
from kerasft.runs.model.performance import choose_kernels
from kerasft.runs.model.starting_weights import load_starting_weights, log_adapter
from kerasft.runs.recover import leave_out
from kerasft.runs.result import Run
from kerasft.tasks.regression import check_value_range, target_scaling
from kerasft.tasks.task import scaling_of
from kerasft.training.callbacks.callback import Callback, Callbacks, watched_metrics
from kerasft.training.callbacks.tensorboard import rewind_tensorboard
from kerasft.training.callbacks.wandb import require_wandb
from kerasft.training.checkpoints.checkpoint import (
    latest_state,
    latest_step,
    restore_best,
    restore_latest,
)
from kerasft.training.distribution.strategy import build_strategy, build_workers, describe_strategy
from kerasft.training.distribution.workers import WorkerLostError
from kerasft.training.loop.compile_cache import keep_compiled_programs
from kerasft.training.loop.divergence import DivergedError
from kerasft.training.loop.fit import checkpointed_variables
from kerasft.training.loop.fit_state import FitState
from kerasft.training.loop.interrupt import Interrupted
from kerasft.training.loop.memory import keep_freed_memory
from kerasft.training.loop.ranking import Ranking, monitored
from kerasft.training.step.fine_tuner import FineTuner


class Session:
    """One run, from its recipe to its results."""

    def __init__(self, recipe: Recipe, run_dir: RunDir | None, callbacks: Sequence[Callback]):
        self.recipe = recipe
        self.run_dir = run_dir
        self.callbacks = Callbacks(list(callbacks))
        self._writers: list[Callback] = []

    def run(self, model: FineTuner) -> Run | None:
        """Trains, evaluates and exports.

        Args:
            model: From `build_model`.

        Returns:
            What the run left behind; `None` where another process is the chief.

        Raises:
            Interrupted: After Ctrl-C or SIGTERM.
            OutOfMemoryError: Memory ran out in this process.
            WorkerLostError: Another process of the run is gone.
        """
        self.callbacks.on_message(f"To watch it: {tensorboard_command(self)}")
        try:
            with advising_memory(self):
                state = self._fit(model)
                run = finish(self, state)
            self.workers.barrier()
            return run
        except KeyboardInterrupt as error:
            # A second Ctrl-C stops without saving: what counts is the latest checkpoint.
            saved = latest_step(self.run_dir.checkpoints_folder)
            number = getattr(error, "signal_number", signal.SIGINT)
            if not self.workers.is_chief:
                raise SystemExit(128 + number) from error  # the chief says how to go on
            raise Interrupted(self.run_dir.path, saved, number) from error
        except tf.errors.OpError as error:
            if self.workers.count == 1:
                raise
            raise WorkerLostError(
                "Another process of this run is gone, so that it cannot go on: "
                f"{first_line(error)}",
                fix="look for what it said itself (`kerasft launch` repeats it at the end), mend "
                "that, and start all of them again, with --resume.",
            ) from error
        finally:
            self.callbacks.close()

    def _fit(self, model: FineTuner) -> FitState:
        """Trains to the end, from the latest checkpoint; from there again if it broke down."""
        while True:
            state = self._restore(model)
            self._attach_callbacks(state)
            try:
                fit(self, model, state)
            except DivergedError as error:
                leave_out(self, error)
            else:
                return state

    def load(self) -> None:
        """Finds the devices, the preset and the data."""
        recipe = self.recipe
        if recipe.logging.wandb is not None:
            require_wandb()
        keep_freed_memory()
        if recipe.training.jit_compile:
            keep_compiled_programs()  # of a run that is resumed, whose recipe is settled
        assembly.seed_everything(recipe.training.seed)  # before the first dropout layer is made
        self.strategy = build_strategy(recipe.training.strategy)
        self.workers = build_workers(self.strategy)
        self._check_devices()
        with self.strategy.scope():
            self.preset: Preset = assembly.load_recipe_preset(
                recipe, dtype=recipe.training.dtype_policy
            )
        self.preprocessor = assembly.build_preprocessor(recipe, self.preset)
        with self.workers.chief_first():  # who tokenizes what the others find in the cache
            self.data = run_data.load_data(recipe, self.preset, log=self.callbacks.on_message)
        self._record_fallback()
        self.task = assembly.build_recipe_task(
            recipe, self.data.source, target_scaling=self._target_scaling()
        )
        self.weights = run_data.example_weights(recipe, self.data)
        self._check_monitor()
        self.data_record = describe_data(recipe, self.data, self.preprocessor)
        self.plan = run_data.build_plan(
            recipe, self.data, replicas=self.strategy.num_replicas_in_sync
        )
        self.total_steps = assembly.steps_of(recipe, self.plan, "run")
        self.recipe = keep_first_warmup(self.recipe, self.run_dir, self.plan)

    def _target_scaling(self) -> tuple[float, float]:
        """Returns mean and standard deviation of the targets; 0 and 1 where they are no numbers.

        A run that has checkpoints keeps what its weights were trained with.
        """
        if self.data.source.label_kind != NUMBER:
            return 0.0, 1.0
        targets = self.data.labels("train")
        check_value_range(self.recipe.model.minimum_value, self.recipe.model.maximum_value, targets)
        saved = None if self.run_dir is None else latest_state(self.run_dir.checkpoints_folder)
        if saved is None:
            return target_scaling(targets)
        return FitState.from_checkpoint(saved).target_scaling

    def _check_monitor(self) -> None:
        """Looks for the monitored metric before an epoch is spent on finding out.

        Raises:
            UserError: The task has no such metric, or it is undefined on the validation labels
                even for perfect predictions.
        """
        task = self.task
        labels = self.data.labels(run_data.VALIDATION)
        metrics = task.evaluate(labels, task.perfect_logits(labels))
        if math.isnan(monitored(metrics, self.monitor)):
            raise UserError(
                f"{self.monitor}, which chooses the best checkpoint, is undefined on the "
                "validation labels, even for perfect predictions.",
                received=f"{len(labels):,} validation examples with {_count_distinct(labels)}",
                expected="labels on which it is defined, such as two that differ",
                fix="use other validation data, or another metric: "
                f"training.monitor=validation/{task.loss_metric}.",
            )
        self.watched = watched_metrics(metrics, task.headline, self.monitor)
        if task.headline not in metrics:
            raise UserError(
                "The task has no such headline metric.",
                received=f'evaluation.headline="{task.headline}"',
                expected=f"one of {', '.join(sorted(metrics))}",
            )

    @property
    def ranking(self) -> Ranking:
        """Which of two evaluations is the better one."""
        return Ranking(self.monitor, self.task.loss_metric)

    @property
    def monitor(self) -> str:
        """The validation metric that names the best checkpoint."""
        monitor = self.recipe.training.monitor
        return f"validation/{self.task.headline}" if monitor == "auto" else monitor

    def _record_fallback(self) -> None:
        """Notes in the recipe that the run is on the sample, so that a resume stays on it."""
        if self.on_sample and self.recipe.data.dataset != BUILTIN_SAMPLE:
            data = dataclasses.replace(self.recipe.data, dataset=BUILTIN_SAMPLE, data_dir=None)
            self.recipe = dataclasses.replace(self.recipe, data=data)

    def _record_kernels(self, are_used: bool) -> None:
        """Notes in the recipe what the step computes with, so that a resume does the same."""
        performance = dataclasses.replace(self.recipe.performance, kernels=are_used)
        self.recipe = dataclasses.replace(self.recipe, performance=performance)

    def build_model(self) -> FineTuner:
        """Builds and compiles the model under the strategy."""
        warmup_steps = assembly.steps_of(self.recipe, self.plan, "warmup", self.total_steps)
        if fit_settings(self).last_step == 1:
            warmup_steps = 0  # it would be all there is: a step with the rate 0
        kernels = choose_kernels(self.recipe, self.callbacks.on_message)
        self._record_kernels(kernels is not None)
        with self.strategy.scope():
            model = assembly.build_model(self.recipe, self.preset, self.task)
            # A checkpoint to go on from holds other weights, and the earlier run may be gone.
            checkpoints = None if self.run_dir is None else self.run_dir.checkpoints_folder
            if not (checkpoints and latest_step(checkpoints)):
                load_starting_weights(model, self.recipe, self.task, self.callbacks.on_message)
            assembly.settle_training(model, self.recipe)
            unfreezing(self).set_stage(model, 0)
            assembly.compile_model(
                model,
                self.recipe,
                self.task,
                total_steps=self.total_steps,
                warmup_steps=warmup_steps,
                unfreeze_every=unfreezing(self).every,
                kernels=kernels,
            )
        log_adapter(model, self.callbacks.on_message)
        return model

    def _check_devices(self) -> None:
        """Refuses what cannot work on these devices."""
        on_cpu = not tf.config.list_logical_devices("GPU")
        if self.recipe.training.jit_compile and on_cpu and self.strategy.num_replicas_in_sync > 1:
            raise UserError(
                "XLA does not compile a step for several CPU replicas.",
                received="training.jit_compile=true with training.strategy=mirrored on CPUs",
                fix="set training.jit_compile=false or training.strategy=one_device.",
            )

    def _restore(self, model) -> FitState:
        """Goes back to the run's latest checkpoint, if there is one."""

        def variables_at(step: int) -> list:
            unfreezing(self).set_stage(model, max(step - 1, 0))
            return checkpointed_variables(model)

        saved = restore_latest(
            self.run_dir.checkpoints_folder, variables_at, log=self.callbacks.on_message
        )
        if saved is None:
            restore_best(self.run_dir.checkpoints_folder, 0)  # of a run that is begun anew
            return FitState(
                devices=describe_strategy(self.strategy), target_scaling=scaling_of(self.task)
            )
        model.settle()
        state = FitState.from_checkpoint(saved)
        best_step = state.best_step
        if not restore_best(self.run_dir.checkpoints_folder, best_step) and best_step:
            state.forget_best()
            self.callbacks.on_message(
                f"The weights of the best step so far, {best_step}, are gone: the best is chosen "
                "among the evaluations to come."
            )
        self.callbacks.on_message(f"Resuming {self.run_dir.path} after step {state.step}.")
        resuming.compare_devices(state, describe_strategy(self.strategy), self.callbacks.on_message)
        return state

    def _attach_callbacks(self, state: FitState) -> None:
        """Adds those who write what happens, rewound to the step that training goes on from."""
        for callback in self._writers:  # of a try that broke down
            callback.close()
            self.callbacks.callbacks.remove(callback)
        rewind_tensorboard(self.run_dir.tensorboard_folder, state.step)
        self._writers = build_callbacks(self)
        self.callbacks.callbacks += self._writers

    @property
    def on_sample(self) -> bool:
        """Whether the run trains on the built-in sample."""
        return self.data.source.name == BUILTIN_SAMPLE

    def outcome(self, *, on_one_device: bool = False) -> outcome.Outcome:
        """Returns the way from the best checkpoint to the results.

        Args:
            on_one_device: Whether its model is for one device, as an export wants it, also where
                the strategy has several.
        """
        strategy = None
        if self.strategy.num_replicas_in_sync > 1 and not on_one_device:
            strategy = self.strategy
        with contextlib.nullcontext() if strategy is None else strategy.scope():
            preset = assembly.load_recipe_preset(self.recipe, dtype="float32")
        return outcome.Outcome(
            self.recipe,
            self.run_dir,
            preset,
            self.preprocessor,
            self.task,
            has_pairs=self.data.source.has_pairs,
            strategy=strategy,
        )


def _count_distinct(labels: np.ndarray) -> str:
    distinct = len(np.unique(labels, axis=0))
    return "one label alone" if distinct == 1 else f"{distinct:,} different labels"
