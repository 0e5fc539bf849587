"""Learning-rate schedules, as functions of the step (0 for the first)."""

from __future__ import annotations

import math

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="kerasft")
class WarmupDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to the peak rate, then a decay by `shape`.

    For step `s` (0 for the first): `peak * s / warmup` while `s < warmup`; then, with `t = (s -
    warmup) / (total - warmup)`,

    - `polynomial`: `end + (peak - end) * (1 - t) ** power`, and `end` from `total` on. With power 1
      this is Hugging Face's `linear` schedule; Keras's `PolynomialDecay` has no warm-up, and BERT's
      own code decays during the warm-up, so that its peak is never reached;
    - `cosine`: `end + (peak - end) * (1 + cos(pi * t)) / 2` (Loshchilov & Hutter 2017, without
      restarts), and `end` from `total` on;
    - `constant`: `peak`;
    - `inverse_sqrt`: `max(end, peak * sqrt(max(warmup, 1) / s))`, which decays without end (Vaswani
      et al. 2017).

    Args:
        peak_learning_rate: Rate at the end of the warm-up.
        shape: `polynomial`, `cosine`, `constant` or `inverse_sqrt`. Defaults to `polynomial`.
        warmup_steps: Steps of warm-up; 0 starts at the peak.
        total_steps: Steps of the run.
        end_learning_rate: Minimum rate after the warm-up.
        power: Exponent of `polynomial`; 1 is linear, 0 constant until the end.

    Raises:
        ValueError: If the warm-up is longer than the run, a number is negative, or the shape is
            unknown.
    """

    def __init__(
        self,
        peak_learning_rate: float,
        *,
        shape: str = "polynomial",
        warmup_steps: int,
        total_steps: int,
        end_learning_rate: float = 0.0,
        power: float = 1.0,
    ):
        if shape not in _SHAPES:
            raise ValueError(f"Received shape={shape!r}. Expected one of {', '.join(_SHAPES)}.")
        if not 0 <= warmup_steps <= total_steps or total_steps < 1:
            raise ValueError(
                f"Received warmup_steps={warmup_steps}, total_steps={total_steps}. "
                "Expected 0 <= warmup_steps <= total_steps and total_steps >= 1."
            )
        if min(peak_learning_rate, end_learning_rate, power) < 0:
            raise ValueError(
                f"Received peak_learning_rate={peak_learning_rate}, end_learning_rate="
                f"{end_learning_rate}, power={power}. Expected none to be negative."
            )
        self.peak_learning_rate = peak_learning_rate
        self.shape = shape
        self.warmup_steps = warmup_steps
        self.total_steps = total_steps
        self.end_learning_rate = end_learning_rate
        self.power = power

    def __call__(self, step) -> tf.Tensor:
        """Returns the learning rate of a step, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        rising = self.peak_learning_rate * step / max(float(self.warmup_steps), 1.0)
        return tf.where(step < self.warmup_steps, rising, _SHAPES[self.shape](self, step))

    def _polynomial(self, step) -> tf.Tensor:
        remaining = tf.clip_by_value(1.0 - self._progress(step), 0.0, 1.0)
        # 0 ** 0 is 1: with power 0 the end rate is still reached at the end.
        decayed = tf.where(remaining > 0.0, self._span * remaining**self.power, 0.0)
        # A warm-up as long as the run leaves nothing to decay.
        end = self.end_learning_rate
        return tf.where(step < self.total_steps, end + decayed, end)

    def _cosine(self, step) -> tf.Tensor:
        done = tf.clip_by_value(self._progress(step), 0.0, 1.0)
        return self.end_learning_rate + self._span * (1.0 + tf.cos(math.pi * done)) / 2.0

    def _constant(self, step) -> tf.Tensor:
        return tf.fill(tf.shape(step), self.peak_learning_rate)

    def _inverse_sqrt(self, step) -> tf.Tensor:
        warmup = max(float(self.warmup_steps), 1.0)
        rate = self.peak_learning_rate * tf.sqrt(warmup / tf.maximum(step, warmup))
        return tf.maximum(rate, self.end_learning_rate)

    @property
    def _span(self) -> float:
        return self.peak_learning_rate - self.end_learning_rate

    def _progress(self, step) -> tf.Tensor:
        warmup = float(self.warmup_steps)
        return (step - warmup) / max(float(self.total_steps) - warmup, 1.0)

    def get_config(self) -> dict[str, float | str]:
        """Returns the arguments, for Keras's serialization."""
        return {
            "peak_learning_rate": self.peak_learning_rate,
            "shape": self.shape,
            "warmup_steps": self.warmup_steps,
            "total_steps": self.total_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
        }


_SHAPES = {
    "polynomial": WarmupDecay._polynomial,
    "cosine": WarmupDecay._cosine,
    "constant": WarmupDecay._constant,
    "inverse_sqrt": WarmupDecay._inverse_sqrt,
}


def build_schedule(
    shape: str, peak_learning_rate: float, *, warmup_steps: int, total_steps: int, **options: float
) -> WarmupDecay:
    """Builds a `WarmupDecay` with these options; cuts a warm-up longer than the run."""
    return WarmupDecay(
        peak_learning_rate,
        shape=shape,
        warmup_steps=min(warmup_steps, total_steps),
        total_steps=total_steps,
        **options,
    )
