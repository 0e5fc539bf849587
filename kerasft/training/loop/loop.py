"""Runs the train step over the batches and yields its results, nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Iterator
from typing import NamedTuple

import tensorflow as tf

from kerasft.training.callbacks.callback import StepResult
from kerasft.training.distribution.strategy import distribute
from kerasft.training.loop.divergence import check_finite
from kerasft.training.step.custom_gradients import forgetting_gradients
from kerasft.training.step.norms import NormWatch


class SkippedStep(NamedTuple):
    """A step whose batch was left out; `step` counts it, too."""

    step: int


def train_steps(
    model,
    strategy: tf.distribute.Strategy,
    batches: tf.data.Dataset,
    *,
    start_step: int,
    skip: Collection[int] = (),
    norms_every: int = 0,
) -> Iterator[StepResult | SkippedStep]:
    """Trains on one batch after the other.

    Args:
        model: A compiled `FineTuner`, created under `strategy`.
        strategy: The strategy.
        batches: Global batches, starting with that of step `start_step`.
        start_step: Steps already done.
        skip: Steps, from 1, whose batch is left out: only the schedule advances.
        norms_every: Measure norms every n-th step; 0: never.

    Yields:
        A `StepResult` after each step, or a `SkippedStep`.

    Raises:
        DivergedError: If loss or gradient are not finite.
    """
    norms = NormWatch(model, norms_every)
    iterator = iter(distribute(strategy, batches))
    run_step = build_distributed(
        model.train_step, strategy, iterator.element_spec, jit_compile=model.jit_compile
    )
    step = start_step
    while True:
        start = time.perf_counter()
        batch = next(iterator, None)
        if batch is None:
            return
        waited = time.perf_counter() - start
        if step + 1 in skip:
            step += 1
            model.optimizer.iterations.assign_add(1)
            yield SkippedStep(step)
            continue
        learning_rate = float(tf.convert_to_tensor(model.optimizer.learning_rate))
        step += 1
        norms.begin(step)
        told = run_step(batch)
        measured = norms.end(told.pop("gradient_squares", None))
        logs = {name: float(value) for name, value in told.items()}
        loss, norm = logs.pop("batch_loss"), logs.pop("gradient_norm")
        # A gradient may overflow in float16: the step is skipped and the loss scale is halved.
        if model.loss_scale is None or not math.isfinite(loss) or model.loss_scale.is_exhausted:
            check_finite(step, loss, norm, learning_rate)
        if strategy.num_replicas_in_sync > 1:  # inside a replica, metrics know its part alone
            logs = {name: float(value) for name, value in model.get_metrics_result().items()}
        seconds = time.perf_counter() - start
        yield StepResult(step, loss, learning_rate, norm, seconds, logs, waited, measured)


def build_distributed(
    step: Callable, strategy: tf.distribute.Strategy, batch_spec, *, jit_compile: bool
) -> Callable:
    """Builds the function that runs a step on every replica and returns the first one's result.

    Args:
        step: Maps a replica's part of a batch to a dictionary of scalars.
        strategy: The strategy.
        batch_spec: The iterator's `element_spec`; its open lengths let one trace serve all.
        jit_compile: Whether XLA compiles the step.
    """

    # No Python of a step depends on a tensor, and autograph would slow down tracing.
    @tf.function(input_signature=[batch_spec], jit_compile=jit_compile, autograph=False)
    def run(batch):
        if strategy.num_replicas_in_sync == 1:
            return step(batch)
        logs = strategy.run(step, args=(batch,))
        return {name: strategy.experimental_local_results(v)[0] for name, v in logs.items()}

    return forgetting_gradients(run)
