"""One layer of the encoder, computed with the weights of KerasHub's `TransformerEncoder`.

The products are laid out for speed: those with weights as plain matrix products, whose gradient is
one product and not one per example, and those of the attention on tensors with the heads first.
"""

from __future__ import annotations

import functools
import math

import keras
import tensorflow as tf
from keras import ops

from kerasft.models.fast import kernel_ops
from kerasft.models.fast.attention import attend
from kerasft.models.fast.drop_ops import dropout, next_seed
from kerasft.models.fast.fast_ops import (
    affine,
    gelu,
    gradients_wanted,
    layer_norm,
    swap_tokens_and_heads,
)
from kerasft.models.fast.kernel_ops import kernels_for
from kerasft.models.layer_map import Block, BlockContext, Place
from kerasft.models.private import transformer_parts


def transformer_block(layer) -> Block:
    """Describes a built `keras_hub.layers.TransformerEncoder` that normalizes after each half."""
    parts = transformer_parts(layer)
    return Block(
        functools.partial(run_layer, layer),
        layers=(layer,),
        linears={role: Place(*slot) for role, slot in parts.linears.items()},
        attention_dropouts=(parts.attention_dropout,),
        dropouts=parts.dropouts,
        norms=parts.norms,
    )


def run_layer(layer, hidden, context: BlockContext, training=None):
    """Runs a transformer layer on a batch; the output has the shape and type of `hidden`.

    Args:
        layer: As in `transformer_block`. Any of its linear layers may have been replaced.
        hidden: `(batch_size, sequence_length, hidden_dim)`.
        context: The masks.
        training: Whether dropout is on.
    """
    mask = tf.cast(context.padding_mask, tf.bool)[:, tf.newaxis, :]
    if context.attention_mask is not None:
        mask = mask & tf.cast(context.attention_mask, tf.bool)
    parts = transformer_parts(layer)
    linears = {role: getattr(*slot) for role, slot in parts.linears.items()}
    rate = parts.attention_dropout.rate if training else 0.0
    seed = next_seed(parts.attention_dropout.seed_generator) if rate else None
    query, key, value = (
        swap_tokens_and_heads(_project(linears[role], hidden)) for role in ("query", "key", "value")
    )
    query *= ops.cast(1 / math.sqrt(query.shape[-1]), query.dtype)
    chunk = context.attention_chunk
    gathered = attend(query, key, value, mask, dropout=rate, seed=seed, chunk=chunk)
    outputs = _project(linears["output"], swap_tokens_and_heads(gathered))
    hidden = _add_norm(parts.dropouts[0], parts.norms[0], outputs, hidden, training)
    outputs = _project(linears["down"], _project(linears["up"], hidden))
    return _add_norm(parts.dropouts[1], parts.norms[1], outputs, hidden, training)


def _project(dense, inputs):
    """Runs a dense layer; its kernel is read as a matrix, `(inputs, outputs)`.

    Keras's `EinsumDense` becomes a batched product: one gradient of the whole kernel for each
    example, then a sum. Its `Dense` keeps bias and activation too far from the product to be fused
    with it.
    """
    if type(dense) not in (keras.layers.EinsumDense, keras.layers.Dense):
        return dense(inputs)
    kernel, bias = dense.kernel, dense.bias
    summed = len(kernel.shape) - len(bias.shape)
    width = math.prod(kernel.shape[:summed])
    product = affine(
        ops.reshape(inputs, (-1, width)),
        ops.reshape(kernel, (width, -1)),
        ops.reshape(bias, (-1,)),
    )
    if dense.activation is gelu and not gradients_wanted():
        product = tf.nn.gelu(product)  # fused with the product, if it computes in float32
    elif dense.activation is not None:
        product = dense.activation(product)
    leading = ops.shape(inputs)[: len(inputs.shape) - summed]
    return ops.reshape(product, (*leading, *bias.shape))


def _add_norm(dropout_layer, norm, inputs, residual, training):
    """Applies dropout to the inputs, adds the residual, and normalizes."""
    rate = dropout_layer.rate if training else 0.0
    kernels = kernels_for(inputs, rate)
    if kernels is None:
        return normalize(norm, drop(dropout_layer, inputs, training) + residual)
    seed = next_seed(dropout_layer.seed_generator) if rate else None
    return kernel_ops.add_norm(kernels, inputs, residual, norm, dropout=rate, seed=seed)


def normalize(layer: keras.layers.LayerNormalization, inputs):
    """Runs a layer normalization over the last axis."""
    return layer_norm(inputs, layer.gamma, layer.beta, epsilon=layer.epsilon)


def drop(layer: keras.layers.Dropout, inputs, training):
    """Applies dropout, with the layer's rate and seeds."""
    if not training or layer.rate == 0:
        return inputs
    return dropout(inputs, layer.rate, layer.seed_generator)
