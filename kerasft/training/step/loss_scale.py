"""Loss scaling for training in float16."""

from __future__ import annotations

import keras
import tensorflow as tf

_SMALLEST, _LARGEST = 2.0**-10, 2.0**24


class LossScale:
    """A factor on the loss that keeps gradients within float16's range (Micikevicius 2018).

    It is halved when a gradient overflows, and that step is skipped; it is doubled after
    `growth_steps` steps without overflow.

    Args:
        initial: The initial factor. Defaults to 2 ** 15.
        growth_steps: Defaults to 2,000.

    Attributes:
        scale: float32 variable: the factor.
        is_taken: float32 variable: 0 while a step is skipped, else 1.
    """

    def __init__(self, initial: float = 2.0**15, growth_steps: int = 2000):
        self.growth_steps = growth_steps
        self.scale = _variable(initial, "scale")
        self.good_steps = _variable(0.0, "good_steps")
        self.is_taken = _variable(1.0, "is_taken")

    @property
    def variables(self) -> list[keras.Variable]:
        """Variables to checkpoint."""
        return [self.scale, self.good_steps, self.is_taken]

    @property
    def is_exhausted(self) -> bool:
        """Whether the factor is so low that it cannot be the cause of an overflow."""
        return float(self.scale.numpy()) <= _SMALLEST

    def update(self, gradient_norm: tf.Tensor) -> None:
        """Skips this step if the unscaled global gradient norm is not finite; updates the scale."""
        taken = tf.cast(tf.math.is_finite(gradient_norm), tf.float32)
        good_steps = taken * (self.good_steps + 1.0)
        grows = tf.cast(good_steps >= self.growth_steps, tf.float32)
        factor = taken * (1.0 + grows) + (1.0 - taken) * 0.5
        self.is_taken.assign(taken)
        self.good_steps.assign(good_steps * (1.0 - grows))
        self.scale.assign(tf.clip_by_value(self.scale * factor, _SMALLEST, _LARGEST))


def _variable(value: float, name: str) -> keras.Variable:
    """Creates a scalar that is the same on every replica."""
    return keras.Variable(
        value,
        dtype="float32",
        trainable=False,
        aggregation="only_first_replica",
        name=f"loss_scale_{name}",
    )
