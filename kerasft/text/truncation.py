"""How many tokens of a text stay, which, and in which windows: core TF ops on ragged rows."""

from __future__ import annotations

import tensorflow as tf


def keep_ends(token_ids: tf.RaggedTensor, *, head: int, tail: int) -> tf.RaggedTensor:
    """Keeps the first `head` and the last `tail` tokens of each row, each token once.

    Args:
        token_ids: int32 `[batch_size, (num_tokens)]`.
        head: How many tokens are kept from the beginning.
        tail: How many tokens are kept from the end.
    """
    lengths = token_ids.row_lengths()
    of_head = tf.minimum(lengths, head)
    of_tail = tf.minimum(lengths - of_head, tail)
    starts, ends = token_ids.row_starts(), token_ids.row_limits()
    kept = _between(  # two ranges a row
        tf.reshape(tf.stack([starts, ends - of_tail], axis=1), (-1,)),
        tf.reshape(tf.stack([starts + of_head, ends], axis=1), (-1,)),
    )
    return tf.RaggedTensor.from_row_lengths(
        tf.gather(token_ids.values, kept), of_head + of_tail, validate=False
    )


def keep_first(token_ids: tf.RaggedTensor, count: tf.Tensor) -> tf.RaggedTensor:
    """Keeps the first `count[i]` tokens of row `i`.

    Args:
        token_ids: int32 `[batch_size, (num_tokens)]`.
        count: int64 `[batch_size]`, none larger than its row.
    """
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
    """Shares `room` tokens between the two texts of a pair.

    Taking one token after the other from the longer text, as BERT does, ends where the shorter
    text has all it needs up to half of the room and the longer one has the rest. An odd token
    goes to the longer text, of two equally long ones to the second, as in Hugging Face
    `tokenizers` (the BERT release gives it to the first text whenever both are cut).

    Args:
        first_length: int64 `[batch_size]`: tokens of the first text.
        second_length: int64 `[batch_size]`: tokens of the second text.
        room: How many tokens both may keep together.

    Returns:
        Two int64 `[batch_size]`: how many tokens each text keeps.
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
    """Cuts the middle out of texts that are too long to be read in full.

    Args:
        text: string `[batch_size]`.
        most: The most bytes that a text keeps, half of them from its end. A character that is cut
            through is dropped by the cleaning that follows.

    Returns:
        string `[batch_size]`: shorter texts as they were, longer ones with a space for what is
        gone.
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
