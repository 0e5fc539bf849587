"""Inputs and state of a training, as plain data for `training/loop/fit.py`."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf

from kerasft.data.plan.balance import Split, padded_length
from kerasft.data.plan.batch_plan import BatchPlan
from kerasft.training.callbacks.callback import BatchStats
from kerasft.training.checkpoints.checkpoint import latest_state
from kerasft.training.loop.ranking import Ranking
from kerasft.training.loop.unfreezing import GradualUnfreezing


@dataclasses.dataclass(frozen=True)
class FitSettings:
    """When to evaluate, save and stop, in steps.

    Args:
        ranking: Which evaluation is the best.
        evaluate_every: The last step is always evaluated.
        checkpoint_every: The last step is always saved.
        patience: Stop after this number of evaluations without improvement; 0: never.
        average_checkpoints: Average the weights of this number of evaluated steps at the end; 1:
            none.
        average_from: Which ones: `best` or `last`.
        unfreezing: When layers unfreeze; by default all are trained from the start.
        checkpoint_seconds: Also save when this time has passed since the last save; `None`: no.
        keep_checkpoints: Number of latest checkpoints to keep.
        saves_start: Whether to save a checkpoint of step 0, to go back to.
        divergence_factor: Treat a step as diverged if its loss exceeds this multiple of the mean of
            the last steps; `None`: only if it is not finite.
        skip: Steps, from 1, whose batch is left out.
        stop_step: Stop after this step, before the end of the schedule; `None`: at the end.
        norms_every: Measure norms every n-th step; 0: never.
    """

    total_steps: int
    evaluate_every: int
    checkpoint_every: int
    ranking: Ranking
    patience: int = 0
    average_checkpoints: int = 1
    average_from: str = "best"
    unfreezing: GradualUnfreezing = dataclasses.field(default_factory=GradualUnfreezing)
    checkpoint_seconds: float | None = None
    keep_checkpoints: int = 2
    saves_start: bool = False
    divergence_factor: float | None = None
    skip: frozenset[int] = frozenset()
    stop_step: int | None = None
    norms_every: int = 0

    @property
    def last_step(self) -> int:
        """The last step of training."""
        return min(self.total_steps, self.stop_step or self.total_steps)


@dataclasses.dataclass
class FitState:
    """The state of a training; saved in every checkpoint, as plain data.

    Args:
        best_step: The step whose weights are in `best/`; 0 before the first evaluation.
        best_value: The monitored metric there; `None` before the first evaluation.
        evaluations_since_best: Evaluations since the monitored metric last improved. A tie is no
            improvement, even if it becomes the best step.
        stopped_early: Whether training stopped for lack of improvement.
        averaged_step: Step whose weights were replaced by an average of earlier ones; 0: none.
        target_scaling: Mean and standard deviation that standardize the targets of a regression.
            The default (0, 1) standardizes nothing, as an earlier version did.
        devices: Devices of the last step, from `describe_strategy`; `None` before any.
        compile_seconds: Part of `step_seconds` spent in steps that XLA compiled: the first of each
            batch shape in a process. 0 without XLA.
    """

    step: int = 0
    best_step: int = 0
    best_value: float | None = None
    evaluations_since_best: int = 0
    stopped_early: bool = False
    averaged_step: int = 0
    evaluations: list[dict[str, float]] = dataclasses.field(default_factory=list)
    recent_losses: list[float] = dataclasses.field(default_factory=list)
    examples: int = 0
    tokens: int = 0
    positions: int = 0
    busy: int = 0
    capacity: int = 0
    step_seconds: float = 0.0
    compile_seconds: float = 0.0
    seconds: float = 0.0
    devices: str | None = None
    target_scaling: tuple[float, float] = (0.0, 1.0)

    @classmethod
    def from_checkpoint(cls, saved: Mapping) -> FitState:
        """Reads the state from a checkpoint, possibly of an earlier version."""
        names = {field.name for field in dataclasses.fields(cls)}
        if saved.get("averaged"):  # an earlier version recorded no step
            saved = {**saved, "averaged_step": saved["step"]}
        state = cls(**{name: value for name, value in saved.items() if name in names})
        state.target_scaling = tuple(state.target_scaling)
        # JSON has no NaN: it was written as null.
        state.evaluations = [
            {name: math.nan if value is None else value for name, value in evaluation.items()}
            for evaluation in state.evaluations
        ]
        if state.best_step and state.best_value is None:
            state.best_value = math.nan
        return state

    def is_out_of_patience(self, patience: int) -> bool:
        """Returns whether `patience` evaluations brought no improvement; never for 0."""
        return 0 < patience <= self.evaluations_since_best

    def forget_best(self) -> None:
        """Restarts the search for the best step, since the weights of the previous one are gone."""
        self.best_step, self.best_value, self.evaluations_since_best = 0, None, 0

    @property
    def evaluated(self) -> bool:
        """Whether this step was evaluated."""
        return bool(self.evaluations) and self.evaluations[-1]["step"] == self.step

    def figures(self) -> dict[str, float]:
        """Returns the speed; examples and tokens per second count the steps only."""
        sums = BatchStats(
            self.examples, self.tokens, max(self.positions, 1), self.busy, self.capacity
        )
        return {
            "steps": self.step,
            "seconds": self.seconds,
            "step_seconds": self.step_seconds,
            "compile_seconds": self.compile_seconds,
            **sums.speed(max(self.step_seconds, 1e-9)),
            "best_step": self.best_step,
        }


def saved_state(folder: Path) -> FitState | None:
    """Returns the state of the newest checkpoint in a folder, `None` without one."""
    saved = latest_state(folder)
    return None if saved is None else FitState.from_checkpoint(saved)


@dataclasses.dataclass(frozen=True)
class TrainingData:
    """Training data and validation.

    Args:
        plan: The batch plan.
        batches: Maps a step to the dataset of global batches from there on.
        evaluate: Returns the validation metrics; calls its argument after each batch, which may
            raise to stop.
        altered: Returns how many examples of a step, counted from 0, were altered; called once,
            after the step. `None` without augmentation.
        split: How the rows of a batch are split over replicas. Defaults to one replica.
    """

    plan: BatchPlan
    batches: Callable[[int], tf.data.Dataset]
    evaluate: Callable[[Callable[[int], None]], dict[str, float]]
    altered: Callable[[int], int] | None = None
    split: Split = dataclasses.field(default_factory=Split)

    def stats(self, step: int) -> BatchStats:
        """Returns the batch size of a step, from 0. Call it once: `altered` counts are dropped."""
        lengths = self.plan.lengths[self.plan.batch(step)]
        multiple = self.plan.pad_length_to
        by_replica = self.split.positions(lengths, multiple)
        return BatchStats(
            examples=len(lengths),
            tokens=int(np.sum(lengths, dtype=np.int64)),
            positions=len(lengths) * padded_length(lengths, multiple),
            busy=int(by_replica.sum()),
            capacity=len(by_replica) * int(by_replica.max()),
            altered=None if self.altered is None else self.altered(step),
        )
