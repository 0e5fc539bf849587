"""Overlapping windows over the tokens of a long text: core TF ops on ragged rows."""

from __future__ import annotations

import tensorflow as tf


def cut_windows(
    token_ids: tf.RaggedTensor, *, length: int, stride: int, max_windows: int
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Cuts each row into windows that start every `stride` tokens.

    The last window of a row is the first one that reaches its end, or number `max_windows`; all
    before it are full. A row that fits into one window is one, and so is an empty row.

    Args:
        token_ids: int32 `[batch_size, (num_tokens)]`.
        length: Tokens in a window.
        stride: Tokens from one window's first to the next one's, at most `length`.
        max_windows: The most windows of a row. Tokens behind the last window are dropped.

    Returns:
        The windows, int32 `[num_windows in all, (up to length tokens)]`, those of one row after
        those of the row before, and the number of each row's windows, int64 `[batch_size]`.
    """
    lengths = token_ids.row_lengths()
    num_more = (tf.maximum(lengths - length, 0) + (stride - 1)) // stride
    num_windows = tf.minimum(num_more + 1, max_windows)
    start_in_row = tf.ragged.range(num_windows).values * stride
    first = tf.repeat(token_ids.row_starts(), num_windows) + start_in_row
    count = tf.minimum(tf.repeat(lengths, num_windows) - start_in_row, length)
    positions = tf.ragged.range(first, first + count)
    windows = positions.with_values(tf.gather(token_ids.values, positions.values))
    return windows, num_windows


def join_windows(windows: tf.RaggedTensor, num_windows: tf.Tensor) -> tf.RaggedTensor:
    """Joins the windows of each text into one row.

    Args:
        windows: `[num_windows in all, (num_tokens)]`.
        num_windows: int64 `[batch_size]`: how many of the windows are each text's, none zero.
    """
    grouped = tf.RaggedTensor.from_row_lengths(windows, num_windows, validate=False)
    return grouped.merge_dims(1, 2)
