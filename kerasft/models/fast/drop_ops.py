"""Dropout with as few random bits as the rate needs: they are its main cost."""

from __future__ import annotations

import keras
import tensorflow as tf

# A random byte is used if the rate that it can express is within this share of the rate.
_RATE_TOLERANCE = 0.02
_PRIME = 1_000_003  # between the seeds of two replicas


def dropout(inputs, rate: float, seeds: keras.random.SeedGenerator):
    """Applies dropout with the next seed of a generator; see `drop_by_seed`."""
    return drop_by_seed(inputs, rate, next_seed(seeds))


def drop_by_seed(inputs, rate: float, seed):
    """Drops a share of the inputs and scales up the others (Srivastava et al. 2014).

    Random numbers are the main cost. They are drawn as 32 bits and used as four bytes, or as two
    pairs of bytes if a byte is too coarse for the rate: a byte makes 26/256 = 0.1016 of the rate
    0.1. The scale follows from the share that is really kept.

    Args:
        inputs: Tensor of any shape and floating type.
        rate: Share that is dropped, from 0 to below 1.
        seed: int32 `(2,)`: the same seed drops the same.
    """
    kept, scale = keep_by_seed(inputs, rate, seed)
    return inputs * (kept * tf.constant(scale, inputs.dtype))


def keep_by_seed(inputs, rate: float, seed) -> tuple[tf.Tensor, float]:
    """Draws the mask of `drop_by_seed`: 1 for kept and 0 for dropped inputs, and their scale.

    The mask has the shape and type of `inputs`; the scale is 1 / the share that is kept.
    """
    drawn_type = tf.uint8 if fits_a_byte(rate) else tf.uint16
    levels = 2 ** (8 * drawn_type.size)
    dropped = round(rate * levels)
    drawn = tf.reshape(_draw(tf.size(inputs), drawn_type, seed), tf.shape(inputs))
    kept = tf.cast(drawn >= tf.constant(dropped, drawn_type), inputs.dtype)
    return kept, levels / (levels - dropped)


def draw_bytes(inputs, rate: float, seed) -> tuple[tf.Tensor, int]:
    """Draws the bytes of `keep_by_seed` for a rate that fits a byte: uint8 `(number of inputs,)`.

    They are empty if the rate is 0. Also returns the least byte that is kept.
    """
    if not rate:
        return tf.zeros((0,), tf.uint8), 0
    return _draw(tf.size(inputs), tf.uint8, seed), round(rate * 256)


def _draw(size, dtype: tf.DType, seed):
    """Draws `size` numbers of a type that is smaller than the drawn words."""
    in_a_word = 4 // dtype.size
    words = tf.random.stateless_uniform(
        ((size + in_a_word - 1) // in_a_word,),
        seed=seed,
        minval=None,
        maxval=None,
        dtype=tf.uint32,
    )
    return tf.reshape(tf.bitcast(words, dtype), (-1,))[:size]


def next_seed(seeds: keras.random.SeedGenerator):
    """Draws a seed, int32 `(2,)`; different in each replica, though all share the generator."""
    seed = tf.cast(seeds.next(), tf.int32)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return seed
    replica = tf.cast(context.replica_id_in_sync_group, tf.int32)
    return seed + tf.stack([replica * _PRIME, 0])


def fits_a_byte(rate: float) -> bool:
    """Whether a random byte expresses a rate well enough."""
    return abs(round(rate * 256) / 256 - rate) <= _RATE_TOLERANCE * rate
