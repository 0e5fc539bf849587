"""Every private attribute of Keras's optimizers and TensorFlow that training uses.

Each function names what it expects of the library; `tests/unit/training/test_private.py` checks it,
so that a new version with other names fails there with a clear message.
"""

from __future__ import annotations

from typing import Any

import keras
from tensorflow.python.framework import ops


class NoAllReduce:
    """Mixin for a Keras optimizer: applies gradients without an all-reduce.

    The train step has summed them over the replicas; a second all-reduce would double the traffic.
    Expects that Keras does it in `_all_reduce_sum_gradients`.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars


def variable_index(optimizer: keras.optimizers.Optimizer, variable) -> int:
    """Expects that an optimizer knows the index of a variable among those it was built for."""
    return optimizer._get_variable_index(variable)


def built_variables(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Expects that an optimizer lists the variables it was built for."""
    return optimizer._trainable_variables


def moving_averages(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Expects the averages of an optimizer with `use_ema` in the order of its variables."""
    return optimizer._model_variables_moving_average


def learning_rate_or_schedule(optimizer: keras.optimizers.Optimizer) -> Any:
    """Expects that an optimizer keeps its schedule; `learning_rate` gives the present rate."""
    return optimizer._learning_rate


def gradient_registry() -> dict[str, Any]:
    """Expects a process-wide registry of gradients by name, including `tf.custom_gradient`'s."""
    return ops.gradient_registry._registry
