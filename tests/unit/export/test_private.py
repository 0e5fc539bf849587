"""What an export expects of the private parts of Keras and TensorFlow."""

from __future__ import annotations

import keras
import tensorflow as tf
from tensorflow.core.framework import op_def_pb2

from kerasft.export import private


def test_tensorflow_lists_the_ops_of_this_process(tools):
    with tools.expect_of("tensorflow", "a list of all ops that are registered"):
        names = {op.name for op in op_def_pb2.OpList.FromString(private.list_ops()).op}
        assert {"MatMul", "XlaDot"} <= names


def test_a_scope_reads_a_value_of_another_type_as_it_is(tools):
    variable, value = keras.Variable([1.0, 2.0]), tf.constant([3.0, 4.0], tf.bfloat16)
    with tools.expect_of("keras.StatelessScope", "its values by the id of the variable"):
        scope = keras.StatelessScope()
        private.read_in_scope(scope, variable, value)
        with scope:
            assert variable.value is value
