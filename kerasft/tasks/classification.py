"""Single-label classification: one of `num_classes` labels for each text."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from kerasft.metrics.classification import classification_metrics
from kerasft.models.heads import LinearHead


class Classification:
    """What is particular to single-label classification.

    Args:
        label_names: Name of each class, in label order.
    """

    def __init__(self, label_names: Sequence[str]):
        self.label_names = tuple(label_names)

    @property
    def num_outputs(self) -> int:
        """Number of logits: one a class."""
        return len(self.label_names)

    def build_head(self, *, hidden_dim: int, dropout: float, seed: int) -> LinearHead:
        """Builds the head that turns pooled vectors into logits."""
        return LinearHead(self.num_outputs, hidden_dim=hidden_dim, dropout=dropout, seed=seed)

    def build_loss(self) -> keras.losses.Loss:
        """Builds the loss: cross-entropy of integer labels and logits, in nats."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def build_metrics(self) -> list[keras.metrics.Metric]:
        """Builds the metrics that are counted while training."""
        return [keras.metrics.SparseCategoricalAccuracy(name="accuracy")]

    def decode(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Turns logits into the answer: the ONE graph for evaluation, predict and SavedModel.

        Args:
            logits: float `(batch_size, num_classes)`.

        Returns:
            `label` (string, `(batch_size,)`), `probabilities` and `logits` (float32,
            `(batch_size, num_classes)`).
        """
        logits = tf.cast(logits, tf.float32)
        names = tf.constant(self.label_names, tf.string)
        return {
            "label": tf.gather(names, tf.argmax(logits, axis=-1)),
            "probabilities": tf.nn.softmax(logits),
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
