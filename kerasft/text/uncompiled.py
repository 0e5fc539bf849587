"""Graphs excluded from XLA's automatic clustering.

Tokenizing has another shape for each text: a server that runs with automatic clustering
(`TF_XLA_FLAGS=--tf_xla_auto_jit=2`) would compile it for every request.
"""

from __future__ import annotations

import contextlib
import functools

import tensorflow as tf


def not_compiled() -> contextlib.AbstractContextManager:
    """Returns a scope whose ops are not clustered; functions called in it may be."""
    return tf.xla.experimental.jit_scope(compile_ops=False)


def uncompiled_graph(*specs: tf.TensorSpec):
    """Makes a method a graph whose ops are not clustered; `specs` describe its arguments."""

    def decorate(method):
        @functools.wraps(method)
        def traced(self, *columns):
            with not_compiled():
                return method(self, *columns)

        return tf.function(traced, input_signature=specs, autograph=False)

    return decorate
