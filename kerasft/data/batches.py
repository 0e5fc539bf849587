"""Batches as the model wants them: gathered from a token store, padded, prefetched.

A dataset here is a range of steps mapped to one NumPy gather each. The token store stays
memory-mapped: nothing of it becomes a constant of the graph.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from kerasft.data.batch_plan import BatchPlan, evaluation_batches, padded_length
from kerasft.data.token_store import TokenStore
from kerasft.errors import UserError

_INPUTS = ("token_ids", "segment_ids", "padding_mask")
_PREFETCH = 8  # batches of a few hundred kB


def build_train_dataset(
    store: TokenStore,
    indices: np.ndarray,
    plan: BatchPlan,
    *,
    start_step: int = 0,
    num_steps: int,
    pad_batch_to: int | None = None,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    """Returns the batches of steps `start_step` to `start_step + num_steps`, in order.

    Args:
        store: The tokens.
        indices: int64: the examples of the store to train on.
        plan: Made from `store.lengths[indices]`.
        start_step: The first step, counted from the start of the run, over all epochs.
        num_steps: How many steps.
        pad_batch_to: Fill every batch to a multiple of this many rows (the number of replicas).
        weights: float32 of shape `(len(store),)`: how much an example counts; 1.0 by default.

    Returns:
        A `tf.data.Dataset` of `(inputs, labels, sample_weight)`: inputs are `token_ids`,
        `segment_ids` and `padding_mask`, int32 of shape `(batch_size, length)` where the length
        is that of the batch's longest example rounded up to 8; labels as the store holds them,
        zeros and ones as float32; sample weights float32, 0.0 for rows that only fill the batch.

    Raises:
        UserError: If the plan was made for another number of examples.
    """
    if len(plan.lengths) != len(indices):
        raise UserError(
            "The batch plan belongs to other data.",
            received=len(plan.lengths),
            expected=f"a plan of {len(indices)} lengths",
            fix="make it from store.lengths[indices].",
        )

    def examples_of(step: int) -> np.ndarray:
        return indices[plan.batch(step)]

    steps = tf.data.Dataset.range(start_step, start_step + num_steps)
    return _build_dataset(store, steps, examples_of, pad_batch_to, weights)


def build_evaluation_dataset(
    store: TokenStore,
    indices: np.ndarray,
    batch_size: int,
    pad_batch_to: int | None = None,
) -> tf.data.Dataset:
    """Returns every example of `indices` once, in the order of `evaluation_batches`.

    Args:
        store: The tokens.
        indices: int64: the examples of the store to evaluate.
        batch_size: Examples per batch.
        pad_batch_to: See `build_train_dataset`.

    Returns:
        A dataset of the same elements as that of `build_train_dataset`. The position of each row
        in `indices` is `np.concatenate(evaluation_batches(store.lengths[indices], batch_size))`.
    """
    batches = evaluation_batches(store.lengths[indices], batch_size)

    def examples_of(step: int) -> np.ndarray:
        return indices[batches[step]]

    return _build_dataset(store, tf.data.Dataset.range(len(batches)), examples_of, pad_batch_to)


def gather_batch(
    store: TokenStore,
    indices: np.ndarray,
    pad_batch_to: int | None = None,
    weights: np.ndarray | None = None,
) -> tuple[np.ndarray, ...]:
    """Returns one padded batch: token_ids, segment_ids, padding_mask, labels, sample_weight.

    A row that only fills the batch holds the first token of the first example, and weight 0: one
    real token keeps a mean over the row's tokens finite.

    Args:
        store: The tokens.
        indices: int64: at least one example.
        pad_batch_to: See `build_train_dataset`.
        weights: See `build_train_dataset`.
    """
    lengths, multiple = store.lengths[indices], pad_batch_to or 1
    num_real, num_rows = len(indices), -(-len(indices) // multiple) * multiple
    shape = (num_rows, padded_length(lengths))
    token_ids, segment_ids, padding_mask = np.zeros((3, *shape), dtype=np.int32)
    columns = np.arange(shape[1])
    real = columns < lengths[:, None]
    positions = (store.offsets[indices][:, None] + columns)[real]

    token_ids[:num_real][real] = store.token_ids[positions]
    if store.segment_ids is not None:
        segment_ids[:num_real][real] = store.segment_ids[positions]
    padding_mask[:num_real] = real
    token_ids[num_real:, 0], padding_mask[num_real:, 0] = token_ids[0, 0], 1
    labels = np.zeros((num_rows, *store.labels.shape[1:]), _label_dtype(store))
    sample_weight = np.zeros(num_rows, np.float32)
    labels[:num_real] = store.labels[indices]
    sample_weight[:num_real] = 1.0 if weights is None else weights[indices]
    return token_ids, segment_ids, padding_mask, labels, sample_weight


def _label_dtype(store: TokenStore) -> np.dtype:
    """The dtype of a batch's labels: losses and metrics want zeros and ones as float32."""
    return np.dtype(np.float32) if store.labels.ndim > 1 else store.labels.dtype.newbyteorder("=")


def _build_dataset(
    store: TokenStore,
    steps: tf.data.Dataset,
    examples_of: Callable[[int], np.ndarray],
    pad_batch_to: int | None,
    weights: np.ndarray | None = None,
) -> tf.data.Dataset:
    label_type, label_shape = tf.as_dtype(_label_dtype(store)), store.labels.shape[1:]

    def gather(step: np.ndarray) -> tuple[np.ndarray, ...]:
        return gather_batch(store, examples_of(int(step)), pad_batch_to, weights)

    def to_tensors(step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        types = [*[tf.int32] * len(_INPUTS), label_type, tf.float32]
        *inputs, labels, weight = tf.numpy_function(gather, [step], types)
        inputs = [tf.ensure_shape(tensor, [None, None]) for tensor in inputs]
        labels = tf.ensure_shape(labels, [None, *label_shape])
        named = dict(zip(_INPUTS, inputs, strict=True))
        return named, labels, tf.ensure_shape(weight, [None])

    return steps.map(to_tensors).prefetch(_PREFETCH)
