"""Sums over the replicas: what each of them has of a step, added up."""

from __future__ import annotations

import tensorflow as tf


def sum_over_replicas(tensors):
    """Sums a structure of tensors over the replicas; on one device it is returned as it is."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def sum_step(gradients, loss_sum, weight, *, sent_as: str):
    """Returns a step's three summed over the replicas.

    Args:
        gradients: Dense, or on one device any.
        loss_sum: Scalar.
        weight: Scalar.
        sent_as: Type that gradients are rounded to before they are sent.
    """
    several = tf.distribute.get_strategy().num_replicas_in_sync > 1
    if not several or sent_as == "float32":
        return sum_over_replicas((gradients, loss_sum, weight))
    # Apart: what is summed together is of one dtype.
    sent = [tf.cast(gradient, sent_as) for gradient in gradients]
    sums = [tf.cast(total, tf.float32) for total in sum_over_replicas(sent)]
    return sums, *sum_over_replicas((loss_sum, weight))
