"""Rows of several windows: split before the encoder, averaged after the head."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import tensorflow as tf


def split_windows(
    inputs: Mapping[str, tf.Tensor], window_length: int
) -> tuple[dict[str, tf.Tensor], tf.Tensor]:
    """Makes every window a row of its own, without those that hold only padding.

    Args:
        inputs: `token_ids`, `segment_ids` and `padding_mask`, int `(batch_size, width)`: in each
            row windows of `window_length` tokens one after another, the last one possibly shorter.
        window_length: Tokens of a window. A narrower batch is not padded to it.

    Returns:
        The same inputs as int `(num_windows, window_length)`, and the row of each window, int32
        `(num_windows,)`, ascending. The first window of a row is always there.
    """
    num_rows, width = tf.unstack(tf.shape(inputs["token_ids"]))
    length = tf.minimum(width, window_length)
    per_row = tf.maximum(-(-width // window_length), 1)

    def cut(tensor: tf.Tensor) -> tf.Tensor:
        padded = tf.pad(tensor, [[0, 0], [0, per_row * length - width]])
        return tf.reshape(padded, [num_rows * per_row, length])

    windows = {name: cut(tensor) for name, tensor in inputs.items()}
    row, number = tf.meshgrid(tf.range(num_rows), tf.range(per_row), indexing="ij")
    is_real = tf.reduce_any(windows["padding_mask"] > 0, axis=1)
    is_kept = is_real | (tf.reshape(number, [-1]) == 0)
    windows = {name: tf.boolean_mask(tensor, is_kept) for name, tensor in windows.items()}
    return windows, tf.boolean_mask(tf.reshape(row, [-1]), is_kept)


def over_windows(
    inputs: Mapping[str, tf.Tensor],
    window_length: int | None,
    compute: Callable[[Mapping[str, tf.Tensor]], Any],
) -> Any:
    """Returns `compute` of rows; of rows of several windows, the mean over their windows.

    `inputs` are those of `split_windows`; with a `window_length` of `None` rows are read whole, and
    may hold anything. `compute` returns tensors `(rows, width)`, one or a structure of them.
    """
    if window_length is None:
        return compute(inputs)
    windows, row_of_window = split_windows(inputs, window_length)
    num_rows = tf.shape(inputs["token_ids"])[0]
    return tf.nest.map_structure(
        lambda tensor: tf.math.unsorted_segment_mean(tensor, row_of_window, num_rows),
        compute(windows),
    )
