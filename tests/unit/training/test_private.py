"""What training expects of the private parts of Keras's optimizers and of TensorFlow."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.training.step import private


def build_optimizer(**options):
    optimizer = keras.optimizers.SGD(0.5, **options)
    variables = [keras.Variable(np.ones(2), name=name) for name in ("a", "b")]
    optimizer.build(variables)
    return optimizer, variables


def test_an_optimizer_knows_its_variables_and_their_positions(tools):
    optimizer, variables = build_optimizer()
    with tools.expect_of("keras.optimizers.Optimizer", "the variables it was built for"):
        assert list(map(id, private.built_variables(optimizer))) == list(map(id, variables))
        assert [private.variable_index(optimizer, v) for v in variables] == [0, 1]


def test_an_optimizer_keeps_averages_in_the_order_of_its_variables(tools):
    optimizer, variables = build_optimizer(use_ema=True, ema_momentum=0.5)
    with tools.expect_of("keras.optimizers.Optimizer", "moving averages of its variables"):
        first, second = private.moving_averages(optimizer)
        optimizer.apply([tf.zeros(2), tf.constant([2.0, 4.0])], variables)
        assert first.numpy().tolist() == [1.0, 1.0]
        assert second.numpy().tolist() != [1.0, 1.0]


def test_an_optimizer_keeps_its_schedule(tools):
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    with tools.expect_of("keras.optimizers.Optimizer", "the schedule of its learning rate"):
        optimizer = keras.optimizers.SGD(schedule)
        assert private.learning_rate_or_schedule(optimizer) is schedule


def test_an_optimizer_sums_gradients_over_replicas_by_the_method_that_is_overridden(tools):
    # Of Keras's optimizers for TensorFlow alone.
    with tools.expect_of("keras.optimizers.Optimizer", "a method that all-reduces gradients"):
        assert callable(keras.optimizers.SGD._all_reduce_sum_gradients)
        assert private.NoAllReduce()._all_reduce_sum_gradients("as they are") == "as they are"


def test_a_custom_gradient_is_entered_in_the_registry_when_it_is_traced(tools):
    @tf.custom_gradient
    def double(x):
        return 2 * x, lambda upstream: 2 * upstream

    with tools.expect_of("tensorflow", "a registry of gradients by name"):
        before = set(private.gradient_registry())
        tf.function(double).get_concrete_function(tf.TensorSpec([], tf.float32))
        new = set(private.gradient_registry()) - before
        assert new
        assert all(name.startswith("CustomGradient-") for name in new)


def test_control_what_a_library_no_longer_has_is_said_in_words(tools):
    expected = r"keras was expected to have a moon: .*no attribute '_moon'.*upper bound"
    with pytest.raises(pytest.fail.Exception, match=expected), tools.expect_of("keras", "a moon"):
        keras.optimizers.SGD()._moon  # noqa: B018
