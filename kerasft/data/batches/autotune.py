"""Keeps tf.data from tuning itself."""

from __future__ import annotations

import tensorflow as tf


def without_autotune(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Returns the dataset without tf.data's automatic tuning.

    All sizes here are set, so that nothing is left to tune. But the tuner is a thread that sleeps
    twice as long each time, from 10 ms to a minute, and now and then an iterator that ends waits
    until it wakes: an evaluation of 11 seconds was over after 20.

    Args:
        dataset: The last step of a pipeline.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
