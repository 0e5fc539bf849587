"""Releases the gradients that TensorFlow keeps of every `tf.custom_gradient`."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from kerasft.training.step.private import gradient_registry

_PREFIX = "CustomGradient-"  # of the names that `tf.custom_gradient` makes


def forgetting_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    """Wraps a `tf.function` to drop the gradients that it registers while it is traced.

    `tf.custom_gradient` registers its gradient in a process-wide registry at each trace, for
    differentiation of the graph from outside. The entries hold the graph, and with it the weights
    and the optimizer's moments: each run would leak hundreds of megabytes. TensorFlow has no public
    way to remove an entry. `function` must not be differentiated from outside.
    """
    registered = gradient_registry()

    @functools.wraps(function)
    def call(*arguments):
        before = set(registered)
        try:
            return function(*arguments)
        finally:
            for name in registered.keys() - before:
                if name.startswith(_PREFIX):
                    del registered[name]

    return call
