"""The operations of a transformer layer that the kernels compute in one pass each.

Each equals several operations of `fast_ops` and `attention`, with the same random numbers for
dropout. Arithmetic is in float32, without their intermediate rounding to bfloat16. `kernels` is the
result of `kernels_for`.
"""

from __future__ import annotations

from types import ModuleType

import tensorflow as tf

from kerasft.models.fast.drop_ops import draw_bytes, fits_a_byte
from kerasft.models.fast.kernels import kernels_in_use

_DTYPES = (tf.float32, tf.bfloat16)


def kernels_for(tensor, dropout: float = 0.0) -> ModuleType | None:
    """Returns the kernels to use for a tensor; `None`: TensorFlow's operations.

    Kernels support neither float16 nor dropout rates that a byte cannot express.
    """
    fits = tensor.dtype in _DTYPES and fits_a_byte(dropout)
    return kernels_in_use() if fits else None


def gelu(kernels: ModuleType, features):
    """Gaussian error linear unit, as `fast_ops.gelu`."""

    @tf.custom_gradient
    def compute(features):
        def gradient(upstream):
            return kernels.kerasft_gelu_grad(features, upstream)

        return kernels.kerasft_gelu(features), gradient

    return compute(features)


def add_norm(kernels: ModuleType, inputs, residual, norm, *, dropout: float, seed):
    """Layer normalization of `drop(inputs) + residual` over the last axis, `(..., width)`.

    `norm` is the `keras.layers.LayerNormalization`; `seed`, int32 `(2,)`, is `None` without
    dropout.
    """
    drawn, bound = draw_bytes(inputs, dropout, seed)

    @tf.custom_gradient
    def compute(inputs, residual, gamma, beta):
        outputs, normalized, inverse = kernels.kerasft_add_norm(
            inputs, drawn, residual, gamma, beta, bound=bound, epsilon=norm.epsilon
        )

        def gradient(upstream):
            return kernels.kerasft_add_norm_grad(
                upstream, drawn, normalized, inverse, gamma, bound=bound
            )

        return outputs, gradient

    gamma, beta = (tf.cast(weight, tf.float32) for weight in (norm.gamma, norm.beta))
    return compute(inputs, residual, gamma, beta)


def weigh(kernels: ModuleType, scores, mask, *, dropout: float, seed):
    """Softmax of masked scores over the last axis; `weigh_gradient` is its gradient.

    Scores are `(batch_size, num_heads, num_queries, num_keys)`. The mask is bool `(batch_size,
    num_queries or 1, num_keys)`, true where the query may attend. `seed` is as in `add_norm`.
    Returns the weights; those that dropout keeps; and the scale of the latter.
    """
    drawn, bound = draw_bytes(scores, dropout, seed)
    weights, used = kernels.kerasft_weigh(scores, drawn, mask, bound=bound)
    return weights, used if dropout else weights, 256 / (256 - bound)


def weigh_gradient(kernels: ModuleType, weights, used, upstream):
    """Returns the gradient of the scores, from that of the weights after dropout."""
    return kernels.kerasft_weigh_grad(weights, used, upstream)
