"""All that training reads of Keras's optimizers and of TensorFlow and that is private to them.

Each function says what it expects of the library. `tests/unit/training/test_private.py` checks it,
so that a new version which names a part otherwise fails there, in words.
"""

from __future__ import annotations

from typing import Any

import keras
from tensorflow.python.framework import ops


class NoAllReduce:
    """Mixed into a Keras optimizer: gradients are applied as they are.

    The train step has summed them over the replicas. Keras would do so once more, which doubles
    what the replicas send each other. Expects that it does so by `_all_reduce_sum_gradients`.
    """

    def _all_reduce_sum_gradients(self, grads_and_vars):
        return grads_and_vars


def variable_index(optimizer: keras.optimizers.Optimizer, variable) -> int:
    """Expects that an optimizer knows the position of a variable among those it was built for."""
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
    """Expects the gradients of the process by name; those of `tf.custom_gradient` among them."""
    return ops.gradient_registry._registry
