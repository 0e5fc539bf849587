"""Memory that runs out: real allocations that no machine has room for."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import tensorflow as tf

from kerasft.errors import UserError
from kerasft.evaluation.forward import Forward
from kerasft.training.loop import memory
from kerasft.training.loop.memory import OutOfMemoryError, available_bytes, naming_memory

NO_ROOM = 2**50  # floats: more bytes than a process can address, refused at once


@tf.function
def fill(size):
    return tf.fill([size // 1024, 1024], 1.0)


def fill_by_numpy():
    return np.ones(NO_ROOM)


def fill_by_tensorflow():
    return fill(tf.constant(NO_ROOM))


@pytest.mark.parametrize(
    ("allocate", "asked"),
    [
        (fill_by_tensorflow, r"'4,194,304\.00 GiB for a tensor float32\[1099511627776, 1024\]'"),
        (fill_by_numpy, r"'Unable to allocate 8\.00 PiB .*'"),
    ],
)
def test_what_was_asked_for_what_there_is_and_what_helps(allocate, asked):
    expected = (
        rf"^Memory ran out in step 3\. Received: {asked}\. Expected: what fits into [\d.,]+ GiB, "
        r"of which this process holds [\d.]+ GiB now\. Fix: set "
        r"training\.gradient_accumulation_steps=4.*performance\.gradient_checkpointing=true.*"
        r"training\.batch_size or training\.sequence_length\.$"
    )
    with pytest.raises(OutOfMemoryError, match=expected), naming_memory(lambda: "step 3"):
        allocate()


@pytest.mark.parametrize(
    ("message", "asked"),
    [
        ("Out of memory while trying to allocate 123 bytes.\n\nmore", "allocate 123 bytes."),
        ("Operation received an exception:Status: 1, message: could not", "Status: 1, message"),
        (
            "OOM when allocating tensor with shape[] and type half on",
            "0.00 GiB for a tensor float16[]",
        ),
    ],
)
def test_other_allocators(message, asked):
    """XLA's and oneDNN's messages, and one of a scalar; TensorFlow puts a traceback above."""
    with pytest.raises(OutOfMemoryError) as caught, naming_memory(lambda: "step 3"):
        raise tf.errors.ResourceExhaustedError(None, None, f"Graph execution error:\n\n{message}")
    assert asked in caught.value.asked
    assert "\n" not in caught.value.asked


@pytest.mark.parametrize(
    "error",
    [
        tf.errors.ResourceExhaustedError(None, None, "events.v2; No space left on device"),
        tf.errors.UnavailableError(None, None, "Socket closed"),
        ValueError("out of memory"),
    ],
)
def test_control_other_errors_stay_what_they_are(error):
    with pytest.raises(type(error)) as caught, naming_memory(lambda: "step 3"):
        raise error
    assert caught.value is error


def test_an_evaluation_names_its_batch():
    forward = Forward(lambda inputs: fill(NO_ROOM * tf.cast(inputs["token_ids"][0, 0], tf.int64)))
    ids = tf.ones([3, 7], tf.int32)
    inputs = dict.fromkeys(("token_ids", "segment_ids", "padding_mask"), ids)
    batches = tf.data.Dataset.from_tensors((inputs, tf.ones(3), tf.ones(3)))
    expected = (
        r"in an evaluation, a batch of 3 x 7 tokens.*Fix: set a smaller evaluation\.batch_size"
    )
    with pytest.raises(OutOfMemoryError, match=expected) as caught:
        list(forward.over(batches))
    assert caught.value.in_evaluation
    assert isinstance(caught.value, UserError)


def test_the_smallest_limit_counts(monkeypatch, tmp_path):
    machine = available_bytes()
    assert 2**28 < machine < 2**50
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", (tmp_path / "none", limit))
    limit.write_text("max\n")
    assert available_bytes() >= machine
    limit.write_text("1000000\n")
    assert available_bytes() == 1_000_000
    monkeypatch.setattr(resource, "getrlimit", lambda kind: (500_000, -1))
    assert available_bytes() == 500_000
