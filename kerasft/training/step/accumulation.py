"""Gradient accumulation: computes a batch in parts with the same sum and less memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf


class Gradients(NamedTuple):
    """Result of one forward and backward pass over rows of a batch."""

    gradients: Sequence[tf.Tensor | tf.IndexedSlices]  # of `loss_sum`, one per variable
    loss_sum: tf.Tensor  # sum of the weighted losses, a float32 scalar
    logits: tf.Tensor  # float32 `(rows, num_outputs)`


def accumulate(
    compute: Callable[[Mapping[str, tf.Tensor], tf.Tensor, tf.Tensor], Gradients],
    batch: tuple[Mapping[str, tf.Tensor], tf.Tensor, tf.Tensor],
    *,
    parts: int,
    variables: Sequence[tf.Variable],
    num_outputs: int,
) -> Gradients:
    """Computes a batch in parts, one after the other, and sums.

    Losses are summed, not averaged, so that parts of different sizes count correctly; the division
    by the weights of the whole batch comes later. Each part is cut to its longest text.

    Args:
        compute: Maps inputs, labels and weights of some rows to their gradients.
        batch: Inputs, labels and weights of this replica's rows.
        parts: Maximum number of parts; fewer if there are fewer rows.
        variables: Variables of the gradients.
        num_outputs: Width of the logits.

    Returns:
        The sums, dense, and the logits of all rows in order.
    """
    num_rows = tf.shape(batch[2])[0]
    size = tf.maximum(-(-num_rows // parts), 1)

    def step(start, gradients, loss_sum, logits):
        inputs, labels, weights = tf.nest.map_structure(lambda t: t[start : start + size], batch)
        part = compute(_trim(inputs), labels, weights)
        gradients = [_add(s, g) for s, g in zip(gradients, part.gradients, strict=True)]
        logits = logits.write(start // size, part.logits)
        return start + size, gradients, loss_sum + part.loss_sum, logits

    array = tf.TensorArray(
        tf.float32, size=0, dynamic_size=True, infer_shape=False, element_shape=[None, num_outputs]
    )
    zeros = [tf.zeros(variable.shape, variable.dtype) for variable in variables]
    _, gradients, loss_sum, logits = tf.while_loop(
        lambda start, *_: start < num_rows,
        step,
        (tf.constant(0), zeros, tf.constant(0.0), array),
        parallel_iterations=1,  # otherwise memory would hold several parts
    )
    return Gradients(gradients, loss_sum, logits.concat())


def _trim(inputs: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Drops the columns that are padding in every row."""
    if "padding_mask" not in inputs:
        return dict(inputs)
    width = tf.reduce_max(tf.reduce_sum(inputs["padding_mask"], axis=1))
    return {name: tensor[:, :width] for name, tensor in inputs.items()}


def _add(total: tf.Tensor, gradient: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
    """Adds a gradient; for an embedding table only the rows that occur."""
    if isinstance(gradient, tf.IndexedSlices):
        indices = gradient.indices[:, tf.newaxis]
        return tf.tensor_scatter_nd_add(total, indices, gradient.values)
    return total + gradient
