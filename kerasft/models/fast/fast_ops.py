"""The elementwise operations of a transformer layer, in fewer passes over memory.

Each equals the Keras operation that it replaces, up to rounding. Together they were more than half
of a training step on a CPU; `docs/performance.md` has the figures.
"""

from __future__ import annotations

import contextlib
import contextvars
import math
from collections.abc import Iterator

import tensorflow as tf

from kerasft.models.fast import kernel_ops
from kerasft.models.fast.kernel_ops import kernels_for

_gradients_wanted = contextvars.ContextVar("gradients_wanted", default=True)


@contextlib.contextmanager
def without_gradients() -> Iterator[None]:
    """Ops traced in this scope are never differentiated, as in evaluation and export.

    This allows faster forms without a gradient or without a custom gradient: a process that loads a
    SavedModel keeps custom gradients in memory for good.
    """
    token = _gradients_wanted.set(False)
    try:
        yield
    finally:
        _gradients_wanted.reset(token)


def gradients_wanted() -> bool:
    """Whether ops traced now may be differentiated."""
    return _gradients_wanted.get()


def gelu(features):
    """Gaussian error linear unit `x * Phi(x)`, the exact one (Hendrycks & Gimpel 2016).

    TensorFlow computes it from `erfc`, which is not vectorized. This one uses `erf`, in float32
    under every precision, and keeps only its input for the gradient.
    """
    if not _gradients_wanted.get() and features.dtype == tf.float32:
        return tf.nn.gelu(features)  # in half precision it is less exact, unless it is fused
    kernels = kernels_for(features)
    return _gelu(features) if kernels is None else kernel_ops.gelu(kernels, features)


@tf.custom_gradient
def _gelu(features):
    dtype = features.dtype

    def gradient(upstream):
        x = tf.cast(features, tf.float32)
        density = tf.exp(tf.square(x) * -0.5) * (1 / math.sqrt(2 * math.pi))
        slope = _normal_distribution(x) + x * density
        return tf.cast(tf.cast(upstream, tf.float32) * slope, dtype)

    x = tf.cast(features, tf.float32)
    return tf.cast(x * _normal_distribution(x), dtype), gradient


def _normal_distribution(x):
    return tf.math.erf(x * math.sqrt(0.5)) * 0.5 + 0.5


def affine(inputs, kernel, bias):
    """Returns `inputs @ kernel + bias`.

    `inputs` are `(rows, inputs)`. The bias's gradient is a matrix product with ones: TensorFlow's
    own kernel for it takes twice as long in bfloat16 for 512 rows, and ten times for 8,192.
    """
    if not _gradients_wanted.get():
        return tf.nn.bias_add(tf.matmul(inputs, kernel), bias)
    return _affine(inputs, kernel, bias)


@tf.custom_gradient
def _affine(inputs, kernel, bias):
    def gradient(upstream):
        ones = tf.ones((1, tf.shape(inputs)[0]), upstream.dtype)
        return (
            tf.matmul(upstream, kernel, transpose_b=True),
            tf.matmul(inputs, upstream, transpose_a=True),
            tf.reshape(tf.matmul(ones, upstream), (-1,)),
        )

    return tf.nn.bias_add(tf.matmul(inputs, kernel), bias), gradient


def layer_norm(inputs, gamma, beta, *, epsilon: float):
    """Layer normalization over the last axis (Ba et al. 2016), in float32 under every precision.

    Its gradient is custom: automatic differentiation takes twice the passes.
    """
    gamma, beta = tf.cast(gamma, tf.float32), tf.cast(beta, tf.float32)
    if not _gradients_wanted.get():
        normalized, _ = _standardize(inputs, epsilon)
        return tf.cast(normalized * gamma + beta, inputs.dtype)
    return _layer_norm(inputs, gamma, beta, epsilon)


def _standardize(inputs, epsilon: float):
    """Returns the inputs with mean 0 and variance 1 over the last axis, and 1 / deviation."""
    x = tf.cast(inputs, tf.float32)
    centered = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(tf.square(centered), axis=-1, keepdims=True)
    inverse = tf.math.rsqrt(variance + epsilon)
    return centered * inverse, inverse


@tf.custom_gradient
def _layer_norm(inputs, gamma, beta, epsilon):
    normalized, inverse = _standardize(inputs, epsilon)

    def gradient(upstream):
        upstream = tf.cast(upstream, tf.float32)
        rows = tf.reshape(upstream * normalized, (-1, tf.shape(gamma)[0]))
        slope = upstream * gamma
        mean = tf.reduce_mean(slope, axis=-1, keepdims=True)
        along = tf.reduce_mean(slope * normalized, axis=-1, keepdims=True)
        down = tf.cast((slope - mean - normalized * along) * inverse, inputs.dtype)
        offset = tf.reshape(upstream, tf.shape(rows))
        return down, tf.reduce_sum(rows, axis=0), tf.reduce_sum(offset, axis=0), None

    return tf.cast(normalized * gamma + beta, inputs.dtype), gradient


def swap_tokens_and_heads(tensor):
    """Returns `(batch, heads, tokens, width)` of `(batch, tokens, heads, width)`, or reverse."""
    order = (0, 2, 1, 3)
    if _gradients_wanted.get():
        return tf.transpose(tensor, order)
    # As integers: oneDNN plans each transposition of floats anew, which costs more than doing it.
    integers = {2: tf.int16, 4: tf.int32}[tensor.dtype.size]
    return tf.bitcast(tf.transpose(tf.bitcast(tensor, integers), order), tensor.dtype)
