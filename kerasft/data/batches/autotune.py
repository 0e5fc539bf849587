"""Turns off tf.data's automatic tuning."""

from __future__ import annotations

import tensorflow as tf


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the dataset without tf.data's automatic tuning.

    All sizes are set here, so there is nothing to tune. The tuner is a thread that sleeps twice as
    long each time, from 10 ms to a minute. Sometimes an iterator that ends waits until it wakes: an
    evaluation of 11 seconds took 20.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
