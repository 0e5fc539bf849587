"""Losses that Keras does not have, and the divergence of two answers."""

from __future__ import annotations

import keras
import tensorflow as tf


class SmoothedCrossEntropy(keras.losses.Loss):
    """Cross-entropy of integer labels whose share `label_smoothing` is spread over all classes.

    Keras smooths one-hot labels only. The loss is that of PyTorch's `label_smoothing`.

    Args:
        label_smoothing: Between 0 and 1.
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
    """A loss of targets and predictions that are standardized first: `(value - mean) / scale`.

    Args:
        loss: The loss, whose `call` gives one value an example.
        mean: Of the training targets.
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
    their class weights: `training.class_weights` gives these. Keras's own takes one-hot labels.

    Args:
        gamma: How far it turns away from what is easy; 0 is cross-entropy.
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
        # Not 1 - exp(log p): of a probability near 1 nothing would be left, and a power below 1
        # has no slope at 0.
        rest = tf.maximum(-tf.math.expm1(of_label), 1e-7)
        return -(rest**self.gamma) * of_label


def class_divergence(logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns the mean of the two Kullback-Leibler divergences in nats, float32 `(batch_size,)`.

    Args:
        logits: `(batch_size, num_classes)`.
        other: Those of another pass.
    """
    logs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
    others = tf.nn.log_softmax(tf.cast(other, tf.float32))
    return tf.reduce_sum((tf.exp(logs) - tf.exp(others)) * (logs - others), axis=-1) / 2


def label_divergence(logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns the same of labels that each apply or not, its mean over the labels.

    Args:
        logits: `(batch_size, num_labels)`.
        other: Those of another pass.
    """
    logits, other = tf.cast(logits, tf.float32), tf.cast(other, tf.float32)
    return tf.reduce_mean((tf.sigmoid(logits) - tf.sigmoid(other)) * (logits - other), axis=-1) / 2


def number_divergence(logits: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """Returns the squared difference of two answers that are numbers, float32 `(batch_size,)`.

    Args:
        logits: `(batch_size, 1)`.
        other: Those of another pass.
    """
    difference = tf.cast(logits, tf.float32) - tf.cast(other, tf.float32)
    return tf.reduce_mean(difference**2, axis=-1)
