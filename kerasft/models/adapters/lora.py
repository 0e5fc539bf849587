"""LoRA: freezes a weight matrix and trains a low-rank update that is added to it."""

from __future__ import annotations

import math
import re

import keras
import numpy as np
from keras import ops

# Variance of A times its number of rows: that of the authors' code (Kaiming uniform, a = sqrt(5)).
_VARIANCE = 1 / 3


class LoRA(keras.layers.Layer):
    """Replaces a layer with a matrix W, and adds a low-rank update to W.

    Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models": the output is `base(x) +
    alpha / rank * dropout(x) A B`. A starts from a Gaussian and B from zero, so that the output is
    at first that of the base layer. The base layer's activation is applied after the sum. Keras's
    own `enable_lora` adds A B to the kernel in each step, which costs a product of the kernel's
    size and excludes dropout.

    Weights and computation follow the dtype policy of the base layer.

    Args:
        base: A built `Dense` or `EinsumDense` with inputs `(batch_size, sequence_length, ...)`. An
            `EinsumDense` must be a matrix product: a kernel of `(hidden_dim, num_heads, head_dim)`,
            say, is read as the matrix `(hidden_dim, num_heads * head_dim)`. Its activation is
            taken over by this layer; the base is not frozen here.
        rank: Number of columns of A and of rows of B.
        alpha: The update is scaled by `alpha / rank`.
        dropout: Dropout rate of the update's inputs in training. Defaults to 0.
        seed: Seed of A and of the dropout. Defaults to 1.

    Raises:
        ValueError: The base layer is not a matrix product.
    """

    def __init__(
        self,
        base: keras.layers.Layer,
        *,
        rank: int,
        alpha: float,
        dropout: float = 0.0,
        seed: int = 1,
    ):
        super().__init__(name=base.name, dtype=base.dtype_policy)
        self.num_inputs, self._down, self._up = _split_product(base)
        self.base = base
        self.rank = rank
        self.scale = alpha / rank
        self.seed = seed
        self.dropout = keras.layers.Dropout(
            dropout, seed=seed, dtype=base.dtype_policy, name="dropout"
        )
        self.activation, base.activation = base.activation, None
        self.supports_masking = True

    def build(self, input_shape=None) -> None:
        """Creates A, `(inputs, rank)`, and B, `(rank, outputs)`."""
        inputs, outputs = matrix_shape(self.base)
        gaussian = keras.initializers.VarianceScaling(
            _VARIANCE, "fan_in", "untruncated_normal", seed=self.seed
        )
        self.lora_a = self.add_weight(
            name="lora_a", shape=(inputs, self.rank), initializer=gaussian
        )
        self.lora_b = self.add_weight(
            name="lora_b", shape=(self.rank, outputs), initializer="zeros"
        )

    def call(self, inputs, training=None):
        """Returns the output of the base layer with the updated matrix."""
        shape = self.base.kernel.shape
        down = ops.reshape(self.lora_a, (*shape[: self.num_inputs], self.rank))
        up = ops.reshape(self.lora_b, (self.rank, *shape[self.num_inputs :]))
        reduced = ops.einsum(self._down, self.dropout(inputs, training=training), down)
        outputs = self.base(inputs) + self.scale * ops.einsum(self._up, reduced, up)
        return outputs if self.activation is None else self.activation(outputs)

    def merge(self) -> keras.layers.Layer:
        """Adds the update to the base layer's kernel; returns that layer, restored."""
        kernel = self.base.kernel
        a, b = (np.asarray(w.numpy(), np.float64) for w in (self.lora_a, self.lora_b))
        update = self.scale * (a @ b).reshape(kernel.shape)
        kernel.assign((kernel.numpy() + update).astype("float32"))
        self.base.activation = self.activation
        return self.base


def matrix_shape(layer: keras.layers.Layer) -> tuple[int, int]:
    """Returns the numbers of inputs and outputs of a `Dense` or `EinsumDense`.

    Raises:
        ValueError: The layer is not a matrix product.
    """
    num_inputs, _, _ = _split_product(layer)
    shape = layer.kernel.shape
    return math.prod(shape[:num_inputs]), math.prod(shape[num_inputs:])


def _split_product(layer: keras.layers.Layer) -> tuple[int, str, str]:
    """Splits a layer's product with W into one with A and one with B.

    Returns the number of input axes of the kernel, and the two equations for `ops.einsum`; the axis
    `z` is the rank.
    """
    equation = "abc,cd->abd" if isinstance(layer, keras.layers.Dense) else layer.equation
    inputs, kernel, outputs = re.split(",|->", equation)
    summed = "".join(axis for axis in kernel if axis not in outputs)
    free, rows = kernel.removeprefix(summed), inputs.removesuffix(summed)
    if "z" in equation or (inputs, kernel, outputs) != (rows + summed, summed + free, rows + free):
        raise ValueError(
            f"{layer.name} is no product of its inputs with a matrix. "
            f"Received: {equation!r}. Expected: an equation such as 'abc,cde->abde'."
        )
    return len(summed), f"{inputs},{summed}z->{rows}z", f"{rows}z,z{free}->{outputs}"
