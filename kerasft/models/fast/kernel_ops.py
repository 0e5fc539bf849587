"""The operations of a transformer layer that the kernels compute in one pass each.

Each equals what `fast_ops` and `attention` compute of several operations, dropout included: the
numbers drawn for it are the same. Arithmetic is in float32; what is rounded to bfloat16 in between
there is not rounded here.
"""

from __future__ import annotations

from types import ModuleType

import tensorflow as tf

from kerasft.models.fast.drop_ops import draw_bytes, fits_a_byte
from kerasft.models.fast.kernels import kernels_in_use

_DTYPES = (tf.float32, tf.bfloat16)


def kernels_for(tensor, dropout: float = 0.0) -> ModuleType | None:
    """Returns the kernels that are to compute with a tensor; `None`: TensorFlow's operations.

    Args:
        tensor: What is computed with; in float16 nothing is by kernels.
        dropout: Share of it that is dropped; only rates that a byte expresses are.
    """
    fits = tensor.dtype in _DTYPES and fits_a_byte(dropout)
    return kernels_in_use() if fits else None


def gelu(kernels: ModuleType, features):
    """Gaussian error linear unit, as `fast_ops.gelu`.

    Args:
        kernels: From `kernels_for`, as for all that follows.
        features: Tensor of any shape.
    """

    @tf.custom_gradient
    def compute(features):
        def gradient(upstream):
            return kernels.kerasft_gelu_grad(features, upstream)

        return kernels.kerasft_gelu(features), gradient

    return compute(features)


def add_norm(kernels: ModuleType, inputs, residual, norm, *, dropout: float, seed):
    """Layer normalization of `drop(inputs) + residual` over the last axis.

    Args:
        kernels: From `kernels_for`.
        inputs: `(..., width)`.
        residual: Of the same shape and type.
        norm: The `keras.layers.LayerNormalization`.
        dropout: Share of the inputs that is dropped.
        seed: int32 `(2,)`, of the dropout; `None` where there is none.
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

    Args:
        kernels: From `kernels_for`.
        scores: `(batch_size, num_heads, num_queries, num_keys)`.
        mask: bool `(batch_size, num_queries or 1, num_keys)`: true where the query may look.
        dropout: Share of the weights that is dropped.
        seed: int32 `(2,)`, of the dropout; `None` where there is none.

    Returns:
        The weights; those that dropout leaves; and what the latter are to be scaled by.
    """
    drawn, bound = draw_bytes(scores, dropout, seed)
    weights, used = kernels.kerasft_weigh(scores, drawn, mask, bound=bound)
    return weights, used if dropout else weights, 256 / (256 - bound)


def weigh_gradient(kernels: ModuleType, weights, used, upstream):
    """Returns the gradient of the scores, from that of the weights that were used."""
    return kernels.kerasft_weigh_grad(weights, used, upstream)
