"""Computes logits batch by batch, on one device or several replicas."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import tensorflow as tf

from kerasft.models.fast.fast_ops import without_gradients
from kerasft.training.distribution.strategy import distribute, gather_rows
from kerasft.training.loop.memory import naming_memory
from kerasft.training.step.custom_gradients import forgetting_gradients

_TOKENS = dict.fromkeys(
    ("token_ids", "segment_ids", "padding_mask"), tf.TensorSpec([None, None], tf.int32)
)


class Forward:
    """Applies a function to batches of inputs, on the devices of a strategy.

    Each replica computes its rows of a batch, and all replicas in every process get the whole
    result.

    Args:
        function: Maps `token_ids`, `segment_ids` and `padding_mask`, int32 `(rows, length)`, to
            float32 `(rows, width)`. Traced once for all lengths.
        strategy: The strategy that its weights were created under. `None`: one device.
    """

    def __init__(
        self,
        function: Callable[[Mapping[str, tf.Tensor]], tf.Tensor],
        strategy: tf.distribute.Strategy | None = None,
    ):
        self._function = function
        self._strategy = strategy
        self.num_replicas = 1 if strategy is None else strategy.num_replicas_in_sync
        on_one = tf.function(function, input_signature=[_TOKENS], autograph=False)
        self._on_one = forgetting_gradients(on_one)
        self._doing = "an evaluation"
        self._on_all = None  # built with the first batches, whose spec all others share

    def __call__(self, inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Applies the function to one batch on one device."""
        return self._on_one(inputs)

    def over(self, batches: tf.data.Dataset) -> Iterator[np.ndarray]:
        """Yields the function's result for each batch, without rows that only fill it.

        The batches are `(inputs, labels, sample_weight)` of a multiple of `num_replicas` rows.
        Raises `OutOfMemoryError` if one is too large.
        """
        with naming_memory(lambda: self._doing, in_evaluation=True):
            yield from self._over(batches)

    def _over(self, batches: tf.data.Dataset) -> Iterator[np.ndarray]:
        if self.num_replicas == 1:
            for inputs, _, weights in batches:
                rows, length = inputs["token_ids"].shape
                self._doing = f"an evaluation, a batch of {rows:,} x {length:,} tokens"
                yield self(inputs).numpy()[weights.numpy() > 0]
            return
        own = batches.map(lambda inputs, _, weights: (inputs, weights))
        dealt = iter(distribute(self._strategy, own))
        self._on_all = self._on_all or self._build_on_all(dealt.element_spec)
        for batch in dealt:
            rows = self._on_all(batch).numpy()
            yield rows[rows[:, -1] > 0, :-1]

    def _build_on_all(self, spec):
        """Builds the function from a distributed batch to all its rows, with their weights last."""

        def compute(inputs, weights):
            return tf.concat([self._function(inputs), weights[:, tf.newaxis]], axis=1)

        @tf.function(input_signature=[spec], autograph=False)
        def run(batch):
            return gather_rows(self._strategy, self._strategy.run(compute, args=batch))

        return forgetting_gradients(run)


def build_forward(model, strategy: tf.distribute.Strategy | None = None) -> Forward:
    """Builds the function from a batch's inputs to its logits, without dropout.

    The `FineTuner` was created under `strategy`; `None`: one device.
    """

    def compute(inputs: Mapping[str, tf.Tensor]) -> tf.Tensor:
        with without_gradients():
            return model(inputs, training=False)

    return Forward(compute, strategy)


def predict_logits(
    forward: Forward,
    batches: tf.data.Dataset,
    *,
    on_batch: Callable[[int], None] = lambda rows: None,
) -> np.ndarray:
    """Returns the logits of every example in order, float32 `(num_examples, num_outputs)`.

    Args:
        forward: From `build_forward`.
        batches: As in `Forward.over`.
        on_batch: Called with the number of examples after each batch.
    """
    logits = []
    for rows in forward.over(batches):
        logits.append(rows)
        on_batch(len(rows))
    return np.concatenate(logits)
