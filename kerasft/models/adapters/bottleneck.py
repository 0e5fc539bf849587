"""Houlsby adapters: small trained networks between the frozen layers."""

from __future__ import annotations

import keras

# Standard deviation of the truncated normal that initializes both matrices, as in the paper.
_NEAR_IDENTITY = 0.01


class Bottleneck(keras.layers.Layer):
    """Replaces a projection: its output y becomes `y + up(gelu(down(y)))`.

    Houlsby et al. 2019, "Parameter-Efficient Transfer Learning for NLP". Starts near the identity.
    Not linear, so it cannot be merged into the projection: it stays in the exported model, at the
    same cost as in training.

    Weights and computation follow the dtype policy of the base layer.

    Args:
        base: A built `Dense` or `EinsumDense` that returns `(batch_size, sequence_length,
            hidden_dim)`. Not frozen by this layer.
        bottleneck_dim: Width between `down` and `up`.
        seed: Seed of both matrices. Defaults to 1.
    """

    def __init__(self, base: keras.layers.Layer, *, bottleneck_dim: int, seed: int = 1):
        super().__init__(name=base.name, dtype=base.dtype_policy)
        self.base = base
        self.hidden_dim = base.kernel.shape[-1]
        self.bottleneck_dim = bottleneck_dim
        self.down = self._dense("down", bottleneck_dim, seed, activation="gelu")
        self.up = self._dense("up", self.hidden_dim, seed + 1)
        self.supports_masking = True

    def build(self, input_shape=None) -> None:
        """Creates the weights of `down` and `up`."""
        self.down.build((None, None, self.hidden_dim))
        self.up.build((None, None, self.bottleneck_dim))

    def call(self, inputs):
        """Returns the adapted output of the base layer."""
        outputs = self.base(inputs)
        return outputs + self.up(self.down(outputs))

    def _dense(self, name: str, units: int, seed: int, activation=None) -> keras.layers.Dense:
        initializer = keras.initializers.TruncatedNormal(stddev=_NEAR_IDENTITY, seed=seed)
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name=name,
        )
