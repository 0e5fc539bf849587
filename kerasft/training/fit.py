"""One training from its state to its end: steps, evaluations, checkpoints, early stopping."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasft.data.batch_plan import BatchPlan, padded_length
from kerasft.errors import UserError
from kerasft.metrics.facts import LOWER_IS_BETTER
from kerasft.training.checkpoint import save_best, save_checkpoint
from kerasft.training.events import BatchStats, Events
from kerasft.training.interrupt import InterruptRequested, InterruptWatch
from kerasft.training.loop import train_steps


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """When things happen, in steps.

    Args:
        total_steps: Steps of the run.
        evaluate_every: Steps between evaluations; the last step is always evaluated.
        checkpoint_every: Steps between checkpoints; the last step is always saved.
        monitor: The validation metric that chooses the best step, as `validation/accuracy`.
        patience: Stop after so many evaluations without a better one; 0 never stops early.
    """

    total_steps: int
    evaluate_every: int
    checkpoint_every: int
    monitor: str
    patience: int = 0


@dataclasses.dataclass
class FitState:
    """Where a training stands; saved in every checkpoint, as plain data."""

    step: int = 0
    best_step: int = 0
    best_value: float | None = None
    evaluations_since_best: int = 0
    stopped_early: bool = False
    evaluations: list[dict[str, float]] = dataclasses.field(default_factory=list)
    examples: int = 0
    tokens: int = 0
    positions: int = 0
    step_seconds: float = 0.0
    seconds: float = 0.0

    @classmethod
    def from_checkpoint(cls, saved: Mapping) -> FitState:
        """Reads the state out of what a checkpoint recorded."""
        return cls(**{field.name: saved[field.name] for field in dataclasses.fields(cls)})

    @property
    def evaluated(self) -> bool:
        """Whether the present step was evaluated."""
        return bool(self.evaluations) and self.evaluations[-1]["step"] == self.step


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """What a training reads.

    Args:
        plan: The batch plan.
        batches: Returns the dataset of global batches from a step on.
        evaluate: Returns the validation metrics; calls its argument after each batch, which may
            raise to stop.
    """

    plan: BatchPlan
    batches: Callable[[int], tf.data.Dataset]
    evaluate: Callable[[Callable[[int], None]], dict[str, float]]


class Fit:
    """Trains a model from `state` to the end, or to an interruption.

    Args:
        model: A compiled `FineTuner`, its optimizer built.
        strategy: The strategy that the model was made under.
        data: What to train and validate on.
        settings: When things happen.
        folder: Where checkpoints go.
        state: Where training stands; changed in place.
        events: Told what happens.
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
        events: Events,
    ):
        self.model = model
        self.strategy = strategy
        self.data = data
        self.settings = settings
        self.folder = folder
        self.state = state
        self.events = events

    def run(self) -> FitState:
        """Trains to the end.

        Raises:
            InterruptRequested: After SIGINT or SIGTERM, when a checkpoint has been saved.
            UserError: If the loss breaks down or the monitored metric does not exist.
        """
        start = time.monotonic() - self.state.seconds
        with InterruptWatch(self._announce_interrupt) as watch:
            self.events.on_start(
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
        return self.state

    def _train(self, start: float, watch: InterruptWatch) -> None:
        """Runs the steps; a step that was interrupted before its evaluation is evaluated first."""
        steps = train_steps(
            self.model,
            self.strategy,
            self.data.batches(self.state.step),
            start_step=self.state.step,
        )
        with contextlib.closing(steps):
            while True:
                if self._due(self.settings.evaluate_every) and not self.state.evaluated:
                    self._evaluate(watch)
                self.state.seconds = time.monotonic() - start
                if self._due(self.settings.checkpoint_every) or self.state.stopped_early:
                    self._save()
                watch.check()
                if self.state.stopped_early or self.state.step >= self.settings.total_steps:
                    return
                self._count(next(steps))

    def _due(self, every: int) -> bool:
        """Tells whether something that happens every so many steps is due now."""
        step = self.state.step
        return step > 0 and (step % every == 0 or step == self.settings.total_steps)

    def _count(self, result) -> None:
        """Enters a step in the state and tells the events of it."""
        lengths = self.data.plan.lengths[self.data.plan.batch(result.step - 1)]
        stats = BatchStats(
            examples=len(lengths),
            tokens=int(np.sum(lengths, dtype=np.int64)),
            positions=len(lengths) * padded_length(lengths),
        )
        self.state.step = result.step
        self.state.examples += stats.examples
        self.state.tokens += stats.tokens
        self.state.positions += stats.positions
        self.state.step_seconds += result.seconds
        self.events.on_step(result, stats)
        epoch, rest = divmod(result.step, self.data.plan.steps_per_epoch)
        if rest == 0:
            self.events.on_epoch(epoch, result.step, result.running)
            self.model.reset_metrics()

    def _evaluate(self, watch: InterruptWatch) -> None:
        """Evaluates, keeps the best weights, and settles whether to stop early."""

        def on_batch(num_examples: int) -> None:
            watch.check()
            self.events.on_evaluation_batch(num_examples)

        metrics = self.data.evaluate(on_batch)
        value = monitored(metrics, self.settings.monitor)
        best = is_better(value, self.state.best_value, self.settings.monitor)
        self.state.evaluations.append({"step": self.state.step, **metrics})
        if best:
            self.state.best_step, self.state.best_value = self.state.step, value
            self.state.evaluations_since_best = 0
            save_best(self.folder, self.model.weights, {"step": self.state.step, **metrics})
        else:
            self.state.evaluations_since_best += 1
        patience = self.settings.patience
        self.state.stopped_early = 0 < patience <= self.state.evaluations_since_best
        self.events.on_evaluation("validation", self.state.step, metrics, best)
        if self.state.stopped_early:
            self.events.on_message(
                f"Stopping early: {self.settings.monitor} has not improved on "
                f"{self.state.best_value:.4f} (step {self.state.best_step}) for {patience} "
                "evaluations."
            )

    def _save(self) -> None:
        save_checkpoint(
            self.folder,
            self.state.step,
            checkpointed_variables(self.model),
            dataclasses.asdict(self.state),
        )

    def _announce_interrupt(self) -> None:
        self.events.on_message("Stopping: saving a checkpoint. Once more to stop without saving.")


def checkpointed_variables(model) -> list:
    """Returns all that a step changes: weights, seeds, optimizer, running metrics."""
    return [*model.variables, *model.optimizer.variables, *model.metrics_variables]


def monitored(metrics: Mapping[str, float], monitor: str) -> float:
    """Returns the value of the monitored metric.

    Raises:
        UserError: If the task has no such metric.
    """
    name = monitor.removeprefix("validation/")
    if name not in metrics:
        raise UserError(
            "There is no such metric to choose the best checkpoint by.",
            received=f'training.monitor="{monitor}"',
            expected="one of " + ", ".join(f"validation/{key}" for key in sorted(metrics)),
        )
    return metrics[name]


def is_better(value: float, best: float | None, monitor: str) -> bool:
    """Tells whether a value of the monitored metric beats the best so far."""
    if best is None or math.isnan(best):
        return True
    lower = monitor.removeprefix("validation/") in LOWER_IS_BETTER
    return value < best if lower else value > best
