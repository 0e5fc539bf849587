"""Trains a model: steps, evaluations, checkpoints, early stopping."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from kerasft.metrics.spread import show_figure
from kerasft.training.callbacks.callback import Callback, StepResult
from kerasft.training.checkpoints.checkpoint import save_best
from kerasft.training.checkpoints.writer import CheckpointWriter
from kerasft.training.distribution.strategy import build_workers
from kerasft.training.loop.divergence import check_loss
from kerasft.training.loop.fit_state import FitSettings, FitState, TrainingData
from kerasft.training.loop.interrupt import InterruptRequested, InterruptWatch
from kerasft.training.loop.loop import SkippedStep, train_steps
from kerasft.training.loop.memory import naming_memory
from kerasft.training.loop.ranking import is_better
from kerasft.training.step.averaging import Soup, counted_weights, unaveraged


class Fit:
    """Trains a compiled `FineTuner`, its optimizer built, from `state` to the end.

    The model was created under `strategy`; `folder` is for checkpoints; `state` is changed in
    place.
    """

    def __init__(
        self,
        model,
        strategy: tf.distribute.Strategy,
        *,
        data: TrainingData,
        settings: FitSettings,
        folder: Path,
        state: FitState,
        callbacks: Callback,
    ):
        self.model = model
        self.strategy = strategy
        self.workers = build_workers(strategy)
        self.data = data
        self.settings = settings
        self.folder = folder
        self.state = state
        self.callbacks = callbacks
        self.writer = CheckpointWriter(folder, keep=settings.keep_checkpoints)
        self.saved_at = time.monotonic()
        self.compiled: set[tuple[int, int]] = set()  # shapes of batches
        # A resumed run may have another patience.
        state.stopped_early = state.is_out_of_patience(settings.patience)
        self.soup = Soup(
            folder,
            ranking=settings.ranking,
            count=settings.average_checkpoints,
            choose=settings.average_from,
        )

    def run(self) -> FitState:
        """Trains to the end.

        Raises:
            InterruptRequested: After SIGINT or SIGTERM, once a checkpoint is saved.
            DivergedError: If the loss diverges.
            UserError: If the monitored metric does not exist, the disk is full, or memory runs out.
        """
        start = time.monotonic() - self.state.seconds
        with InterruptWatch(self._log_interrupt) as watch:
            self.callbacks.on_start(
                start_step=self.state.step,
                total_steps=self.settings.total_steps,
                steps_per_epoch=self.data.plan.steps_per_epoch,
            )
            try:
                self._train(start, watch)
            except InterruptRequested:
                self.state.seconds = time.monotonic() - start
                self._save()
                raise
            finally:
                self.writer.wait()
        return self.state

    def _train(self, start: float, watch: InterruptWatch) -> None:
        """Runs the steps, in one stretch between two layers that unfreeze."""
        is_over = False
        if self.settings.saves_start and self.state.step == 0:
            self._save()
        while not is_over:
            self.settings.unfreezing.set_stage(self.model, self.state.step)
            is_over = self._run_stretch(start, watch)
        stopped_short = self.state.step < self.settings.total_steps and not self.state.stopped_early
        is_averaged = self.state.averaged_step == self.state.step
        if self.soup.count > 1 and not is_averaged and not stopped_short:
            self._average(watch)

    def _run_stretch(self, start: float, watch: InterruptWatch) -> bool:
        """Runs steps until another layer unfreezes; returns whether training is over.

        A step interrupted before its evaluation is evaluated first.
        """
        steps = train_steps(
            self.model,
            self.strategy,
            self.data.batches(self.state.step),
            start_step=self.state.step,
            skip=self.settings.skip,
            norms_every=self.settings.norms_every,
        )
        begun = self.state.step
        with contextlib.closing(steps):
            while True:
                if self._due(self.settings.evaluate_every) and not self.state.evaluated:
                    self._evaluate(watch)
                self.state.seconds = time.monotonic() - start
                if self._is_checkpoint_due() or self.state.stopped_early:
                    self._save()
                watch.check(self.workers.any)
                if self.state.stopped_early or self.state.step >= self.settings.last_step:
                    return True
                joins = self.settings.unfreezing.changes_at(self.model, self.state.step)
                if joins and self.state.step > begun:
                    return False
                with naming_memory(self._describe_step):
                    result = next(steps)
                self._count(result)

    def _describe_step(self) -> str:
        stats = self.data.stats(self.state.step)
        return (
            f"step {self.state.step + 1}, a batch of {stats.examples:,} texts and "
            f"{stats.positions:,} tokens with padding"
        )

    def _due(self, every: int) -> bool:
        """Returns whether an action of every `every` steps is due now."""
        step = self.state.step
        return step > 0 and (step % every == 0 or step == self.settings.last_step)

    def _is_checkpoint_due(self) -> bool:
        seconds = self.settings.checkpoint_seconds
        late = False
        if seconds is not None and self.state.step > 0:
            # All processes save together: reading per-replica variables takes all of them.
            late = self.workers.any(time.monotonic() - self.saved_at >= seconds)
        return late or self._due(self.settings.checkpoint_every)

    def _count(self, result: StepResult | SkippedStep) -> None:
        """Records a step in the state and calls the callbacks."""
        stats = self.data.stats(result.step - 1)
        self.state.step = result.step
        if isinstance(result, SkippedStep):
            self._end_epoch({})
            return
        factor = self.settings.divergence_factor
        if factor is not None:
            check_loss(result.step, result.loss, self.state.recent_losses, factor)
        self.state.examples += stats.examples
        self.state.tokens += stats.tokens
        self.state.positions += stats.positions
        self.state.busy += stats.busy
        self.state.capacity += stats.capacity
        self.state.step_seconds += result.seconds
        shape = (stats.examples, stats.positions)
        if self.model.jit_compile and shape not in self.compiled:
            self.compiled.add(shape)
            self.state.compile_seconds += result.seconds
        self.callbacks.on_step(result, stats)
        self._end_epoch(result.running)

    def _end_epoch(self, running: Mapping[str, float]) -> None:
        """Calls the callbacks if an epoch ends with this step."""
        epoch, rest = divmod(self.state.step, self.data.plan.steps_per_epoch)
        if rest == 0:
            self.callbacks.on_epoch(epoch, self.state.step, running)
            self.model.reset_metrics()

    def _measure(self, watch: InterruptWatch) -> dict[str, float]:
        """Returns the validation metrics of the present weights."""

        def on_batch(num_examples: int) -> None:
            watch.check(self.workers.any)
            self.callbacks.on_evaluation_batch(num_examples)

        return self.data.evaluate(on_batch)

    def _evaluate(self, watch: InterruptWatch) -> None:
        """Evaluates, keeps the best weights, and decides on early stopping."""
        self.writer.wait()  # which best weights are kept depends on the checkpoints
        state, ranking = self.state, self.settings.ranking
        with counted_weights(self.model):
            metrics = self._measure(watch)
            value = ranking.value(metrics)
            state.evaluations.append({"step": state.step, **metrics})
            improves = is_better(value, state.best_value, ranking.monitor)
            best = improves or self._wins_tie(value)
            # While the metric is undefined, the latest weights are as good as any.
            if best or state.best_value is None or math.isnan(state.best_value):
                save_best(self.folder, self.model.weights, state.evaluations[-1])
                state.best_step, state.best_value = state.step, value
            self.soup.keep(self.model.weights, unaveraged(state.evaluations, state.averaged_step))
        state.evaluations_since_best = 0 if improves else state.evaluations_since_best + 1
        state.stopped_early = state.is_out_of_patience(self.settings.patience)
        self.callbacks.on_evaluation("validation", state.step, metrics, best)
        if state.stopped_early:
            self.callbacks.on_message(
                f"Stopping early: {ranking.monitor} has not improved on "
                f"{show_figure(state.best_value)} (step {state.best_step}) for "
                f"{state.evaluations_since_best} evaluations."
            )

    def _wins_tie(self, value: float) -> bool:
        """Returns whether the latest evaluation equals the best one and ranks before it."""
        *earlier, latest = self.state.evaluations
        best = [e for e in earlier if e["step"] == self.state.best_step]
        key = self.settings.ranking.key
        return bool(best) and value == self.state.best_value and key(latest) > key(best[-1])

    def _average(self, watch: InterruptWatch) -> None:
        """Makes the average of several evaluated steps the best weights, and evaluates it."""
        self.writer.wait()
        state, weights, ranking = self.state, self.model.weights, self.settings.ranking
        candidates = unaveraged(state.evaluations, state.averaged_step)
        with self.soup.average_of(weights, candidates) as steps:
            metrics = self._measure(watch)
            save_best(self.folder, weights, {"step": state.step, **metrics})
        value = ranking.value(metrics)
        self.callbacks.on_evaluation("validation", state.step, metrics, True)
        self.callbacks.on_message(
            f"The weights of the steps {', '.join(map(str, steps))} are averaged: "
            f"{ranking.monitor} {show_figure(value)}; the best single step had "
            f"{show_figure(state.best_value)}."
        )
        state.best_step, state.best_value, state.averaged_step = state.step, value, state.step
        self._save()
        self.writer.wait()
        self.soup.clear()

    def _save(self) -> None:
        variables = checkpointed_variables(self.model)
        self.writer.save(self.state.step, variables, dataclasses.asdict(self.state))
        self.saved_at = time.monotonic()

    def _log_interrupt(self) -> None:
        self.callbacks.on_message("Stopping: saving a checkpoint. Again to stop without saving.")


def checkpointed_variables(model) -> list:
    """Returns all variables that a step changes or compares with, weights and seeds first."""
    return [
        *model.variables,
        *model.optimizer.variables,
        *model.metrics_variables,
        *model.penalties.variables,
        *(model.loss_scale.variables if model.loss_scale is not None else ()),
    ]
