"""Heads: from a pooled hidden vector to the logits of a task."""

from __future__ import annotations

import keras
from keras import ops


class LinearHead(keras.layers.Layer):
    """Dropout and a linear layer, from one vector a text to the logits.

    Computes in float32 under every dtype policy.

    Args:
        num_outputs: Number of logits.
        hidden_dim: Width of the input vectors.
        mean: Added to the linear layer's output, after `scale`. With both, the layer learns
            standardized targets, and the logits are in the targets' own units. Defaults to 0.
        scale: Multiplied with the linear layer's output. Defaults to 1.
        dropout: Dropout rate of the vector.
        initializer_range: Standard deviation of the truncated normal that initializes the kernel,
            as in BERT (Devlin et al. 2018). The bias starts at zero.
        seed: Seed of the kernel and of the dropout.
    """

    def __init__(
        self,
        num_outputs: int,
        *,
        hidden_dim: int,
        mean: float = 0.0,
        scale: float = 1.0,
        dropout: float = 0.1,
        initializer_range: float = 0.02,
        seed: int = 1,
    ):
        super().__init__(name="head", dtype="float32")
        self.num_outputs = num_outputs
        self.mean = mean
        self.scale = scale
        initializer = keras.initializers.TruncatedNormal(stddev=initializer_range, seed=seed)
        self.dropout = keras.layers.Dropout(dropout, seed=seed, dtype="float32", name="dropout")
        self.logits = keras.layers.Dense(
            num_outputs, kernel_initializer=initializer, dtype="float32", name="logits"
        )
        self.logits.build((None, hidden_dim))
        self.built = True

    def call(self, pooled, training=None):
        """Returns logits, float32 `(batch_size, num_outputs)`."""
        outputs = self.logits(self.dropout(ops.cast(pooled, "float32"), training=training))
        is_plain = (self.mean, self.scale) == (0.0, 1.0)
        return outputs if is_plain else self.mean + self.scale * outputs
