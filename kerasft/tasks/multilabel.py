"""Multi-label classification: each label applies or not, independently of the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from kerasft.data.example import MULTI
from kerasft.metric import METRICS
from kerasft.metrics.multilabel import (
    DEFAULT_THRESHOLD,
    multilabel_metrics,
    multilabel_notes,
    tune_thresholds,
)
from kerasft.metrics.weighted import WeightedMetric, weighted_of_label_sets
from kerasft.models.heads import LinearHead
from kerasft.tasks.losses import label_divergence

_SURE = 20.0  # the logit of a label that certainly applies


class MultiLabel:
    """The multi-label classification task.

    Args:
        label_names: Name of each label, in label order.
        headline: The headline metric. Defaults to `f1_micro`.
        thresholds: The lowest probability at which each label is predicted, in label order. `None`,
            the default, is 0.5 for each; `with_tuned_thresholds` finds better ones.
        focal_gamma: Gamma of the focal loss (Lin et al. 2017). Defaults to `None`: cross-entropy.

    Raises:
        ValueError: No label, or thresholds that are not one for each label, 0 to 1.
    """

    kind = MULTI
    has_thresholds = True

    def __init__(
        self,
        label_names: Sequence[str],
        *,
        headline: str | None = None,
        thresholds: Sequence[float] | None = None,
        focal_gamma: float | None = None,
    ):
        self.label_names = tuple(label_names)
        self.headline = headline or METRICS[MULTI][0].name
        self.focal_gamma = focal_gamma
        if thresholds is None:
            thresholds = [DEFAULT_THRESHOLD] * len(self.label_names)
        self.thresholds = tuple(float(threshold) for threshold in thresholds)
        in_range = all(0 <= threshold <= 1 for threshold in self.thresholds)
        if not self.label_names or len(self.thresholds) != len(self.label_names) or not in_range:
            raise ValueError(
                "`thresholds` do not fit the labels. "
                f"Received: {self.thresholds} for {len(self.label_names)} labels. "
                "Expected: at least one label, and for each a number from 0 to 1."
            )

    @property
    def num_outputs(self) -> int:
        """Number of logits: one per label."""
        return len(self.label_names)

    def build_head(self, *, hidden_dim: int, dropout: float, seed: int) -> LinearHead:
        """Builds the head that turns pooled vectors into logits."""
        return LinearHead(self.num_outputs, hidden_dim=hidden_dim, dropout=dropout, seed=seed)

    def build_loss(self) -> keras.losses.Loss:
        """Builds the loss: binary cross-entropy in nats, the mean over an example's labels."""
        if self.focal_gamma is not None:
            return keras.losses.BinaryFocalCrossentropy(gamma=self.focal_gamma, from_logits=True)
        return keras.losses.BinaryCrossentropy(from_logits=True)

    def divergence(self, logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
        """Returns the divergence of the outputs of two passes, float32 `(batch_size,)`."""
        return label_divergence(logits, other)

    def build_metrics(self) -> list[keras.metrics.Metric]:
        """Builds the training metric: the share of correct decisions at 0.5."""
        return [keras.metrics.MeanMetricWrapper(_decided_rightly, name="label_accuracy")]

    def decode(self, logits: tf.Tensor) -> dict[str, tf.Tensor]:
        """Decodes logits into predictions: the ONE graph of evaluation, predict, SavedModel.

        Args:
            logits: float `(batch_size, num_labels)`.

        Returns:
            All `(batch_size, num_labels)`: `labels` (string: the names that apply, in label order,
            then empty strings), `scores` (float32: the probability of each label), `selected`
            (bool: whether it applies), `logits` (float32).
        """
        logits = tf.cast(logits, tf.float32)
        scores = tf.sigmoid(logits)
        selected = scores >= tf.constant(self.thresholds, tf.float32)
        # Sorted, the indices of labels that apply come first; all others become the empty name's.
        num_labels = self.num_outputs
        indices = tf.where(selected, tf.range(num_labels), num_labels)
        names = tf.constant([*self.label_names, ""], tf.string)
        return {
            "labels": tf.gather(names, tf.sort(indices, axis=-1)),
            "scores": scores,
            "selected": selected,
            "logits": logits,
        }

    def evaluate(
        self, labels: np.ndarray, logits: np.ndarray, *, calibration_bins: int = 15
    ) -> dict[str, float]:
        """Computes the metrics of a split from its labels and logits; no calibration."""
        return multilabel_metrics(labels, *self._decisions(logits), self.label_names)

    def details(
        self, labels: np.ndarray, logits: np.ndarray, *, calibration_bins: int = 15
    ) -> dict[str, Any]:
        """Returns the metrics `threshold/<label>`, and the notes of a report."""
        thresholds = zip(self.label_names, self.thresholds, strict=True)
        return {
            "metrics": {f"threshold/{name}": value for name, value in thresholds},
            "notes": multilabel_notes(labels, *self._decisions(logits), self.label_names),
        }

    def weighted_metric(
        self, name: str, labels: np.ndarray, logits: np.ndarray
    ) -> WeightedMetric | None:
        """Returns a metric of `evaluate` as a function of weights, `None` if unsupported.

        Labels (zeros and ones) and logits are `(num_examples, num_labels)`.
        """
        return weighted_of_label_sets(name, labels, *self._decisions(logits), self.label_names)

    def with_tuned_thresholds(self, labels: np.ndarray, logits: np.ndarray) -> MultiLabel:
        """Returns the task with the thresholds of each label's best F1 on these examples.

        Use validation examples, never test. Labels (zeros and ones) and logits are `(num_examples,
        num_labels)`.
        """
        scores, _ = self._decisions(logits)
        return MultiLabel(
            self.label_names,
            headline=self.headline,
            thresholds=tune_thresholds(labels, scores).tolist(),
            focal_gamma=self.focal_gamma,
        )

    def perfect_logits(self, labels: np.ndarray) -> np.ndarray:
        """Returns logits whose predictions are the labels, float32 `(num_examples, num_labels)`."""
        return np.where(labels, np.float32(_SURE), np.float32(-_SURE))

    def record(self) -> dict[str, Any]:
        """Returns plain data from which `task_from_record` builds a task that decodes alike."""
        return {
            "kind": self.kind,
            "label_names": list(self.label_names),
            "headline": self.headline,
            "thresholds": list(self.thresholds),
            "value_range": None,
        }

    def _decisions(self, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the scores, and the selected labels."""
        answer = self.decode(tf.constant(logits))
        return answer["scores"].numpy(), answer["selected"].numpy()


def _decided_rightly(labels, logits):
    """Returns the share of an example's labels that are decided correctly at 0.5."""
    is_right = tf.equal(tf.cast(labels, tf.bool), logits >= 0)
    return tf.reduce_mean(tf.cast(is_right, tf.float32), axis=-1)
