"""Losses that Keras does not have, and the divergence of two outputs."""

from __future__ import annotations

import keras
import tensorflow as tf


class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy of integer labels with label smoothing, as PyTorch's `label_smoothing`.

    Keras smooths one-hot labels only.

    Args:
        label_smoothing: The share that is spread over all classes, between 0 and 1.
    """

    def __init__(self, label_smoothing: float):
        super().__init__(name="smoothed_cross_entropy")
        self.label_smoothing = label_smoothing

    def call(self, y_true, y_pred):
        """Returns the loss of each example in nats, float32 `(batch_size,)`.

        Args:
            y_true: Class indices, `(batch_size,)`.
            y_pred: Logits, `(batch_size, num_classes)`.
        """
        losses = -tf.nn.log_softmax(tf.cast(y_pred, tf.float32))
        of_label = tf.gather(losses, tf.cast(y_true, tf.int32), batch_dims=1)
        spread = tf.reduce_mean(losses, axis=-1)
        return (1 - self.label_smoothing) * of_label + self.label_smoothing * spread


class StandardizedLoss(keras.losses.Loss):
    """A loss of standardized targets and predictions: `(value - mean) / scale`.

    Args:
        loss: The loss, whose `call` gives one value per example.
        mean: Mean of the training targets.
        scale: Their standard deviation.
    """

    def __init__(self, loss: keras.losses.Loss, *, mean: float, scale: float):
        super().__init__(name="standardized_loss")
        self.loss = loss
        self.mean = mean
        self.scale = scale

    def call(self, y_true, y_pred):
        """Returns the loss of each example in standardized units, float32 `(batch_size,)`.

        Args:
            y_true: Targets, `(batch_size,)`.
            y_pred: Predictions in the same units, `(batch_size, 1)`.
        """
        return self.loss.call(self._standardize(y_true), self._standardize(y_pred))

    def _standardize(self, values):
        return (tf.cast(values, tf.float32) - self.mean) / self.scale


class FocalLoss(keras.losses.Loss):
    """Cross-entropy of integer labels, times `(1 - p) ** gamma` of the label's probability `p`.

    Lin et al. 2017, "Focal Loss for Dense Object Detection", for any number of classes and without
    their class weights: use `training.class_weights`. Keras's own takes one-hot labels.

    Args:
        gamma: How much easy examples are down-weighted; 0 is cross-entropy.
    """

    def __init__(self, gamma: float = 2.0):
        super().__init__(name="focal_loss")
        self.gamma = gamma

    def call(self, y_true, y_pred):
        """Returns the loss of each example in nats, float32 `(batch_size,)`.

        Args:
            y_true: Class indices, `(batch_size,)`.
            y_pred: Logits, `(batch_size, num_classes)`.
        """
        logs = tf.nn.log_softmax(tf.cast(y_pred, tf.float32))
        of_label = tf.gather(logs, tf.cast(y_true, tf.int32), batch_dims=1)
        # Not 1 - exp(log p): it vanishes for a probability near 1, and a power below 1 has no slope
        # at 0.
        rest = tf.maximum(-tf.math.expm1(of_label), 1e-7)
        return -(rest**self.gamma) * of_label


def class_divergence(logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns the symmetric Kullback-Leibler divergence in nats, float32 `(batch_size,)`.

    It is the mean of both directions. `logits` and `other`, of another pass, are `(batch_size,
    num_classes)`.
    """
    logs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    others = tf.nn.log_softmax(tf.cast(other, tf.float32))
    return tf.reduce_sum((tf.exp(logs) - tf.exp(others)) * (logs - others), axis=-1) / 2


def label_divergence(logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns the same for multi-label logits `(batch_size, num_labels)`, its mean over labels."""
    logits, other = tf.cast(logits, tf.float32), tf.cast(other, tf.float32)
    return tf.reduce_mean((tf.sigmoid(logits) - tf.sigmoid(other)) * (logits - other), axis=-1) / 2


def number_divergence(logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns the squared difference of two passes' `(batch_size, 1)`, float32 `(batch_size,)`."""
    difference = tf.cast(logits, tf.float32) - tf.cast(other, tf.float32)
    return tf.reduce_mean(difference**2, axis=-1)
