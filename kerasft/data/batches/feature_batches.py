"""Batches of precomputed pooled vectors, for training the head only."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from kerasft.data.batches.token_batches import map_steps
from kerasft.data.plan.batch_plan import BatchPlan


def build_feature_dataset(
    features: np.ndarray,
    labels: np.ndarray,
    plan: BatchPlan,
    *,
    start_step: int = 0,
    num_steps: int,
    pad_batch_to: int | None = None,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Returns the batches of steps `start_step` to `start_step + num_steps`, in order.

    `features` are float32 `(num_examples, hidden_dim)`, in the plan's order. For the other
    arguments see `build_train_dataset`; `weights` are `(num_examples,)`.

    Returns:
        A `tf.data.Dataset` of `({"features": ...}, labels, sample_weight)`; padding rows have
        weight 0.0.
    """
    multiple = pad_batch_to or 1
    weights = np.ones(len(features), np.float32) if weights is None else weights

    def gather(step: np.ndarray) -> tuple[np.ndarray, ...]:
        rows = plan.batch(int(step))
        filler = [(0, -len(rows) % multiple)]

        def take(array: np.ndarray) -> np.ndarray:
            return np.pad(array[rows], filler + [(0, 0)] * (array.ndim - 1))

        return take(features), take(labels), take(weights)

    steps = tf.data.Dataset.range(start_step, start_step + num_steps)
    inputs, answers = (
        tf.TensorSpec([None, *array.shape[1:]], array.dtype) for array in (features, labels)
    )
    return map_steps(steps, gather, answers, inputs={"features": inputs})
