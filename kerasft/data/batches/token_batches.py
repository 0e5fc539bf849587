"""Model inputs: gathered from a token store, padded, prefetched.

A dataset here is a range of steps mapped to one NumPy gather each. The token store stays
memory-mapped and never becomes a constant of the graph.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from kerasft.data.batches.autotune import without_autotune
from kerasft.data.plan.balance import PADDING_MULTIPLE, padded_length
from kerasft.data.plan.batch_plan import BatchPlan, evaluation_batches
from kerasft.data.store.token_store import TokenStore
from kerasft.errors import UserError

_INPUTS = {
    name: tf.TensorSpec([None, None], tf.int32)
    for name in ("token_ids", "segment_ids", "padding_mask")
}
_PREFETCHED = 8  # batches of a few hundred kB


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
        indices: int64: the training examples in the store.
        plan: Made from `store.lengths[indices]`.
        start_step: The first step, counted from the start of the run, over all epochs.
        num_steps: Number of steps.
        pad_batch_to: Pad every batch to a multiple of this many rows (the number of replicas).
        weights: float32 `(len(store),)`: sample weights; 1.0 by default.

    Returns:
        A `tf.data.Dataset` of `(inputs, labels, sample_weight)`. Inputs are `token_ids`,
        `segment_ids` and `padding_mask`, int32 `(batch_size, length)`; the length is that of the
        longest example rounded up to `plan.pad_length_to`. Labels are as in the store, zeros and
        ones as float32. Sample weights are float32, 0.0 for padding rows.

    Raises:
        UserError: If the plan was made for another number of examples.
    """
    check_plan(plan, indices)
    steps = tf.data.Dataset.range(start_step, start_step + num_steps)

    def gather(step: np.ndarray) -> tuple[np.ndarray, ...]:
        return gather_batch(
            store,
            indices[plan.batch(int(step))],
            pad_batch_to,
            weights,
            pad_length_to=plan.pad_length_to,
        )

    return map_steps(steps, gather, label_spec(store))


def build_evaluation_dataset(
    store: TokenStore,
    indices: np.ndarray,
    batch_size: int,
    pad_batch_to: int | None = None,
    pad_length_to: int = PADDING_MULTIPLE,
) -> tf.data.Dataset:
    """Returns every example of `indices` once, in the order of `evaluation_batches`.

    Elements are those of `build_train_dataset`. The position of each row in `indices` is
    `np.concatenate(evaluation_batches(store.lengths[indices], batch_size))`.
    """
    batches = evaluation_batches(store.lengths[indices], batch_size)

    def gather(step: np.ndarray) -> tuple[np.ndarray, ...]:
        own = indices[batches[int(step)]]
        return gather_batch(store, own, pad_batch_to, pad_length_to=pad_length_to)

    return map_steps(tf.data.Dataset.range(len(batches)), gather, label_spec(store))


class Tokens(NamedTuple):
    """The tokens of some examples, one example after the other.

    Attributes:
        token_ids: int32 `(num_tokens,)`.
        segment_ids: int32 `(num_tokens,)`, or `None` for all zeros.
        lengths: int `(num_examples,)`: tokens per example.
    """

    token_ids: np.ndarray
    segment_ids: np.ndarray | None
    lengths: np.ndarray


def gather_tokens(store: TokenStore, indices: np.ndarray) -> Tokens:
    """Copies the tokens of some examples out of a store, in the order of `indices`."""
    lengths = store.lengths[indices]
    columns = np.arange(lengths.max(initial=0))
    real = columns < lengths[:, None]
    positions = (store.offsets[indices][:, None] + columns)[real]
    segment_ids = None if store.segment_ids is None else store.segment_ids[positions]
    return Tokens(store.token_ids[positions], segment_ids, lengths)


def gather_batch(
    store: TokenStore,
    indices: np.ndarray,
    pad_batch_to: int | None = None,
    weights: np.ndarray | None = None,
    pad_length_to: int = PADDING_MULTIPLE,
    tokens: Tokens | None = None,
) -> tuple[np.ndarray, ...]:
    """Returns one padded batch: token_ids, segment_ids, padding_mask, labels, sample_weight.

    A padding row holds the first token of the first example, with weight 0: one real token keeps a
    mean over the row's tokens finite. `indices` (int64) is not empty; `tokens` replaces the store's
    tokens, one row an example. For the others see `build_train_dataset`.
    """
    tokens = gather_tokens(store, indices) if tokens is None else tokens
    multiple = pad_batch_to or 1
    num_real, num_rows = len(indices), -(-len(indices) // multiple) * multiple
    shape = (num_rows, padded_length(tokens.lengths, pad_length_to))
    token_ids, segment_ids, padding_mask = np.zeros((3, *shape), dtype=np.int32)
    real = np.arange(shape[1]) < tokens.lengths[:, None]

    token_ids[:num_real][real] = tokens.token_ids
    if tokens.segment_ids is not None:
        segment_ids[:num_real][real] = tokens.segment_ids
    padding_mask[:num_real] = real
    token_ids[num_real:, 0], padding_mask[num_real:, 0] = token_ids[0, 0], 1
    labels = np.zeros((num_rows, *store.labels.shape[1:]), label_dtype(store))
    sample_weight = np.zeros(num_rows, np.float32)
    labels[:num_real] = store.labels[indices]
    sample_weight[:num_real] = 1.0 if weights is None else weights[indices]
    return token_ids, segment_ids, padding_mask, labels, sample_weight


def check_plan(plan: BatchPlan, indices: np.ndarray) -> None:
    """Raises a `UserError` if the plan was made for another number of examples."""
    if len(plan.lengths) != len(indices):
        raise UserError(
            "The batch plan belongs to other data.",
            received=len(plan.lengths),
            expected=f"a plan of {len(indices)} lengths",
            fix="make it from store.lengths[indices].",
        )


def map_steps(
    steps: tf.data.Dataset,
    gather: Callable[..., tuple[np.ndarray, ...]],
    labels: tf.TensorSpec,
    *,
    inputs: Mapping[str, tf.TensorSpec] = _INPUTS,
    arrays_of: Callable[[tf.Tensor], Sequence[tf.Tensor]] = lambda step: [step],
) -> tf.data.Dataset:
    """Maps a dataset of steps (int64) to their batches.

    `arrays_of` runs in the graph, from a step to the arguments of `gather`. `gather` runs in NumPy,
    and returns the inputs, labels and sample weights of a batch; `inputs` and `labels` are their
    shapes and types.
    """
    specs = [*inputs.values(), labels, tf.TensorSpec([None], tf.float32)]

    def to_tensors(step: tf.Tensor) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        arrays = tf.numpy_function(gather, arrays_of(step), [spec.dtype for spec in specs])
        *columns, label, weight = map(tf.ensure_shape, arrays, [spec.shape for spec in specs])
        return dict(zip(inputs, columns, strict=True)), label, weight

    return without_autotune(steps.map(to_tensors).prefetch(_PREFETCHED))


def label_spec(store: TokenStore) -> tf.TensorSpec:
    """Shape and type of a batch's labels."""
    return tf.TensorSpec([None, *store.labels.shape[1:]], label_dtype(store))


def label_dtype(store: TokenStore) -> np.dtype:
    """The dtype of a batch's labels: losses and metrics expect zeros and ones as float32."""
    return np.dtype(np.float32) if store.labels.ndim > 1 else store.labels.dtype.newbyteorder("=")
