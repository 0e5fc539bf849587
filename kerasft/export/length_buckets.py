"""Length buckets, to which requests are padded so that XLA on a server sees few shapes.

Without them a request is as wide as its longest text. XLA compiles each width anew, which takes a
second or more per request; with buckets it compiles one graph each, during the warm-up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from kerasft.errors import UserError
from kerasft.text.wordpiece import MINIMUM_SEQUENCE_LENGTH, WINDOWS

MOST_BUCKETS = 16  # times batch sizes times signatures are warm-up requests, limited to 1,000


def check_length_buckets(lengths: Sequence[int], preprocessor) -> tuple[int, ...]:
    """Returns the requested buckets (in tokens, ascending), plus the model's own length.

    Raises:
        UserError: If they are not ascending, too many, or not lengths of this model; or the model
            reads windows, whose number no bucket holds.
    """
    if not lengths:
        return ()
    most = preprocessor.sequence_length
    shown = ",".join(map(str, lengths))
    if preprocessor.truncation == WINDOWS:
        raise UserError(
            "A model that reads windows has no length buckets: it is the number of windows that "
            "changes from request to request.",
            received=f"--length-buckets {shown}",
            fix="leave --length-buckets out.",
        )
    inside = all(MINIMUM_SEQUENCE_LENGTH <= length <= most for length in lengths)
    if not inside or list(lengths) != sorted(set(lengths)) or len(lengths) > MOST_BUCKETS:
        raise UserError(
            "These length buckets cannot be used.",
            received=shown,
            expected=f"up to {MOST_BUCKETS} ascending numbers of tokens from "
            f"{MINIMUM_SEQUENCE_LENGTH} to {most}, the model's sequence_length",
            fix=f"take --length-buckets {','.join(map(str, _doubling(most)))}, for example.",
        )
    return tuple(lengths) if lengths[-1] == most else (*lengths, most)


def _doubling(most: int) -> list[int]:
    lengths = [most]
    while lengths[0] // 2 >= 2 * MINIMUM_SEQUENCE_LENGTH:
        lengths.insert(0, lengths[0] // 2)
    return lengths


def widen(
    inputs: Mapping[str, tf.Tensor], buckets: Sequence[int], padding_id: int
) -> dict[str, tf.Tensor]:
    """Pads a batch to the first bucket that holds it, `(batch_size, bucket)`; a longer one stays.

    `inputs` are `token_ids`, `segment_ids`, `padding_mask`, int32 `(batch_size, sequence_length)`;
    `padding_id` is the token that pads.
    """
    width = tf.shape(inputs["token_ids"])[1]
    lengths = tf.constant([*buckets], tf.int32)
    widest = tf.maximum(width, buckets[-1])
    missing = tf.reduce_min(tf.where(lengths >= width, lengths, widest)) - width
    return {
        name: tf.pad(
            tensor,
            [[0, 0], [0, missing]],
            constant_values=padding_id if name == "token_ids" else 0,
        )
        for name, tensor in inputs.items()
    }
