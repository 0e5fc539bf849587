"""Gradient checkpointing: recomputes a layer's activations for its gradient.

Chen et al. 2016, "Training Deep Nets with Sublinear Memory Cost": a step keeps one tensor a layer,
its input, at the price of a second forward pass. `tf.recompute_grad` does not work with Keras 3. In
the second pass dropout would draw other numbers, or none in sublayers that ask Keras whether to,
and weights would be read in float32, whatever the layer's precision.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf


def run_checkpointed(
    layers: Sequence[keras.layers.Layer], run: Callable[[tf.Tensor], tf.Tensor], hidden
):
    """Runs layers in training so that its gradient recomputes them from their input.

    Outputs and gradients are those of `run(hidden)`: the second pass draws the random numbers of
    the first, and the seed generators advance once. They are equal bit for bit, unless TensorFlow's
    graph optimizer orders the sums of one pass differently.

    Args:
        layers: The built layers whose variables `run` reads. Any of their sublayers may draw random
            numbers from a seed generator that it owns.
        run: From a tensor to one. It may read other tensors, but they get no gradient.
        hidden: Its input, of a floating type.
    """
    weights = [weight for layer in layers for weight in layer.weights]
    states = _random_states(layers)
    policy = layers[0].dtype_policy
    starts = [state.value * 1 for state in states]  # a copy: the state advances
    ends = []

    @tf.custom_gradient
    def compute(inputs, *values):
        outputs, moved_on = _run_with(policy, run, inputs, weights, values, states, starts)
        ends.extend(moved_on)

        def gradient(upstream):
            again, *seeds = _known_after(upstream, [inputs, *starts])
            trained = [v for w, v in zip(weights, values, strict=True) if w.trainable]
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch([again, *trained])
                repeated, _ = _run_with(policy, run, again, weights, values, states, seeds)
            return tape.gradient(repeated, [again, *values], output_gradients=upstream)

        return outputs, gradient

    outputs = compute(hidden, *(tf.convert_to_tensor(weight.value) for weight in weights))
    for state, end in zip(states, ends, strict=True):
        state.assign(end)
    return outputs


class _InTraining(keras.layers.Layer):
    """Runs a function as if a layer called it in training.

    A gradient is computed after the calls of all layers have returned. Those calls tell inner
    layers that dropout is on, and that variables are cast as the dtype policy says.
    """

    def __init__(self, policy):
        super().__init__(dtype=policy, name="checkpointed")
        self.built = True

    def call(self, inputs, run, training):
        return run(inputs)


def _run_with(policy, run, inputs, weights, values, states, starts):
    """Runs with these weights and random states; returns the outputs and the final states."""

    def run_stateless(inputs):
        known = [*zip(weights, values, strict=True), *zip(states, starts, strict=True)]
        with keras.StatelessScope(known, initialize_variables=False) as scope:
            outputs = run(inputs)
        return outputs, [scope.get_current_value(state) for state in states]

    return _InTraining(policy)(inputs, run=run_stateless, training=True)


def _random_states(layers: Sequence[keras.layers.Layer]) -> list[keras.Variable]:
    """Returns the states of the seed generators of layers and their sublayers."""
    weights = {id(weight) for layer in layers for weight in layer.weights}
    return [v for layer in layers for v in layer.variables if id(v) not in weights]


def _known_after(upstream, tensors) -> list[tf.Tensor]:
    """Returns the same tensors, available only after the upstream gradient.

    TensorFlow would merge two equal computations on the same tensors, and keep the result. Control
    dependencies prevent this, but not under XLA.
    """
    first = tf.reshape(upstream, (-1,))[:1]
    zero = tf.reduce_any(tf.math.is_nan(first))  # if it is not, there is no gradient to spoil
    return [tensor + tf.cast(zero, tensor.dtype) for tensor in tensors]
