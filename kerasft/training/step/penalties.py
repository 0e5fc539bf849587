"""Penalties on the weights: gradients independent of the examples, added once per step."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import tensorflow as tf


class Penalties:
    """L1, L2 and L2-SP on the matrices of a model; biases and LayerNorms are exempt.

    The penalty is `l1 * sum(|w|) + l2 / 2 * sum(w ** 2) + l2_sp / 2 * sum((w - start) ** 2)`, the
    last for encoder weights only, with the pretrained ones as start (Li et al. 2018, "Explicit
    Inductive Bias for Transfer Learning with Convolutional Networks"). Its gradient is added to
    that of the loss, before clipping; unlike weight decay it passes through Adam.
    """

    def __init__(self, *, l1: float = 0.0, l2: float = 0.0, l2_sp: float = 0.0):
        self.l1 = l1
        self.l2 = l2
        self.l2_sp = l2_sp
        self._starts: dict[str, keras.Variable] = {}

    @property
    def variables(self) -> list[keras.Variable]:
        """The start values; a checkpoint must hold them, since the preset may be gone."""
        return list(self._starts.values())

    @property
    def are_any(self) -> bool:
        """Whether there is a penalty."""
        return bool(self.l1 or self.l2 or self.l2_sp)

    def remember_start(self, weights: Sequence[keras.Variable]) -> None:
        """Copies the encoder's present weights, if L2-SP needs them."""
        if not self.l2_sp:
            return
        for weight in filter(_is_matrix, weights):
            start = keras.Variable(
                weight.numpy(), dtype=weight.dtype, trainable=False, name="start"
            )
            self._starts[weight.path] = start

    def add_gradients(
        self, gradients: Sequence[tf.Tensor], weights: Sequence[keras.Variable]
    ) -> list[tf.Tensor]:
        """Adds the penalties' gradients to dense ones of the mean loss over all replicas.

        `weights` are in the same order.
        """
        return [
            gradient + self._gradient(weight) if _is_matrix(weight) else gradient
            for gradient, weight in zip(gradients, weights, strict=True)
        ]

    def _gradient(self, weight: keras.Variable) -> tf.Tensor:
        value = tf.convert_to_tensor(weight.value)
        total = self.l1 * tf.sign(value) + self.l2 * value
        start = self._starts.get(weight.path)
        return total if start is None else total + self.l2_sp * (value - start)


def _is_matrix(weight: keras.Variable) -> bool:
    return len(weight.shape) > 1 and not weight.path.endswith("bias")
