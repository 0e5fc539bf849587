"""Scalars of a step: made once for all variables that share them, and anew in each step."""

import keras
import pytest
import tensorflow as tf

from kerasft.training.step.fused_adam import SharedScalars
from kerasft.training.step.optimizer import AdamW


class Optimizer(SharedScalars, keras.optimizers.SGD):
    """Counts how often it makes what variables of one type share."""

    made = 0

    def update_step(self, gradient, variable, learning_rate):
        factor = self.once(("factor", variable.dtype), self.make)
        super().update_step(gradient * factor, variable, learning_rate)

    def make(self):
        self.made += 1
        return tf.constant(2.0)


def variables_of(count):
    return [keras.Variable([1.0, 2.0], name=f"v{index}") for index in range(count)]


def test_once_is_once_in_an_apply_and_again_in_the_next():
    optimizer, variables = Optimizer(0.5), variables_of(3)
    optimizer.build(variables)
    gradients = [tf.constant([1.0, 1.0])] * 3
    optimizer.apply(gradients, variables)
    assert optimizer.made == 1
    optimizer.apply(gradients, variables)
    assert optimizer.made == 2
    assert [v.numpy().tolist() for v in variables] == [[-1.0, 0.0]] * 3  # 2 steps of 0.5 * 2
    optimizer.once("other", optimizer.make)  # outside of an apply nothing is remembered
    optimizer.once("other", optimizer.make)
    assert optimizer.made == 4


def test_what_fails_is_forgotten():
    optimizer, variables = Optimizer(0.5), variables_of(1)
    optimizer.build(variables)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError)):
        optimizer.apply([tf.constant([1.0, 1.0, 1.0])], variables)
    optimizer.apply([tf.constant([1.0, 1.0])], variables)
    assert optimizer.made == 2


def operations_of_a_step(count):
    optimizer, variables = AdamW(0.1), variables_of(count)
    optimizer.build(variables)

    @tf.function(autograph=False)
    def step():
        optimizer.apply([tf.constant([1.0, 1.0])] * count, variables)

    graph = step.get_concrete_function().graph
    return [operation.type for operation in graph.get_operations()]


def test_a_step_has_few_operations_a_variable():
    """Sharing nothing it had 22 for each."""
    few, many = operations_of_a_step(2), operations_of_a_step(12)
    assert many.count("Pow") == few.count("Pow") == 2
    assert (len(many) - len(few)) / 10 < 11
