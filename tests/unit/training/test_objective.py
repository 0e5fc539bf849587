"""R-Drop, mix-up and the adversarial step, against computations of this file."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from kerasft.models.embeddings import EMBEDDING_OFFSET
from kerasft.tasks.losses import class_divergence
from kerasft.training.step.objective import Objective, compute_gradients


def build(tools, objective, *, dropout=0.0):
    return tools.build_tuner(objective=objective, dropout=dropout)


def compute(model, batch, objective=None):
    inputs, labels, weights = tf.nest.map_structure(tf.constant, batch)
    return compute_gradients(model, objective or model.objective, inputs, labels, weights)


def dense(gradients):
    return [tf.convert_to_tensor(gradient).numpy() for gradient in gradients]


class TestRDrop:
    def test_is_half_of_both_losses_and_the_divergence(self, tools):
        batch = tools.make_batch(6)
        model = build(tools, Objective(r_drop=4.0, divergence=class_divergence), dropout=0.4)
        passes = []
        call = model.call

        def recorded(inputs, training=None):
            passes.append(call(inputs, training=training))
            return passes[-1]

        model.call = recorded
        result = compute(model, batch)
        first, second = (tf.nn.log_softmax(logits).numpy() for logits in passes)
        rows = np.arange(6)
        cross_entropies = -(first[rows, batch[1]] + second[rows, batch[1]]) / 2
        kl = [(np.exp(a) * (a - b)).sum(-1) for a, b in ((first, second), (second, first))]
        expected = (cross_entropies + 4.0 / 2 * (kl[0] + kl[1]) / 2).sum()
        np.testing.assert_allclose(float(result.loss_sum), expected, rtol=1e-5)
        assert np.abs(first - second).max() > 1e-3  # the passes had different dropout

    def test_control_without_dropout_it_is_the_plain_loss(self, tools):
        batch = tools.make_batch(6)
        objective = Objective(r_drop=4.0, divergence=class_divergence)
        plain = compute(build(tools, Objective()), batch)
        same = compute(build(tools, objective), batch)
        np.testing.assert_allclose(float(same.loss_sum), float(plain.loss_sum), rtol=1e-6)


class TestMixup:
    def test_mixes_vectors_and_losses_with_the_same_share(self, tools, monkeypatch):
        batch = tools.make_batch(4)
        partner, share = np.array([2, 3, 0, 1]), np.array([0.9, 0.6, 1.0, 0.2], np.float32)
        monkeypatch.setattr(keras.random, "shuffle", lambda *_, **__: tf.constant(partner))
        monkeypatch.setattr(keras.random, "beta", lambda *_, **__: tf.constant(share))
        model = build(tools, Objective(mixup_alpha=0.4))
        inputs, labels, weights = batch[0], batch[1], np.array([1, 2, 1, 0.5], np.float32)
        pooled = model.pooled(inputs).numpy()
        mixed = share[:, None] * pooled + (1 - share[:, None]) * pooled[partner]
        logs = tf.nn.log_softmax(model.head(mixed)).numpy()
        rows = np.arange(4)
        own, other = -logs[rows, labels], -logs[rows, labels[partner]]
        expected = (share * weights * own + (1 - share) * weights[partner] * other).sum()
        result = compute(model, (inputs, labels, weights))
        np.testing.assert_allclose(float(result.loss_sum), expected, rtol=1e-5)

    def test_rows_that_fill_a_batch_are_mixed_with_none(self, tools):
        batch = tools.make_batch(1, filler=3)
        model = build(tools, Objective(mixup_alpha=0.4))
        plain = compute(build(tools, Objective()), batch)
        np.testing.assert_allclose(
            float(compute(model, batch).loss_sum), float(plain.loss_sum), rtol=1e-5
        )

    def test_draws_anew_in_each_step_and_alike_in_each_run(self, tools):
        batch = tools.make_batch(6)

        def two_steps():
            model = build(tools, Objective(mixup_alpha=0.4))
            return [float(compute(model, batch).loss_sum) for _ in range(2)]

        first, again = two_steps(), two_steps()
        assert first == again
        assert first[0] != first[1]


class TestAdversarialStep:
    def test_raises_the_loss_more_than_a_random_step_of_the_same_length(self, tools):
        batch = tools.make_batch(6)
        model = build(tools, Objective(adversarial_epsilon=0.5))
        seen = []
        call = model.encoder.call

        def recorded(inputs, **options):
            if EMBEDDING_OFFSET in inputs:
                seen.append(inputs[EMBEDDING_OFFSET].numpy())
            return call(inputs, **options)

        model.encoder.call = recorded
        compute(model, batch)
        step = seen[-1]
        np.testing.assert_allclose(np.sqrt((step**2).sum((1, 2))), 0.5, rtol=1e-4)
        random = np.random.default_rng(0).normal(size=step.shape).astype(np.float32)
        random *= 0.5 / np.sqrt((random**2).sum((1, 2), keepdims=True))

        def loss(offset):
            logits = model({**batch[0], EMBEDDING_OFFSET: offset})
            return float(tf.reduce_sum(model.loss_by_example(batch[1], logits)))

        assert loss(step) > loss(random)
        assert loss(step) > loss(np.zeros_like(step))

    def test_gradient_is_the_mean_of_both_passes(self, tools):
        batch = tools.make_batch(6)
        model = build(tools, Objective(adversarial_epsilon=1e-6))
        plain = dense(compute(model, batch, Objective()).gradients)
        almost = dense(compute(model, batch).gradients)  # a step of no length to speak of
        far = dense(compute(model, batch, Objective(adversarial_epsilon=5.0)).gradients)
        for a, b in zip(plain, almost, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-4)
        assert max(np.abs(a - b).max() for a, b in zip(plain, far, strict=True)) > 1e-3

    @pytest.mark.parametrize("epsilon", [0.0, 0.5])
    def test_the_loss_that_is_told_is_that_of_the_texts_as_they_are(self, tools, epsilon):
        batch = tools.make_batch(6)
        model = build(tools, Objective(adversarial_epsilon=epsilon))
        expected = float(tf.reduce_sum(model.loss_by_example(batch[1], model(batch[0]))))
        np.testing.assert_allclose(float(compute(model, batch).loss_sum), expected, rtol=1e-5)
