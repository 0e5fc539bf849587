"""Attention, on all queries at once or in chunks.

All at once, the attention weights of `sequence_length` times `sequence_length` numbers a head are
kept until the gradient is computed. In chunks only the weights of one chunk of queries exist,
recomputed for the gradient, so that memory grows with the length and not with its square (Rabe &
Staats 2021, "Self-attention Does Not Need O(n^2) Memory"). The paper also splits the keys and
renormalizes; here a chunk sees all keys, which needs no second softmax and has the same order of
memory.
"""

from __future__ import annotations

import tensorflow as tf

from kerasft.models.fast import kernel_ops
from kerasft.models.fast.drop_ops import drop_by_seed, keep_by_seed
from kerasft.models.fast.fast_ops import gradients_wanted
from kerasft.models.fast.kernel_ops import kernels_for

# Added to the scores of masked tokens: far below every score, and finite in every precision.
_MASKED = -30000.0


def attend(query, key, value, mask, *, dropout: float = 0.0, seed=None, chunk: int = 0):
    """Softmax attention (Vaswani et al. 2017), on tensors with the heads first.

    Args:
        query: `(batch_size, num_heads, num_queries, width)`, already scaled.
        key: `(batch_size, num_heads, num_keys, width)`.
        value: Shape of `key`.
        mask: bool `(batch_size, 1, num_keys)` or `(batch_size, num_queries, num_keys)`: true where
            the query may attend to the key.
        dropout: Dropout rate of the weights. Defaults to 0.
        seed: int32 `(2,)`, of the dropout.
        chunk: Queries at once; 0, the default, is all. Chunks draw other numbers for the dropout,
            and sum gradients in another order; all else is equal.

    Returns:
        `(batch_size, num_heads, num_queries, width)`.
    """
    if not chunk:
        return _attend_at_once(query, key, value, mask, dropout, seed)
    attention = _ChunkedAttention(mask, dropout, seed, chunk)
    if not gradients_wanted():
        return attention.outputs(query, key, value)

    @tf.custom_gradient
    def compute(query, key, value):
        def gradient(upstream):
            return attention.gradients(query, key, value, upstream)

        return attention.outputs(query, key, value), gradient

    return compute(query, key, value)


def _attend_at_once(query, key, value, mask, dropout, seed):
    if not gradients_wanted():
        weights = _weigh(query, key, mask)
        weights = drop_by_seed(weights, dropout, seed) if dropout else weights
        return tf.matmul(weights, value)

    kernels = kernels_for(query, dropout)

    @tf.custom_gradient
    def compute(query, key, value):
        if kernels is None:
            weights = _weigh(query, key, mask)
            used, scale = _drop(weights, dropout, seed)
        else:
            scores = tf.matmul(query, key, transpose_b=True)
            weights, used, scale = kernel_ops.weigh(
                kernels, scores, mask, dropout=dropout, seed=seed
            )
        scaled = value * tf.cast(scale, value.dtype)  # the smaller factor of the product
        outputs = tf.matmul(used, scaled)

        def gradient(upstream):
            slope = tf.matmul(upstream, scaled, transpose_b=True)
            if kernels is None:
                slope = _slope_of_scores(weights, used, slope, upstream, outputs)
            else:
                slope = kernel_ops.weigh_gradient(kernels, weights, used, slope)
            return (
                tf.matmul(slope, key),
                tf.matmul(slope, query, transpose_a=True),
                tf.matmul(used, upstream, transpose_a=True) * tf.cast(scale, value.dtype),
            )

        return outputs, gradient

    return compute(query, key, value)


def _weigh(query, key, mask):
    scores = tf.matmul(query, key, transpose_b=True)
    masked = tf.where(mask, 0.0, _MASKED)[:, tf.newaxis, :, :]
    return tf.nn.softmax(scores + tf.cast(masked, scores.dtype))


def _drop(weights, dropout, seed):
    """Returns the weights that dropout keeps, and their scale."""
    if not dropout:
        return weights, 1.0
    kept, scale = keep_by_seed(weights, dropout, seed)
    return weights * kept, scale


def _slope_of_scores(weights, used, slope, upstream, outputs):
    """Returns the gradient of the scores, from that of the weights after dropout."""
    # Softmax subtracts the mean of its gradient. It is the product of the output and its gradient:
    # one number a query, summed over `width` and not over all keys.
    mean = tf.cast(upstream, tf.float32) * tf.cast(outputs, tf.float32)
    mean = tf.cast(tf.reduce_sum(mean, axis=-1, keepdims=True), weights.dtype)
    # Not `weights * (slope * kept - mean)`, which would need `kept` in memory until now.
    return weights * (slope - mean) if used is weights else used * slope - weights * mean


class _ChunkedAttention:
    """Attention of one chunk of queries after the other.

    The arguments are those of `attend`; each chunk has its own dropout seed.
    """

    def __init__(self, mask, dropout: float, seed, chunk: int):
        self.mask = mask
        self.dropout = dropout
        self.seed = seed
        self.chunk = chunk

    def outputs(self, query, key, value):
        """Returns the output of `attend`."""

        def step(index, gathered):
            rows = self._attend(index, self._rows(query, index), key, value)
            return index + 1, gathered.write(index, _queries_first(rows))

        _, gathered = self._loop(step, query, [self._array(query)])
        return _queries_third(gathered.concat())

    def gradients(self, query, key, value, upstream):
        """Returns the gradients of the three; those of key and value are summed in float32."""

        def step(index, slopes, key_slope, value_slope):
            own = self._rows(query, index)
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([own, key, value])
                outputs = self._attend(index, own, key, value)
            slope, *others = tape.gradient(
                outputs, [own, key, value], output_gradients=self._rows(upstream, index)
            )
            by_key, by_value = (tf.cast(other, tf.float32) for other in others)
            slopes = slopes.write(index, _queries_first(slope))
            return index + 1, slopes, key_slope + by_key, value_slope + by_value

        zeros = [tf.zeros_like(tensor, tf.float32) for tensor in (key, value)]
        _, slopes, *sums = self._loop(step, query, [self._array(query), *zeros])
        sums = (tf.cast(total, query.dtype) for total in sums)
        return _queries_third(slopes.concat()), *sums

    def _loop(self, step, query, start):
        count = self._count(query)
        return tf.while_loop(
            lambda index, *_: index < count,
            step,
            (tf.constant(0), *start),
            parallel_iterations=1,  # or memory would hold several chunks
        )

    def _count(self, query):
        return -(-tf.shape(query)[2] // self.chunk)

    def _attend(self, index, own, key, value):
        mask = self.mask
        if mask.shape[1] != 1:
            mask = mask[:, index * self.chunk : (index + 1) * self.chunk]
        seed = tf.random.experimental.stateless_fold_in(self.seed, index) if self.dropout else None
        return _attend_at_once(own, key, value, mask, self.dropout, seed)

    def _rows(self, tensor, index):
        return tensor[:, :, index * self.chunk : (index + 1) * self.chunk]

    def _array(self, query) -> tf.TensorArray:
        """Collects the rows of each chunk; the last chunk may be shorter."""
        batch_size, num_heads, _, width = query.shape
        return tf.TensorArray(
            query.dtype,
            size=self._count(query),
            infer_shape=False,
            element_shape=[None, batch_size, num_heads, width],
        )


def _queries_first(tensor):
    return tf.transpose(tensor, (2, 0, 1, 3))


def _queries_third(tensor):
    return tf.transpose(tensor, (1, 2, 0, 3))
