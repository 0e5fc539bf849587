"""Truncates token rows, and cuts them into windows: core TF ops on ragged rows.

Rows of tokens are int32 `[batch_size, (num_tokens)]`.
"""

from __future__ import annotations

import tensorflow as tf


def keep_ends(token_ids: tf.RaggedTensor, *, head: int, tail: int) -> tf.RaggedTensor:
    """Keeps the first `head` and the last `tail` tokens of each row, each token once."""
    lengths = token_ids.row_lengths()
    of_head = tf.minimum(lengths, head)
    of_tail = tf.minimum(lengths - of_head, tail)
    starts, ends = token_ids.row_starts(), token_ids.row_limits()
    kept = _between(  # two ranges for each row
        tf.reshape(tf.stack([starts, ends - of_tail], axis=1), (-1,)),
        tf.reshape(tf.stack([starts + of_head, ends], axis=1), (-1,)),
    )
    return tf.RaggedTensor.from_row_lengths(
        tf.gather(token_ids.values, kept), of_head + of_tail, validate=False
    )


def keep_first(token_ids: tf.RaggedTensor, count: tf.Tensor) -> tf.RaggedTensor:
    """Keeps the first `count[i]` tokens of row `i`, none more than it has; int64 `[batch_size]`."""
    starts = token_ids.row_starts()
    return tf.RaggedTensor.from_row_lengths(
        tf.gather(token_ids.values, _between(starts, starts + count)), count, validate=False
    )


def _between(starts: tf.Tensor, limits: tf.Tensor) -> tf.Tensor:
    """Returns the indices from each start up to its limit, one range after the other."""
    return tf.ragged.range(starts, limits).values


def longest_first(
    first_length: tf.Tensor, second_length: tf.Tensor, room: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """Divides `room` tokens between the two texts of a pair.

    BERT removes one token after the other from the longer text. Equivalently, the shorter text
    keeps up to half of the room and the longer one the rest. An odd token goes to the longer text,
    or to the second of two equally long ones, as in Hugging Face `tokenizers` (the BERT release
    gives it to the first text whenever both are cut).

    Lengths before and after are int64 `[batch_size]`.
    """
    shorter = tf.minimum(first_length, second_length)
    shorter = tf.minimum(shorter, room // 2)
    longer = tf.minimum(tf.maximum(first_length, second_length), room - shorter)
    first_is_longer = first_length > second_length
    return (
        tf.where(first_is_longer, longer, shorter),
        tf.where(first_is_longer, shorter, longer),
    )


def keep_byte_ends(text: tf.Tensor, most: int) -> tf.Tensor:
    """Cuts the middle out of texts (string `[batch_size]`) of more than `most` bytes.

    A space replaces it, and half of the bytes kept are from the end. The cleaning that follows
    drops a character that was cut through.
    """
    num_bytes = tf.strings.length(text)
    half = most // 2

    def cut() -> tf.Tensor:
        head = tf.strings.substr(text, tf.zeros_like(num_bytes), tf.minimum(num_bytes, half))
        tail = tf.strings.substr(text, tf.maximum(num_bytes - half, 0), tf.minimum(num_bytes, half))
        return tf.where(num_bytes > most, tf.strings.join([head, tail], " "), text)

    return tf.cond(tf.reduce_any(num_bytes > most), cut, lambda: text)


def cut_windows(
    token_ids: tf.RaggedTensor, *, length: int, stride: int, max_windows: int
) -> tuple[tf.RaggedTensor, tf.Tensor]:
    """Cuts each row into windows that start every `stride` tokens.

    The last window of a row is the first one that reaches its end, or number `max_windows`; all
    before it are full. A row that fits into one window, or is empty, is one window.

    Args:
        token_ids: int32 `[batch_size, (num_tokens)]`.
        length: Tokens in a window.
        stride: Tokens from one window's first to the next one's, at most `length`.
        max_windows: Maximum number of windows of a row. Tokens after the last window are dropped.

    Returns:
        The windows, int32 `[total windows, (up to length tokens)]`, row after row, and the number
        of windows of each row, int64 `[batch_size]`.
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

    `num_windows`, int64 `[batch_size]`, is each text's number of windows, at least one.
    """
    grouped = tf.RaggedTensor.from_row_lengths(windows, num_windows, validate=False)
    return grouped.merge_dims(1, 2)
