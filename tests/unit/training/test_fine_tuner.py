"""The train step: true norms, weights of examples, and what is summed over replicas and how.

That one, two and four devices end with the same numbers: `test_replicas.py`.
"""

from __future__ import annotations

from unittest import mock

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.models import embeddings
from kerasft.training.loop.loop import train_steps
from kerasft.training.step.fine_tuner import FineTuner

CLIPNORM = 0.05


def train(tools, strategy, batches, all_reduce_dtype="float32", **options):
    with strategy.scope():
        model = tools.build_tuner(global_clipnorm=CLIPNORM, **options)
    model.all_reduce_dtype = all_reduce_dtype
    steps = list(train_steps(model, strategy, tools.make_dataset(batches), start_step=0))
    return steps, [variable.numpy() for variable in model.trainable_variables]


def largest_difference(ours, theirs):
    return max(np.abs(a - b).max() for a, b in zip(ours, theirs, strict=True))


def weights_after_step(model, tools, batch):
    model.train_step(tools.as_tensors(batch))
    return [variable.numpy() for variable in model.trainable_variables]


@pytest.fixture(scope="module")
def batches(tools):
    return {
        replicas: [
            tools.make_batch(8, seed=1),
            tools.make_batch(8, seed=2, length=16),
            tools.make_batch(5, seed=3, filler=replicas - 1),
        ]
        for replicas in (1, 2)
    }


@pytest.fixture(scope="module")
def one(tools, batches):
    return train(tools, tf.distribute.OneDeviceStrategy("CPU:0"), batches[1])


@pytest.fixture(scope="module")
def two(tools, batches):
    return train(tools, tools.mirrored(), batches[2])


class TestReplicas:
    """Three batches, the last of five texts: two replicas get a sixth row, of weight 0."""

    def test_running_loss_is_the_mean_over_examples(self, one):
        losses = [result.loss for result in one[0]]
        np.testing.assert_allclose(
            one[0][-1].running["loss"], np.average(losses, weights=[8, 8, 5]), rtol=1e-5
        )

    def test_sums_in_bfloat16_are_near_and_not_the_same(self, tools, batches, two):
        steps, weights = train(tools, tools.mirrored(), batches[2], all_reduce_dtype="bfloat16")
        norms = [[step.gradient_norm for step in of_run] for of_run in (steps, two[0])]
        np.testing.assert_allclose(*norms, rtol=2**-7)  # of eight bits
        assert 1e-6 < largest_difference(weights, two[1]) < 1e-3
        # Losses and weights of examples are not rounded.
        assert steps[0].loss == two[0][0].loss

    def test_one_device_sends_nothing_and_rounds_nothing(self, tools, batches, one):
        strategy = tf.distribute.OneDeviceStrategy("CPU:0")
        _, weights = train(tools, strategy, batches[1], all_reduce_dtype="bfloat16")
        assert largest_difference(weights, one[1]) == 0


class TestEmbeddingGradient:
    """Rows of a token that occurs more than once are summed before anything else."""

    def gradients(self, tools, batch, *, dense):
        recorded = []

        class Recording(FineTuner):
            def _apply(self, gradients):
                recorded.extend(gradients)

        def product(table, ids):
            return tf.one_hot(ids, table.shape[0]) @ table

        model = tools.build_tuner(kind=Recording)
        look_up = product if dense else embeddings.look_up
        with mock.patch.object(embeddings, "look_up", look_up):
            logs = model.train_step(tools.as_tensors(batch))
        index = [v.path for v in model.trainable_variables].index("token_embedding/embeddings")
        norm = np.sqrt(sum(np.square(g.numpy()).sum() for g in recorded))
        return recorded[index].numpy(), float(logs["gradient_norm"]), norm

    def test_equals_the_gradient_of_a_matrix_product(self, tools):
        batch = tools.make_batch(8)
        received, norm, norm_of_parts = self.gradients(tools, batch, dense=False)
        expected, expected_norm, _ = self.gradients(tools, batch, dense=True)
        np.testing.assert_allclose(received, expected, atol=1e-7)
        np.testing.assert_allclose([norm, norm_of_parts], expected_norm, rtol=1e-5)

    def test_control_keras_takes_the_norm_of_the_unsummed_rows(self):
        """Rows 3 and 4 of one token: the norm is 7, Keras's `global_clipnorm` sees 5."""
        variable = keras.Variable(np.zeros((2, 1), "float32"))
        rows = tf.IndexedSlices(tf.constant([[3.0], [4.0]]), tf.constant([0, 0]), (2, 1))
        keras.optimizers.SGD(1.0, global_clipnorm=1.0).apply([rows], [variable])
        np.testing.assert_allclose(variable.numpy()[0, 0], -7 / 5, rtol=1e-6)


class TestSampleWeights:
    def test_rows_of_weight_0_change_nothing(self, tools):
        model, filled = tools.build_tuner(), tools.build_tuner()
        expected = weights_after_step(model, tools, tools.make_batch(5))
        received = weights_after_step(filled, tools, tools.make_batch(5, filler=3))
        assert largest_difference(received, expected) < 1e-6
        for name, value in model.get_metrics_result().items():
            assert float(filled.get_metrics_result()[name]) == pytest.approx(float(value))
        inputs, labels, weights = tools.make_batch(5, filler=3)
        counted = (inputs, labels, np.ones_like(weights))  # control: rows of weight 1 do
        changed = weights_after_step(tools.build_tuner(), tools, counted)
        assert largest_difference(changed, expected) > 1e-3

    def test_only_their_ratios_count(self, tools):
        inputs, labels, weights = tools.make_batch(5)
        expected = weights_after_step(tools.build_tuner(), tools, (inputs, labels, weights))
        small = (inputs, labels, weights / 100)
        received = weights_after_step(tools.build_tuner(), tools, small)
        assert largest_difference(received, expected) < 1e-6

    def test_none_means_1(self, tools):
        inputs, labels, weights = tools.make_batch(5)
        expected = weights_after_step(tools.build_tuner(), tools, (inputs, labels, weights))
        received = weights_after_step(tools.build_tuner(), tools, (inputs, labels))
        assert largest_difference(received, expected) < 1e-7

    def test_a_batch_of_weight_0_alone_trains_nothing(self, tools):
        model = tools.build_tuner()
        before = [variable.numpy() for variable in model.trainable_variables]
        inputs, labels, weights = tools.make_batch(2)
        received = weights_after_step(model, tools, (inputs, labels, 0 * weights))
        assert largest_difference(received, before) == 0


class TestKeras:
    """The Keras user's way: `compile`, `fit`, `evaluate`."""

    @pytest.mark.parametrize("replicas", [1, 2])
    def test_fit_learns_and_evaluate_agrees(self, tools, replicas):
        strategy = tools.mirrored() if replicas == 2 else tf.distribute.get_strategy()
        with strategy.scope():
            model = tools.build_tuner(keras.optimizers.Adam(3e-3), global_clipnorm=1.0)
        dataset = tools.make_dataset([tools.make_batch(16, seed=s) for s in range(6)])
        history = model.fit(dataset, epochs=4, shuffle=False, verbose=0).history
        assert history["loss"][-1] < 0.8 * history["loss"][0]
        assert history["accuracy"][-1] > 0.8
        evaluated = model.evaluate(dataset, verbose=0, return_dict=True)
        batches = [tools.make_batch(16, seed=s) for s in range(6)]
        logits = np.concatenate([model(inputs).numpy() for inputs, _, _ in batches])
        labels = np.concatenate([labels for _, labels, _ in batches])
        losses = keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        assert evaluated["loss"] == pytest.approx(float(np.mean(losses)), rel=1e-4)
        assert evaluated["accuracy"] == pytest.approx(np.mean(logits.argmax(-1) == labels))

    def test_compile_takes_a_loss_function_and_names_of_metrics(self, tools):
        model = tools.build_tuner()

        def loss(labels, logits):
            return keras.ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)

        batch = tools.make_batch(5, filler=2)
        expected = model.test_step(tools.as_tensors(batch))
        model.compile("sgd", loss, metrics=["accuracy"], jit_compile=False)
        received = model.test_step(tools.as_tensors(batch))
        np.testing.assert_allclose(received["loss"], expected["loss"], rtol=1e-6)
        np.testing.assert_allclose(received["accuracy"], expected["accuracy"])

    def test_metric_variables_stand_before_the_first_batch(self, tools):
        """A fresh process restores a checkpoint before it has seen a batch."""
        model = tools.build_tuner()
        before = [variable.path for variable in model.metrics_variables]
        model.train_step(tools.as_tensors(tools.make_batch(2)))
        assert [variable.path for variable in model.metrics_variables] == before
        assert "accuracy/total" in before
