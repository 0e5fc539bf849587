"""Lets go of the gradients that TensorFlow keeps of every function with a custom gradient."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from kerasft.training.step.private import gradient_registry

_PREFIX = "CustomGradient-"  # of the names that `tf.custom_gradient` makes


def forgetting_gradients(function: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a `tf.function` forget the gradients that it registers when it is traced.

    Wherever `tf.custom_gradient` is traced, it enters its gradient under a new name in a registry
    of the process, for whoever differentiates the graph from outside. The entries hold the graph,
    and it the weights and the optimizer's moments: each run would leave hundreds of megabytes
    behind. TensorFlow has no public way to remove an entry.

    Args:
        function: It takes its gradients inside, or nobody asks for any.

    Returns:
        A function of the same arguments and results.
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
