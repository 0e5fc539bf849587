"""Learning-rate schedules, as functions of the step (0 for the first)."""

from __future__ import annotations

import math

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="kerasft")
class WarmupPolynomialDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to the peak rate, then polynomial decay to the end rate.

    For step `s` (0 for the first): `peak * s / warmup` while `s < warmup`, then
    `end + (peak - end) * (1 - (s - warmup) / (total - warmup)) ** power`, and `end` from `total`
    on. With power 1 this is Hugging Face's `linear` schedule; Keras's `PolynomialDecay` has no
    warm-up, and BERT's own code decays under the warm-up, so that its peak is never reached.

    Args:
        peak_learning_rate: Rate at the end of the warm-up.
        warmup_steps: Steps of warm-up; 0 starts at the peak.
        total_steps: Step at which the end rate is reached.
        end_learning_rate: Rate at and after `total_steps`.
        power: Exponent of the decay; 1 is linear, 0 constant until the end.

    Raises:
        ValueError: If the warm-up is longer than the run, or a number is negative.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        *,
        warmup_steps: int,
        total_steps: int,
        end_learning_rate: float = 0.0,
        power: float = 1.0,
    ):
        _check_steps(warmup_steps, total_steps)
        _check_not_negative(
            peak_learning_rate=peak_learning_rate, end_learning_rate=end_learning_rate, power=power
        )
        self.peak_learning_rate = peak_learning_rate
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.end_learning_rate = end_learning_rate
        self.power = power

    def __call__(self, step) -> tf.Tensor:
        """Returns the learning rate of a step, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        warmup = float(self.warmup_steps)
        decay_steps = max(float(self.total_steps) - warmup, 1.0)
        remaining = tf.clip_by_value(1.0 - (step - warmup) / decay_steps, 0.0, 1.0)
        span = self.peak_learning_rate - self.end_learning_rate
        # 0 ** 0 is 1: with power 0 the end rate is still reached at the end.
        decayed = tf.where(remaining > 0.0, span * remaining**self.power, 0.0)
        rising = self.peak_learning_rate * step / max(warmup, 1.0)
        rate = tf.where(step < warmup, rising, self.end_learning_rate + decayed)
        # A warm-up as long as the run leaves nothing to decay over.
        return tf.where(step < self.total_steps, rate, self.end_learning_rate)

    def get_config(self) -> dict[str, float]:
        """Returns the arguments, for Keras's serialization."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
        }


@keras.saving.register_keras_serializable(package="kerasft")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to the peak rate, then a fall of another shape than a polynomial.

    For step `s` (0 for the first): `peak * s / warmup` while `s < warmup`; then by `shape`, with
    `t = (s - warmup) / (total - warmup)`,

    - `cosine`: `end + (peak - end) * (1 + cos(pi * t)) / 2` (Loshchilov & Hutter 2017, without
      restarts), and `end` from `total` on;
    - `constant`: `peak`;
    - `inverse_sqrt`: `max(end, peak * sqrt(max(warmup, 1) / s))`, which falls without end
      (Vaswani et al. 2017).

    Args:
        peak_learning_rate: Rate at the end of the warm-up.
        shape: `cosine`, `constant` or `inverse_sqrt`.
        warmup_steps: Steps of warm-up; 0 starts at the peak.
        total_steps: Steps of the run.
        end_learning_rate: The rate that is never gone below after the warm-up.

    Raises:
        ValueError: If the warm-up is longer than the run, a rate is negative, or the shape unknown.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        *,
        shape: str,
        warmup_steps: int,
        total_steps: int,
        end_learning_rate: float = 0.0,
    ):
        if shape not in _SHAPES:
            raise ValueError(f"Received shape={shape!r}. Expected one of {', '.join(_SHAPES)}.")
        _check_steps(warmup_steps, total_steps)
        _check_not_negative(
            peak_learning_rate=peak_learning_rate, end_learning_rate=end_learning_rate
        )
        self.peak_learning_rate = peak_learning_rate
        self.shape = shape
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.end_learning_rate = end_learning_rate

    def __call__(self, step) -> tf.Tensor:
        """Returns the learning rate of a step, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        rising = self.peak_learning_rate * step / max(float(self.warmup_steps), 1.0)
        falling = _SHAPES[self.shape](self, step)
        return tf.where(step < self.warmup_steps, rising, falling)

    def _cosine(self, step) -> tf.Tensor:
        decay_steps = max(float(self.total_steps - self.warmup_steps), 1.0)
        done = tf.clip_by_value((step - self.warmup_steps) / decay_steps, 0.0, 1.0)
        span = self.peak_learning_rate - self.end_learning_rate
        return self.end_learning_rate + span * (1.0 + tf.cos(math.pi * done)) / 2.0

    def _constant(self, step) -> tf.Tensor:
        return tf.fill(tf.shape(step), self.peak_learning_rate)

    def _inverse_sqrt(self, step) -> tf.Tensor:
        warmup = max(float(self.warmup_steps), 1.0)
        rate = self.peak_learning_rate * tf.sqrt(warmup / tf.maximum(step, warmup))
        return tf.maximum(rate, self.end_learning_rate)

    def get_config(self) -> dict[str, float | str]:
        """Returns the arguments, for Keras's serialization."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "shape": self.shape,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "end_learning_rate": self.end_learning_rate,
        }


_SHAPES = {
    "cosine": WarmupDecay._cosine,
    "constant": WarmupDecay._constant,
    "inverse_sqrt": WarmupDecay._inverse_sqrt,
}


def _check_steps(warmup_steps: int, total_steps: int) -> None:
    if not 0 <= warmup_steps <= total_steps or total_steps < 1:
        raise ValueError(
            f"Received warmup_steps={warmup_steps}, total_steps={total_steps}. "
            "Expected 0 <= warmup_steps <= total_steps and total_steps >= 1."
        )


def _check_not_negative(**values: float) -> None:
    if min(values.values()) < 0:
        received = ", ".join(f"{name}={value}" for name, value in values.items())
        raise ValueError(f"Received {received}. Expected none to be negative.")


def build_schedule(
    shape: str,
    peak_learning_rate: float,
    *,
    warmup_steps: int,
    total_steps: int,
    end_learning_rate: float = 0.0,
    power: float = 1.0,
) -> keras.optimizers.schedules.LearningRateSchedule:
    """Builds the schedule of a shape: `polynomial`, `cosine`, `constant` or `inverse_sqrt`.

    A warm-up that is longer than the run is cut to it.

    Args:
        shape: The shape.
        peak_learning_rate: Rate at the end of the warm-up.
        warmup_steps: Steps of warm-up.
        total_steps: Steps of the run.
        end_learning_rate: Where the fall ends.
        power: Of `polynomial` only.
    """
    durations = {"warmup_steps": min(warmup_steps, total_steps), "total_steps": total_steps}
    durations["end_learning_rate"] = end_learning_rate
    if shape == "polynomial":
        return WarmupPolynomialDecay(peak_learning_rate, power=power, **durations)
    return WarmupDecay(peak_learning_rate, shape=shape, **durations)
