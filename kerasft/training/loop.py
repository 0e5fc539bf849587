"""The loop: runs the train step over the batches and yields what happened, nothing else.

Logging, checkpoints and evaluation stand outside (`training/fit.py`).
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kerasft.training.divergence import check_finite
from kerasft.training.strategy import distribute


@dataclasses.dataclass(frozen=True)
class StepResult:
    """What one step did.

    Args:
        step: Steps done since the start of the run, this one included.
        loss: Mean loss of the global batch, before the update.
        learning_rate: Rate of this update.
        gradient_norm: Global norm of the gradient before clipping.
        seconds: Wall time of the step, waiting for its batch included.
        running: Metrics averaged since the start of the epoch, such as `loss` and `accuracy`.
    """

    step: int
    loss: float
    learning_rate: float
    gradient_norm: float
    seconds: float
    running: dict[str, float]


class SkippedStep(NamedTuple):
    """A step whose batch was left out.

    Attributes:
        step: Steps done, this one included.
    """

    step: int


def train_steps(
    model,
    strategy: tf.distribute.Strategy,
    batches: tf.data.Dataset,
    *,
    start_step: int,
    skip: Collection[int] = (),
) -> Iterator[StepResult | SkippedStep]:
    """Trains on one batch after the other.

    Args:
        model: A compiled `FineTuner`, made under `strategy`.
        strategy: The strategy.
        batches: Global batches, from the one of step `start_step` on.
        start_step: Steps done before.
        skip: Steps, from 1, whose batch is left out: nothing changes but that the schedule goes on.

    Yields:
        A `StepResult` after each step, or a `SkippedStep`.

    Raises:
        DivergedError: If loss or gradient are no longer finite.
    """
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
        if step + 1 in skip:
            step += 1
            model.optimizer.iterations.assign_add(1)
            yield SkippedStep(step)
            continue
        learning_rate = float(tf.convert_to_tensor(model.optimizer.learning_rate))
        logs = {name: float(value) for name, value in run_step(batch).items()}
        step += 1
        loss, norm = logs.pop("batch_loss"), logs.pop("gradient_norm")
        # In float16 a gradient may overflow: the step is passed over, with a smaller scale next.
        if model.loss_scale is None or not math.isfinite(loss) or model.loss_scale.is_exhausted:
            check_finite(step, loss, norm, learning_rate)
        if strategy.num_replicas_in_sync > 1:  # inside a replica, metrics know its part alone
            logs = {name: float(value) for name, value in model.get_metrics_result().items()}
        yield StepResult(step, loss, learning_rate, norm, time.perf_counter() - start, logs)


def build_forward(model) -> Callable[[Mapping[str, tf.Tensor]], tf.Tensor]:
    """Builds the function from a batch's inputs to its logits, traced once for all lengths."""
    spec = tf.TensorSpec([None, None], tf.int32)
    signature = [dict.fromkeys(("token_ids", "segment_ids", "padding_mask"), spec)]
    return tf.function(lambda inputs: model(inputs, training=False), input_signature=signature)


def predict_logits(
    forward: Callable[[Mapping[str, tf.Tensor]], tf.Tensor],
    batches: tf.data.Dataset,
    *,
    on_batch: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """Returns the logits of every example, in the order of the batches.

    Evaluation runs on one device.

    Args:
        forward: From `build_forward`.
        batches: Batches of `(inputs, labels, sample_weight)`.
        on_batch: Called with the number of examples after each batch.

    Returns:
        float32 `(num_examples, num_outputs)`.
    """
    logits = []
    for inputs, _, weights in batches:
        logits.append(forward(inputs).numpy()[weights.numpy() > 0])
        on_batch(len(logits[-1]))
    return np.concatenate(logits)


def build_distributed(
    step: Callable, strategy: tf.distribute.Strategy, batch_spec, *, jit_compile: bool
) -> Callable:
    """Builds the function that runs a step on every replica and returns the first one's result.

    Args:
        step: From a replica's part of a batch to a dictionary of scalars.
        strategy: The strategy.
        batch_spec: The iterator's `element_spec`; with its open lengths, one trace serves all.
        jit_compile: Whether XLA compiles the step.
    """

    @tf.function(input_signature=[batch_spec], jit_compile=jit_compile)
    def run(batch):
        if strategy.num_replicas_in_sync == 1:
            return step(batch)
        logs = strategy.run(step, args=(batch,))
        return {name: strategy.experimental_local_results(v)[0] for name, v in logs.items()}

    return run
