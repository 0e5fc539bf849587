"""Regression: a number for each text, such as a review's stars or the similarity of a pair."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasft.data.example import NUMBER
from kerasft.errors import UserError
from kerasft.metric import METRICS
from kerasft.metrics.regression import regression_metrics, regression_notes
from kerasft.metrics.weighted import WeightedMetric, weighted_of_numbers
from kerasft.models.heads import LinearHead
from kerasft.tasks.losses import StandardizedLoss, number_divergence


def target_scaling(targets: np.ndarray) -> tuple[float, float]:
    """Returns mean and standard deviation of training targets, float `(num_examples,)`.

    Raises:
        UserError: All targets are the same number.
    """
    values = np.asarray(targets, np.float64)
    mean, scale = float(values.mean()), float(values.std())
    if not scale > 1e-9 * abs(mean):
        raise UserError(
            "All training targets are the same number: there is nothing to learn.",
            received=f"{len(values):,} examples with {values[0]:g}",
            expected="numbers that differ",
            fix="name another label column, or train on more examples.",
        )
    return mean, scale


def check_value_range(low: float | None, high: float | None, targets: np.ndarray) -> None:
    """Raises a `UserError` if all training targets lie beyond one limit of the predictions.

    `targets` are float `(num_examples,)`; a limit may be `None`.
    """
    least, most = float(np.min(targets)), float(np.max(targets))
    for name, limit, is_beyond in (
        ("minimum_value", low, low is not None and low >= most),
        ("maximum_value", high, high is not None and high <= least),
    ):
        if is_beyond:
            raise UserError(
                f"model.{name} lies beyond all training targets: every prediction would be it.",
                received=f"model.{name}={limit:g}",
                expected=f"a limit that leaves the targets, {least:g} to {most:g}, apart",
                fix="correct it, or leave it out.",
            )


class Regression:
    """The regression task.

    Args:
        headline: The headline metric. Defaults to `pearson`.
        value_range: The smallest and the largest prediction, such as `(0, 5)` for STS-B; `None` is
            no limit. Predictions are clipped in evaluation and serving alike; the loss is not, so
            that training pulls them back. Defaults to no limits.
        huber_delta: Trains with Huber's loss (Huber 1964), which grows linearly from this error on,
            in standardized units: outliers weigh less. Defaults to `None`: the squared error.
        target_scaling: Mean and standard deviation of the training targets. The head learns
            `(target - mean) / deviation`, so that training does not depend on the targets' unit.
            Logits, metrics and outputs are in that unit. Defaults to (0, 1): nothing is
            standardized.

    Raises:
        ValueError: A lower limit that is not below the upper one, or a scale that is not above 0.
    """

    kind = NUMBER
    label_names: tuple[str, ...] = ()
    has_thresholds = False
    num_outputs = 1

    def __init__(
        self,
        *,
        headline: str | None = None,
        value_range: tuple[float | None, float | None] = (None, None),
        huber_delta: float | None = None,
        target_scaling: tuple[float, float] = (0.0, 1.0),
    ):
        self.headline = headline or METRICS[NUMBER][0].name
        self.huber_delta = huber_delta
        low, high = value_range
        if low is not None and high is not None and not low < high:
            raise ValueError(
                "`value_range` is empty. "
                f"Received: {low} to {high}. Expected: the smaller number first, such as (0, 5)."
            )
        self.value_range = (low, high)
        self.target_mean, self.target_scale = target_scaling
        if not 0 < self.target_scale < float("inf"):
            raise ValueError(
                "`target_scaling` holds no standard deviation. "
                f"Received: {target_scaling}. Expected: a mean, and a number above 0."
            )

    def build_head(self, *, hidden_dim: int, dropout: float, seed: int) -> LinearHead:
        """Builds the head that turns each pooled vector into one number."""
        return LinearHead(
            self.num_outputs,
            hidden_dim=hidden_dim,
            mean=self.target_mean,
            scale=self.target_scale,
            dropout=dropout,
            seed=seed,
        )

    def build_loss(self) -> keras.losses.Loss:
        """Builds the loss: the standardized squared error of logits before clipping."""
        loss = keras.losses.MeanSquaredError()
        if self.huber_delta is not None:
            loss = keras.losses.Huber(delta=self.huber_delta)
        if (self.target_mean, self.target_scale) == (0.0, 1.0):
            return loss
        return StandardizedLoss(loss, mean=self.target_mean, scale=self.target_scale)

    def divergence(self, logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        """Returns the divergence of two passes' outputs, standardized, float32 `(batch_size,)`."""
        return number_divergence(logits / self.target_scale, other / self.target_scale)

    def build_metrics(self) -> list[keras.metrics.Metric]:
        """Builds the training metrics; the loss is the squared error."""
        return [keras.metrics.MeanAbsoluteError(name="mean_absolute_error")]

    def decode(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Decodes logits into predictions: the ONE graph of evaluation, predict, SavedModel.

        Args:
            logits: float `(batch_size, 1)`.

        Returns:
            `value` (float32, `(batch_size,)`: within `value_range`) and `logits` (float32,
            `(batch_size, 1)`: the output of the head).
        """
        logits = tf.cast(logits, tf.float32)
        value = logits[:, 0]
        low, high = self.value_range
        if low is not None:
            value = tf.maximum(value, low)
        if high is not None:
            value = tf.minimum(value, high)
        return {"value": value, "logits": logits}

    def evaluate(
        self, labels: np.ndarray, logits: np.ndarray, *, calibration_bins: int = 15
    ) -> dict[str, float]:
        """Computes the metrics of a split from its labels and logits; no calibration."""
        return regression_metrics(labels, self._values(logits))

    def details(
        self, labels: np.ndarray, logits: np.ndarray, *, calibration_bins: int = 15
    ) -> dict[str, Any]:
        """Returns the notes of a report."""
        return {"notes": regression_notes(labels, self._values(logits))}

    def weighted_metric(
        self, name: str, labels: np.ndarray, logits: np.ndarray
    ) -> WeightedMetric | None:
        """Returns a metric of `evaluate` as a function of weights, `None` if unsupported.

        Labels are float `(num_examples,)`, logits `(num_examples, 1)`.
        """
        return weighted_of_numbers(name, labels, self._values(logits))

    def with_tuned_thresholds(self, labels: np.ndarray, logits: np.ndarray) -> Regression:
        """Returns itself: regression has no thresholds."""
        return self

    def perfect_logits(self, labels: np.ndarray) -> np.ndarray:
        """Returns logits whose predictions are the labels, float32 `(num_examples, 1)`."""
        return np.asarray(labels, np.float32)[:, np.newaxis]

    def record(self) -> dict[str, Any]:
        """Returns plain data from which `task_from_record` builds a task that decodes alike."""
        return {
            "kind": self.kind,
            "label_names": [],
            "headline": self.headline,
            "thresholds": None,
            "value_range": list(self.value_range),
            "target_mean": self.target_mean,
            "target_scale": self.target_scale,
        }

    def _values(self, logits: np.ndarray) -> np.ndarray:
        return self.decode(tf.constant(logits))["value"].numpy()
