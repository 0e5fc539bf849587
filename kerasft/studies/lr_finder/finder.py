"""The learning-rate range test: trains with a rate that rises each step and records the loss.

Smith, 2017, "Cyclical Learning Rates for Training Neural Networks", section 3.3, but with an
exponential instead of a linear rise. Steps are ordinary training steps; the model is restored
afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.studies.lr_finder.curve import RateCurve
from kerasft.training.callbacks.callback import StepResult
from kerasft.training.loop.fit import checkpointed_variables
from kerasft.training.loop.loop import train_steps
from kerasft.training.step.private import learning_rate_or_schedule

_DIVERGED = 4.0  # times the lowest average so far
_DECAY = 0.9  # of the running average that detects divergence


class RisingRate(keras.optimizers.schedules.LearningRateSchedule):
    """A schedule that rises exponentially, by the same factor each step.

    For step `s`: `lowest * (highest / lowest) ** ((s - first_step) / (num_steps - 1))`, and
    `highest` after that.

    Args:
        lowest: Rate of the first step, above 0.
        highest: Rate of the last step.
        num_steps: Total steps, at least 2.
        first_step: Steps that the optimizer has done before. Defaults to 0.
    """

    def __init__(self, lowest: float, highest: float, *, num_steps: int, first_step: int = 0):
        self.lowest = lowest
        self.highest = highest
        self.num_steps = num_steps
        self.first_step = first_step

    def __call__(self, step) -> tf.Tensor:
        """Returns the learning rate of a step, a float32 scalar."""
        done = (tf.cast(step, tf.float32) - self.first_step) / (self.num_steps - 1)
        return self.lowest * (self.highest / self.lowest) ** tf.clip_by_value(done, 0.0, 1.0)

    def get_config(self) -> dict[str, float]:
        """Returns the arguments, for Keras's serialization."""
        return {
            "lowest": self.lowest,
            "highest": self.highest,
            "num_steps": self.num_steps,
            "first_step": self.first_step,
        }


def run_rate_test(
    model,
    strategy: tf.distribute.Strategy,
    batches: tf.data.Dataset,
    *,
    lowest: float,
    highest: float,
    num_steps: int,
    on_step: Callable[[StepResult], object] = lambda result: None,
) -> RateCurve:
    """Trains with a rising rate until the range is done or the loss diverges.

    Divergence: the running average of the loss exceeds four times its lowest value so far, or
    loss or gradient are not finite. Each variable's rate keeps its ratio to the optimizer's.
    Weights, optimizer, random seeds and running metrics are always restored.

    Args:
        model: A compiled `FineTuner` with a built optimizer that has a schedule.
        strategy: The strategy that the model was made under.
        batches: Global batches, at least `num_steps`.
        lowest: The first rate.
        highest: The last rate.
        num_steps: Steps of the range, at least 2.
        on_step: Called after each step.

    Raises:
        UserError: If the very first step diverges, which is not due to the rate.
        ValueError: If the optimizer has no schedule to replace.
    """
    variables = checkpointed_variables(model)
    saved = [np.array(variable.numpy()) for variable in variables]
    first_step = int(model.optimizer.iterations.numpy())
    schedule = RisingRate(lowest, highest, num_steps=num_steps, first_step=first_step)
    try:
        with _scheduled(model.optimizer, schedule):
            steps = train_steps(model, strategy, batches.take(num_steps), start_step=0)
            return _climb(steps, num_steps, on_step)
    finally:
        for variable, value in zip(variables, saved, strict=True):
            variable.assign(value)


@contextlib.contextmanager
def _scheduled(optimizer, schedule: RisingRate) -> Iterator[None]:
    """Context manager that replaces an optimizer's schedule."""
    usual = learning_rate_or_schedule(optimizer)
    if not isinstance(usual, keras.optimizers.schedules.LearningRateSchedule):
        raise ValueError(f"The optimizer has no schedule. Received: learning_rate={usual!r}.")
    optimizer.learning_rate = schedule
    try:
        yield
    finally:
        optimizer.learning_rate = usual


def _climb(
    steps: Iterator[StepResult], num_steps: int, on_step: Callable[[StepResult], object]
) -> RateCurve:
    """Runs the steps, and records the rate and loss of each, until they end or diverge."""
    rates, losses, diverged = [], [], False
    average, best = 0.0, np.inf
    with contextlib.closing(steps):
        while not diverged:
            try:
                result = next(steps, None)
            except UserError:  # loss or gradient are not finite: a result here
                if not losses:
                    raise
                diverged = True
                break
            if result is None:
                break
            on_step(result)
            rates.append(result.learning_rate)
            losses.append(result.loss)
            average = _DECAY * average + (1 - _DECAY) * result.loss
            unbiased = average / (1 - _DECAY ** len(losses))
            best = min(best, unbiased)
            diverged = unbiased > _DIVERGED * best
    return RateCurve(np.array(rates), np.array(losses), num_steps, diverged)
