"""Rows of several windows become a row a window, and their logits one row again."""

import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.windows import over_windows, split_windows


def make_inputs(lengths, width):
    """Rows of real tokens 1, 2, 3, ... and padding behind them."""
    columns = np.arange(width)
    padding_mask = (columns < np.array(lengths)[:, None]).astype("int32")
    token_ids = padding_mask * (columns + 1).astype("int32")
    inputs = {"token_ids": token_ids, "segment_ids": token_ids % 2, "padding_mask": padding_mask}
    return {name: tf.constant(rows, tf.int32) for name, rows in inputs.items()}


@pytest.mark.parametrize("function", [split_windows, tf.function(split_windows)])
def test_only_windows_with_a_real_token_are_kept(function):
    windows, rows = function(make_inputs([3, 9, 1, 8], width=9), 4)
    assert rows.numpy().tolist() == [0, 1, 1, 1, 2, 3, 3]
    assert windows["token_ids"].numpy().tolist() == [
        [1, 2, 3, 0],
        [1, 2, 3, 4],
        [5, 6, 7, 8],
        [9, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 2, 3, 4],
        [5, 6, 7, 8],
    ]
    np.testing.assert_array_equal(windows["padding_mask"], windows["token_ids"].numpy() > 0)
    np.testing.assert_array_equal(windows["segment_ids"], windows["token_ids"].numpy() % 2)


def test_a_batch_narrower_than_a_window_is_not_padded():
    inputs = make_inputs([2, 3], width=3)
    windows, rows = split_windows(inputs, 128)
    assert rows.numpy().tolist() == [0, 1]
    np.testing.assert_array_equal(windows["token_ids"], inputs["token_ids"])


def test_a_row_of_padding_keeps_its_first_window():
    windows, rows = split_windows(make_inputs([0, 0], width=9), 4)
    assert rows.numpy().tolist() == [0, 1]
    assert windows["token_ids"].shape == (2, 4)


@pytest.mark.parametrize("width", [0, 9])
def test_no_row_at_all(width):
    nothing = tf.zeros([0, width], tf.int32)
    inputs = dict.fromkeys(("token_ids", "segment_ids", "padding_mask"), nothing)
    windows, _ = split_windows(inputs, 4)
    assert windows["token_ids"].shape == (0, min(width, 4))
    assert over_windows(inputs, 4, lambda rows: tf.zeros([0, 3])).shape == (0, 3)


def test_mean():
    logits, inputs = tf.constant([[1.0], [3.0], [8.0], [4.0]]), make_inputs([8, 4, 3], width=8)
    with tf.GradientTape() as tape:
        tape.watch(logits)
        means = over_windows(inputs, 4, lambda rows: {"logits": logits})["logits"]
    assert means.numpy().tolist() == [[2.0], [8.0], [4.0]]
    assert tape.gradient(means, logits).numpy().tolist() == [[0.5], [0.5], [1.0], [1.0]]


def test_without_windows_rows_are_read_whole():
    assert over_windows({"features": 3}, None, lambda rows: rows["features"]) == 3
