"""Single-label classification: one of `num_classes` labels for each text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasft.data.example import SINGLE
from kerasft.metric import METRICS
from kerasft.metrics.calibration import reliability_bins
from kerasft.metrics.classification import (
    classification_metrics,
    classification_notes,
    confusion,
)
from kerasft.metrics.weighted import WeightedMetric, weighted_of_classes
from kerasft.models.heads import LinearHead
from kerasft.tasks.losses import FocalLoss, SmoothedCrossEntropy, class_divergence

_SURE = 20.0  # the logit of a certain prediction


class Classification:
    """The single-label classification task.

    Args:
        label_names: Name of each class, in label order.
        headline: The headline metric. Defaults to `accuracy`.
        label_smoothing: The share of a label that is spread evenly over all classes in training, 0
            to below 1 (Szegedy et al. 2016, "Rethinking the Inception Architecture for Computer
            Vision", section 7). Defaults to 0. Does not affect metrics.
        focal_gamma: Gamma of the focal loss. Defaults to `None`: cross-entropy.

    Raises:
        ValueError: Smoothing out of range, or together with focal loss.
    """

    kind = SINGLE
    has_thresholds = False

    def __init__(
        self,
        label_names: Sequence[str],
        *,
        headline: str | None = None,
        label_smoothing: float = 0.0,
        focal_gamma: float | None = None,
    ):
        if not 0 <= label_smoothing < 1:
            raise ValueError(
                "`label_smoothing` is out of range. "
                f"Received: {label_smoothing}. Expected: 0 to below 1, such as 0.1."
            )
        if label_smoothing and focal_gamma is not None:
            raise ValueError("Received `label_smoothing` and `focal_gamma`. Expected one of them.")
        self.label_names = tuple(label_names)
        self.headline = headline or METRICS[SINGLE][0].name
        self.label_smoothing = label_smoothing
        self.focal_gamma = focal_gamma

    @property
    def num_outputs(self) -> int:
        """Number of logits: one per class."""
        return len(self.label_names)

    def build_head(self, *, hidden_dim: int, dropout: float, seed: int) -> LinearHead:
        """Builds the head that turns pooled vectors into logits."""
        return LinearHead(self.num_outputs, hidden_dim=hidden_dim, dropout=dropout, seed=seed)

    def build_loss(self) -> keras.losses.Loss:
        """Builds the loss: cross-entropy of integer labels and logits, in nats, or focal loss."""
        if self.focal_gamma is not None:
            return FocalLoss(self.focal_gamma)
        if self.label_smoothing:
            return SmoothedCrossEntropy(self.label_smoothing)
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def divergence(self, logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        """Returns the divergence of the outputs of two passes, float32 `(batch_size,)`."""
        return class_divergence(logits, other)

    def build_metrics(self) -> list[keras.metrics.Metric]:
        """Builds the training metrics."""
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def decode(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Decodes logits into predictions: the ONE graph of evaluation, predict, SavedModel.

        Args:
            logits: float `(batch_size, num_classes)`.

        Returns:
            `label` (string, `(batch_size,)`), `score` (float32, `(batch_size,)`: the probability of
            that label), `probabilities` and `logits` (float32, `(batch_size, num_classes)`).
        """
        logits = tf.cast(logits, tf.float32)
        names = tf.constant(self.label_names, tf.string)
        probabilities = tf.nn.softmax(logits)
        return {
            "label": tf.gather(names, tf.argmax(logits, axis=-1)),
            "score": tf.reduce_max(probabilities, axis=-1),
            "probabilities": probabilities,
            "logits": logits,
        }

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Returns the probabilities that `decode` gives, as an array."""
        return self.decode(tf.constant(logits))["probabilities"].numpy()

    def evaluate(
        self, labels: np.ndarray, logits: np.ndarray, *, calibration_bins: int = 15
    ) -> dict[str, float]:
        """Computes the metrics of a split from its labels and logits."""
        return classification_metrics(
            labels, self.probabilities(logits), self.label_names, calibration_bins=calibration_bins
        )

    def details(
        self, labels: np.ndarray, logits: np.ndarray, *, calibration_bins: int = 15
    ) -> dict[str, Any]:
        """Returns the confusion matrix, the calibration bins and the notes of a report."""
        probabilities, names = self.probabilities(logits), self.label_names
        return {
            "confusion": confusion(labels, probabilities.argmax(axis=-1), len(names)),
            "bins": reliability_bins(labels, probabilities, calibration_bins),
            "notes": classification_notes(labels, probabilities, names),
        }

    def weighted_metric(
        self, name: str, labels: np.ndarray, logits: np.ndarray
    ) -> WeightedMetric | None:
        """Returns a metric of `evaluate` as a function of weights, `None` if unsupported.

        Labels are int `(num_examples,)`, logits float `(num_examples, num_classes)`.
        """
        return weighted_of_classes(name, labels, self.probabilities(logits), self.label_names)

    def with_tuned_thresholds(self, labels: np.ndarray, logits: np.ndarray) -> Classification:
        """Returns itself: the prediction is always the most probable class."""
        return self

    def perfect_logits(self, labels: np.ndarray) -> np.ndarray:
        """Returns logits that predict the labels, float32 `(num_examples, num_classes)`."""
        return _SURE * np.eye(self.num_outputs, dtype=np.float32)[labels]

    def record(self) -> dict[str, Any]:
        """Returns plain data from which `task_from_record` builds a task that decodes alike."""
        return {
            "kind": self.kind,
            "label_names": list(self.label_names),
            "headline": self.headline,
            "thresholds": None,
            "value_range": None,
        }
